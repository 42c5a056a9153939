//! The filter against the engine's own reading of packets.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use portcullis_core::knockd::{FlagFilter, KnockdEngine, Options, Seen};
use portcullis_core::time::Instant;
use portcullis_core::wire::{self, Link};
use portcullis_lab::packet::Packet;
use proptest::prelude::*;

use super::*;
use crate::filter::interpret::{About, run};

const HOST: u8 = libc::PACKET_HOST;
const OTHER: u8 = libc::PACKET_OTHERHOST;
const ALL: Scope = Scope { only_v4: false, several: false };

fn door(sequence: &[&str], flags: FlagFilter) -> Door {
    Door {
        sequence: sequence.iter().map(|text| text.parse().unwrap()).collect(),
        flags,
        timeout: Duration::from_secs(25),
        target: None,
        once: false,
    }
}

fn syn() -> FlagFilter {
    FlagFilter { set: TcpFlags::SYN, clear: TcpFlags::ACK }
}

fn target() -> Door {
    let target = Some("203.0.113.77".parse().unwrap());
    Door { target, ..door(&["tcp/7000"], syn()) }
}

fn socket(v6: bool, host: bool, port: u16) -> SocketAddr {
    let address = match (v6, host) {
        (false, false) => "198.51.100.7",
        (false, true) => "192.0.2.1",
        (true, false) => "2001:db8::7",
        (true, true) => "2001:db8::1",
    };
    SocketAddr::new(address.parse().unwrap(), port)
}

fn tcp(v6: bool, port: u16, flags: u8) -> Vec<u8> {
    Packet::tcp(socket(v6, false, 40_000), socket(v6, true, port), flags).to_bytes()
}

fn udp(v6: bool, port: u16) -> Vec<u8> {
    Packet::udp(socket(v6, false, 40_000), socket(v6, true, port), b"x").to_bytes()
}

/// Whether it is shown, when the kernel draws this number.
fn shown(doors: &[Door], scope: Scope, bytes: &[u8], kind: u8, tag: u16, random: u32) -> bool {
    let v6 = bytes.first().is_some_and(|byte| byte >> 4 == 6);
    let protocol = if v6 { 0x86dd } else { 0x0800 };
    run(&program(doors, scope), &About { protocol, kind, tag, random }, bytes) != 0
}

#[test]
fn what_the_table_says() {
    let (any, strict) = (FlagFilter::default(), syn());
    for v6 in [false, true] {
        let see = |doors: &[Door], bytes: &[u8], random| shown(doors, ALL, bytes, HOST, 0, random);
        let doors = [door(&["tcp/7000", "udp/8000"], any)];
        for random in [0, 1] {
            for flags in [0x02, 0x10, 0x12, 0x04, 0x00, 0xff] {
                assert!(see(&doors, &tcp(v6, 7000, flags), random), "{flags:#x}");
            }
            assert!(see(&doors, &udp(v6, 8000), random));
            assert!(see(&doors, &tcp(v6, 9, 0x02), random), "a stray");
        }
        // One in sixteen of those that may be many.
        for packet in [tcp(v6, 9, 0x10), udp(v6, 9)] {
            let of = (0..1600).filter(|random| see(&doors, &packet, *random)).count();
            assert_eq!(of, 100);
        }
        let doors = [door(&["tcp/7000"], strict)];
        assert!(!see(&doors, &tcp(v6, 9, 0x10), 0), "no door sees such segments");
        assert!(see(&doors, &tcp(v6, 7000, 0x10), 1), "a port of a door");
        assert!(!see(&doors, &udp(v6, 7000), 0), "no door has such a knock");
        assert!(!see(&[door(&["udp/7000"], strict)], &tcp(v6, 7000, 2), 0));
        assert!(!see(&[], &tcp(v6, 7000, 2), 0));
        assert!(!see(&[door(&[], any)], &udp(v6, 7000), 0));
    }
    let v4 = Scope { only_v4: true, several: false };
    let doors = [door(&["tcp/7000"], strict)];
    assert!(shown(&doors, v4, &tcp(false, 7000, 2), HOST, 0, 0));
    assert!(!shown(&doors, v4, &tcp(true, 7000, 2), HOST, 0, 0));
}

