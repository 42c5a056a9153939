//! The filter against the engine's own reading of packets.

use portcullis_core::engine::{Direction, Engine, Frame, Options, Verdict};
use portcullis_core::policy::{Door, DoorName, Policy, Port, Protocol, Recogniser};
use portcullis_core::time::Instant;
use portcullis_core::wire::{Captured, Checksum, Link, Packet, Segment, Unreadable};
use portcullis_linux::sys::packet::Instruction;
use proptest::prelude::*;

use super::interpret::{About, run};
use crate::native::uninteresting;

/// The filter as `run` has it.
fn program(policy: &Policy) -> Vec<Instruction> {
    super::program(&uninteresting(policy))
}

fn ports(texts: &[&str]) -> Vec<Port> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn policy(public: &[&str]) -> Policy {
    let mut policy = Policy::default();
    policy.gate.public = ports(public);
    policy.doors.push(Door {
        name: DoorName::new("ssh").unwrap(),
        guards: ports(&["tcp/22"]),
        sequence: ports(&["tcp/7431", "udp/29117", "tcp/1123"]),
        step_timeout: Door::DEFAULT_STEP_TIMEOUT,
        open_for: Door::DEFAULT_OPEN_FOR,
        recogniser: Recogniser::Both,
        tolerate: 0,
        hooks: None,
    });
    policy
}

const FEW: [&str; 3] = ["tcp/80", "udp/53", "udp/443"];
const HOST: u8 = 0;
const OUTGOING: u8 = 4;

fn about(packet: &[u8], kind: u8) -> About {
    let v6 = packet.first().is_some_and(|byte| byte >> 4 == 6);
    About { protocol: if v6 { 0x86dd } else { 0x0800 }, kind, tag: 0, random: 0 }
}

