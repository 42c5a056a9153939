//! IPv6 extension headers in every order: what a rule does not find behind them, the stack may.
//!
//! Connection tracking puts a packet with a fragment header together before any rule sees it, also an
//! atomic fragment that is whole already. It takes the header out, and leaves the stack at what came
//! after it (`nf_ct_frag6_reasm`); but the stack takes that for the header which the fixed one
//! announces, because it has noted that place before. Rules see the row as it is now written, the stack
//! skips all of it: two readers of one packet.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::{
    DESTINATION_OPTIONS, Extension, HOP_BY_HOP, Packet, Payload, ROUTING, TCP,
};
use portcullis_lab::world::PATIENCE;
use portcullis_lab::{Family, wait_until};

use crate::stage::{GUARDED, GUARDED_UDP, PUBLIC, PUBLIC_EMPTY, Setup, Stage};

/// The longest row of headers.
const LENGTH: usize = 4;

/// A header of each kind that a host looks behind.
const KINDS: [(char, fn() -> Extension); 7] = [
    ('H', || Extension::hop_by_hop(&[])),
    ('D', || Extension::destination(&[])),
    ('R', || Extension::routing(0, 0, &[Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9)])),
    // The same with another length.
    ('d', || Extension::destination(&[1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
    ('r', || Extension::routing(0, 0, &[])),
    ('F', || Extension::fragment(0x0bad_cafe, 0, false)),
    ('A', || Extension::authentication(1)),
];

/// Every row of these headers, with a name.
fn rows() -> Vec<(String, Vec<Extension>)> {
    let mut all = vec![(String::new(), Vec::new())];
    let mut last = all.clone();
    for _ in 0..LENGTH {
        let longer = |(name, row): &(String, Vec<Extension>)| {
            let (name, row) = (name.clone(), row.clone());
            KINDS.map(|(letter, header)| {
                (format!("{name}{letter}"), [&row[..], &[header()]].concat())
            })
        };
        last = last.iter().flat_map(longer).collect();
        all.extend(last.clone());
    }
    all
}

/// No row of headers takes a SYN or a datagram past the gate; and where there is no gate, hundreds
/// arrive.
pub fn every_order(setup: Setup) {
    let stage = Stage::new(setup, "2s");
    let rows = rows();
    let let_in = |port| {
        let syns: Vec<Packet> = rows
            .iter()
            .map(|(_, row)| {
                let from = stage.new_source(Family::V6);
                let mut syn = Packet::syn(from, stage.to(from.ip(), port));
                syn.extensions.clone_from(row);
                syn
            })
            .collect();
        let seen = stage.exchange(&syns);
        let is_in = |syn: &Packet| {
            seen.iter().any(|seen| seen.answers(syn) && seen.meaning() == Meaning::SynAck)
        };
        let through = rows.iter().zip(&syns).filter(|(_, syn)| is_in(syn));
        through.map(|((name, _), _)| name.clone()).collect::<Vec<String>>()
    };
    let public = let_in(PUBLIC);
    assert!(public.len() > 1, "the stack itself understands such packets: {public:?}");
    let guarded = let_in(GUARDED);
    assert!(guarded.is_empty(), "{} rows of headers pass: {guarded:?}", guarded.len());

    let datagrams: Vec<Packet> = rows
        .iter()
        .map(|(name, row)| {
            let from = stage.new_source(Family::V6);
            let mut packet = Packet::udp(from, stage.to(from.ip(), GUARDED_UDP), name.as_bytes());
            packet.extensions.clone_from(row);
            packet
        })
        .collect();
    stage.exchange(&datagrams);
    let [_, service] = &stage.datagrams;
    let mut name = [0; 64];
    let mut received: Vec<(String, SocketAddr)> = Vec::new();
    while let Ok((len, from)) = service.recv_from(&mut name) {
        received.push((String::from_utf8_lossy(&name[..len]).into_owned(), from));
    }
    assert!(received.is_empty(), "{} datagrams pass: {received:?}", received.len());
}

/// Rows of headers up to the fragment header.
const FRONTS: [&[fn() -> Extension]; 8] = [
    &[|| Extension::destination(&[])],
    &[|| Extension::routing(0, 0, &[])],
    &[|| Extension::hop_by_hop(&[]), || Extension::destination(&[])],
    &[|| Extension::hop_by_hop(&[]), || Extension::routing(0, 0, &[])],
    &[|| Extension::destination(&[]), || Extension::authentication(1)],
    &[|| Extension::routing(0, 0, &[]), || Extension::authentication(1)],
    &[|| Extension::destination(&[]), || Extension::routing(0, 0, &[])],
    &[|| Extension::routing(0, 0, &[]), || Extension::destination(&[])],
];

/// A packet behind a fragment header, or to be put behind one, that announces another protocol. What
/// follows is the packet behind one more header of the first kind in the row, and for TCP, as which it
/// may be announced, a SYN to a public port.
fn disguised(inner: &Packet, front: &[fn() -> Extension], next: u8) -> Packet {
    let extensions: Vec<Extension> = front.iter().map(|header| header()).collect();
    let first = extensions.iter().find(|header| header.kind != HOP_BY_HOP).unwrap().kind;
    // Sixteen bytes. As a header: what follows, a length of one more unit, then options (padding, and
    // one that is to be skipped), or the type of a route with nothing left. As TCP: the source port,
    // the destination port, numbers, the length of the header and the flags.
    let [high, low] = PUBLIC_EMPTY.to_be_bytes();
    let protocol = inner.protocol();
    let mut header = vec![protocol, 1, high, low, 10, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0, 0];
    match first {
        DESTINATION_OPTIONS => {}
        ROUTING => header[2..4].fill(0),
        other => panic!("a row that begins with {other}"),
    }
    let mut bytes = [header, inner.payload_bytes()].concat();
    let (source, destination) = (inner.ends.source(), inner.ends.destination());
    let packet = |protocol, bytes: &[u8]| {
        let payload = Payload::Other { protocol, bytes: bytes.to_vec() };
        Packet::new(source, destination, payload)
    };
    // The checksum that connection tracking looks at is where the source port is. Other bytes are
    // made such that the port is the right one: what is added to them is taken from the sum.
    let number = |bytes: &[u8]| u16::from_be_bytes([bytes[16], bytes[17]]);
    let (port, due) = (number(&bytes), number(&packet(TCP, &bytes).sealed().payload_bytes()));
    let (difference, carry) = due.overflowing_add(!port);
    bytes[6..8].copy_from_slice(&(difference + u16::from(carry)).to_be_bytes());
    Packet { extensions, ..packet(next, &bytes) }
}

/// The same of datagrams to all hosts of the link, which rules do not take for addresses of this host, and the network stack
/// does.
pub fn disguised_to_all(setup: Setup) {
    let mut stage = Stage::new(setup, "2s");
    let anywhere = |port| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port));
    // The guarded service, on all addresses instead of one of each family.
    stage.datagrams = [anywhere(0).unwrap(), anywhere(0).unwrap()];
    // A process that another trial starts at this moment may hold the old sockets until it runs its program.
    let mut service = anywhere(GUARDED_UDP);
    wait_until(Instant::now() + PATIENCE, || {
        service = anywhere(GUARDED_UDP);
        service.is_ok()
    });
    let service = service.unwrap();
    service.set_nonblocking(true).unwrap();
    let all_nodes = SocketAddr::from((Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), GUARDED_UDP));
    let mut through = Vec::new();
    for (number, front) in FRONTS.iter().enumerate() {
        let packets: Vec<Packet> = (0..=255)
            .map(|next| {
                let datagram = Packet::udp(stage.new_source(Family::V6), all_nodes, &[next]);
                let mut packet = disguised(&datagram, front, next);
                packet.extensions.push(Extension::fragment(0x0bad_cafe, 0, false));
                packet
            })
            .collect();
        stage.exchange(&packets);
        let mut next = [0];
        while service.recv_from(&mut next).is_ok() {
            through.push((number, next[0]));
        }
    }
    let some: Vec<_> = through.iter().take(20).collect();
    assert!(through.is_empty(), "{} pass, among them {some:?}", through.len());
}