#[test]
fn tags_and_other_hosts() {
    let doors = [door(&["tcp/7000"], syn())];
    let packet = tcp(false, 7000, 2);
    let several = Scope { only_v4: false, several: true };
    for (tag, alone, beside_others) in [(0, true, true), (0xe000, true, true), (5, true, false)] {
        assert_eq!(shown(&doors, ALL, &packet, HOST, tag, 0), alone, "{tag}");
        assert_eq!(shown(&doors, several, &packet, HOST, tag, 0), beside_others, "{tag}");
    }
    assert!(!shown(&doors, ALL, &packet, OTHER, 0, 0));
    assert!(shown(&[target()], ALL, &packet, OTHER, 0, 0));
    for kind in [libc::PACKET_BROADCAST, libc::PACKET_MULTICAST, libc::PACKET_OUTGOING] {
        assert!(!shown(&[target()], ALL, &packet, kind, 0, 0));
    }
}

#[test]
fn as_many_ports_as_it_takes() {
    let with = |count: u16| {
        let doors: Vec<Door> = (0..count)
            .map(|n| door(&[&format!("tcp/{}", 1000 + n), &format!("udp/{}", 1000 + n)], syn()))
            .collect();
        doors
    };
    let few = with(64);
    assert!(program(&few, ALL).len() < 200);
    assert!(!shown(&few, ALL, &udp(false, 9), HOST, 0, 1));
    let many = with(65);
    assert!(program(&many, ALL).len() < 80);
    assert!(shown(&many, ALL, &udp(false, 9), HOST, 0, 1));
    assert!(shown(&many, ALL, &tcp(false, 1064, 2), HOST, 0, 1));
}

fn any_door() -> impl Strategy<Value = Door> {
    let knock = (any::<bool>(), 7000u16..7004);
    let knock = knock.prop_map(|(tcp, port)| format!("{}/{port}", if tcp { "tcp" } else { "udp" }));
    let flags = (0u8..64, 0u8..64).prop_map(|(set, clear)| FlagFilter {
        set: TcpFlags::from_bits(set & !clear & 0x13),
        clear: TcpFlags::from_bits(clear & 0x3f),
    });
    (prop::collection::vec(knock, 0..4), flags, any::<bool>()).prop_map(|(knocks, flags, far)| {
        let knocks: Vec<&str> = knocks.iter().map(String::as_str).collect();
        let target: Option<IpAddr> = far.then(|| "203.0.113.77".parse().unwrap());
        Door { target, ..door(&knocks, flags) }
    })
}

fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), any::<bool>(), any::<bool>(), 6998u16..7006, 0u8..64).prop_map(
        |(v6, far, is_tcp, port, flags)| {
            let from = socket(v6, false, 40_000);
            let mut to = socket(v6, true, port);
            if far && !v6 {
                to.set_ip("203.0.113.77".parse().unwrap());
            }
            let packet =
                if is_tcp { Packet::tcp(from, to, flags) } else { Packet::udp(from, to, b"x") };
            packet.to_bytes()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever is a knock, right or wrong, is shown, whatever the kernel draws; and so is every
    /// stray that begins something, where a door has a knock of its kind.
    #[test]
    fn no_knock_is_hidden(
        doors in prop::collection::vec(any_door(), 1..4),
        packets in prop::collection::vec(any_packet(), 1..12),
        random in any::<u32>(),
    ) {
        let mut engine = KnockdEngine::new(doors.clone(), Options { max_knockers: 16, ..Options::default() });
        let knocks = || doors.iter().flat_map(|door| &door.sequence);
        let tcp_knocks = knocks().any(|port| port.protocol == Protocol::Tcp);
        engine.set_local_addresses(&[socket(false, true, 1).ip(), socket(true, true, 1).ip()]);
        for bytes in &packets {
            let packet = wire::parse(Link::Raw, bytes).unwrap();
            let seen = engine.handle_packet(&packet, Instant::ORIGIN);
            while engine.next_event().is_some() {}
            let kind = if packet.destination == "203.0.113.77".parse::<IpAddr>().unwrap() { OTHER } else { HOST };
            let begins = tcp_knocks && matches!(packet.segment, wire::Segment::Tcp { flags, .. } if !flags.contains(TcpFlags::ACK));
            let matters = match seen {
                Seen::Knock | Seen::Wrong | Seen::Repeated => {
                    // A stray that is one too many is wrong as well, and may be one of many.
                    let port = match packet.segment {
                        wire::Segment::Tcp { destination_port, .. } => Port::tcp(destination_port),
                        wire::Segment::Udp { destination_port, .. } => Port::udp(destination_port),
                        _ => None,
                    };
                    begins || knocks().any(|knock| Some(*knock) == port)
                }
                Seen::Stray => begins,
                Seen::Ignored => false,
            };
            if matters {
                prop_assert!(shown(&doors, ALL, bytes, kind, 0, random), "{seen:?} {packet:?}");
            }
        }
    }
}
