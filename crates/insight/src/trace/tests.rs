//! Packets as they might arrive, and what is found.

use portcullis_config::parse_str;
use portcullis_core::policy::Protocol;
use portcullis_core::wire::{Segment, TcpFlags};

use super::findings::findings;
use super::words::sentence;
use super::*;

const DOORS: &str = r#"
[gate]
public = ["tcp/80"]
[door.ssh]
guards       = ["tcp/22"]
sequence     = ["tcp/7431", "udp/29117", "tcp/1123"]
step_timeout = "5s"
open_for     = "30s"
"#;

const ME: &str = "192.0.2.7";

/// The lines and the findings of packets: tenths of a second, from whom, to which port.
fn trace(from: Option<&str>, packets: &[(u64, &str, &str)]) -> (Vec<String>, Vec<String>) {
    trace_at(DOORS, None, from, packets)
}

/// The same with these doors, of which one may be watched.
fn trace_at(
    doors: &str,
    door: Option<DoorId>,
    from: Option<&str>,
    packets: &[(u64, &str, &str)],
) -> (Vec<String>, Vec<String>) {
    let policy = parse_str("test", doors).unwrap().policy;
    let watched = Watched { from: from.map(|from| from.parse().unwrap()), door };
    let mut tracer = Tracer::new(&policy, watched, Options::default()).unwrap();
    let mut lines = Vec::new();
    for (tenths, source, port) in packets {
        let port: Port = port.parse().unwrap();
        let (source_port, destination_port) = (40_000, port.number.get());
        let segment = match port.protocol {
            Protocol::Tcp => {
                Segment::Tcp { source_port, destination_port, sequence: 1, flags: TcpFlags::SYN }
            }
            Protocol::Udp => Segment::Udp { source_port, destination_port },
        };
        let source = source.parse().unwrap();
        let packet = Packet { source, destination: "198.51.100.1".parse().unwrap(), segment };
        let now = Instant::from_millis(tenths * 100);
        let hit = tracer.packet(&packet, Direction::ToHost, now);
        lines.extend(hit.map(|hit| format!("{} {}", hit.port, sentence(&policy, &hit))));
    }
    let found = findings(&policy, watched, tracer.evidence());
    (lines, found.into_iter().map(|finding| finding.text).collect())
}

#[test]
fn every_packet_is_told() {
    let (lines, found) = trace(
        Some(ME),
        &[
            (0, ME, "tcp/7431"),
            (1, ME, "tcp/7431"),
            (2, ME, "tcp/80"),
            (3, ME, "tcp/22"),
            (4, "192.0.2.8", "tcp/22"),
            (5, ME, "tcp/1123"),
            (6, ME, "udp/29117"),
            (7, ME, "tcp/7431"),
            (8, ME, "tcp/99"),
            (9, ME, "tcp/98"),
            (10, ME, "tcp/7431"),
            (63, ME, "udp/29117"),
            (70, ME, "tcp/7431"),
            (71, ME, "udp/29117"),
            (72, ME, "tcp/7431"),
            (73, ME, "udp/29117"),
            (74, ME, "tcp/1123"),
            (75, ME, "tcp/22"),
        ],
    );
    let expected = [
        "tcp/7431 knock 1 of 3 of door ssh",
        "tcp/7431 knock 1 of door ssh again; nothing changes",
        "tcp/80 a public port; ignored",
        "tcp/22 refused; no grant at door ssh",
        "tcp/1123 knock 3 of door ssh before knock 2; the attempt ends",
        "udp/29117 knock 2 of door ssh, without the knocks before it",
        "tcp/7431 knock 1 of 3 of door ssh",
        "tcp/99 a wrong port instead of knock 2 of door ssh; the attempt ends",
        "tcp/98 not a knock of any door",
        "tcp/7431 knock 1 of 3 of door ssh",
        "udp/29117 knock 2 of door ssh, late by 0.3s; it must come within 5s",
        "tcp/7431 knock 1 of 3 of door ssh",
        "udp/29117 knock 2 of 3 of door ssh",
        "tcp/7431 knock 1 of door ssh again; nothing changes",
        "udp/29117 knock 2 of door ssh again; nothing changes",
        "tcp/1123 the last knock; door ssh opens for 30s",
        "tcp/22 door ssh lets it pass",
    ];
    assert_eq!(lines, expected);
    assert_eq!(
        found,
        [
            "door ssh opened: all knocks of 192.0.2.7 arrived correctly",
            "192.0.2.7 then sent a packet to tcp/22; door ssh let it pass",
        ]
    );
}

