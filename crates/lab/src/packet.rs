//! Packets made by hand, every field of which can be chosen. Lengths and checksums come out right,
//! unless a test puts them wrong ([`Packet::altered`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// TCP flag FIN (RFC 9293, section 3.1).
pub const FIN: u8 = 0x01;
/// TCP flag SYN.
pub const SYN: u8 = 0x02;
/// TCP flag RST.
pub const RST: u8 = 0x04;
/// TCP flag PSH.
pub const PSH: u8 = 0x08;
/// TCP flag ACK.
pub const ACK: u8 = 0x10;

/// IP protocol number of ICMP (IANA protocol numbers, as the others here).
pub const ICMP: u8 = 1;
/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;
/// IP protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;
/// IP protocol number of the IPv6 hop-by-hop options header.
pub const HOP_BY_HOP: u8 = 0;
/// IP protocol number of the IPv6 routing header.
pub const ROUTING: u8 = 43;
/// IP protocol number of the IPv6 fragment header.
pub const FRAGMENT: u8 = 44;
/// IP protocol number of the authentication header.
pub const AUTHENTICATION: u8 = 51;
/// IP protocol number of the IPv6 destination options header.
pub const DESTINATION_OPTIONS: u8 = 60;

/// The two ends of a packet: always of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Source and destination in IPv4.
    V4(Ipv4Addr, Ipv4Addr),
    /// Source and destination in IPv6.
    V6(Ipv6Addr, Ipv6Addr),
}

impl Ends {
    /// From one address to another; of two families, the IPv4 one is taken as IPv4-mapped.
    pub fn new(source: IpAddr, destination: IpAddr) -> Self {
        match (source, destination) {
            (IpAddr::V4(s), IpAddr::V4(d)) => Self::V4(s, d),
            (IpAddr::V6(s), IpAddr::V6(d)) => Self::V6(s, d),
            (IpAddr::V4(s), IpAddr::V6(d)) => Self::V6(s.to_ipv6_mapped(), d),
            (IpAddr::V6(s), IpAddr::V4(d)) => Self::V6(s, d.to_ipv6_mapped()),
        }
    }

    /// Where the packet comes from.
    pub fn source(self) -> IpAddr {
        match self {
            Self::V4(source, _) => source.into(),
            Self::V6(source, _) => source.into(),
        }
    }

    /// Where the packet goes.
    pub fn destination(self) -> IpAddr {
        match self {
            Self::V4(_, destination) => destination.into(),
            Self::V6(_, destination) => destination.into(),
        }
    }
}

/// One IP packet.
#[derive(Debug, Clone)]
pub struct Packet {
    /// From where to where.
    pub ends: Ends,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Type of service, or traffic class.
    pub tos: u8,
    /// IPv4 identification, and the identification of fragments in both families.
    pub id: u16,
    /// IPv6 flow label: its low 20 bits.
    pub flow_label: u32,
    /// IPv4 options; filled up with zeros to a multiple of four bytes.
    pub ip_options: Vec<u8>,
    /// IPv6 extension headers, outermost first.
    pub extensions: Vec<Extension>,
    /// An 802.1Q tag, when sent on a wire.
    pub vlan: Option<u16>,
    /// What is inside.
    pub payload: Payload,
}

/// An IPv6 extension header (RFC 8200, section 4.3 on).
#[derive(Debug, Clone)]
pub struct Extension {
    /// Its protocol number, such as [`ROUTING`].
    pub kind: u8,
    /// What follows next-header and length; filled up with zeros to the next multiple of eight.
    pub body: Vec<u8>,
}

impl Extension {
    /// A hop-by-hop options header with these options, padded as the kernel demands.
    pub fn hop_by_hop(options: &[u8]) -> Self {
        Self { kind: HOP_BY_HOP, body: padded_options(options) }
    }

    /// A destination options header with these options, padded as the kernel demands.
    pub fn destination(options: &[u8]) -> Self {
        Self { kind: DESTINATION_OPTIONS, body: padded_options(options) }
    }

    /// A routing header of this type (RFC 8200, section 4.4) by way of these addresses, of which
    /// so many are still to be visited.
    pub fn routing(kind: u8, left: u8, by: &[Ipv6Addr]) -> Self {
        let reserved = [kind, left, 0, 0, 0, 0].into_iter();
        Self { kind: ROUTING, body: reserved.chain(by.iter().flat_map(Ipv6Addr::octets)).collect() }
    }

