//! Frames that are made here, to doors that are known: what a replay says of them.

use std::net::SocketAddr;

use portcullis_config::parse_str;
use portcullis_core::policy::Port;
use portcullis_core::wire::Link;
use portcullis_lab::packet::{ACK, Packet as Made, RST};

use super::*;

const DOORS: &str = r#"
[gate]
public = ["tcp/80"]
allow  = ["192.0.2.200"]

[ban]
strikes = 4
within  = "60s"
for     = "1h"

[door.ssh]
guards       = ["tcp/22"]
sequence     = ["tcp/7431", "udp/29117", "tcp/1123"]
step_timeout = "5s"
open_for     = "30s"
"#;

const HOST: &str = "198.51.100.1";
const CLIENT: &str = "192.0.2.7";
const RAW: Kind = Kind::Read(Link::Raw, 0);
const ETHERNET: Kind = Kind::Read(Link::Ethernet, 0);
const MILLI: u64 = 1_000_000;

/// A packet from one to the other: `tcp/7431` is a SYN, `udp/53` a datagram, `rst/9` a reset.
fn made(from: &str, to: &str, what: &str) -> Made {
    let (kind, port) = what.split_once('/').unwrap();
    let from = SocketAddr::new(from.parse().unwrap(), 40_000);
    let to = SocketAddr::new(to.parse().unwrap(), port.parse().unwrap());
    match kind {
        "tcp" => Made::syn(from, to),
        "udp" => Made::udp(from, to, b"x"),
        _ => Made::tcp(from, to, RST | ACK),
    }
}

/// One frame: the milliseconds, what it begins with, its bytes, and how many of them there were.
type Frame = (Option<u64>, Kind, Vec<u8>, usize);

fn raw(millis: u64, from: &str, to: &str, what: &str) -> Frame {
    let bytes = made(from, to, what).to_bytes();
    (Some(millis), RAW, bytes.clone(), bytes.len())
}

fn knocks(start: u64, from: &str, ports: &[&str]) -> Vec<Frame> {
    (0..).zip(ports).map(|(n, port)| raw(start + n * 100, from, HOST, port)).collect()
}

fn replay_with(doors: &str, settings: Settings, frames: &[Frame]) -> Report {
    let policy = parse_str("test", doors).unwrap().policy;
    let mut replay = Replay::new(&policy, settings).unwrap();
    for (millis, kind, bytes, length) in frames {
        replay.frame(&Record {
            time: millis.map(|millis| millis * MILLI),
            kind: *kind,
            place: Place::Gate,
            way: None,
            bytes,
            length: *length as u32,
        });
    }
    replay.finish()
}

fn replay(frames: &[Frame]) -> Report {
    replay_with(DOORS, Settings::default(), frames)
}

fn opened(report: &Report) -> Vec<(u64, String)> {
    let opened = report.openings.iter();
    opened.map(|opening| (opening.at / MILLI, opening.source.to_string())).collect()
}

const RIGHT: [&str; 3] = ["tcp/7431", "udp/29117", "tcp/1123"];

