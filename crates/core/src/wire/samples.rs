//! Literal packets for the tests, and the seeds of the fuzz target (`fuzz/examples/seeds.rs`
//! includes this file).

use super::{Captured, Link, Packet, Unreadable};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A bare SYN from 198.51.100.7 port 40000 to 192.0.2.1 port 7431.
#[rustfmt::skip]
pub const TCP4_SYN: [u8; 40] = [
    0x45, 0x00, 0x00, 0x28, 0xbe, 0xef, 0x40, 0x00, 0x40, 0x06, 0x8f, 0xa4, // IPv4
    0xc6, 0x33, 0x64, 0x07, 0xc0, 0x00, 0x02, 0x01,
    0x9c, 0x40, 0x1d, 0x07, 0x12, 0x34, 0x56, 0x78, 0x00, 0x00, 0x00, 0x00, // TCP
    0x50, 0x02, 0xfa, 0xf0, 0xa6, 0xc1, 0x00, 0x00,
];

/// Four bytes from port 40000 to port 29117, with the option "router alert".
#[rustfmt::skip]
pub const UDP4_OPTIONS: [u8; 36] = [
    0x46, 0x00, 0x00, 0x24, 0xbe, 0xef, 0x40, 0x00, 0x40, 0x11, 0xfa, 0x98, // IPv4
    0xc6, 0x33, 0x64, 0x07, 0xc0, 0x00, 0x02, 0x01,
    0x94, 0x04, 0x00, 0x00, // router alert
    0x9c, 0x40, 0x71, 0xbd, 0x00, 0x0c, 0x00, 0x00, 0x64, 0x6f, 0x6f, 0x72, // UDP
];

/// Four bytes from 2001:db8::7 port 40000 to 2001:db8:1::1 port 29117.
#[rustfmt::skip]
pub const UDP6: [u8; 52] = [
    0x60, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x11, 0x40, // IPv6
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x07,
    0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x01,
    0x9c, 0x40, 0x71, 0xbd, 0x00, 0x0c, 0xc2, 0x7b, 0x64, 0x6f, 0x6f, 0x72, // UDP
];

/// An Ethernet header before IPv4.
pub const ETHERNET4: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 7, 0x08, 0x00];

/// The same with a tag for network 42.
pub const ETHERNET4_TAGGED: [u8; 18] =
    [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 7, 0x81, 0x00, 0x00, 0x2a, 0x08, 0x00];

/// The same with a service tag around it.
#[rustfmt::skip]
pub const ETHERNET4_TAGGED_TWICE: [u8; 22] = [
    2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 7,
    0x88, 0xa8, 0x00, 0x05, 0x81, 0x00, 0x00, 0x2a, 0x08, 0x00,
];

/// A cooked header (to this host, from an Ethernet address) before IPv4.
pub const COOKED4: [u8; 16] = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 7, 0, 0, 0x08, 0x00];

/// The same with a tag for network 42.
pub const COOKED4_TAGGED: [u8; 20] =
    [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 7, 0, 0, 0x81, 0x00, 0x00, 0x2a, 0x08, 0x00];

/// A cooked header of the second kind (interface 2) before IPv4.
pub const COOKED_V2_4: [u8; 20] =
    [0x08, 0x00, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 7, 0, 0];

/// The sender of every sample.
pub fn source(v4: bool) -> IpAddr {
    if v4 {
        Ipv4Addr::new(198, 51, 100, 7).into()
    } else {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).into()
    }
}

/// The destination of every sample.
pub fn destination(v4: bool) -> IpAddr {
    if v4 {
        Ipv4Addr::new(192, 0, 2, 1).into()
    } else {
        Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1).into()
    }
}

/// What is made of a sample, its options and extension headers stepped over.
pub fn read(link: Link, frame: &[u8]) -> Result<Packet, Unreadable> {
    Captured::whole(link, frame).parse_through_extensions()
}

