//! Active bans, and bans by hand.
//!
//! A ban is for an IPv4 address, or for an IPv6 network of 64 bits, as the rules have it. A network is
//! banned by a ban for each of its addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use portcullis_core::policy::{Ban, Network};
use portcullis_firewall::compile::{
    ALLOWED, BANS, HOSTS, LATE_BANS, LATE_STRIKES, STRIKES, banned_as,
};
use portcullis_linux::netlink::message::Attributes;

use super::batch::Batch;
use super::elements::{address_and_rest, write_set};
use super::error::Object;
use super::expression::time_of_added;
use super::grants::{push_removed, push_renewed};
use super::{Error, TABLE, Table, kind, object};

/// How many bits of an address a ban is for, in IPv4 and in IPv6.
const BITS: [u8; 2] = [32, 64];

/// Most bans that one network is made of.
pub const MOST_AT_ONCE: usize = 256;

/// That a source is banned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Banned {
    /// Who: an IPv4 address, or the first address of an IPv6 network of 64 bits.
    pub address: IpAddr,
    /// Remaining time; `None` means no end, and only a person with `nft` can have set that.
    pub expires: Option<Duration>,
    /// Its whole time.
    pub timeout: Option<Duration>,
}

impl Banned {
    /// All addresses that it is for.
    pub fn network(&self) -> Option<Network> {
        Network::new(self.address, bits(self.address)).ok()
    }

    /// The banned source as people write it: an IPv4 address, or an IPv6 network of 64 bits.
    pub fn source(&self) -> String {
        self.network().map_or_else(|| self.address.to_string(), |network| network.to_string())
    }
}

/// The result of a ban by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Banning {
    /// It is in force.
    Done {
        /// For how long from now on.
        time: Duration,
        /// How many bans it is made of.
        bans: usize,
        /// How many of them were in force before, and count from now on.
        renewed: usize,
        /// Whether some of its addresses are allowed, so that the ban does not refuse them.
        allowed: bool,
    },
    /// All of it is allowed, so nothing was done.
    Allowed,
}

/// What has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unbanned {
    /// The bans, as they were.
    pub bans: Vec<Banned>,
    /// Of how many sources strikes were forgotten.
    pub strikes: usize,
}

/// All addresses that are banned with one.
pub fn banned_with(address: IpAddr) -> Option<Network> {
    Network::new(banned_as(address), bits(address)).ok()
}

/// The bans that a network is made of, by their first addresses; `None` if they are more than
/// [`MOST_AT_ONCE`], or it is smaller than one.
pub fn bans_of(network: Network) -> Option<Vec<IpAddr>> {
    let bits = bits(network.first()).checked_sub(network.prefix())?;
    let count = 1_u32.checked_shl(bits.into()).filter(|_| bits < 32)?;
    if usize::try_from(count).ok()? > MOST_AT_ONCE {
        return None;
    }
    let all = (0..count).map(|number| match network.first() {
        IpAddr::V4(four) => Ipv4Addr::from_bits(four.to_bits() | number).into(),
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() | (u128::from(number) << 64)).into(),
    });
    Some(all.collect())
}