    /// A fragment header. An *atomic* fragment (RFC 6946) has offset 0 and nothing after it.
    pub fn fragment(id: u32, offset: u16, more: bool) -> Self {
        let offset_and_more = (offset << 3) | u16::from(more);
        let body = offset_and_more.to_be_bytes().into_iter().chain(id.to_be_bytes()).collect();
        Self { kind: FRAGMENT, body }
    }

    /// An authentication header (RFC 4302) that proves nothing.
    pub fn authentication(index: u32) -> Self {
        let mut body = vec![0; 2];
        body.extend(index.to_be_bytes());
        body.extend(1_u32.to_be_bytes());
        body.extend([0x11; 12]);
        Self { kind: AUTHENTICATION, body }
    }

    /// All its bytes after the next header's number.
    fn bytes(&self) -> Vec<u8> {
        let body = padded(&self.body, 8, 2);
        let len = body.len() + 2;
        // In units of eight bytes beyond the first; the authentication header counts fours, less
        // two (RFC 4302, section 2.2), and in the fragment header this byte is reserved.
        let length = match self.kind {
            AUTHENTICATION => (len / 4).saturating_sub(2),
            FRAGMENT => 0,
            _ => (len / 8).saturating_sub(1),
        };
        [vec![low_byte(length)], body].concat()
    }
}

/// What an IP packet carries.
#[derive(Debug, Clone)]
pub enum Payload {
    /// A TCP segment.
    Tcp(Tcp),
    /// A UDP datagram.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// Its data.
        data: Vec<u8>,
    },
    /// An ICMP message; ICMPv6 in IPv6.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The four bytes after the checksum.
        rest: [u8; 4],
        /// What follows them.
        data: Vec<u8>,
    },
    /// Anything else, as it is.
    Other {
        /// IP protocol number.
        protocol: u8,
        /// All bytes after the IP header.
        bytes: Vec<u8>,
    },
}

/// A TCP segment.
#[derive(Debug, Clone)]
pub struct Tcp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Flags: [`SYN`] and the others.
    pub flags: u8,
    /// Window.
    pub window: u16,
    /// Options; filled up with zeros to a multiple of four bytes.
    pub options: Vec<u8>,
    /// Its data.
    pub data: Vec<u8>,
}

impl Packet {
    /// A packet with the header fields that a Linux host would choose.
    pub fn new(source: IpAddr, destination: IpAddr, payload: Payload) -> Self {
        Self {
            ends: Ends::new(source, destination),
            ttl: 64,
            tos: 0,
            id: 0,
            flow_label: 0,
            ip_options: Vec::new(),
            extensions: Vec::new(),
            vlan: None,
            payload,
        }
    }

    /// A TCP segment without data.
    pub fn tcp(from: SocketAddr, to: SocketAddr, flags: u8) -> Self {
        let tcp = Tcp {
            source: from.port(),
            destination: to.port(),
            sequence: 0x0102_0304,
            acknowledgement: 0,
            flags,
            window: 64_240,
            options: Vec::new(),
            data: Vec::new(),
        };
        Self::new(from.ip(), to.ip(), Payload::Tcp(tcp))
    }

    /// A bare SYN: what a TCP knock is.
    pub fn syn(from: SocketAddr, to: SocketAddr) -> Self {
        Self::tcp(from, to, SYN)
    }

