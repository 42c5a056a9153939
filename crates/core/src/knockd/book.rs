//! All doors, arranged by what is asked about them for each packet.

use alloc::vec::Vec;
use core::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{Door, FlagFilter};
use crate::limits;
use crate::policy::{Port, Protocol};
use crate::time::Instant;
use crate::wire::TcpFlags;

/// The group of the doors at this host's own addresses. Each `target` has a group after it.
pub(super) const OWN: u32 = 0;

/// The groups of doors whose address a packet has: none, one, or both that of the own addresses and
/// that of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Groups {
    /// The own addresses.
    pub own: bool,
    /// A target.
    pub target: Option<u32>,
}

impl Groups {
    /// The groups, the own addresses first.
    pub(super) fn iter(self) -> impl Iterator<Item = u32> {
        self.own.then_some(OWN).into_iter().chain(self.target)
    }
}

/// What a packet is to the doors of its groups, whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Some door has this port in its sequence and sees such segments.
    Visible,
    /// Doors have this port in their sequences, but none sees such segments.
    Hidden,
    /// No door has this port in its sequence.
    Stray,
}

/// The doors that begin with the same knock at the same address: one packet starts an attempt at
/// each of them that sees it.
#[derive(Debug)]
pub(super) struct Class {
    /// Their group.
    pub group: u32,
    /// Their first knock.
    pub first: Port,
    /// The doors, in the order of the file.
    pub doors: Vec<Line>,
}

impl Class {
    /// When the next of these stages is late, of attempts that began at `since`. A stage of 0 is
    /// none.
    pub(super) fn next_deadline(&self, since: Instant, stages: &[u8]) -> Option<Instant> {
        let timeouts = self.doors.iter().zip(stages).filter(|&(_, &stage)| stage > 0);
        timeouts.map(|(line, _)| line.door.timeout).min().map(|timeout| since.after(timeout))
    }
}

/// A door of a class, and its place in the file.
#[derive(Debug)]
pub(super) struct Line {
    /// Which one it is.
    pub index: usize,
    /// The door.
    pub door: Door,
}

/// All doors that can be opened.
#[derive(Debug)]
pub(super) struct Book {
    targets: HashMap<IpAddr, u32, FixedState>,
    /// For each group after [`OWN`] its address.
    addresses: Vec<IpAddr>,
    ports: HashMap<(u32, Port), Use, FixedState>,
    /// The ports of all groups: most packets of strangers need no other look.
    used: PortSet,
    classes: Vec<Class>,
}

/// What a port is used for in one group.
#[derive(Debug, Default)]
struct Use {
    /// The segments that count there: the filters of all doors that have the port.
    filters: Vec<FlagFilter>,
    /// The class that begins with it.
    class: Option<u32>,
}