/// Writes the checksum of a segment or datagram of these samples: they are told by their lengths.
fn seal_transport(addresses: &[u8], payload: &[u8]) -> Vec<u8> {
    let (protocol, at) = match payload.len() {
        12 => (17, 6),
        20 | 32 => (6, 16),
        _ => return payload.to_vec(),
    };
    let mut payload = payload.to_vec();
    payload[at..at + 2].fill(0);
    let pseudo = [addresses, &[0, protocol, 0, payload.len() as u8]].concat();
    let words = pseudo.chunks(2).chain(payload.chunks(2));
    let sum: u32 = words.map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    payload[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    payload
}

/// Writes the checksum of the IPv4 header at the start of these bytes, as far as it is there.
pub fn seal(packet: &mut [u8]) {
    let length = packet.len().min(usize::from(packet[0] & 0x0f) * 4).max(12);
    packet[10..12].fill(0);
    let words =
        packet[..length].chunks_exact(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    packet[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// An IPv4 packet: flags and fragment offset, protocol, options, payload.
fn ipv4(fragment: u16, protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let payload = seal_transport(&TCP4_SYN[12..20], payload);
    let mut packet = [&TCP4_SYN[..20], options, &payload].concat();
    packet[0] = 0x45 + (options.len() / 4) as u8;
    let total_length = packet.len() as u16;
    packet[2..4].copy_from_slice(&total_length.to_be_bytes());
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet[9] = protocol;
    seal(&mut packet);
    packet
}

/// An IPv6 packet: number of the next header, extension headers, payload.
fn ipv6(next_header: u8, extensions: &[u8], payload: &[u8]) -> Vec<u8> {
    let payload = seal_transport(&UDP6[8..40], payload);
    let mut packet = [&UDP6[..40], extensions, &payload].concat();
    let length = packet.len() as u16 - 40;
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    packet[6] = next_header;
    packet
}

/// One readable frame of each shape, by name.
pub fn all() -> Vec<(&'static str, Link, Vec<u8>)> {
    let tcp = &TCP4_SYN[20..];
    let mut tcp_ack = tcp.to_vec();
    tcp_ack[13] = 0x12;
    let mut tcp_options = [tcp, &[2, 4, 5, 180, 4, 2, 1, 3, 3, 7, 1, 0]].concat();
    tcp_options[12] = 0x80;
    let udp = &UDP6[40..];

    let mut jumbo = ipv6(0, &[6, 0, 0xc2, 4, 0, 1, 0, 0], tcp);
    jumbo[4..6].fill(0);
    let chain = [
        [60, 0, 5, 2, 0, 0, 1, 0], // hop-by-hop: router alert
        [43, 0, 1, 4, 0, 0, 0, 0], // destination options: padding
        [44, 0, 4, 0, 0, 0, 0, 0], // routing: nothing left
        [60, 0, 0, 0, 0, 0, 0, 9], // an atomic fragment
        [17, 0, 1, 4, 0, 0, 0, 0], // destination options again
    ];
    let before_ipv6 = |header: &[u8], packet: &[u8]| {
        let (header, _) = header.split_at(header.len() - 2);
        [header, &[0x86, 0xdd], packet].concat()
    };

    use Link::{Cooked, CookedV2, Ethernet, Raw};
    Vec::from([
        ("tcp4-syn", Raw, TCP4_SYN.to_vec()),
        ("tcp4-syn-ack", Raw, ipv4(0x4000, 6, &[], &tcp_ack)),
        ("tcp4-syn-options", Raw, ipv4(0x4000, 6, &[], &tcp_options)),
        ("udp4", Raw, ipv4(0, 17, &[], udp)),
        ("udp4-options", Raw, UDP4_OPTIONS.to_vec()),
        ("udp4-most-options", Raw, ipv4(0, 17, &[1; 40], udp)),
        ("icmp4", Raw, ipv4(0, 1, &[], &[8, 0, 0xf7, 0xfd, 0, 1, 0, 1])),
        ("fragment4-first", Raw, ipv4(0x2000, 17, &[], udp)),
        ("fragment4-last", Raw, ipv4(0x0001, 17, &[], udp)),
        ("tcp6-syn", Raw, ipv6(6, &[], tcp)),
        (
            "tcp6-authentication",
            Raw,
            ipv6(51, &[6, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4], tcp),
        ),
        ("tcp6-jumbogram", Raw, jumbo),
        ("tcp6-routing", Raw, ipv6(43, &[6, 0, 4, 0, 0, 0, 0, 0], tcp)),
        ("udp6", Raw, UDP6.to_vec()),
        ("udp6-hop-by-hop", Raw, ipv6(0, &[17, 0, 5, 2, 0, 0, 1, 0], udp)),
        ("udp6-atomic", Raw, ipv6(44, &[17, 0, 0, 0, 0, 0, 0, 9], udp)),
        ("udp6-five-extensions", Raw, ipv6(0, chain.as_flattened(), udp)),
        ("fragment6-first", Raw, ipv6(44, &[17, 0, 0, 1, 0, 0, 0, 9], udp)),
        ("fragment6-last", Raw, ipv6(44, &[17, 0, 0, 8, 0, 0, 0, 9], udp)),
        ("icmp6", Raw, ipv6(58, &[], &[128, 0, 0, 0, 0, 1, 0, 1])),
        ("esp6", Raw, ipv6(50, &[], &[0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9])),
        ("nothing6", Raw, ipv6(59, &[], &[])),
        ("ethernet-tcp4-padded", Ethernet, [&ETHERNET4[..], &TCP4_SYN, &[0; 6]].concat()),
        ("ethernet-tagged-udp6", Ethernet, before_ipv6(&ETHERNET4_TAGGED, &UDP6)),
        ("ethernet-tagged-twice-tcp4", Ethernet, [&ETHERNET4_TAGGED_TWICE[..], &TCP4_SYN].concat()),
        ("cooked-tcp4", Cooked, [&COOKED4[..], &TCP4_SYN].concat()),
        ("cooked-tagged-udp6", Cooked, before_ipv6(&COOKED4_TAGGED, &UDP6)),
        ("cooked2-udp4", CookedV2, [&COOKED_V2_4[..], &UDP4_OPTIONS].concat()),
    ])
}

/// One frame for each way of being unreadable, by name.
pub fn broken() -> Vec<(&'static str, Link, Vec<u8>, Unreadable)> {
    let mut arp = [&ETHERNET4[..], &[0, 1, 8, 0, 6, 4, 0, 1], &[0; 38]].concat();
    arp[13] = 0x06;
    let mut tags = [&ETHERNET4_TAGGED_TWICE[..], &[0x00, 0x2a, 0x08, 0x00], &TCP4_SYN].concat();
    tags[20..22].copy_from_slice(&[0x81, 0x00]);
    let mut checksum = TCP4_SYN;
    checksum[11] ^= 0x01;
    let mut offset = TCP4_SYN;
    offset[32] = 0x60;
    let mut length = UDP6;
    length[45] = 7;
    let mut beyond = TCP4_SYN;
    beyond[2..4].copy_from_slice(&41u16.to_be_bytes());
    seal(&mut beyond);
    let mut sum = UDP6;
    sum[47] ^= 0x01;
    let mut headers = [60, 0, 1, 4, 0, 0, 0, 0].repeat(9);
    headers[64] = 17;

    use Link::{Ethernet, Raw};
    use Unreadable::{BadChecksum, BadHeader, Extended, NotIp, TooManyHeaders};
    Vec::from([
        ("broken-arp", Ethernet, arp, NotIp),
        ("broken-three-tags", Ethernet, tags, TooManyHeaders),
        ("broken-ipv4-checksum", Raw, checksum.to_vec(), BadHeader),
        ("broken-tcp-offset", Raw, offset.to_vec(), BadHeader),
        ("broken-tcp-cut", Raw, TCP4_SYN[..39].to_vec(), BadHeader),
        ("broken-ipv4-length", Raw, beyond.to_vec(), BadHeader),
        ("broken-udp-checksum", Raw, sum.to_vec(), BadChecksum),
        (
            "broken-two-fragments",
            Raw,
            ipv6(44, &[44, 0, 0, 0, 0, 0, 0, 9, 17, 0, 0, 0, 0, 0, 0, 9], &UDP6[40..]),
            Extended,
        ),
        ("broken-udp-length", Raw, length.to_vec(), BadHeader),
        ("broken-nine-extensions", Raw, ipv6(60, &headers, &UDP6[40..]), Extended),
        (
            "broken-late-hop-by-hop",
            Raw,
            ipv6(60, &[0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0], &UDP6[40..]),
            Extended,
        ),
    ])
}
