//! Frames built byte by byte: every field can be set, also to a value that is wrong.

use std::net::IpAddr;

use portcullis_lab::packet::{FRAGMENT, TCP, UDP};

/// The hardware address of both ends of the client's cable.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0];

/// The addresses and ports of one probe.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    pub from: IpAddr,
    pub to: IpAddr,
    pub source: u16,
    pub port: u16,
}

/// One probe as it goes out.
#[derive(Debug, Clone)]
pub struct Frames {
    /// In the order in which they are sent.
    pub frames: Vec<Vec<u8>>,
    /// The IP packet as the host may see it, with all fragments put together.
    pub wholes: Vec<Vec<u8>>,
}

impl From<Ip> for Frames {
    fn from(ip: Ip) -> Self {
        // Without the first of its fragment headers, and the next.
        let mut wholes = vec![ip.bytes()];
        let mut rest = ip.clone();
        while let Some(at) = rest.extensions.iter().position(|(number, _)| *number == FRAGMENT) {
            rest.extensions.remove(at);
            wholes.push(rest.bytes());
        }
        Self { frames: vec![ip.frame()], wholes }
    }
}

/// An IP packet of either family. What is `None` comes out right.
#[derive(Debug, Clone)]
pub struct Ip {
    pub from: IpAddr,
    pub to: IpAddr,
    pub protocol: u8,
    pub payload: Vec<u8>,
    pub traffic_class: u8,
    pub hop_limit: u8,
    pub version: u8,
    /// IPv6.
    pub flow_label: u32,
    /// IPv6: extension headers, each with its number and without its first byte.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// IPv4.
    pub id: u16,
    /// IPv4: flags and offset.
    pub fragment: u16,
    /// IPv4, a multiple of four bytes.
    pub options: Vec<u8>,
    /// IPv4, in words.
    pub header_len: Option<u8>,
    /// IPv4.
    pub sum: Option<u16>,
    /// IPv4: the total length; IPv6: the payload's.
    pub length: Option<u16>,
    /// Bytes behind the packet, in the same frame.
    pub padding: Vec<u8>,
    /// Destination of the frame.
    pub mac: [u8; 6],
}

impl Ip {
    pub fn new(ends: &Ends, protocol: u8, payload: Vec<u8>) -> Self {
        Self {
            from: ends.from,
            to: ends.to,
            protocol,
            payload,
            traffic_class: 0,
            hop_limit: 64,
            version: if ends.to.is_ipv4() { 4 } else { 6 },
            flow_label: 0,
            extensions: Vec::new(),
            id: 0x1234,
            fragment: 0,
            options: Vec::new(),
            header_len: None,
            sum: None,
            length: None,
            padding: Vec::new(),
            mac: MAC,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => self.v4(from.octets(), to.octets()),
            (IpAddr::V6(from), IpAddr::V6(to)) => self.v6(from.octets(), to.octets()),
            _ => panic!("two families in one packet"),
        }
    }

    pub fn frame(&self) -> Vec<u8> {
        let mut frame = [self.mac, MAC].concat();
        frame.extend(if self.to.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] });
        frame.extend(self.bytes());
        frame.extend(&self.padding);
        frame
    }

    fn v4(&self, from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
        let words = self.header_len.unwrap_or(5 + (self.options.len() / 4) as u8);
        let length = 20 + self.options.len() + self.payload.len();
        let mut bytes = vec![self.version << 4 | words, self.traffic_class];
        bytes.extend(self.length.unwrap_or(length as u16).to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.fragment.to_be_bytes());
        bytes.extend([self.hop_limit, self.protocol, 0, 0]);
        bytes.extend(from);
        bytes.extend(to);
        bytes.extend(&self.options);
        let sum = self.sum.unwrap_or(!folded(total(&bytes)));
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    fn v6(&self, from: [u8; 16], to: [u8; 16]) -> Vec<u8> {
        let numbers: Vec<u8> =
            self.extensions.iter().map(|(number, _)| *number).chain([self.protocol]).collect();
        let mut rest = Vec::new();
        for ((_, extension), next) in self.extensions.iter().zip(&numbers[1..]) {
            rest.push(*next);
            rest.extend(extension);
        }
        rest.extend(&self.payload);
        let first = u32::from(self.version) << 28
            | u32::from(self.traffic_class) << 20
            | self.flow_label & 0xf_ffff;
        let mut bytes = first.to_be_bytes().to_vec();
        bytes.extend(self.length.unwrap_or(rest.len() as u16).to_be_bytes());
        bytes.extend([numbers[0], self.hop_limit]);
        bytes.extend(from);
        bytes.extend(to);
        bytes.extend(rest);
        bytes
    }
}

