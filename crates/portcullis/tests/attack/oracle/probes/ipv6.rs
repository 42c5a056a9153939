//! Odd IPv6 headers, extension headers and destinations.

use std::net::{IpAddr, Ipv6Addr};

use portcullis_lab::packet::FRAGMENT;

use super::{INNER, Kinds, readdressed};
use crate::oracle::bytes::{Ends, Ip};

/// Extension headers (IANA protocol numbers).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

type Extension = (u8, Vec<u8>);

pub fn add(kinds: &mut Kinds) {
    add_complaints(kinds);
    for flow_label in [1, 0x1_2345, 0xf_ffff] {
        kinds.add_inner(&format!("flow label {flow_label:#x}"), move |ip| Ip { flow_label, ..ip });
    }
    for (name, extensions) in chains() {
        for (inner, packet) in INNER {
            let extensions = extensions.clone();
            kinds.add(format!("{inner} behind {name}"), move |ends: &Ends| Ip {
                extensions: extensions.clone(),
                ..packet(ends)
            });
        }
    }
    for number in [50, 59, 135, 139, 140, 253] {
        // Seven bytes and the number of the next header: as far as they go, all are alike.
        kinds.add_inner(&format!("behind header {number}"), move |ip| Ip {
            extensions: vec![(number, vec![0; 7])],
            ..ip
        });
    }
    let local = [2, 0, 0, 0, 0, 0];
    let destinations = [
        ("all nodes", Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), [0x33, 0x33, 0, 0, 0, 1]),
        ("all nodes, in a frame for the host", Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), local),
        ("all routers", Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2), [0x33, 0x33, 0, 0, 0, 2]),
        ("all nodes of the interface", Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 1), local),
        ("the network's anycast address", Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), local),
        ("the host's loopback address", Ipv6Addr::LOCALHOST, local),
        ("another host", Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77), local),
    ];
    for (name, to, mac) in destinations {
        for (inner, packet) in INNER {
            kinds.add(format!("{inner}, to {name}"), move |ends: &Ends| {
                readdressed(packet, ends, IpAddr::V6(to), mac)
            });
        }
    }
}

/// Options that the network stack complains of, or not, depending on whom the frame and the packet are for.
fn add_complaints(kinds: &mut Kinds) {
    let everybody = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let frames = [
        ("in a broadcast frame", None, [0xff; 6]),
        ("in a multicast frame", None, [0x33, 0x33, 0, 0, 0, 1]),
        ("to all nodes", Some(everybody), [0x33, 0x33, 0, 0, 0, 1]),
        ("to all nodes, in a frame for the host", Some(everybody), [2, 0, 0, 0, 0, 0]),
    ];
    for option in [0x5e, 0x9e, 0xde] {
        for (frame, to, mac) in frames {
            for (inner, packet) in INNER {
                let name = format!("{inner} behind destination option {option:#04x}, {frame}");
                kinds.add(name, move |ends: &Ends| Ip {
                    extensions: vec![options(DESTINATION, &[option, 2, b'a', b'b', 1, 0])],
                    ..readdressed(packet, ends, to.map_or(ends.to, IpAddr::V6), mac)
                });
            }
        }
    }
}