#[test]
fn a_right_knock_opens_and_all_that_is_refused_is_a_strike() {
    let right = knocks(1_000, CLIENT, &RIGHT);
    let wrong = knocks(2_000, "192.0.2.8", &["tcp/22", "tcp/7431", "tcp/9", "tcp/22"]);
    let after = knocks(3_000, CLIENT, &["tcp/22", "tcp/80"]);
    let late = [raw(32_000, CLIENT, HOST, "tcp/22")];
    let allowed = knocks(4_000, "192.0.2.200", &["tcp/22", "tcp/7431", "tcp/9"]);
    let report = replay(&[&right[..], &wrong, &after, &allowed, &late].concat());
    assert_eq!(opened(&report), [(1_200, CLIENT.to_owned())]);
    assert_eq!(report.host, [HOST.parse::<IpAddr>().unwrap()]);
    let strikes: Vec<(u64, String, Port, bool)> = report
        .strikes
        .iter()
        .map(|s| (s.at / MILLI, s.source.to_string(), s.port.unwrap(), s.bans))
        .collect();
    let strike =
        |at, source: &str, port: &str, bans| (at, source.to_owned(), port.parse().unwrap(), bans);
    let expected = [
        // A knock goes to a closed port as well.
        strike(1_000, CLIENT, "tcp/7431", false),
        strike(1_100, CLIENT, "udp/29117", false),
        strike(1_200, CLIENT, "tcp/1123", false),
        strike(2_000, "192.0.2.8", "tcp/22", false),
        strike(2_100, "192.0.2.8", "tcp/7431", false),
        strike(2_200, "192.0.2.8", "tcp/9", false),
        strike(2_300, "192.0.2.8", "tcp/22", true),
        // The grant has ended.
        strike(32_000, CLIENT, "tcp/22", true),
    ];
    assert_eq!(strikes, expected);
    assert_eq!((report.bans, report.frames, report.judged), (2, 13, 13));
    let (first, deeds) = report.sources[0];
    assert_eq!((first.to_string().as_str(), deeds.opened, deeds.knocks), (CLIENT, 1, 3));
    let other = report.sources.iter().find(|(source, _)| source.to_string() == "192.0.2.8");
    let (_, deeds) = other.unwrap();
    assert_eq!(deeds.furthest, Some((1, DoorId(0), 2_100 * MILLI)));
    assert_eq!((deeds.lost, deeds.strikes, deeds.banned), (1, 4, Some(2_300 * MILLI)));
}

#[test]
fn guarded_port_of_another_door_is_refused_and_ends_an_attempt() {
    let doors = format!(
        "{DOORS}\n[door.web]\nguards = [\"tcp/8080\"]\nsequence = [\"tcp/1009\", \"tcp/4001\", \
         \"tcp/2003\"]\n"
    )
    .replace("strikes = 4", "strikes = 100");
    let at = |ports: &[&str]| {
        let report = replay_with(&doors, Settings::default(), &knocks(0, CLIENT, ports));
        let why =
            report.strikes.iter().map(|strike| (strike.port.unwrap().to_string(), strike.why));
        let refused = why.filter(|(_, why)| *why != Why::Closed).collect::<Vec<_>>();
        (report.opened, report.sources[0].1.lost, refused)
    };
    let [ssh, web] = ["tcp/22", "tcp/8080"].map(str::to_owned);
    let (first, rest) = RIGHT.split_at(1);
    let knock = |port| [first, &[port], rest].concat();
    assert_eq!(at(&knock("tcp/22")), (1, 0, vec![(ssh, Why::Refused(DoorId(0)))]));
    assert_eq!(at(&knock("tcp/8080")), (0, 1, vec![(web, Why::Refused(DoorId(1)))]));
    // With a grant it is neither.
    let other = ["tcp/1009", "tcp/4001", "tcp/2003"];
    assert_eq!(at(&[&other[..], &knock("tcp/8080")].concat()), (2, 0, vec![]));
}

#[test]
fn answers_to_the_hosts_own_datagrams_are_no_wrong_knocks() {
    let mut frames = knocks(0, CLIENT, &["tcp/7431"]);
    frames.push(raw(10, HOST, CLIENT, "rst/40000"));
    let mut asked = made(HOST, CLIENT, "udp/40000");
    if let portcullis_lab::packet::Payload::Udp { source, .. } = &mut asked.payload {
        *source = 5353;
    }
    let bytes = asked.to_bytes();
    frames.push((Some(20), RAW, bytes.clone(), bytes.len()));
    frames.push(raw(30, CLIENT, HOST, "udp/5353"));
    frames.extend(knocks(100, CLIENT, &RIGHT[1..]));
    assert_eq!(opened(&replay(&frames)).len(), 1);
    // Were it not known who is the host, the answer would be a wrong port.
    frames.remove(2);
    assert_eq!(opened(&replay(&frames)).len(), 0);
}

