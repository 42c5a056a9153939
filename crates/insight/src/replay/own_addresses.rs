//! Which addresses in a capture are the host's own.
//!
//! A person can say. Otherwise: where each frame tells its way (cooked headers, pcapng of a program
//! that knows), that is believed. Where not, every packet has the host at one of its ends, so the host
//! is whose addresses are at an end of the most packets; of two that are at the ends of equally many,
//! the one that was knocked at. That is asked of the first packets of a capture; an address that comes
//! up later, in a packet that has none of those known at its ends, is the host's if it is knocked at.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use portcullis_core::engine::Direction;
use portcullis_core::policy::{Policy, Port, Protocol};
use portcullis_core::wire::{Packet, Segment};

use super::file::link::Way;

/// Packets that are looked at before the first is judged.
pub const SAMPLE: usize = 100_000;

/// Addresses of the host that are found at most.
pub const MAX_ADDRESSES: usize = 64;

/// The host's addresses, and how they are known.
#[derive(Debug, Clone)]
pub struct OwnAddresses {
    /// The more certain first.
    addresses: Vec<IpAddr>,
    source: Origin,
    ports: BTreeSet<Port>,
}

/// How the host's addresses are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A person has said.
    Told,
    /// They were found in the capture.
    Found,
}

impl OwnAddresses {
    /// The host as a person has named it.
    pub fn told(addresses: Vec<IpAddr>) -> Self {
        Self { addresses, source: Origin::Told, ports: BTreeSet::new() }
    }

    /// The host as it is found in the first packets of a capture, to the doors of this policy.
    pub fn find<'a>(
        policy: &Policy,
        sample: impl Iterator<Item = (&'a Packet, Option<Way>)> + Clone,
    ) -> Self {
        let ports = policy.doors.iter().flat_map(|door| door.sequence.iter().chain(&door.guards));
        let ports = ports.copied().collect();
        let mut host = Self { addresses: Vec::new(), source: Origin::Found, ports };
        // A packet whose way is told needs no guess.
        let ends: Vec<(IpAddr, IpAddr, bool)> = sample
            .filter(|(packet, way)| way.is_none() && is_conversation(packet))
            .map(|(packet, _)| (packet.source, packet.destination, host.is_knocked(packet)))
            .collect();
        host.cover(ends);
        host
    }

    /// The addresses, the more certain first.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// How they are known.
    pub const fn source(&self) -> Origin {
        self.source
    }

    /// Where a packet was going.
    pub fn direction(&mut self, packet: &Packet, way: Option<Way>) -> Direction {
        let (from, to) = (self.rank(packet.source), self.rank(packet.destination));
        match (way, self.source) {
            (Some(Way::Past | Way::Loopback), _) => Direction::Elsewhere,
            (Some(Way::Out), _) => Direction::FromHost,
            (Some(Way::In), Origin::Found) => Direction::ToHost,
            (Some(Way::In), Origin::Told) => to.map_or(Direction::Elsewhere, |_| Direction::ToHost),
            (None, _) => match (from, to) {
                (None, Some(_)) => Direction::ToHost,
                (Some(_), None) => Direction::FromHost,
                (Some(from), Some(to)) if to <= from => Direction::ToHost,
                (Some(_), Some(_)) => Direction::FromHost,
                (None, None) => self.unknown(packet),
            },
        }
    }

    fn rank(&self, address: IpAddr) -> Option<usize> {
        self.addresses.iter().position(|&own| own == address)
    }

    /// A packet that has none of the host's known addresses at its ends.
    fn unknown(&mut self, packet: &Packet) -> Direction {
        let room = self.source == Origin::Found && self.addresses.len() < MAX_ADDRESSES;
        if !room || !is_conversation(packet) || !self.is_knocked(packet) {
            return Direction::Elsewhere;
        }
        self.addresses.push(packet.destination);
        Direction::ToHost
    }

    fn is_knocked(&self, packet: &Packet) -> bool {
        port(packet).is_some_and(|port| self.ports.contains(&port))
    }

    /// Takes addresses until every packet has one at one of its ends: those of most packets first.
    fn cover(&mut self, mut ends: Vec<(IpAddr, IpAddr, bool)>) {
        while !ends.is_empty() && self.addresses.len() < MAX_ADDRESSES {
            // At how many ends, and how often knocked at.
            let mut counts: HashMap<IpAddr, (u32, u32)> = HashMap::new();
            for &(source, destination, knock) in &ends {
                for (address, knocked) in [(source, false), (destination, knock)] {
                    let (packets, knocks) = counts.entry(address).or_default();
                    *packets = packets.saturating_add(1);
                    *knocks = knocks.saturating_add(u32::from(knocked));
                }
            }
            let best = counts.into_iter().max_by_key(|(address, count)| (*count, *address));
            let Some((best, _)) = best else { return };
            self.addresses.push(best);
            ends.retain(|&(source, destination, _)| source != best && destination != best);
        }
    }
}