/// A packet from these parts. The IPv4 checksum is right, so that the engine reads it.
fn packet(v6: bool, options: usize, fragment: u16, protocol: u8, transport: &[u8]) -> Vec<u8> {
    let mut bytes;
    if v6 {
        bytes = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
        bytes[4..6].copy_from_slice(&(transport.len() as u16).to_be_bytes());
        bytes.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7].repeat(2));
    } else {
        bytes = vec![0x45 + options as u8, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
        bytes.extend([198, 51, 100, 7, 192, 0, 2, 1]);
        bytes.extend(vec![1; 4 * options]);
        let total = (bytes.len() + transport.len()) as u16;
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
        let words = bytes.chunks_exact(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
        let sum: u32 = words.sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        bytes[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    }
    bytes.extend(transport);
    bytes
}

/// A TCP header without options, or a UDP header with padding behind it.
fn transport(protocol: u8, source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    bytes[0..2].copy_from_slice(&source.to_be_bytes());
    bytes[2..4].copy_from_slice(&destination.to_be_bytes());
    match protocol {
        6 => (bytes[12], bytes[13]) = (0x50, flags),
        _ => bytes[5] = 20,
    }
    bytes
}

fn passes(policy: &Policy, packet: &[u8], kind: u8) -> bool {
    run(&program(policy), &about(packet, kind), packet) != 0
}

#[test]
fn what_the_table_says() {
    let few = policy(&FEW);
    let case = |v6, kind, protocol, source, destination, flags| {
        passes(
            &few,
            &packet(v6, 0, 0, protocol, &transport(protocol, source, destination, flags)),
            kind,
        )
    };
    for v6 in [false, true] {
        assert!(case(v6, HOST, 6, 40_000, 7431, 0x02));
        assert!(case(v6, HOST, 6, 40_000, 7431, 0xc2), "ECN bits are no part of it");
        assert!(case(v6, HOST, 6, 40_000, 9, 0x02), "a wrong port must be seen too");
        for flags in [0x00, 0x10, 0x12, 0x04, 0x14, 0x01, 0x03, 0x06, 0x18] {
            assert!(!case(v6, HOST, 6, 40_000, 7431, flags), "{flags:#04x}");
        }
        assert!(!case(v6, HOST, 6, 40_000, 22, 0x02), "guarded");
        assert!(!case(v6, HOST, 6, 40_000, 80, 0x02), "public");
        assert!(case(v6, HOST, 6, 40_000, 53, 0x02), "of another protocol");
        assert!(case(v6, HOST, 17, 40_000, 29_117, 0));
        assert!(!case(v6, HOST, 17, 40_000, 53, 0));
        assert!(case(v6, HOST, 17, 53, 40_000, 0));
        assert!(!case(v6, HOST, 1, 0, 0, 0));
        assert!(!case(v6, OUTGOING, 6, 40_000, 7431, 0x02));
        assert!(case(v6, OUTGOING, 17, 40_000, 53, 0));
        assert!(!case(v6, OUTGOING, 17, 53, 40_000, 0));
        for kind in [1, 2, 3, 5, 6, 7] {
            assert!(!case(v6, kind, 17, 40_000, 29_117, 0), "{kind}");
        }
    }
    let arp = About { protocol: 0x0806, kind: HOST, tag: 0, random: 0 };
    assert_eq!(run(&program(&few), &arp, &[0; 64]), 0);
}

#[test]
fn a_tag_with_a_priority_alone_changes_nothing() {
    let syn = packet(false, 0, 0, 6, &transport(6, 40_000, 7431, 0x02));
    for (tag, passes) in [(0x0000, true), (0xe000, true), (0x002a, false), (0xe001, false)] {
        let about = About { protocol: 0x0800, kind: HOST, tag, random: 0 };
        assert_eq!(run(&program(&policy(&FEW)), &about, &syn) != 0, passes, "{tag:#06x}");
    }
}

#[test]
fn as_many_ports_as_it_takes() {
    let (most, too_many): (Vec<String>, Vec<String>) = (
        (1000..1031).map(|port| format!("udp/{port}")).collect(),
        (1000..1032).map(|port| format!("udp/{port}")).collect(),
    );
    let of = |texts: &[String]| policy(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let datagram = packet(false, 0, 0, 17, &transport(17, 40_000, 1030, 0));
    assert!(!passes(&of(&most), &datagram, HOST));
    assert!(program(&of(&most)).len() < 150);
    // With one more, the engine looks at them all.
    assert!(passes(&of(&too_many), &datagram, HOST));
    assert!(program(&of(&too_many)).len() < 60);
}

#[test]
fn a_knock_is_never_hidden() {
    // `check` refuses this policy, but nothing here relies on that.
    let odd = policy(&["tcp/7431"]);
    assert!(passes(&odd, &packet(false, 0, 0, 6, &transport(6, 1, 7431, 2)), HOST));
}

/// One door beside that of [`policy`], which this recogniser opens.
fn with_another(recogniser: Recogniser) -> Policy {
    let mut policy = policy(&FEW);
    let mut other = policy.doors[0].clone();
    other.name = DoorName::new("other").unwrap();
    other.guards = ports(&["tcp/23", "udp/23"]);
    other.sequence = ports(&["udp/1123", "tcp/4001", "tcp/2003"]);
    other.recogniser = recogniser;
    policy.doors.push(other);
    policy
}

#[test]
fn guarded_port_is_hidden_only_where_no_other_door_is_recognised() {
    let both = with_another(Recogniser::Daemon);
    let first = with_another(Recogniser::Kernel);
    let mut second = both.clone();
    second.doors[0].recogniser = Recogniser::Kernel;
    let mut neither = second.clone();
    neither.doors[1].recogniser = Recogniser::Kernel;
    for (name, policy, of_first, of_second) in [
        ("both", both, true, true),
        ("first", first, false, true),
        ("second", second, true, false),
        ("neither", neither, false, false),
    ] {
        let shown = |kind, protocol, source, destination| {
            let transport = transport(protocol, source, destination, 0x02);
            passes(&policy, &packet(false, 0, 0, protocol, &transport), kind)
        };
        assert_eq!(shown(HOST, 6, 40_000, 22), of_first, "{name}");
        assert_eq!(shown(HOST, 6, 40_000, 23), of_second, "{name}");
        assert_eq!(shown(HOST, 17, 40_000, 23), of_second, "{name}");
        // What this host sends from there makes answers of what comes back.
        assert_eq!(shown(OUTGOING, 17, 23, 40_000), of_second, "{name}");
        assert!(!shown(HOST, 6, 40_000, 80), "{name}: public");
    }
}

/// Numbers that matter, and all others.
fn port() -> impl Strategy<Value = u16> {
    prop_oneof![
        prop::sample::select(&[0u16, 22, 23, 53, 80, 443, 7431, 29_117, 1123]),
        any::<u16>()
    ]
}

fn shaped() -> impl Strategy<Value = Vec<u8>> {
    let protocol = prop_oneof![
        4 => Just(6u8), 4 => Just(17u8), 1 => any::<u8>(),
        2 => prop::sample::select(&[0u8, 43, 44, 51, 60]),
    ];
    let fragment = prop_oneof![4 => Just(0u16), 2 => Just(0x4000), 1 => any::<u16>()];
    let flags = prop_oneof![3 => Just(2u8), 2 => any::<u8>()];
    (any::<bool>(), 0usize..=10, fragment, protocol, port(), port(), flags, 0usize..100).prop_map(
        |(v6, options, fragment, protocol, source, destination, flags, cut)| {
            let transport = transport(protocol, source, destination, flags);
            let mut bytes = packet(v6, options, fragment, protocol, &transport);
            bytes.truncate(if cut < 80 { usize::MAX } else { cut - 40 });
            bytes
        },
    )
}

/// Whether the engine would do anything at all with it, whatever attempt its source is in.
fn matters(policy: &Policy, bytes: &[u8], direction: Direction) -> bool {
    let none = [None].into_iter();
    let attempts = policy.doors_seen_by(Recogniser::Daemon);
    let first = attempts.filter_map(|(_, door)| door.sequence.first().copied());
    none.chain(first.map(Some)).any(|knock| matters_after(policy, knock, bytes, direction))
}

/// The same for a source that has made this knock.
fn matters_after(policy: &Policy, knock: Option<Port>, bytes: &[u8], direction: Direction) -> bool {
    let mut engine =
        Engine::new(policy, Options { max_attempts: 16, seed: 1, ..Options::default() }).unwrap();
    let mut take = |bytes: &[u8], direction| {
        engine.handle_packet(Frame { direction, captured: captured(bytes) }, Instant::ORIGIN)
    };
    if let Some(Port { protocol, number }) = knock {
        let protocol = if protocol == Protocol::Tcp { 6 } else { 17 };
        let transport = transport(protocol, 40_000, number.get(), 0x02);
        for v6 in [false, true] {
            let verdict = take(&packet(v6, 0, 0, protocol, &transport), Direction::ToHost);
            assert!(matches!(verdict, Verdict::Stage { stage: 1, .. }));
        }
    }
    match take(bytes, direction) {
        Verdict::Stage { .. } | Verdict::Opened { .. } | Verdict::Wrong { .. } => true,
        // It need not be remembered if what comes back changes nothing, even as no answer.
        Verdict::FromHost => read(bytes).is_ok_and(|sent| match sent.segment {
            Segment::Udp { source_port, .. } => {
                let back = packet(false, 0, 0, 17, &transport(17, 40_000, source_port, 0));
                matters(policy, &back, Direction::ToHost)
            }
            _ => false,
        }),
        _ => false,
    }
}

/// The filter does not look at checksums, and the packets of these tests have none.
fn captured(bytes: &[u8]) -> Captured<'_> {
    Captured { checksum: Checksum::Trust, ..Captured::whole(Link::Raw, bytes) }
}

fn read(bytes: &[u8]) -> Result<Packet, Unreadable> {
    captured(bytes).parse()
}

/// Whether it has a fragment header, which the filter leaves to the engine.
fn fragmented(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|byte| byte >> 4 == 6) && bytes.get(6) == Some(&44)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn passes_what_matters_and_nothing_else(
        bytes in shaped(),
        out in any::<bool>(),
        other in prop::sample::select(&[None, Some(Recogniser::Kernel), Some(Recogniser::Both)]),
    ) {
        let policy = other.map_or_else(|| policy(&FEW), with_another);
        let (kind, direction) =
            if out { (OUTGOING, Direction::FromHost) } else { (HOST, Direction::ToHost) };
        let passed = passes(&policy, &bytes, kind);
        if matters(&policy, &bytes, direction) {
            prop_assert!(passed, "{bytes:02x?} is hidden");
        } else if !fragmented(&bytes) {
            // What is cut or contradicts itself may pass: the engine says so of it.
            let readable = read(&bytes).is_ok();
            prop_assert!(!(passed && readable), "{bytes:02x?} is passed for nothing");
        }
    }

    #[test]
    fn ends_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..120), kind in 0u8..8, protocol in any::<u16>(), tag in 0u16..3) {
        run(&program(&policy(&FEW)), &About { protocol, kind, tag, random: 0 }, &bytes);
    }
}