#[test]
fn late_knocks_open_nothing_whatever_the_clock_does() {
    let at = |times: [u64; 3]| {
        let frames = times.iter().zip(RIGHT).map(|(&time, port)| raw(time, CLIENT, HOST, port));
        replay(&frames.collect::<Vec<_>>())
    };
    assert_eq!(at([0, 4_999, 9_998]).opened, 1);
    let late = at([0, 5_000, 5_100]);
    assert_eq!((late.opened, late.sources[0].1.late), (0, 1));
    // A little out of order.
    let odd = at([1_000, 900, 1_100]);
    assert_eq!((odd.opened, odd.oddities.out_of_order), (1, 1));
    // Set back by an hour in between: what was going on goes on, and its time too.
    let hour = 3_600_000;
    assert_eq!(at([hour, 100, 200]).oddities.back, 1);
    assert_eq!(at([hour, 100, 200]).opened, 1);
    assert_eq!(at([hour, 100, 5_100]).opened, 0);
    let day = at([0, 100, 25 * hour]);
    assert_eq!((day.opened, day.oddities.forward), (0, 1));
    // Without times all are at one.
    let frames: Vec<Frame> =
        knocks(0, CLIENT, &RIGHT).into_iter().map(|(_, k, b, l)| (None, k, b, l)).collect();
    let report = replay(&frames);
    assert_eq!((report.opened, report.oddities.untimed), (1, 3));
}

