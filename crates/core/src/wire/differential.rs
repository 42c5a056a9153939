//! Held against `etherparse`, which other people wrote: what it builds is read as it was meant, and
//! what is made of its packets by chance is read as it reads them.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions,
    Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, Ipv6RoutingExtensions, LaxNetSlice,
    LaxSlicedPacket, PacketBuilder, TcpHeader, TransportSlice, VlanId,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What etherparse makes of a frame: addresses, and ports if it finds any.
fn theirs(link: Link, frame: &[u8]) -> Option<(IpAddr, IpAddr, Option<Segment>)> {
    let sliced = match link {
        Link::Ethernet => LaxSlicedPacket::from_ethernet(frame).ok()?,
        _ => LaxSlicedPacket::from_ip(frame).ok()?,
    };
    let (source, destination): (IpAddr, IpAddr) = match sliced.net? {
        LaxNetSlice::Ipv4(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        LaxNetSlice::Ipv6(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let segment = match sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => Some(Segment::Tcp {
            source_port: tcp.source_port(),
            destination_port: tcp.destination_port(),
            sequence: tcp.sequence_number(),
            flags: [
                (tcp.fin(), TcpFlags::FIN),
                (tcp.syn(), TcpFlags::SYN),
                (tcp.rst(), TcpFlags::RST),
                (tcp.psh(), TcpFlags::PSH),
                (tcp.ack(), TcpFlags::ACK),
                (tcp.urg(), TcpFlags::URG),
                (tcp.ece(), TcpFlags::ECE),
                (tcp.cwr(), TcpFlags::CWR),
            ]
            .into_iter()
            .filter(|(set, _)| *set)
            .fold(TcpFlags::default(), |all, (_, flag)| all | flag),
        }),
        Some(TransportSlice::Udp(udp)) => Some(Segment::Udp {
            source_port: udp.source_port(),
            destination_port: udp.destination_port(),
        }),
        _ => None,
    };
    Some((source, destination, segment))
}

/// Options or padding of any legal length: a multiple of `unit`, and `extra`.
fn body(unit: usize, extra: usize, most: usize) -> impl Strategy<Value = Vec<u8>> {
    (0..=most).prop_flat_map(move |units| vec(any::<u8>(), units.saturating_mul(unit) + extra))
}

fn ipv4() -> impl Strategy<Value = IpHeaders> {
    (any::<[u8; 4]>(), any::<[u8; 4]>(), body(4, 0, 10), any::<bool>()).prop_map(
        |(source, destination, options, dont_fragment)| {
            // The builder sets the lengths, the protocol and the checksum.
            let mut header = Ipv4Header::new(0, 64, IpNumber::UDP, source, destination).unwrap();
            header.options = options.as_slice().try_into().unwrap();
            header.dont_fragment = dont_fragment;
            IpHeaders::Ipv4(header, Ipv4Extensions::default())
        },
    )
}

fn raw_extension() -> impl Strategy<Value = Ipv6RawExtHeader> {
    body(8, 6, 4).prop_map(|body| Ipv6RawExtHeader::new_raw(IpNumber::UDP, &body).unwrap())
}

fn ipv6() -> impl Strategy<Value = IpHeaders> {
    let extensions = (
        proptest::option::of(raw_extension()),
        proptest::option::of(raw_extension()),
        proptest::option::of((raw_extension(), proptest::option::of(raw_extension()))),
        proptest::option::of(any::<u32>()),
        proptest::option::of(body(8, 0, 3)),
    );
    (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u8>(), extensions).prop_map(
        |(source, destination, traffic_class, (hop_by_hop, options, routing, fragment, auth))| {
            let header = Ipv6Header { source, destination, traffic_class, ..Default::default() };
            let extensions = Ipv6Extensions {
                hop_by_hop_options: hop_by_hop,
                destination_options: options,
                routing: routing.map(|(routing, final_destination_options)| {
                    Ipv6RoutingExtensions { routing, final_destination_options }
                }),
                fragment: fragment.map(|id| {
                    Ipv6FragmentHeader::new(IpNumber::UDP, IpFragOffset::ZERO, false, id)
                }),
                auth: auth
                    .map(|icv| etherparse::IpAuthHeader::new(IpNumber::UDP, 1, 2, &icv).unwrap()),
            };
            IpHeaders::Ipv6(header, extensions)
        },
    )
}

fn transport() -> impl Strategy<Value = (Segment, Vec<u8>)> {
    let tcp = (any::<(u16, u16, u32, u8)>(), body(4, 0, 10)).prop_map(|(fields, options)| {
        let (source_port, destination_port, sequence, bits) = fields;
        let flags = TcpFlags::from_bits(bits);
        (Segment::Tcp { source_port, destination_port, sequence, flags }, options)
    });
    let udp = any::<(u16, u16)>().prop_map(|(source_port, destination_port)| {
        (Segment::Udp { source_port, destination_port }, Vec::new())
    });
    prop_oneof![tcp, udp]
}

/// Lets etherparse build the frame that this packet came in.
fn build(ip: IpHeaders, tags: usize, segment: Segment, options: &[u8], data: &[u8]) -> Vec<u8> {
    let link = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let (inner, outer) = (VlanId::try_new(42).unwrap(), VlanId::try_new(5).unwrap());
    let builder = match tags {
        0 => link.ip(ip),
        1 => link.single_vlan(inner).ip(ip),
        _ => link.double_vlan(outer, inner).ip(ip),
    };
    let mut frame = Vec::new();
    match segment {
        Segment::Tcp { source_port, destination_port, sequence, flags } => {
            let mut header = TcpHeader::new(source_port, destination_port, sequence, 64240);
            header.fin = flags.contains(TcpFlags::FIN);
            header.syn = flags.contains(TcpFlags::SYN);
            header.rst = flags.contains(TcpFlags::RST);
            header.psh = flags.contains(TcpFlags::PSH);
            header.ack = flags.contains(TcpFlags::ACK);
            header.urg = flags.contains(TcpFlags::URG);
            header.ece = flags.contains(TcpFlags::ECE);
            header.cwr = flags.contains(TcpFlags::CWR);
            header.set_options_raw(options).unwrap();
            builder.tcp_header(header).write(&mut frame, data).unwrap();
        }
        Segment::Udp { source_port, destination_port } => {
            builder.udp(source_port, destination_port).write(&mut frame, data).unwrap();
        }
        other => panic!("{other:?} is not built here"),
    }
    frame
}

fn addresses(ip: &IpHeaders) -> (IpAddr, IpAddr) {
    match ip {
        IpHeaders::Ipv4(header, _) => {
            (Ipv4Addr::from(header.source).into(), Ipv4Addr::from(header.destination).into())
        }
        IpHeaders::Ipv6(header, _) => {
            (Ipv6Addr::from(header.source).into(), Ipv6Addr::from(header.destination).into())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_etherparse_builds_is_read_as_it_was_meant(
        ip in prop_oneof![ipv4(), ipv6()],
        tags in 0..=2usize,
        (segment, options) in transport(),
        data in vec(any::<u8>(), 0..64),
        padding in vec(any::<u8>(), 0..8),
    ) {
        let (source, destination) = addresses(&ip);
        let mut frame = build(ip, tags, segment, &options, &data);
        let expected = Ok(Packet { source, destination, segment });
        prop_assert_eq!(samples::read(Link::Ethernet, &frame), expected);
        frame.extend(padding);
        prop_assert_eq!(samples::read(Link::Ethernet, &frame), expected);
        prop_assert_eq!(theirs(Link::Ethernet, &frame), Some((source, destination, Some(segment))));

        // Without the link header too, and cut at any length the same or nothing.
        let raw = &frame[14 + 4 * tags..];
        for length in 0..raw.len() {
            let cut = Captured {
                length: raw.len(),
                checksum: Checksum::Trust,
                ..Captured::whole(Link::Raw, &raw[..length])
            };
            match cut.parse_through_extensions() {
                Err(error) => prop_assert_eq!(error, Unreadable::Truncated),
                cut => prop_assert_eq!(cut, expected),
            }
        }
    }

    #[test]
    fn what_chance_makes_of_it_is_read_as_etherparse_reads_it(
        ip in prop_oneof![ipv4(), ipv6()],
        (segment, options) in transport(),
        wrong in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        kept in any::<prop::sample::Index>(),
    ) {
        let mut raw = build(ip, 0, segment, &options, &[0; 16]).split_off(14);
        for (at, value) in wrong {
            let at = at.index(raw.len());
            raw[at] = value;
        }
        if raw[0] >> 4 == 4 {
            samples::seal(&mut raw);
        }
        raw.truncate(kept.index(raw.len()) + 1);
        let unverified =
            Captured { checksum: Checksum::Trust, ..Captured::whole(Link::Raw, &raw) };
        if let Ok(ours) = unverified.parse_through_extensions() {
            let (source, destination, segment) = theirs(Link::Raw, &raw).unwrap();
            prop_assert_eq!((ours.source, ours.destination), (source, destination));
            match (ours.segment, segment) {
                // It wants the options of TCP and we do not; it steps over AH in IPv4 too.
                (Segment::Tcp { .. }, None) | (Segment::Other(51), _) => {}
                (Segment::Tcp { .. } | Segment::Udp { .. }, theirs) => {
                    prop_assert_eq!(Some(ours.segment), theirs);
                }
                (Segment::Fragment | Segment::Other(_), theirs) => prop_assert_eq!(theirs, None),
            }
        }
    }

    #[test]
    fn random_bytes_have_an_answer_under_every_link(bytes in vec(any::<u8>(), 0..128)) {
        for link in [Link::Ethernet, Link::Cooked, Link::CookedV2, Link::Raw] {
            let answer = parse(link, &bytes);
            prop_assert_eq!(parse(link, &bytes), answer);
        }
    }
}