impl Book {
    /// Of these doors, those that are not shut and have a sequence of a possible length. The others
    /// are as if they were not in the file.
    pub(super) fn new<'a>(doors: impl Iterator<Item = (&'a Door, bool)>) -> Self {
        let mut book = Self {
            targets: HashMap::default(),
            addresses: Vec::new(),
            ports: HashMap::default(),
            used: PortSet::new(),
            classes: Vec::new(),
        };
        for (index, (door, shut)) in doors.enumerate() {
            if !shut && door.sequence.len() <= limits::MAX_KNOCKS {
                book.insert(index, door);
            }
        }
        book
    }

    fn insert(&mut self, index: usize, door: &Door) {
        let Some(&first) = door.sequence.first() else { return };
        let group = match door.target {
            None => OWN,
            Some(address) => *self.targets.entry(address).or_insert_with(|| {
                self.addresses.push(address);
                self.addresses.len() as u32
            }),
        };
        for &port in &door.sequence {
            self.used.insert(port);
            let filters = &mut self.ports.entry((group, port)).or_default().filters;
            if !filters.contains(&door.flags) {
                filters.push(door.flags);
            }
        }
        let next = self.classes.len() as u32;
        let class = &mut self.ports.entry((group, first)).or_default().class;
        let class = *class.get_or_insert(next);
        if class == next {
            self.classes.push(Class { group, first, doors: Vec::new() });
        }
        if let Some(class) = self.classes.get_mut(class as usize) {
            class.doors.push(Line { index, door: door.clone() });
        }
    }

    /// Most doors in one class, at least 1.
    pub(super) fn widest(&self) -> usize {
        self.classes.iter().map(|class| class.doors.len()).max().unwrap_or(1)
    }

    /// The group of the doors at this target.
    pub(super) fn target(&self, address: IpAddr) -> Option<u32> {
        self.targets.get(&address).copied()
    }

    /// The target of a group; `None` for [`OWN`].
    pub(super) fn address(&self, group: u32) -> Option<IpAddr> {
        self.addresses.get((group as usize).checked_sub(1)?).copied()
    }

    /// What a packet to this port is; `None` is port 0. Datagrams have no flags.
    pub(super) fn standing(
        &self,
        groups: Groups,
        port: Option<Port>,
        flags: Option<TcpFlags>,
    ) -> Standing {
        let Some(port) = port.filter(|&port| self.used.contains(port)) else {
            return Standing::Stray;
        };
        let mut standing = Standing::Stray;
        for used in groups.iter().filter_map(|group| self.ports.get(&(group, port))) {
            if used.filters.iter().any(|&filter| sees(filter, flags)) {
                return Standing::Visible;
            }
            standing = Standing::Hidden;
        }
        standing
    }

    /// The class of a group that begins with this port, and its number.
    pub(super) fn class_of(&self, group: u32, first: Port) -> Option<(u32, &Class)> {
        let number = self.ports.get(&(group, first))?.class?;
        Some((number, self.class(number)?))
    }

    /// The class with this number.
    pub(super) fn class(&self, number: u32) -> Option<&Class> {
        self.classes.get(number as usize)
    }

    /// All classes, in the order of their numbers.
    pub(super) fn classes(&self) -> &[Class] {
        &self.classes
    }
}

/// Whether a door sees a packet with these flags. It sees every datagram.
pub(super) fn sees(filter: FlagFilter, flags: Option<TcpFlags>) -> bool {
    flags.is_none_or(|flags| filter.admits(flags))
}

/// A set of ports: one bit for each that there is, 16 KiB.
#[derive(Debug)]
struct PortSet(Vec<u64>);

impl PortSet {
    fn new() -> Self {
        Self(alloc::vec![0; 2 * 65_536 / 64])
    }

    fn insert(&mut self, port: Port) {
        let (word, bit) = Self::place(port);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    fn contains(&self, port: Port) -> bool {
        let (word, bit) = Self::place(port);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    fn place(port: Port) -> (usize, u64) {
        let protocol = usize::from(port.protocol == Protocol::Udp);
        let number = usize::from(port.number.get());
        (protocol << 10 | number >> 6, 1 << (number & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn a_set_of_ports_confuses_none() {
        let all = (1..=u16::MAX).flat_map(|n| [Port::tcp(n).unwrap(), Port::udp(n).unwrap()]);
        let mut set = PortSet::new();
        let chosen = |port: Port| {
            port.number.get() % 7 == if port.protocol == Protocol::Udp { 3 } else { 5 }
        };
        all.clone().filter(|&port| chosen(port)).for_each(|port| set.insert(port));
        for port in all {
            assert_eq!(set.contains(port), chosen(port), "{port}");
        }
    }

    #[test]
    fn doors_without_a_possible_sequence_are_not_there() {
        let door = |knocks: usize| Door {
            sequence: alloc::vec![Port::tcp(7).unwrap(); knocks],
            flags: FlagFilter::default(),
            timeout: Duration::from_secs(5),
            target: None,
            once: false,
        };
        let doors = [door(0), door(32), door(33), door(1)];
        let book = Book::new(doors.iter().map(|door| (door, false)));
        let (_, class) = book.class_of(OWN, Port::tcp(7).unwrap()).unwrap();
        assert_eq!(class.doors.iter().map(|line| line.index).collect::<Vec<_>>(), [1, 3]);
        let shut = Book::new(doors.iter().map(|door| (door, true)));
        let groups = Groups { own: true, target: None };
        assert_eq!(shut.standing(groups, Port::tcp(7), None), Standing::Stray);
        assert_eq!(shut.widest(), 1);
    }
}
