//! Which datagrams answer the host's own.
//!
//! UDP has no bare SYN: a datagram may be a knock, a wrong knock, or the answer to a question that
//! the host itself asked. The firewall asks connection tracking; the daemon remembers what the host
//! has sent. A table of fixed size with four places for each hash; when all four are taken, the one
//! that ends first goes.

use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::IpAddr;

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

use crate::limits;
use crate::time::Instant;

/// Both ends of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ends {
    /// The other host.
    pub remote: IpAddr,
    /// Its port.
    pub remote_port: u16,
    /// Our port.
    pub local_port: u16,
}

/// The conversations that the host has begun or answered.
#[derive(Debug)]
pub struct Conversations {
    hasher: SeedableRandomState,
    sets: Vec<[Option<(Ends, Instant)>; 4]>,
}

impl Conversations {
    /// An empty table for [`limits::MAX_CONVERSATIONS`].
    pub fn new(seed: u64) -> Self {
        let hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        Self { hasher, sets: alloc::vec![[None; 4]; limits::MAX_CONVERSATIONS / 4] }
    }

    /// The host has sent a datagram.
    pub fn sent(&mut self, ends: Ends, now: Instant) {
        let until = now.after(limits::CONVERSATION_LIFETIME);
        let set = self.set(ends);
        let known = set.iter_mut().find(|place| place.is_some_and(|(known, _)| known == ends));
        let place = match known {
            Some(place) => Some(place),
            None => set.iter_mut().min_by_key(|place| place.map(|(_, until)| until)),
        };
        if let Some(place) = place {
            *place = Some((ends, until));
        }
    }

    /// The host has received a datagram: is it part of a conversation? If so that goes on.
    pub fn received(&mut self, ends: Ends, now: Instant) -> bool {
        let places = self.set(ends).iter_mut().flatten();
        for (known, until) in places {
            if *known == ends && now < *until {
                *until = now.after(limits::CONVERSATION_LIFETIME);
                return true;
            }
        }
        false
    }

    fn set(&mut self, ends: Ends) -> &mut [Option<(Ends, Instant)>] {
        let sets = self.sets.len().max(1) as u64;
        let at = (self.hasher.hash_one(ends) % sets) as usize;
        self.sets.get_mut(at).map_or(&mut [], |set| set.as_mut_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn ends(remote_port: u16) -> Ends {
        Ends { remote: Ipv4Addr::new(192, 0, 2, 1).into(), remote_port, local_port: 40_000 }
    }

    #[test]
    fn an_answer_is_one_while_the_conversation_lives() {
        let mut conversations = Conversations::new(1);
        let start = Instant::from_millis(1_000);
        assert!(!conversations.received(ends(53), start));
        conversations.sent(ends(53), start);
        assert!(conversations.received(ends(53), start));
        assert!(!conversations.received(ends(54), start), "another port is another conversation");
        let later = start.after(limits::CONVERSATION_LIFETIME);
        assert!(!conversations.received(ends(53), later));
    }

    #[test]
    fn a_full_table_forgets_the_conversation_that_ends_first() {
        let mut conversations = Conversations::new(1);
        let start = Instant::ORIGIN;
        for port in 0..=u16::MAX {
            conversations
                .sent(ends(port), start.after(core::time::Duration::from_nanos(port.into())));
        }
        assert!(conversations.received(ends(u16::MAX), start));
        let kept = (0..=u16::MAX).filter(|&port| conversations.received(ends(port), start)).count();
        assert!(kept <= limits::MAX_CONVERSATIONS);
    }
}