    /// A UDP datagram.
    pub fn udp(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Self {
        let (source, destination) = (from.port(), to.port());
        Self::new(from.ip(), to.ip(), Payload::Udp { source, destination, data: data.to_vec() })
    }

    /// An echo request.
    pub fn ping(from: IpAddr, to: IpAddr, id: u16) -> Self {
        let kind = if to.is_ipv4() { 8 } else { 128 };
        let [high, low] = id.to_be_bytes();
        Self::new(
            from,
            to,
            Payload::Icmp { kind, code: 0, rest: [high, low, 0, 1], data: vec![0; 8] },
        )
    }

    /// The whole packet, from the IP header on.
    pub fn to_bytes(&self) -> Vec<u8> {
        let payload = self.payload_bytes();
        match self.ends {
            Ends::V4(source, destination) => self.ipv4(source, destination, 0x4000, &payload),
            Ends::V6(source, destination) => self.ipv6(source, destination, None, &payload),
        }
    }

    /// The packet in two fragments, of which the first carries `first` bytes of the payload
    /// (rounded down to a multiple of eight, as the unit of fragment offsets demands).
    pub fn to_fragments(&self, first: usize) -> [Vec<u8>; 2] {
        let payload = self.payload_bytes();
        let units = (first / 8).min(payload.len() / 8);
        let (head, tail) = payload.split_at(units.saturating_mul(8).min(payload.len()));
        let units = u16::try_from(units).unwrap_or(0x1fff) & 0x1fff;
        match self.ends {
            Ends::V4(source, destination) => [
                self.ipv4(source, destination, 0x2000, head),
                self.ipv4(source, destination, units, tail),
            ],
            Ends::V6(source, destination) => [
                self.ipv6(source, destination, Some(1), head),
                self.ipv6(source, destination, Some(units << 3), tail),
            ],
        }
    }

    /// The IP protocol number of the payload.
    pub fn protocol(&self) -> u8 {
        match (&self.payload, self.ends) {
            (Payload::Tcp(_), _) => TCP,
            (Payload::Udp { .. }, _) => UDP,
            (Payload::Icmp { .. }, Ends::V4(..)) => ICMP,
            (Payload::Icmp { .. }, Ends::V6(..)) => ICMPV6,
            (Payload::Other { protocol, .. }, _) => *protocol,
        }
    }

    fn ipv4(
        &self,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        fragment: u16,
        payload: &[u8],
    ) -> Vec<u8> {
        let options = padded(&self.ip_options, 4, 0);
        let header_len = 20 + options.len();
        let mut packet = Vec::with_capacity(header_len + payload.len());
        packet.push(0x40 | (low_byte(header_len / 4) & 0x0f));
        packet.push(self.tos);
        packet.extend(length(header_len + payload.len()));
        packet.extend(self.id.to_be_bytes());
        packet.extend(fragment.to_be_bytes());
        packet.extend([self.ttl, self.protocol(), 0, 0]);
        packet.extend(source.octets());
        packet.extend(destination.octets());
        packet.extend(options);
        let sum = checksum(&[&packet]);
        put(&mut packet, 10, sum);
        packet.extend(payload);
        packet
    }

    fn ipv6(
        &self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        fragment: Option<u16>,
        payload: &[u8],
    ) -> Vec<u8> {
        // The headers after the fixed one, each with its own number; each holds the number of the next.
        let mut headers: Vec<(u8, Vec<u8>)> = Vec::new();
        for extension in &self.extensions {
            headers.push((extension.kind, extension.bytes()));
        }
        if let Some(offset_and_more) = fragment {
            let (offset, more) = (offset_and_more >> 3, offset_and_more & 1 != 0);
            let header = Extension::fragment(self.id.into(), offset, more);
            headers.push((header.kind, header.bytes()));
        }
        let mut inner = Vec::new();
        let numbers: Vec<u8> = headers.iter().map(|(kind, _)| *kind).collect();
        let mut next = numbers.iter().copied().skip(1).chain([self.protocol()]);
        for (_, bytes) in headers {
            inner.extend(next.next());
            inner.extend(bytes);
        }
        inner.extend(payload);

        let first = 0x6000_0000 | (u32::from(self.tos) << 20) | (self.flow_label & 0x000f_ffff);
        let mut packet = Vec::with_capacity(40 + inner.len());
        packet.extend(first.to_be_bytes());
        packet.extend(length(inner.len()));
        packet.push(numbers.first().copied().unwrap_or_else(|| self.protocol()));
        packet.push(self.ttl);
        packet.extend(source.octets());
        packet.extend(destination.octets());
        packet.extend(inner);
        packet
    }

    /// What follows the IP header and its extension headers.
    pub fn payload_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match &self.payload {
            Payload::Tcp(tcp) => {
                let options = padded(&tcp.options, 4, 0);
                bytes.extend(tcp.source.to_be_bytes());
                bytes.extend(tcp.destination.to_be_bytes());
                bytes.extend(tcp.sequence.to_be_bytes());
                bytes.extend(tcp.acknowledgement.to_be_bytes());
                bytes.extend([low_byte(5 + options.len() / 4) << 4, tcp.flags]);
                bytes.extend(tcp.window.to_be_bytes());
                bytes.extend([0; 4]);
                bytes.extend(options);
                bytes.extend(&tcp.data);
            }
            Payload::Udp { source, destination, data } => {
                bytes.extend(source.to_be_bytes());
                bytes.extend(destination.to_be_bytes());
                bytes.extend(length(8 + data.len()));
                bytes.extend([0; 2]);
                bytes.extend(data);
            }
            Payload::Icmp { kind, code, rest, data } => {
                bytes.extend([*kind, *code, 0, 0]);
                bytes.extend(rest);
                bytes.extend(data);
            }
            Payload::Other { bytes, .. } => return bytes.clone(),
        }
        self.seal(&mut bytes);
        bytes
    }