/// Behind an Ethernet header, with a tag if there is one.
fn ethernet(frame: &Frame, tag: Option<u16>, group: bool) -> Frame {
    let mut header = vec![if group { 0xff } else { 2 }, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if let Some(tag) = tag {
        header.extend([0x81, 0]);
        header.extend(tag.to_be_bytes());
    }
    header.extend([8, 0]);
    header.extend(&frame.2);
    (frame.0, ETHERNET, header.clone(), header.len())
}

#[test]
fn tags_groups_cuts_and_other_links_are_told() {
    let plain = knocks(0, CLIENT, &RIGHT);
    let with = |tag, group| -> Vec<Frame> {
        plain.iter().map(|frame| ethernet(frame, tag, group)).collect()
    };
    for tag in [None, Some(0xe000), Some(42)] {
        let report = replay(&with(tag, false));
        assert_eq!((report.opened, report.tagged), (1, if tag == Some(42) { 3 } else { 0 }));
        let settings = Settings { untagged: true, ..Settings::default() };
        let report = replay_with(DOORS, settings, &with(tag, false));
        let ignored = if tag == Some(42) { 3 } else { 0 };
        assert_eq!((report.opened, report.tagged_ignored), (u64::from(ignored == 0), ignored));
    }
    let report = replay(&with(None, true));
    assert_eq!((report.opened, report.not_for_host), (0, 3));

    // 20 bytes of TCP and 8 of UDP are enough.
    let cut = |length: usize| -> Vec<Frame> {
        let frames = plain.iter().cloned();
        frames.map(|(t, k, b, l)| (t, k, b[..length.min(b.len())].to_vec(), l)).collect()
    };
    assert_eq!(replay(&cut(40)).opened, 1);
    let report = replay(&cut(24));
    assert_eq!((report.opened, report.cut, report.broken), (0, 3, 0));
    let mut broken = plain.clone();
    broken[0].2[0] = 0x44;
    assert_eq!(replay(&broken).broken, 1);

    let unread: Vec<Frame> =
        plain.iter().cloned().map(|(t, _, b, l)| (t, Kind::Unread(105), b, l)).collect();
    let report = replay(&unread);
    assert_eq!((report.judged, report.unread.get(&105)), (0, Some(&3)));
}

#[test]
fn a_wrong_checksum_is_no_knock_unless_it_is_cut_off_or_not_filled_in_yet() {
    let plain = knocks(0, CLIENT, &RIGHT);
    let mut wrong = plain.clone();
    wrong[2].2[37] ^= 1;
    let report = replay(&wrong);
    assert_eq!((report.opened, report.broken), (0, 1));
    // As a sending Linux leaves it to the card: the sum of 192.0.2.7, 198.51.100.1, protocol 6 and
    // length 20 (RFC 9293, section 3.1).
    let mut partial = plain.clone();
    partial[2].2[36..38].copy_from_slice(&[0xec, 0x56]);
    assert_eq!(replay(&partial).opened, 1);
}

#[test]
fn a_packet_with_options_is_no_knock() {
    let mut frames = knocks(0, CLIENT, &RIGHT);
    let mut packet = made(CLIENT, HOST, "udp/29117");
    packet.ip_options = vec![1; 4];
    frames[1].2 = packet.to_bytes();
    frames[1].3 = frames[1].2.len();
    let report = replay(&frames);
    assert_eq!((report.opened, report.extended), (0, 1));
}

#[test]
fn a_host_that_is_named_is_the_only_one() {
    let frames = knocks(0, CLIENT, &RIGHT);
    for (host, opened) in [(HOST, 1), ("198.51.100.9", 0)] {
        let settings = Settings { host: vec![host.parse().unwrap()], ..Settings::default() };
        let report = replay_with(DOORS, settings, &frames);
        assert_eq!((report.opened, report.not_for_host), (opened, 3 * (1 - opened)));
    }
}

#[test]
fn cooked_frames_say_where_they_were_going() {
    // Packet type, ARPHRD_ETHER or loopback, an address of 6 bytes, IPv4.
    let cooked = |kind: u8, device: u16| -> Vec<Frame> {
        let header = |bytes: Vec<u8>| {
            let device = device.to_be_bytes();
            [&[0, kind][..], &device, &[0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], &bytes].concat()
        };
        let frames = knocks(0, CLIENT, &RIGHT).into_iter();
        frames
            .map(|(t, _, b, _)| {
                let bytes = header(b);
                (t, Kind::Read(Link::Cooked, 0), bytes.clone(), bytes.len())
            })
            .collect()
    };
    assert_eq!(replay(&cooked(0, 1)).opened, 1);
    // A broadcast, for another host, from this one, loopback.
    for (kind, device) in [(1, 1), (3, 1), (4, 1), (0, 772)] {
        assert_eq!(replay(&cooked(kind, device)).opened, 0, "{kind} {device}");
    }
}

#[test]
fn each_recogniser_knows_its_own_doors() {
    // To the daemon the knocks at `kernel` are wrong ports, and the other way round.
    let doors = r#"
        [door.kernel]
        guards = ["tcp/22"]
        sequence = ["tcp/7431", "tcp/29117", "tcp/1123"]
        recogniser = "kernel"
        [door.daemon]
        guards = ["tcp/23"]
        sequence = ["tcp/1009", "tcp/4001", "tcp/2003"]
        recogniser = "daemon"
    "#;
    let of = |ports: &[&str]| {
        let report = replay_with(doors, Settings::default(), &knocks(0, CLIENT, ports));
        report.openings.iter().map(|opening| opening.door.0).collect::<Vec<_>>()
    };
    let (kernel, daemon) =
        (["tcp/7431", "tcp/29117", "tcp/1123"], ["tcp/1009", "tcp/4001", "tcp/2003"]);
    assert_eq!(of(&kernel), [0]);
    assert_eq!(of(&daemon), [1]);
    assert_eq!(of(&[kernel, daemon].concat()), [0, 1]);
    assert_eq!(of(&["tcp/7431", "tcp/1009", "tcp/29117"]), [0; 0]);
}

/// The sample that finds the host does not make a capture's memory grow, and what comes after it is
/// judged as what came before.
#[test]
fn a_long_capture_is_judged_from_its_first_packet_to_its_last() {
    let mut frames = knocks(0, CLIENT, &RIGHT);
    let other = raw(1_000, "192.0.2.9", HOST, "tcp/81");
    frames.extend(std::iter::repeat_n(other, SAMPLE));
    frames.extend(knocks(2_000, CLIENT, &RIGHT));
    let report = replay(&frames);
    assert_eq!(opened(&report), [(200, CLIENT.to_owned()), (2_200, CLIENT.to_owned())]);
}
