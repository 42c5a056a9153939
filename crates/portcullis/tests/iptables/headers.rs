//! IPv6 packets with extension headers in any number and order: none leads past the gate.
//!
//! What the network stack reads behind a routing header or destination options is not what rules read
//! there, if there was a fragment header: `Match::Plain` of the compiler says why.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Instant;

use portcullis_firewall::iptables::{AddressStore, Family};
use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::{Packet, SYN};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::loading::Place;
use crate::world::iptables::{Variant, word};
use crate::world::{FAMILIES, PATIENCE, made_up};

/// An extension header, by its number.
pub type Header = u8;

const HOP_BY_HOP: Header = 0;
const ROUTING: Header = 43;
const FRAGMENT: Header = 44;
const AUTHENTICATION: Header = 51;
const NO_NEXT: Header = 59;
const OPTIONS: Header = 60;
const MOBILITY: Header = 135;

pub const HEADERS: [Header; 7] =
    [HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, NO_NEXT, OPTIONS, MOBILITY];

const GUARDED: [u16; 2] = [22, 2222];

/// What rules see of a packet with such headers, when connection tracking has put it together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// What follows the headers.
    Transport,
    /// A packet of this protocol, in which rules look for no port.
    Protocol(u8),
    /// Headers that may hide another packet.
    Disguised,
}

/// None for the most part, else up to four.
pub fn some() -> impl Strategy<Value = Vec<Header>> {
    prop_oneof![2 => Just(Vec::new()), 1 => vec(select(HEADERS.to_vec()), 1..=4)]
}

/// The first fragment header is taken away, if nothing stands before it that ends a packet. An
/// authentication header does so for `meta l4proto` of nftables, which is what `-p` is with
/// iptables-nft (`IP6_FH_F_AUTH` in `nft_set_pktinfo_ipv6`), and not for `-p` of iptables-legacy.
pub fn seen(variant: Variant, headers: &[Header]) -> Seen {
    let end = headers.iter().position(|header| [NO_NEXT, MOBILITY].contains(header));
    let before = &headers[..end.unwrap_or(headers.len())];
    let fragments = before.iter().filter(|&&header| header == FRAGMENT).count();
    let hiding = before.iter().any(|header| [ROUTING, OPTIONS].contains(header));
    if hiding || fragments > 1 {
        Seen::Disguised
    } else if variant == Variant::Nft && before.contains(&AUTHENTICATION) {
        Seen::Protocol(AUTHENTICATION)
    } else {
        end.map_or(Seen::Transport, |end| Seen::Protocol(headers[end]))
    }
}

/// The same packet with these headers before what it carries. Fragments are whole packets, each with
/// an identification of its own.
pub fn dress(packet: &Packet, headers: &[Header]) -> Vec<u8> {
    let (mut bytes, mut next) = (packet.to_bytes()[40..].to_vec(), packet.protocol());
    for &header in headers.iter().rev() {
        bytes.splice(..0, extension(header, next));
        next = header;
    }
    with_ip(packet, next, bytes)
}

/// A packet in which such a header, that the stack reads as what it is, has the number of another
/// protocol.
fn disguise(packet: &Packet, header: Header, protocol: u8) -> Vec<u8> {
    let inner = [extension(header, packet.protocol()), packet.to_bytes()[40..].to_vec()].concat();
    let headers = [extension(header, FRAGMENT), extension(FRAGMENT, protocol)].concat();
    with_ip(packet, header, [headers, inner].concat())
}

fn with_ip(packet: &Packet, next: u8, bytes: Vec<u8>) -> Vec<u8> {
    let mut ip = packet.to_bytes()[..40].to_vec();
    ip[4..6].copy_from_slice(&u16::try_from(bytes.len()).unwrap().to_be_bytes());
    ip[6] = next;
    [ip, bytes].concat()
}

fn extension(header: Header, next: u8) -> Vec<u8> {
    match header {
        FRAGMENT => {
            static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
            let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            [&[next, 0, 0, 0][..], &number.to_be_bytes()].concat()
        }
        AUTHENTICATION => [&[next, 4, 0, 0, 0, 0, 1, 0][..], &[1; 16]].concat(),
        // Type 5, of which no segments are left; or an option of padding.
        ROUTING => vec![next, 0, 5, 0, 0, 0, 0, 0],
        HOP_BY_HOP | OPTIONS => vec![next, 0, 1, 4, 0, 0, 0, 0],
        _ => vec![next, 0, 0, 0, 0, 0, 0, 0],
    }
}

/// All orders of up to four headers.
fn orders() -> Vec<Vec<Header>> {
    let mut all = vec![vec![]];
    let mut longest = all.clone();
    for _ in 0..4 {
        let longer = longest.iter().flat_map(|order| {
            HEADERS.map(|header| order.iter().copied().chain([header]).collect::<Vec<_>>())
        });
        longest = longer.collect();
        all.extend(longest.iter().cloned());
    }
    all
}

