//! What came back: packets read off the wire, and what they say about a probe.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{ACK, ICMP, ICMPV6, Packet, Payload, RST, SYN, TCP, UDP};

/// An IP packet that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where it came from.
    pub source: IpAddr,
    /// Where it went.
    pub destination: IpAddr,
    /// IP protocol number of its payload. Extension headers are not looked through.
    pub protocol: u8,
    /// All its bytes, from the IP header on.
    pub bytes: Vec<u8>,
    header_len: usize,
}

/// What an answer says about the probed port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meaning {
    /// A TCP reset: nothing is there.
    Reset,
    /// A SYN-ACK: somebody listens.
    SynAck,
    /// An ICMP error of this type and code.
    Unreachable(u8, u8),
    /// A datagram, an echo reply, anything else.
    Reply,
}

impl Seen {
    /// Reads the IP packet in `bytes`; `None` when it is not one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header_len;
        let (source, destination, protocol): (IpAddr, IpAddr, u8);
        match bytes.first()? >> 4 {
            4 => {
                header_len = usize::from(bytes.first()? & 0x0f) * 4;
                source = Ipv4Addr::from(array::<4>(bytes, 12)?).into();
                destination = Ipv4Addr::from(array::<4>(bytes, 16)?).into();
                protocol = *bytes.get(9)?;
            }
            6 => {
                header_len = 40;
                source = Ipv6Addr::from(array::<16>(bytes, 8)?).into();
                destination = Ipv6Addr::from(array::<16>(bytes, 24)?).into();
                protocol = *bytes.get(6)?;
            }
            _ => return None,
        }
        Some(Self { source, destination, protocol, bytes: bytes.to_vec(), header_len })
    }

    /// What follows the IP header.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.header_len..).unwrap_or_default()
    }

    /// Source and destination port, of TCP and UDP.
    pub fn ports(&self) -> Option<(u16, u16)> {
        if !matches!(self.protocol, TCP | UDP) {
            return None;
        }
        Some((
            u16::from_be_bytes(array(self.payload(), 0)?),
            u16::from_be_bytes(array(self.payload(), 2)?),
        ))
    }

    /// The flags of a TCP segment.
    pub fn flags(&self) -> Option<u8> {
        (self.protocol == TCP).then(|| self.payload().get(13).copied()).flatten()
    }

    /// What it says, if it is an answer.
    pub fn meaning(&self) -> Meaning {
        if let Some(flags) = self.flags() {
            return match flags & (SYN | ACK | RST) {
                bits if bits & RST != 0 => Meaning::Reset,
                bits if bits == SYN | ACK => Meaning::SynAck,
                _ => Meaning::Reply,
            };
        }
        match (self.protocol, array::<2>(self.payload(), 0)) {
            // Destination unreachable: type 3 (RFC 792) and type 1 (RFC 4443).
            (ICMP, Some([3, code])) => Meaning::Unreachable(3, code),
            (ICMPV6, Some([1, code])) => Meaning::Unreachable(1, code),
            _ => Meaning::Reply,
        }
    }

    /// The port of ours that an answer to a TCP or UDP probe from `source_port` is about, with the
    /// protocol: for an ICMP error, the port in the packet that it quotes.
    pub fn about(&self, source_port: u16) -> Option<(u8, u16)> {
        if let Some((from, to)) = self.ports() {
            return (to == source_port).then_some((self.protocol, from));
        }
        if !matches!(self.meaning(), Meaning::Unreachable(..)) {
            return None;
        }
        let quoted = Self::parse(self.payload().get(8..)?)?;
        let (from, to) = quoted.ports()?;
        (from == source_port).then_some((quoted.protocol, to))
    }

    /// Whether this is an answer to `probe`.
    pub fn answers(&self, probe: &Packet) -> bool {
        if self.destination != probe.ends.source() {
            return false;
        }
        match &probe.payload {
            Payload::Tcp(tcp) => self.about(tcp.source) == Some((TCP, tcp.destination)),
            Payload::Udp { source, destination, .. } => {
                self.about(*source) == Some((UDP, *destination))
            }
            Payload::Icmp { rest, .. } => {
                self.protocol == probe.protocol() && array::<4>(self.payload(), 4) == Some(*rest)
            }
            Payload::Other { .. } => self.source == probe.ends.destination(),
        }
    }

    /// The bytes, less those in which answers about two ports of one host differ by their nature:
    /// the ports themselves and the checksums. In IPv6 the flow label is a hash of the ports too
    /// (`net.ipv6.auto_flowlabels`); what remains of it is whether there is one.
    pub fn fingerprint(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let start = self.header_len;
        if self.source.is_ipv6() {
            let label = array::<4>(&bytes, 0).map_or(0, u32::from_be_bytes) & 0x000f_ffff;
            if let Some([_, a, b, c]) = bytes.get_mut(..4) {
                (*a, *b, *c) = (*a & 0xf0, 0, u8::from(label != 0));
            }
        }
        match self.protocol {
            TCP => {
                clear(&mut bytes, start, 4);
                clear(&mut bytes, start + 16, 2);
            }
            UDP => {
                clear(&mut bytes, start, 4);
                clear(&mut bytes, start + 6, 2);
            }
            ICMP | ICMPV6 => {
                clear(&mut bytes, start + 2, 2);
                // The quoted packet: its ports, and the checksum that follows from them.
                if let Some(quoted) = self.payload().get(8..).and_then(Self::parse) {
                    let inner = start + 8 + quoted.header_len;
                    clear(&mut bytes, inner, 4);
                    let sum = if quoted.protocol == TCP { 16 } else { 6 };
                    clear(&mut bytes, inner + sum, 2);
                }
            }
            _ => {}
        }
        bytes
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn clear(bytes: &mut [u8], at: usize, len: usize) {
    if let Some(range) = bytes.get_mut(at..at + len) {
        range.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_packet_are_nothing() {
        assert_eq!(Seen::parse(&[]), None);
        assert_eq!(Seen::parse(&[0x45; 19]), None);
        assert_eq!(Seen::parse(&[0x60; 39]), None);
        assert_eq!(Seen::parse(&[0x75; 60]), None);
        // A header longer than the packet: nothing is in it.
        assert_eq!(Seen::parse(&[0x4f; 20]).map(|seen| seen.payload().len()), Some(0));
    }
}