/// Who is watched, what comes, what is found.
type Case<'a> = (Option<&'a str>, &'a [(u64, &'a str, &'a str)], &'a [&'a str]);

#[test]
fn each_fault_has_its_finding() {
    const OTHER: &str = "192.0.2.8";
    let scan = |from| [(0, from, "tcp/7431"), (1, from, "tcp/7432")];
    let cases: [Case<'_>; 14] = [
        (
            Some(ME),
            &[(0, ME, "udp/29117"), (1, ME, "tcp/1123")],
            &[
                "tcp/7431 never arrived from 192.0.2.7; a provider or firewall on the way may block it",
            ],
        ),
        (
            None,
            &[(0, ME, "tcp/7431"), (1, ME, "tcp/1123")],
            &[
                "udp/29117 never arrived from 192.0.2.7; a provider or firewall on the way may block it",
            ],
        ),
        (
            Some(ME),
            &[(0, ME, "tcp/7431"), (1, OTHER, "udp/29117"), (2, ME, "tcp/1123")],
            &[
                "knocks at door ssh came from two addresses, 192.0.2.7 and 192.0.2.8; a NAT on the way changes the source",
            ],
        ),
        (
            None,
            &[(0, ME, "tcp/7431"), (1, OTHER, "udp/29117"), (2, ME, "tcp/1123")],
            &[
                "knocks at door ssh came from two addresses, 192.0.2.7 and 192.0.2.8; a NAT on the way changes the source",
            ],
        ),
        (
            Some(ME),
            &[(0, OTHER, "tcp/7431"), (1, OTHER, "udp/29117"), (2, OTHER, "tcp/1123")],
            &[
                "knocks at door ssh came from 192.0.2.8, none from 192.0.2.7; a NAT on the way changes the source, or another client knocks",
            ],
        ),
        (
            Some(ME),
            &[(0, ME, "tcp/7431"), (1, ME, "tcp/1123"), (2, ME, "udp/29117")],
            &[
                "knock 3 of 192.0.2.7 arrived before knock 2; the network may have reordered them, so try a longer delay between knocks",
            ],
        ),
        (
            Some(ME),
            &[(0, ME, "tcp/7431"), (53, ME, "udp/29117"), (54, ME, "tcp/1123")],
            &[
                "knock 2 of 192.0.2.7 was late by 0.3s, because door ssh waits 5s for each knock; knock faster, or give the door a longer `step_timeout`",
            ],
        ),
        (
            Some(ME),
            &[(0, ME, "tcp/7431"), (1, ME, "tcp/99"), (2, ME, "udp/29117"), (3, ME, "tcp/1123")],
            &[
                "192.0.2.7 sent tcp/99 before knock 2 of door ssh, and a wrong port ends the attempt; if it is a service of this host, list it in `public`",
            ],
        ),
        (
            Some(ME),
            &[(0, ME, "tcp/7431"), (1, ME, "tcp/29117"), (2, ME, "tcp/1123")],
            &[
                "192.0.2.7 sent tcp/29117 instead of udp/29117, knock 2 of door ssh",
                "192.0.2.7 sent tcp/29117 before knock 2 of door ssh, and a wrong port ends the attempt; if it is a service of this host, list it in `public`",
            ],
        ),
        (
            Some(ME),
            &scan(OTHER),
            &[
                "nothing arrived from 192.0.2.7; a NAT may change the source, or a firewall on the way blocks all its packets",
            ],
        ),
        (
            Some(ME),
            &[(0, ME, "tcp/80")],
            &[
                "no knock at door ssh arrived from 192.0.2.7, but other packets did; a provider or firewall on the way may block these ports",
            ],
        ),
        (
            Some(ME),
            &[(0, ME, "tcp/7431"), (1, ME, "udp/29117"), (2, ME, "tcp/7431"), (3, ME, "tcp/1123")],
            &["door ssh opened: all knocks of 192.0.2.7 arrived correctly"],
        ),
        (None, &[], &["no SYN or datagram arrived; check that this is the right interface"]),
        (
            None,
            &[(0, ME, "tcp/81")],
            &["no knock at a watched door arrived, but other packets did"],
        ),
    ];
    for (from, packets, expected) in cases {
        assert_eq!(trace(from, packets).1, expected, "{from:?} {packets:?}");
    }
}

#[test]
fn guarded_port_of_another_door_ends_an_attempt() {
    const SEVERAL: &str = r#"
        [gate]
        allow = ["192.0.2.200"]
        [door.ssh]
        guards   = ["tcp/22"]
        sequence = ["tcp/7431", "udp/29117", "tcp/1123"]
        [door.web]
        guards   = ["tcp/8080"]
        sequence = ["tcp/1009", "tcp/4001", "tcp/2003"]
        tolerate = 1
    "#;
    let packets = [
        (0, ME, "tcp/8080"),
        (1, ME, "tcp/7431"),
        (2, ME, "tcp/8080"),
        (3, ME, "udp/29117"),
        (4, ME, "tcp/1123"),
        (10, ME, "tcp/1009"),
        (11, ME, "tcp/8080"),
        (12, ME, "tcp/22"),
        (13, ME, "tcp/22"),
    ];
    let of_ssh = "tcp/7431 knock 1 of 3 of door ssh";
    let mut expected = vec![
        "tcp/8080 refused; no grant at door web",
        of_ssh,
        "tcp/8080 a port that door web guards, instead of knock 2 of door ssh; the attempt ends",
        "udp/29117 knock 2 of door ssh, without the knocks before it",
        "tcp/1123 knock 3 of door ssh, without the knocks before it",
        "tcp/1009 knock 1 of 3 of door web",
        "tcp/8080 refused; no grant at door web",
        "tcp/22 a port that door ssh guards; door web forgives it",
        "tcp/22 a port that door ssh guards, instead of knock 2 of door web; the attempt ends",
    ];
    assert_eq!(trace_at(SEVERAL, None, Some(ME), &packets).0, expected);
    // With one door alone, what ends an attempt at another is shown if it asks for this one.
    expected.retain(|line| *line != of_ssh);
    assert_eq!(trace_at(SEVERAL, Some(DoorId(1)), Some(ME), &packets).0, expected);
    let (_, found) = trace_at(SEVERAL, Some(DoorId(0)), Some(ME), &packets);
    let expected = "192.0.2.7 sent tcp/8080 before knock 2 of door ssh, and a wrong port ends the \
                    attempt; door web guards it, so connect there only before or after the knocks";
    assert_eq!(found, [expected]);
    // The daemon does not know the allow-list.
    let allowed = packets[..3].iter().map(|&(at, _, port)| (at, "192.0.2.200", port));
    let (lines, _) = trace_at(SEVERAL, None, None, &allowed.collect::<Vec<_>>());
    let expected = [
        "tcp/8080 door web lets it pass",
        "tcp/7431 knock 1 of 3 of door ssh",
        "tcp/8080 a port that door web guards (it passes), instead of knock 2 of door ssh; the \
         attempt ends",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_flood_is_bounded_and_does_not_hide_who_is_watched() {
    let forged: Vec<String> =
        (0..MAX_HITS + 10).map(|n| format!("10.{}.{}.1", n / 250, n % 250)).collect();
    let mut packets: Vec<(u64, &str, &str)> =
        forged.iter().map(|from| (0, from.as_str(), "tcp/7431")).collect();
    packets.extend([(1, ME, "tcp/7431"), (2, ME, "udp/29117")]);
    let (lines, found) = trace(Some(ME), &packets);
    assert_eq!(lines.len(), 2);
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("tcp/1123 never arrived from 192.0.2.7"), "{found:?}");
    assert!(found[1].starts_with("too many packets to remember"), "{found:?}");
    // Watching everybody still ends, and soon.
    assert!(trace(None, &packets).1.len() > 1);
}
