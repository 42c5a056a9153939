//! Who would have had a grant, whose packets would have been strikes, and who would have been banned:
//! as the kernel counts, by the rules in `portcullis_firewall::compile`.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::limits;
use portcullis_core::policy::{Ban, DoorId, Policy, Stance};
use portcullis_core::time::Instant;
use portcullis_firewall::compile::banned_as;

/// Elements of each table: those that the kernel has for both families.
const MOST: usize = 2 * limits::MAX_STRIKERS as usize;

/// What has become of a strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Struck {
    /// It is one.
    Counted,
    /// It is one, and bans.
    Banned,
    /// The source is banned already, and silence is all it gets.
    Refused,
}

/// The grants, strikes and bans of a gate.
pub struct GateState {
    ban: Option<Ban>,
    stance: Stance,
    grants: Timed<(DoorId, IpAddr), ()>,
    strikes: Timed<IpAddr, u32>,
    bans: Timed<IpAddr, ()>,
}

impl GateState {
    /// Of a policy.
    pub fn new(policy: &Policy) -> Self {
        Self {
            ban: policy.gate.ban,
            stance: policy.gate.stance,
            grants: Timed::default(),
            strikes: Timed::default(),
            bans: Timed::default(),
        }
    }

    /// Whether strikes ban.
    pub const fn bans(&self) -> bool {
        self.ban.is_some()
    }

    /// Lets a source pass a door until some moment.
    pub fn grant(&mut self, door: DoorId, source: IpAddr, now: Instant, until: Instant) {
        self.grants.put((door, source), (), now, until);
    }

    /// Whether it may pass now.
    pub fn passes(&mut self, door: DoorId, source: IpAddr, now: Instant) -> bool {
        self.grants.get(&(door, source), now).is_some()
    }

    /// Counts a strike of this source: something of it was refused.
    pub fn strike(&mut self, source: IpAddr, now: Instant) -> Struck {
        let Some(ban) = self.ban else { return Struck::Counted };
        let who = banned_as(source);
        let banned = self.bans.get(&who, now).is_some();
        if banned && self.stance == Stance::Guard {
            return Struck::Refused;
        }
        match self.strikes.get(&who, now) {
            Some(count) => *count = count.saturating_add(1),
            None => self.strikes.put(who, 1, now, now.after(ban.within)),
        }
        let full = self.strikes.get(&who, now).is_some_and(|count| *count >= ban.strikes);
        if !full || banned {
            return Struck::Counted;
        }
        self.bans.put(who, (), now, now.after(ban.time));
        Struck::Banned
    }
}

/// A set of the kernel: elements that end by themselves. Like those it takes no more when it is full.
struct Timed<K, V> {
    elements: HashMap<K, (V, Instant)>,
    /// When what has ended is to be taken out: once a second at most, and only when there is no room.
    sweep: Instant,
}

impl<K, V> Default for Timed<K, V> {
    fn default() -> Self {
        Self { elements: HashMap::new(), sweep: Instant::ORIGIN }
    }
}

impl<K: Eq + Hash, V> Timed<K, V> {
    fn get(&mut self, key: &K, now: Instant) -> Option<&mut V> {
        self.elements.get_mut(key).filter(|(_, until)| now < *until).map(|(value, _)| value)
    }

    fn put(&mut self, key: K, value: V, now: Instant, until: Instant) {
        if self.elements.len() >= MOST && !self.elements.contains_key(&key) {
            if now >= self.sweep {
                self.elements.retain(|_, (_, until)| now < *until);
                self.sweep = now.after(Duration::from_secs(1));
            }
            if self.elements.len() >= MOST {
                return;
            }
        }
        self.elements.insert(key, (value, until));
    }
}

#[cfg(test)]
mod tests {
    use portcullis_config::parse_str;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    fn gate(stance: &str) -> GateState {
        let text = format!(
            "[gate]\nstance = \"{stance}\"\n[ban]\nstrikes = 3\nwithin = \"10s\"\nfor = \"60s\"\n\
             [door.ssh]\nguards = [\"tcp/22\"]\nsequence = [\"tcp/3\", \"tcp/7\", \"tcp/5\"]\n"
        );
        GateState::new(&parse_str("test", &text).unwrap().policy)
    }

    #[test]
    fn the_strike_that_makes_the_number_full_bans() {
        use Struck::{Banned, Counted, Refused};
        for (stance, afterwards) in [("guard", Refused), ("closed", Counted)] {
            let mut gate = gate(stance);
            let one = "192.0.2.7".parse().unwrap();
            for (second, expected) in
                [(0, Counted), (1, Counted), (10, Counted), (11, Counted), (12, Banned)]
            {
                assert_eq!(gate.strike(one, at(second)), expected, "{second}");
            }
            assert_eq!(gate.strike(one, at(13)), afterwards);
            assert_eq!(gate.strike("192.0.2.8".parse().unwrap(), at(13)), Counted);
            assert_eq!(gate.strike(one, at(72)), Counted);
        }
    }

    #[test]
    fn neighbours_in_ipv6_share_their_strikes() {
        let mut gate = gate("guard");
        let mut strike = |text: &str| gate.strike(text.parse().unwrap(), at(0));
        assert_eq!(strike("2001:db8::1"), Struck::Counted);
        assert_eq!(strike("2001:db8:0:1::1"), Struck::Counted);
        assert_eq!(strike("2001:db8::2"), Struck::Counted);
        assert_eq!(strike("2001:db8::3"), Struck::Banned);
    }

    #[test]
    fn grants_end() {
        let mut gate = gate("guard");
        let one: IpAddr = "192.0.2.7".parse().unwrap();
        gate.grant(DoorId(0), one, at(0), at(30));
        assert!(gate.passes(DoorId(0), one, at(29)) && !gate.passes(DoorId(1), one, at(29)));
        assert!(!gate.passes(DoorId(0), one, at(30)));
    }

    #[test]
    fn a_full_table_forgets_what_has_ended_and_nothing_else() {
        let mut table = Timed::default();
        for key in 0..MOST {
            table.put(key, key, at(0), at(if key < 10 { 5 } else { 100 }));
        }
        table.put(MOST, MOST, at(1), at(100));
        assert_eq!(table.get(&MOST, at(1)), None);
        table.put(MOST, MOST, at(5), at(100));
        assert_eq!((table.get(&MOST, at(5)).copied(), table.get(&9, at(5))), (Some(MOST), None));
        assert_eq!(table.elements.len(), MOST - 9);
    }
}