/// A TCP segment. What is `None` comes out right.
#[derive(Debug, Clone)]
pub struct Tcp {
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub window: u16,
    pub urgent: u16,
    /// The four bits behind the data offset.
    pub reserved: u8,
    /// In words.
    pub offset: Option<u8>,
    /// Padded with zeros to whole words.
    pub options: Vec<u8>,
    pub data: Vec<u8>,
    pub sum: Option<u16>,
}

impl Tcp {
    pub fn new(flags: u8) -> Self {
        Self {
            flags,
            sequence: 1000,
            acknowledgement: 2000,
            window: 1024,
            urgent: 0,
            reserved: 0,
            offset: None,
            options: Vec::new(),
            data: Vec::new(),
            sum: None,
        }
    }

    pub fn bytes(&self, ends: &Ends) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let words = self.offset.unwrap_or(5 + (options.len() / 4) as u8);
        let mut bytes = ports(ends);
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgement.to_be_bytes());
        bytes.extend([words << 4 | self.reserved, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.urgent.to_be_bytes());
        bytes.extend(options);
        bytes.extend(&self.data);
        let sum = self.sum.unwrap_or_else(|| !with_pseudo_header(ends.from, ends.to, TCP, &bytes));
        bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    pub fn ip(&self, ends: &Ends) -> Ip {
        Ip::new(ends, TCP, self.bytes(ends))
    }
}

/// A datagram. What is `None` comes out right.
#[derive(Debug, Clone, Default)]
pub struct Udp {
    pub data: Vec<u8>,
    pub length: Option<u16>,
    pub sum: Option<u16>,
    /// Behind the datagram, inside the packet.
    pub trailing: Vec<u8>,
}

impl Udp {
    pub fn new(data: &[u8]) -> Self {
        Self { data: data.to_vec(), ..Self::default() }
    }

    pub fn bytes(&self, ends: &Ends) -> Vec<u8> {
        let mut bytes = ports(ends);
        bytes.extend(self.length.unwrap_or(8 + self.data.len() as u16).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(&self.data);
        let sum = self.sum.unwrap_or_else(|| {
            match !with_pseudo_header(ends.from, ends.to, UDP, &bytes) {
                // Zero says that there is none (RFC 768).
                0 => 0xffff,
                sum => sum,
            }
        });
        bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(&self.trailing);
        bytes
    }

    pub fn ip(&self, ends: &Ends) -> Ip {
        Ip::new(ends, UDP, self.bytes(ends))
    }
}

fn ports(ends: &Ends) -> Vec<u8> {
    [ends.source.to_be_bytes(), ends.port.to_be_bytes()].concat()
}

/// The sum over a segment and its pseudo header; the complement of it is the checksum, and for a
/// right packet it is 0xffff.
pub fn with_pseudo_header(from: IpAddr, to: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    folded(pseudo_header(from, to, protocol, segment.len()) + total(segment))
}

/// The sum over the pseudo header (RFC 9293, section 3.1; RFC 8200, section 8.1).
pub fn pseudo_header(from: IpAddr, to: IpAddr, protocol: u8, length: usize) -> u32 {
    let addresses = [from, to].map(|address| match address {
        IpAddr::V4(address) => total(&address.octets()),
        IpAddr::V6(address) => total(&address.octets()),
    });
    addresses.iter().sum::<u32>() + u32::from(protocol) + length as u32
}

pub fn total(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| {
        u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or_default()]))
    };
    bytes.chunks(2).map(word).sum()
}

pub fn folded(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
