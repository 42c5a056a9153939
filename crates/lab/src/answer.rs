//! What came back: packets read off the wire, and what they say about a probe.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{
    ACK, AUTHENTICATION, DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ICMP, ICMPV6, Packet, Payload,
    ROUTING, RST, SYN, TCP, UDP,
};

/// An IP packet that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where it came from.
    pub source: IpAddr,
    /// Where it went.
    pub destination: IpAddr,
    /// IP protocol number of its payload, behind all extension headers. That of the fragment header
    /// in a fragment that is not the first one.
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
    /// An ICMP error of this type and code: the port is unreachable, a header makes no sense.
    Unreachable(u8, u8),
    /// A datagram, an echo reply, anything else.
    Reply,
}

impl Seen {
    /// Reads the IP packet in `bytes`; `None` when it is not one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut header_len;
        let (source, destination): (IpAddr, IpAddr);
        let mut protocol;
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
                while let Some((next, len)) = extension(protocol, bytes, header_len) {
                    (protocol, header_len) = (next, header_len + len);
                }
            }
            _ => return None,
        }
        Some(Self { source, destination, protocol, bytes: bytes.to_vec(), header_len })
    }

    /// What follows the IP header and its extension headers.
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
            // Those that quote the packet in question: RFC 792; RFC 4443, section 2.1.
            (ICMP, Some([kind @ (3 | 4 | 5 | 11 | 12), code])) => Meaning::Unreachable(kind, code),
            (ICMPV6, Some([kind @ 1..128, code])) => Meaning::Unreachable(kind, code),
            _ => Meaning::Reply,
        }
    }

    /// The port of ours that an answer to a TCP or UDP probe from `source_port` is about, with the
    /// protocol: for an ICMP error, the port in the packet that it quotes.
    pub fn about(&self, source_port: u16) -> Option<(u8, u16)> {
        if let Some((from, to)) = self.ports() {
            return (to == source_port).then_some((self.protocol, from));
        }
        let quoted = self.quoted()?;
        let (from, to) = quoted.ports()?;
        (from == source_port).then_some((quoted.protocol, to))
    }

    /// The packet that an ICMP error is about, as far as it quotes it.
    pub fn quoted(&self) -> Option<Self> {
        let is_error = matches!(self.meaning(), Meaning::Unreachable(..));
        Self::parse(is_error.then(|| self.payload().get(8..)).flatten()?)
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
            Payload::Other { protocol: TCP | UDP, bytes } => {
                let ports = (array(bytes, 0), array(bytes, 2));
                let (Some(source), Some(destination)) = ports else { return false };
                self.about(u16::from_be_bytes(source))
                    == Some((probe.protocol(), u16::from_be_bytes(destination)))
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
                if let Some(quoted) = self.quoted() {
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

/// The number of what follows an IPv6 extension header at this place, and how long the header is;
/// `None` where `kind` is not one of them (RFC 8200, section 4; RFC 4302, section 2.2).
fn extension(kind: u8, bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let [next, length] = array(bytes, at)?;
    let length = usize::from(length);
    let len = match kind {
        HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => (length + 1) * 8,
        AUTHENTICATION => (length + 2) * 4,
        FRAGMENT if u16::from_be_bytes(array(bytes, at + 2)?) >> 3 == 0 => 8,
        _ => return None,
    };
    Some((next, len))
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
    use std::net::SocketAddr;

    use super::super::packet::Extension;
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

    #[test]
    fn ports_are_found_behind_every_extension_header() {
        let (from, to) = ("[2001:db8::2]:5", "[2001:db8::1]:22");
        let [from, to] = [from, to].map(|end| end.parse::<SocketAddr>().unwrap());
        let mut packet = Packet::syn(from, to);
        packet.extensions = vec![
            Extension::hop_by_hop(&[]),
            Extension::destination(&[0x1e, 2, 7, 7]),
            Extension::routing(0, 0, &["2001:db8::3".parse().unwrap()]),
            Extension::fragment(9, 0, false),
            Extension::authentication(1),
        ];
        let seen = Seen::parse(&packet.to_bytes()).unwrap();
        assert_eq!((seen.protocol, seen.ports()), (TCP, Some((5, 22))));
        assert_eq!(seen.payload(), packet.payload_bytes());
        let [first, second] = packet.to_fragments(8);
        assert_eq!(Seen::parse(&first).unwrap().ports(), Some((5, 22)));
        assert_eq!(Seen::parse(&second).unwrap().protocol, FRAGMENT);
    }

    #[test]
    fn altered_packet_is_sent_and_answered_as_it_stands() {
        let [from, to] = [("192.0.2.2", 5), ("192.0.2.1", 53)]
            .map(|(ip, port)| SocketAddr::new(ip.parse().unwrap(), port));
        let whole = Packet::udp(from, to, b"hi");
        let altered = whole.clone().altered(|bytes| bytes[4..6].copy_from_slice(&[0, 50]));
        let bytes = altered.to_bytes();
        assert_eq!(bytes[24..26], [0, 50], "the length that was put in");
        assert_eq!(bytes[26..28], whole.to_bytes()[26..28], "the checksum of before");
        assert_ne!(altered.sealed().to_bytes()[26..28], bytes[26..28]);
        assert_eq!(whole.clone().altered(|_| {}).sealed().to_bytes(), whole.to_bytes());

        // A port unreachable that quotes it.
        let data = bytes.clone();
        let payload = Payload::Icmp { kind: 3, code: 3, rest: [0; 4], data };
        let error = Packet::new(to.ip(), from.ip(), payload);
        let probe = whole.altered(|bytes| bytes.push(1));
        assert!(Seen::parse(&error.to_bytes()).unwrap().answers(&probe));
    }
}