/// Whether it is one that says who speaks to whom: of TCP or UDP, between two hosts.
fn is_conversation(packet: &Packet) -> bool {
    let one = |address: IpAddr| {
        let all = matches!(address, IpAddr::V4(four) if four.is_broadcast());
        !(all || address.is_multicast() || address.is_unspecified() || address.is_loopback())
    };
    let speaks = matches!(packet.segment, Segment::Tcp { .. } | Segment::Udp { .. });
    speaks && one(packet.source) && one(packet.destination)
}

/// The port of a packet that starts something.
pub fn port(packet: &Packet) -> Option<Port> {
    match packet.segment {
        Segment::Tcp { destination_port, flags, .. } if flags.is_bare_syn() => {
            Port::new(Protocol::Tcp, destination_port)
        }
        Segment::Udp { destination_port, .. } => Port::new(Protocol::Udp, destination_port),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use portcullis_config::parse_str;
    use portcullis_core::wire::TcpFlags;

    use super::*;

    const DOOR: &str = "[door.ssh]\nguards = [\"tcp/22\"]\n\
                        sequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n";

    fn packet(from: &str, to: &str, port: u16, flags: u8) -> Packet {
        let segment = Segment::Tcp {
            source_port: 40_000,
            destination_port: port,
            sequence: 1,
            flags: TcpFlags::from_bits(flags),
        };
        Packet { source: from.parse().unwrap(), destination: to.parse().unwrap(), segment }
    }

    fn find(packets: &[Packet]) -> OwnAddresses {
        let policy = parse_str("test", DOOR).unwrap().policy;
        OwnAddresses::find(&policy, packets.iter().map(|packet| (packet, None)))
    }

    fn addresses(host: &OwnAddresses) -> Vec<String> {
        host.addresses().iter().map(ToString::to_string).collect()
    }

    const SYN: u8 = 2;
    const ACK: u8 = 16;

    #[test]
    fn who_is_at_an_end_of_all_packets_is_the_host() {
        let packets = [
            packet("192.0.2.7", "198.51.100.1", 443, SYN),
            packet("198.51.100.1", "192.0.2.7", 40_000, SYN | ACK),
            packet("198.51.100.1", "192.0.2.8", 22, SYN),
        ];
        assert_eq!(addresses(&find(&packets)), ["198.51.100.1"]);
    }

    #[test]
    fn of_two_the_one_that_was_knocked_at() {
        let mut packets = vec![
            packet("192.0.2.7", "198.51.100.1", 7431, SYN),
            packet("198.51.100.1", "192.0.2.7", 40_000, 20),
            packet("2001:db8::7", "2001:db8::1", 1123, SYN),
        ];
        assert_eq!(addresses(&find(&packets)), ["198.51.100.1", "2001:db8::1"]);
        // In any order, and the other way round.
        packets.reverse();
        for packet in &mut packets {
            std::mem::swap(&mut packet.source, &mut packet.destination);
        }
        assert_eq!(addresses(&find(&packets)), ["192.0.2.7", "2001:db8::7"]);
    }

    #[test]
    fn directions_follow() {
        let knock = packet("192.0.2.7", "198.51.100.1", 7431, SYN);
        let mut host = find(&[knock, packet("192.0.2.8", "198.51.100.1", 80, SYN)]);
        let answer = packet("198.51.100.1", "192.0.2.7", 40_000, 20);
        assert_eq!(host.direction(&knock, None), Direction::ToHost);
        assert_eq!(host.direction(&answer, None), Direction::FromHost);
        assert_eq!(host.direction(&knock, Some(Way::Out)), Direction::FromHost);
        assert_eq!(host.direction(&knock, Some(Way::Past)), Direction::Elsewhere);
        // One that has not been seen before: the host's if it is knocked at.
        let other = packet("192.0.2.7", "192.0.2.99", 80, SYN);
        assert_eq!(host.direction(&other, None), Direction::Elsewhere);
        let late = packet("2001:db8::7", "2001:db8::1", 7431, SYN);
        assert_eq!(host.direction(&late, None), Direction::ToHost);
        let late = packet("2001:db8::1", "2001:db8::7", 40_000, ACK);
        assert_eq!(host.direction(&late, None), Direction::FromHost);
    }

    #[test]
    fn who_is_told_is_not_guessed() {
        let mut host = OwnAddresses::told(vec!["198.51.100.1".parse().unwrap()]);
        let other = packet("192.0.2.7", "198.51.100.2", 7431, SYN);
        for way in [None, Some(Way::In)] {
            assert_eq!(host.direction(&other, way), Direction::Elsewhere);
        }
        assert_eq!(addresses(&host), ["198.51.100.1"]);
    }
}
