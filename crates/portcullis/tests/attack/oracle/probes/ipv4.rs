//! Odd IPv4 headers and destinations.

use std::net::{IpAddr, Ipv4Addr};

use super::{INNER, Kinds, readdressed};
use crate::oracle::bytes::{Ends, Ip};

pub fn add(kinds: &mut Kinds) {
    for (name, bytes) in options() {
        for (inner, packet) in INNER {
            let bytes = bytes.clone();
            kinds.add(format!("{inner}, IPv4 option {name}"), move |ends: &Ends| {
                let mut options = bytes.clone();
                options.resize(options.len().next_multiple_of(4), 0);
                Ip { options, ..packet(ends) }
            });
        }
    }
    for fragment in [0x4000, 0x8000, 0xc000] {
        kinds.add_inner(&format!("flags {fragment:#06x}"), move |ip| Ip { fragment, ..ip });
    }
    for id in [0, 0xffff] {
        kinds.add_inner(&format!("identification {id:#06x}"), move |ip| Ip { id, ..ip });
    }
    for sum in [0, 0x1234] {
        kinds.add_inner(&format!("header checksum {sum:#06x}"), move |ip| Ip {
            sum: Some(sum),
            ..ip
        });
    }
    for words in [0, 4, 6, 10, 15] {
        kinds.add_inner(&format!("header of {words} words"), move |ip| Ip {
            header_len: Some(words),
            ..ip
        });
    }
    let broadcast = Ipv4Addr::new(198, 51, 100, 255);
    let destinations = [
        ("the network's broadcast address", broadcast, [0xff; 6]),
        ("every host", Ipv4Addr::BROADCAST, [0xff; 6]),
        ("the network's first address", Ipv4Addr::new(198, 51, 100, 0), [0xff; 6]),
        ("all hosts by multicast", Ipv4Addr::new(224, 0, 0, 1), [1, 0, 0x5e, 0, 0, 1]),
        (
            "all hosts by multicast, in a frame for the host",
            Ipv4Addr::new(224, 0, 0, 1),
            [2, 0, 0, 0, 0, 0],
        ),
        ("another group", Ipv4Addr::new(239, 1, 2, 3), [1, 0, 0x5e, 1, 2, 3]),
        ("the network's broadcast address, in a frame for the host", broadcast, [2, 0, 0, 0, 0, 0]),
        ("the host's loopback address", Ipv4Addr::LOCALHOST, [2, 0, 0, 0, 0, 0]),
        ("another host", Ipv4Addr::new(198, 51, 100, 77), [2, 0, 0, 0, 0, 0]),
    ];
    for (name, to, mac) in destinations {
        for (inner, packet) in INNER {
            kinds.add(format!("{inner}, to {name}"), move |ends: &Ends| {
                readdressed(packet, ends, IpAddr::V4(to), mac)
            });
        }
    }
}

/// RFC 791, RFC 2113, CIPSO.
fn options() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("record route", vec![7, 7, 4, 0, 0, 0, 0]),
        ("record route, two places", vec![7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("record route, half a place", vec![7, 9, 4, 0, 0, 0, 0, 0, 0]),
        ("record route, full", vec![7, 7, 8, 1, 2, 3, 4]),
        ("record route, bad pointer", vec![7, 7, 3, 0, 0, 0, 0]),
        ("timestamp", vec![0x44, 8, 5, 0, 0, 0, 0, 0]),
        ("timestamp, half a place", vec![0x44, 10, 5, 0, 0, 0, 0, 0, 0, 0]),
        ("timestamp, three quarters of a place", vec![0x44, 11, 5, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("timestamp with address", vec![0x44, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("timestamp, full", vec![0x44, 8, 9, 0, 1, 2, 3, 4]),
        ("timestamp, overflowing", vec![0x44, 8, 9, 0xf0, 1, 2, 3, 4]),
        ("timestamp, bad pointer", vec![0x44, 8, 4, 0, 0, 0, 0, 0]),
        ("router alert", vec![0x94, 4, 0, 0]),
        ("router alert 1", vec![0x94, 4, 0, 1]),
        ("CIPSO", vec![0x86, 6, 0, 0, 0, 1]),
        ("loose source route", vec![0x83, 7, 4, 203, 0, 113, 1]),
        ("loose source route, at its end", vec![0x83, 7, 8, 203, 0, 113, 1]),
        ("strict source route", vec![0x89, 7, 4, 203, 0, 113, 1]),
        ("strict source route, at its end", vec![0x89, 7, 8, 203, 0, 113, 1]),
        ("security", vec![0x82, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("stream", vec![0x88, 4, 0, 1]),
        ("unknown 0x9e", vec![0x9e, 4, 1, 2]),
        ("NOPs", vec![1; 40]),
        ("end and junk", vec![0, 9, 9, 9]),
        ("of length 0", vec![0x9e, 0, 1, 1]),
        ("of length 1", vec![0x9e, 1, 1, 1]),
        ("longer than the header", vec![0x9e, 40, 1, 1]),
    ]
}
