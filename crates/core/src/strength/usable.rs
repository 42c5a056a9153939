//! Which ports can be knocks.

use alloc::vec;
use alloc::vec::Vec;

use crate::policy::{Policy, Port, Protocol};

/// The ports that can be knocks: those that are neither guarded nor public. Asking how many there
/// are in any range takes no time, however long the range.
#[derive(Debug, Clone)]
pub struct Usable {
    /// At index n, how many of the ports up to n are usable.
    tcp: Vec<u32>,
    udp: Vec<u32>,
    /// Numbers that are usable with both protocols.
    both: u32,
}

impl Usable {
    /// The usable ports of a host with this policy.
    pub fn of(policy: &Policy) -> Self {
        let mut taken = [vec![false; 65_536], vec![false; 65_536]];
        let guarded = policy.doors.iter().flat_map(|door| &door.guards);
        for port in guarded.chain(&policy.gate.public) {
            let [tcp, udp] = &mut taken;
            let of_protocol = if port.protocol == Protocol::Tcp { tcp } else { udp };
            if let Some(entry) = of_protocol.get_mut(usize::from(port.number.get())) {
                *entry = true;
            }
        }
        let [tcp, udp] = taken;
        Self::new(|port| {
            let of_protocol = if port.protocol == Protocol::Tcp { &tcp } else { &udp };
            of_protocol.get(usize::from(port.number.get())) == Some(&false)
        })
    }

    /// The first `ports` numbers, of each of these protocols.
    pub fn first(ports: u16, protocols: &[Protocol]) -> Self {
        Self::new(|port| port.number.get() <= ports && protocols.contains(&port.protocol))
    }

    /// The ports of which `is_usable` says so.
    pub fn new(is_usable: impl Fn(Port) -> bool) -> Self {
        let is = |protocol, number| Port::new(protocol, number).is_some_and(&is_usable);
        let summed = |protocol| {
            let mut sum = 0u32;
            (0..=u16::MAX)
                .map(|number| {
                    sum = sum.saturating_add(u32::from(is(protocol, number)));
                    sum
                })
                .collect()
        };
        let both = |number: &u16| is(Protocol::Tcp, *number) && is(Protocol::Udp, *number);
        Self {
            tcp: summed(Protocol::Tcp),
            udp: summed(Protocol::Udp),
            both: (1..=u16::MAX).filter(both).count() as u32,
        }
    }

    /// How many ports of this protocol are usable.
    pub fn count(&self, protocol: Protocol) -> u32 {
        self.up_to(protocol, u16::MAX)
    }

    /// How many ports of both protocols together are usable.
    pub fn total(&self) -> u32 {
        self.count(Protocol::Tcp).saturating_add(self.count(Protocol::Udp))
    }

    /// How many numbers are usable with both protocols.
    pub const fn both(&self) -> u32 {
        self.both
    }

    /// How many numbers are usable with one protocol or both.
    pub fn numbers(&self) -> u32 {
        self.total().saturating_sub(self.both)
    }

    /// Whether this port is usable.
    pub fn contains(&self, port: Port) -> bool {
        let number = port.number.get();
        self.up_to(port.protocol, number) > self.up_to(port.protocol, number.saturating_sub(1))
    }

    /// How many of the ports 1 to `number` of this protocol are usable.
    pub(super) fn up_to(&self, protocol: Protocol, number: u16) -> u32 {
        let summed = if protocol == Protocol::Tcp { &self.tcp } else { &self.udp };
        summed.get(usize::from(number)).copied().unwrap_or(0)
    }

    /// The usable port of this protocol that has `below` usable ones below it.
    pub(super) fn nth(&self, protocol: Protocol, below: u32) -> Option<Port> {
        let summed = if protocol == Protocol::Tcp { &self.tcp } else { &self.udp };
        let number = summed.partition_point(|&sum| sum <= below);
        Port::new(protocol, u16::try_from(number).ok()?)
    }
}
