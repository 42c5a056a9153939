//! The grants that an engine has asked for, as far as it must know them: a connection to a port that its source may use is
//! no wrong port.

use alloc::collections::BTreeMap;
use core::net::IpAddr;

use crate::limits;
use crate::policy::DoorId;
use crate::time::Instant;

/// Who may start connections to which door, and until when. At most [`limits::MAX_GRANTS`] of them; no room is made for
/// more while all are active, as in the kernel.
#[derive(Debug, Default)]
pub struct Granted {
    until: BTreeMap<(IpAddr, DoorId), Instant>,
    /// While it is full: the end of the first one.
    full_until: Instant,
}

impl Granted {
    /// Remembers a grant, or its new end.
    pub fn insert(&mut self, address: IpAddr, door: DoorId, now: Instant, until: Instant) {
        let room = self.until.len() < limits::MAX_GRANTS as usize
            || self.until.contains_key(&(address, door))
            || self.make_room(now);
        if room {
            self.until.insert((address, door), until);
        }
    }

    /// Whether this address may start connections to the ports behind this door.
    pub fn contains(&self, address: IpAddr, door: DoorId, now: Instant) -> bool {
        self.until.get(&(address, door)).is_some_and(|&until| now < until)
    }

    /// Forgets what has ended, if anything has.
    fn make_room(&mut self, now: Instant) -> bool {
        if now < self.full_until {
            return false;
        }
        self.until.retain(|_, until| now < *until);
        self.full_until = self.until.values().min().copied().unwrap_or_default();
        self.until.len() < limits::MAX_GRANTS as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn grants_end_and_make_room() {
        let mut granted = Granted::default();
        let address = |number| IpAddr::from(Ipv4Addr::from_bits(number));
        let at = Instant::from_millis;
        for number in 0..limits::MAX_GRANTS {
            granted.insert(address(number), DoorId(0), at(0), at(1_000 + u64::from(number)));
        }
        assert!(granted.contains(address(0), DoorId(0), at(999)));
        assert!(!granted.contains(address(0), DoorId(0), at(1_000)));
        assert!(!granted.contains(address(0), DoorId(1), at(0)), "to another door");
        let late = address(1 << 20);
        granted.insert(late, DoorId(0), at(500), at(90_000));
        assert!(!granted.contains(late, DoorId(0), at(500)), "there is no room");
        granted.insert(address(5), DoorId(0), at(500), at(90_000));
        assert!(granted.contains(address(5), DoorId(0), at(80_000)), "a new end needs no room");
        granted.insert(late, DoorId(0), at(1_001), at(90_000));
        assert!(granted.contains(late, DoorId(0), at(1_001)), "two have ended");
    }
}