/// Whatever protocol a fragment header announces, nothing passes to a guarded port behind it: no SYN
/// and no datagram, in an atomic fragment or in two.
pub fn disguises(setup: Setup) {
    let stage = Stage::new(setup, "2s");
    let [_, service] = &stage.datagrams;
    let mut through = Vec::new();
    for (number, front) in FRONTS.iter().enumerate() {
        let sources: Vec<SocketAddr> = (0..=255).map(|_| stage.new_source(Family::V6)).collect();
        let host = sources[0].ip();
        let packets = sources.iter().zip(0..=255).flat_map(|(from, next)| {
            let syn = Packet::syn(*from, stage.to(host, GUARDED));
            let datagram = Packet::udp(*from, stage.to(host, GUARDED_UDP), &[next]);
            [syn, datagram].map(|inner| {
                let mut packet = disguised(&inner, front, next);
                packet.extensions.push(Extension::fragment(0x0bad_cafe, 0, false));
                packet
            })
        });
        let packets: Vec<Packet> = packets.collect();
        let mut seen = stage.exchange(&packets);

        // The first of two fragments has to be as long as the smallest link allows (RFC 8200,
        // section 5), and so has data.
        let long: Vec<SocketAddr> = (0..=255).map(|_| stage.new_source(Family::V6)).collect();
        seen.extend(stage.exchange_with(|wire| {
            for (from, next) in long.iter().zip(0..=255) {
                let mut syn = Packet::syn(*from, stage.to(host, GUARDED));
                if let Payload::Tcp(tcp) = &mut syn.payload {
                    tcp.data = vec![0; 1_300];
                }
                for fragment in disguised(&syn, front, next).to_fragments(1_280) {
                    wire.send_ip(&fragment).unwrap();
                }
            }
        }));
        for (kind, sources) in [("atomic fragment", &sources), ("two fragments", &long)] {
            for (next, from) in sources.iter().enumerate() {
                let syn = Packet::syn(*from, stage.to(host, GUARDED));
                if seen.iter().any(|seen| seen.answers(&syn) && seen.meaning() == Meaning::SynAck) {
                    through.push((number, kind, next));
                }
            }
        }
        let mut next = [0];
        while service.recv_from(&mut next).is_ok() {
            through.push((number, "datagram", next[0].into()));
        }
    }
    let some: Vec<_> = through.iter().take(20).collect();
    assert!(through.is_empty(), "{} pass, among them {some:?}", through.len());
}