/// How many bits of an address like this one a ban is for.
fn bits(like: IpAddr) -> u8 {
    let [four, six] = BITS;
    if like.is_ipv4() { four } else { six }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

/// Of a pair of sets, that for addresses like this one.
fn of_family(sets: [&'static str; 2], like: IpAddr) -> &'static str {
    let [four, six] = sets;
    if like.is_ipv4() { four } else { six }
}

impl Table {
    /// All living bans, in the order of their addresses. None if there is no table, or nobody is
    /// banned by its rules.
    ///
    /// # Errors
    ///
    /// That the kernel could not be asked.
    pub fn bans(&mut self) -> Result<Vec<Banned>, Error> {
        let mut all = self.banned_in(BANS)?;
        all.extend(self.banned_in(LATE_BANS)?);
        // Of two for one source the longer one counts; a set that grows may list one twice.
        let left = |ban: &Banned| ban.expires.unwrap_or(Duration::MAX);
        all.sort_unstable_by_key(|ban| (ban.address, std::cmp::Reverse(left(ban))));
        all.dedup_by_key(|ban| ban.address);
        Ok(all)
    }

    /// Whether the loaded rules know bans.
    ///
    /// # Errors
    ///
    /// [`Error::NoTable`], or [`Error::NoBans`] if they do not.
    pub fn must_know_bans(&mut self) -> Result<(), Error> {
        if self.state()?.is_none() {
            return Err(Error::NoTable);
        }
        let sets = self.list(kind::GETSET)?;
        let is_there =
            |name| sets.iter().any(|set| Attributes(set).text(object::SET_NAME) == Some(name));
        if BANS.into_iter().all(is_there) { Ok(()) } else { Err(Error::NoBans) }
    }

    /// Bans all of `network` for `time` from now on, whether or not it was; without a time for as long as
    /// the loaded rules ban. `asked` is what somebody wants to ban with it: if all of that is allowed, it
    /// is not done, for it would change nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NoTable`], [`Error::NoBans`], [`Error::Held`], or [`Error::Refused`] if the set is full or
    /// the network is of too many bans ([`bans_of`]). Nothing has changed then.
    pub fn ban(
        &mut self,
        network: Network,
        asked: Network,
        time: Option<Duration>,
    ) -> Result<Banning, Error> {
        self.transact(|gate, generation| {
            gate.must_not_be_held()?;
            gate.must_know_bans()?;
            let mut batch = Batch::new(&mut gate.socket, generation);
            let allowed = gate.allowed()?;
            if allowed.iter().any(|&(first, last)| first <= asked.first() && asked.last() <= last) {
                return Ok((batch, Banning::Allowed));
            }
            let time = match time {
                Some(time) => time,
                None => gate.time_of_bans()?,
            };
            let new = bans_of(network).unwrap_or_default();
            let set = of_family(BANS, network.first());
            let known = gate.banned_in(BANS)?;
            for &address in &new {
                push_renewed(&mut batch, set, &octets(address), time);
            }
            let done = Banning::Done {
                time,
                bans: new.len(),
                renewed: known.iter().filter(|ban| new.contains(&ban.address)).count(),
                allowed: allowed
                    .iter()
                    .any(|&(first, last)| first <= network.last() && network.first() <= last),
            };
            Ok((batch, done))
        })
    }

    /// Ends the bans of all addresses of `network`, or of everybody, and forgets their strikes, in one
    /// transaction.
    ///
    /// # Errors
    ///
    /// [`Error::NoTable`], [`Error::NoBans`] or [`Error::Held`]. Nothing has changed then.
    pub fn unban(&mut self, network: Option<Network>) -> Result<Unbanned, Error> {
        self.transact(|gate, generation| {
            gate.must_not_be_held()?;
            gate.must_know_bans()?;
            let meant = |address| network.is_none_or(|network| network.contains(address));
            let mut bans = gate.bans()?;
            bans.retain(|ban| meant(ban.address));
            let mut strikes = Vec::new();
            let mut batch = Batch::new(&mut gate.socket, generation);
            for sets in [BANS, LATE_BANS, STRIKES, LATE_STRIKES] {
                let mut found = gate.banned_in(sets)?;
                found.retain(|it| meant(it.address));
                if network.is_none() {
                    // All that is there, what packets add in this moment included.
                    for set in sets {
                        let about = Object::Elements(set.to_owned());
                        batch.push(about, kind::DELSETELEM, 0, |w| write_set(w, TABLE, set));
                    }
                } else {
                    for it in &found {
                        let set = of_family(sets, it.address);
                        push_removed(&mut batch, set, &octets(it.address));
                    }
                }
                if sets == STRIKES || sets == LATE_STRIKES {
                    strikes.extend(found.into_iter().map(|it| it.address));
                }
            }
            strikes.sort_unstable();
            strikes.dedup();
            Ok((batch, Unbanned { bans, strikes: strikes.len() }))
        })
    }

    /// The elements of two sets, for IPv4 and IPv6, of sources.
    fn banned_in(&mut self, sets: [&'static str; 2]) -> Result<Vec<Banned>, Error> {
        let mut all = Vec::new();
        for (version, set) in sets.into_iter().enumerate() {
            all.extend(self.elements(set, |element| {
                let (address, _) = address_and_rest(element.key()?, version)?;
                let expires = element.expires().map(Duration::from_millis);
                let timeout = element.timeout().map(Duration::from_millis);
                Some(Banned { address, expires, timeout })
            })?);
        }
        Ok(all)
    }

    /// For how long the loaded rules ban; the default of the configuration where somebody has taken that
    /// rule away.
    fn time_of_bans(&mut self) -> Result<Duration, Error> {
        let rules = self.list(kind::GETRULE)?;
        let time = rules.iter().find_map(|rule| {
            let mut all = Attributes(rule).within(object::RULE_EXPRESSIONS);
            all.find_map(|expression| {
                let [four, _] = BANS;
                time_of_added(Attributes(expression.value), four)
            })
        });
        Ok(time.map_or(Ban::default().time, Duration::from_millis))
    }

    /// The first and the last address of each network and host of the loaded allow-list.
    fn allowed(&mut self) -> Result<Vec<(IpAddr, IpAddr)>, Error> {
        const ENDS_INTERVAL: u32 = 1;
        let mut allowed = Vec::new();
        for (version, set) in HOSTS.into_iter().enumerate() {
            allowed.extend(self.elements(set, |element| {
                let (address, _) = address_and_rest(element.key()?, version)?;
                Some((address, address))
            })?);
        }
        for (version, set) in ALLOWED.into_iter().enumerate() {
            let mut ends = self.elements(set, |element| {
                let (address, _) = address_and_rest(element.key()?, version)?;
                Some((address, element.flags() & ENDS_INTERVAL == 0))
            })?;
            // Where one network ends and the next begins, the end comes first.
            ends.sort_unstable();
            let mut ends = ends.into_iter().peekable();
            while let Some((first, begins)) = ends.next() {
                if begins {
                    let after = ends.next_if(|(_, begins)| !begins);
                    let last = after.and_then(|(after, _)| before(after));
                    allowed.push((first, last.unwrap_or_else(|| highest(first))));
                }
            }
        }
        Ok(allowed)
    }
}

fn before(address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(four) => Ipv4Addr::from_bits(four.to_bits().checked_sub(1)?).into(),
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits().checked_sub(1)?).into(),
    })
}

const fn highest(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::BROADCAST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_made_of_bans() {
        let of = |text: &str| {
            bans_of(text.parse().unwrap()).map(|all| {
                (all.len(), all.first().unwrap().to_string(), all.last().unwrap().to_string())
            })
        };
        let made = |n, first: &str, last: &str| Some((n, first.to_owned(), last.to_owned()));
        assert_eq!(of("203.0.113.7"), made(1, "203.0.113.7", "203.0.113.7"));
        assert_eq!(of("203.0.113.0/24"), made(256, "203.0.113.0", "203.0.113.255"));
        assert_eq!(of("2001:db8:1:2::/64"), made(1, "2001:db8:1:2::", "2001:db8:1:2::"));
        assert_eq!(of("2001:db8:1::/56"), made(256, "2001:db8:1::", "2001:db8:1:ff::"));
        let too_large = ["203.0.112.0/23", "0.0.0.0/0", "2001:db8::/55", "::/0", "2001:db8::/32"];
        for none in too_large.into_iter().chain(["2001:db8::7", "2001:db8::/65"]) {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn ipv6_is_banned_by_networks() {
        let with = |text: &str| banned_with(text.parse().unwrap()).unwrap().to_string();
        assert_eq!(with("203.0.113.7"), "203.0.113.7");
        assert_eq!(with("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    }
}