/// Extension headers alone, and in orders that RFC 8200 recommends and does not.
fn chains() -> Vec<(String, Vec<Extension>)> {
    let padding = || [1, 4, 0, 0, 0, 0];
    let hop = |option: &[u8]| options(HOP_BY_HOP, option);
    let destination = |option: &[u8]| options(DESTINATION, option);
    let atomic = || (FRAGMENT, vec![0, 0, 0, 0, 0, 0, 7]);
    let spent = || routing(0, 0);
    let mut all: Vec<(String, Vec<Extension>)> = Vec::new();
    // The first two bits of an unknown option say what to do: skip, discard, complain, complain if
    // it was no multicast.
    for option in [0x1e, 0x5e, 0x9e, 0xde] {
        let bytes = [option, 2, b'a', b'b', 1, 0];
        all.push((format!("hop-by-hop option {option:#04x}"), vec![hop(&bytes)]));
        all.push((format!("destination option {option:#04x}"), vec![destination(&bytes)]));
        let behind = vec![destination(&padding()), destination(&bytes)];
        all.push((format!("a destination header and option {option:#04x}"), behind));
        let behind = vec![atomic(), destination(&bytes)];
        all.push((format!("an atomic fragment and destination option {option:#04x}"), behind));
    }
    for kind in [0, 1, 2, 3, 4, 5, 253] {
        for left in [0, 1, 255] {
            let name = format!("routing header {kind}, {left} segments left");
            all.push((name, vec![routing(kind, left)]));
        }
    }
    let home = [vec![1, 2, 0, 0, 0xc9, 16], vec![0x20; 16]].concat();
    let many = vec![destination(&padding()); 12];
    let named: Vec<(&str, Vec<Extension>)> = vec![
        ("hop-by-hop padding", vec![hop(&padding())]),
        ("router alert", vec![hop(&[5, 2, 0, 0, 1, 0])]),
        ("router alert of a wrong length", vec![hop(&[5, 3, 0, 0, 0, 0])]),
        ("a jumbo length of 0", vec![hop(&[0xc2, 4, 0, 0, 0, 0])]),
        ("padding with data", vec![destination(&[1, 4, 1, 2, 3, 4])]),
        ("padding longer than the header", vec![destination(&[1, 40, 0, 0, 0, 0])]),
        ("six single paddings", vec![destination(&[0; 6])]),
        ("a tunnel limit", vec![destination(&[4, 1, 0, 1, 1, 0])]),
        ("a home address", vec![destination(&home)]),
        ("a destination header", vec![destination(&padding())]),
        ("two destination headers", vec![destination(&padding()), destination(&padding())]),
        ("twelve destination headers", many),
        ("a destination header longer than the packet", vec![(DESTINATION, vec![200; 7])]),
        ("hop-by-hop longer than the packet", vec![(HOP_BY_HOP, vec![200; 7])]),
        ("two hop-by-hop headers", vec![hop(&padding()), hop(&padding())]),
        ("destination, hop-by-hop", vec![destination(&padding()), hop(&padding())]),
        ("destination, routing", vec![destination(&padding()), spent()]),
        ("routing, destination", vec![spent(), destination(&padding())]),
        ("two routing headers", vec![spent(), spent()]),
        ("an atomic fragment", vec![atomic()]),
        ("two atomic fragments", vec![atomic(), atomic()]),
        ("three atomic fragments", vec![atomic(), atomic(), atomic()]),
        ("routing, two atomic fragments", vec![spent(), atomic(), atomic()]),
        ("routing, atomic fragment", vec![spent(), atomic()]),
        ("atomic fragment, routing", vec![atomic(), spent()]),
        ("destination, atomic fragment", vec![destination(&padding()), atomic()]),
        ("atomic fragment, destination", vec![atomic(), destination(&padding())]),
        ("hop-by-hop, atomic fragment", vec![hop(&padding()), atomic()]),
        ("atomic fragment, hop-by-hop", vec![atomic(), hop(&padding())]),
        ("authentication", vec![authentication()]),
        ("two authentication headers", vec![authentication(), authentication()]),
        ("authentication, destination", vec![authentication(), destination(&padding())]),
        ("destination, authentication", vec![destination(&padding()), authentication()]),
        ("atomic fragment, authentication", vec![atomic(), authentication()]),
        (
            "hop-by-hop, destination, routing, atomic fragment, destination",
            vec![
                hop(&padding()),
                destination(&padding()),
                spent(),
                atomic(),
                destination(&padding()),
            ],
        ),
    ];
    all.extend(named.into_iter().map(|(name, chain)| (name.to_owned(), chain)));
    all
}

/// A header of options, padded to a multiple of eight bytes.
fn options(number: u8, option: &[u8]) -> Extension {
    let length = (2 + option.len()).next_multiple_of(8);
    let mut bytes = vec![(length / 8 - 1) as u8];
    bytes.extend(option);
    bytes.resize(length - 1, 0);
    (number, bytes)
}

fn routing(kind: u8, left: u8) -> Extension {
    let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5).octets();
    (ROUTING, [vec![2, kind, left, 0, 0, 0, 0], address.to_vec()].concat())
}

/// Of 24 bytes: the length is counted in words, less two.
fn authentication() -> Extension {
    (AUTHENTICATION, [vec![4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], vec![0x11; 12]].concat())
}