    /// The same packet with its payload turned into bytes and changed, as TCP, UDP or whatever it
    /// was. Nothing is mended: lengths and checksum in it stay as they were, or as `change` leaves
    /// them. The length in the IP header is that of what is there.
    #[must_use]
    pub fn altered(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let (protocol, mut bytes) = (self.protocol(), self.payload_bytes());
        change(&mut bytes);
        self.payload = Payload::Other { protocol, bytes };
        self
    }

    /// The same packet with the right checksum in a payload that was [`Packet::altered`].
    #[must_use]
    pub fn sealed(mut self) -> Self {
        let mut bytes = self.payload_bytes();
        self.seal(&mut bytes);
        if let Payload::Other { bytes: old, .. } = &mut self.payload {
            *old = bytes;
        }
        self
    }

    /// Puts the right checksum into a payload, where its protocol has one.
    fn seal(&self, payload: &mut [u8]) {
        let at = match self.protocol() {
            TCP => 16,
            UDP => 6,
            ICMP | ICMPV6 => 2,
            _ => return,
        };
        put(payload, at, 0);
        let sum = match self.protocol() {
            ICMP => checksum(&[payload]),
            // A sum of zero would mean "none" in UDP (RFC 768), and is its own negative elsewhere.
            _ => match checksum(&[&self.pseudo_header(payload.len()), payload]) {
                0 => 0xffff,
                sum => sum,
            },
        };
        put(payload, at, sum);
    }

    /// What checksums cover beside the payload (RFC 9293, section 3.1; RFC 8200, section 8.1).
    fn pseudo_header(&self, payload_len: usize) -> Vec<u8> {
        let mut header = Vec::with_capacity(36);
        match self.ends {
            Ends::V4(source, destination) => {
                header.extend(source.octets());
                header.extend(destination.octets());
            }
            Ends::V6(source, destination) => {
                header.extend(source.octets());
                header.extend(destination.octets());
            }
        }
        header.extend([0, self.protocol()]);
        header.extend(length(payload_len));
        header
    }
}

/// `bytes`, with zeros so that `before` bytes and these together are a multiple of `unit`.
fn padded(bytes: &[u8], unit: usize, before: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let len = (before + bytes.len()).next_multiple_of(unit) - before;
    bytes.resize(len, 0);
    bytes
}

/// Options of an IPv6 header, with padding options after them (RFC 8200, section 4.2): the kernel
/// drops a header with options whose padding is not zeros of at most seven bytes.
fn padded_options(options: &[u8]) -> Vec<u8> {
    let mut bytes = options.to_vec();
    let missing = (2 + bytes.len()).next_multiple_of(8) - (2 + bytes.len());
    match missing {
        0 => {}
        1 => bytes.push(0),
        _ => {
            bytes.extend([1, low_byte(missing - 2)]);
            bytes.resize(bytes.len() + missing - 2, 0);
        }
    }
    bytes
}

fn low_byte(number: usize) -> u8 {
    u8::try_from(number & 0xff).unwrap_or(0)
}

fn length(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(slot) = bytes.get_mut(at..at + 2) {
        slot.copy_from_slice(&value.to_be_bytes());
    }
}

/// The Internet checksum (RFC 1071). All parts but the last must have an even length.
pub(super) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        let word = match pair {
            [high, low] => u16::from_be_bytes([*high, *low]),
            [high] => u16::from_be_bytes([*high, 0]),
            _ => 0,
        };
        sum += u32::from(word);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(u16::try_from(sum).unwrap_or(0))
}