/// Sends them to a TCP and a UDP port; which of the packets reached the services there.
fn reached(place: &Place, udp: &UdpSocket, from: IpAddr) -> BTreeSet<String> {
    let host = place.client.host(FAMILIES[1]);
    let mut reached = BTreeSet::new();
    let mut batch: Vec<(u16, String, Vec<u8>)> = Vec::new();
    let mut port = 10_000;
    let mut probes: Vec<(String, Option<Vec<Header>>, Header, u8)> = Vec::new();
    probes.extend(orders().into_iter().map(|order| (format!("{order:?}"), Some(order), 0, 0)));
    for header in [ROUTING, OPTIONS] {
        let disguises =
            (0..=u8::MAX).map(|n| (format!("{header} as protocol {n}"), None, header, n));
        probes.extend(disguises);
    }
    let flush = |batch: &mut Vec<(u16, String, Vec<u8>)>, reached: &mut BTreeSet<String>| {
        for (_, _, bytes) in batch.iter() {
            place.wire.send_ip(bytes).unwrap();
        }
        let [four, _] = place.addresses(3);
        let ping = Packet::ping(four, place.client.host(FAMILIES[0]), 7);
        place.wire.send(&ping).unwrap();
        loop {
            let seen = place.wire.receive(Instant::now() + PATIENCE).unwrap().unwrap();
            if seen.answers(&ping) {
                break;
            }
            let to = seen.ports().map(|(_, to)| to);
            let of = batch.iter().find(|(port, ..)| Some(*port) == to);
            if let (Some((_, name, _)), Meaning::SynAck) = (of, seen.meaning()) {
                reached.insert(format!("tcp {name}"));
            }
        }
        while let Ok((_, sender)) = udp.recv_from(&mut [0; 64]) {
            let of = batch.iter().find(|(port, ..)| *port == sender.port());
            reached.extend(of.map(|(_, name, _)| format!("udp {name}")));
        }
        batch.clear();
    };
    for (name, order, header, protocol) in probes {
        let source = SocketAddr::new(from, port);
        let tcp = Packet::tcp(source, SocketAddr::new(host, GUARDED[0]), SYN);
        let datagram = Packet::udp(source, SocketAddr::new(host, GUARDED[1]), b"let me in");
        for packet in [tcp, datagram] {
            let bytes = match &order {
                Some(order) => dress(&packet, order),
                None => disguise(&packet, header, protocol),
            };
            batch.push((port, name.clone(), bytes));
        }
        port += 1;
        if batch.len() >= 100 {
            flush(&mut batch, &mut reached);
        }
    }
    flush(&mut batch, &mut reached);
    reached
}

/// None of them opens a way to a guarded port, which many of them do without a gate.
pub fn none_leads_past_the_gate(variant: Variant, store: AddressStore) {
    for (stance, public) in [("guard", ""), ("closed", "public = [\"tcp/80\", \"udp/53\"]\n")] {
        let place = Place::new(variant);
        let side = FAMILIES[1];
        let udp = UdpSocket::bind((place.client.host(side), GUARDED[1])).unwrap();
        udp.set_nonblocking(true).unwrap();
        // Connection tracking, and with it the reassembly, is switched on by the first rule that asks it.
        let rule = "*filter\n-A INPUT -m conntrack --ctstate INVALID\nCOMMIT\n";
        place.tools.restore(Family::V6, rule);
        let without = reached(&place, &udp, made_up(side, 1));
        assert!(without.len() > 200, "without a gate {without:?}");
        place.apply(&format!(
            "[gate]\nbackend = \"{}\"\nstance = \"{stance}\"\n{public}\
             [door.ssh]\nguards = [\"tcp/22\", \"udp/2222\"]\n\
             sequence = [\"tcp/1009\", \"udp/4001\", \"tcp/2003\"]\nopen_for = \"300s\"\n",
            word(store)
        ));
        let with = reached(&place, &udp, made_up(side, 2));
        assert_eq!(with, BTreeSet::new(), "{stance} {variant} {store:?}");
        // Plain packets are let in where they are granted, and a hop-by-hop header is plain.
        let from = made_up(side, 3);
        place.knock(from, &["tcp/1009", "udp/4001", "tcp/2003"]);
        let granted = reached(&place, &udp, from);
        for plain in [vec![], vec![HOP_BY_HOP], vec![FRAGMENT], vec![HOP_BY_HOP, FRAGMENT]] {
            for kind in ["tcp", "udp"] {
                assert!(granted.contains(&format!("{kind} {plain:?}")), "{granted:?}");
            }
        }
    }
}
