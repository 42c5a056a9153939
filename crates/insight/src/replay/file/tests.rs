//! Captures of every kind, whole, broken, and cut at every byte.

use std::fmt::Write as _;
use std::io::{Read, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use portcullis_core::policy::InterfaceName;
use portcullis_core::wire::Link;

use super::link::{Place, Places, Way};
use super::*;

/// Bytes in one of both orders.
#[derive(Clone, Copy)]
struct Order(bool);

impl Order {
    fn u16(self, number: u16) -> [u8; 2] {
        if self.0 { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        if self.0 { number.to_be_bytes() } else { number.to_le_bytes() }
    }
}

const ORDERS: [Order; 2] = [Order(true), Order(false)];

/// A pcap file with these frames, each with its seconds and the smaller part.
fn pcap(order: Order, magic: u32, link: u32, frames: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let mut file = order.u32(magic).to_vec();
    file.extend([order.u16(2), order.u16(4)].concat());
    file.extend([0, 0, 65_535, link].map(|number| order.u32(number)).concat());
    for (seconds, part, bytes) in frames {
        let (length, wire) = (bytes.len() as u32, bytes.len() as u32 + 7);
        file.extend([*seconds, *part, length, wire].map(|number| order.u32(number)).concat());
        file.extend(*bytes);
    }
    file
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = order.u32(body.len() as u32 + 12);
    [&order.u32(kind)[..], &length, &body, &length].concat()
}

fn section(order: Order) -> Vec<u8> {
    let body = [&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &[0xff; 8]].concat();
    block(order, 0x0a0d_0d0a, &body)
}

fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [order.u16(code), order.u16(value.len() as u16)].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn interface(order: Order, link: u16, options: &[Vec<u8>]) -> Vec<u8> {
    let head = [&order.u16(link)[..], &[0; 2], &order.u32(65_535)].concat();
    let end = if options.is_empty() { vec![] } else { vec![0; 4] };
    block(order, 1, &[head, options.concat(), end].concat())
}

fn enhanced(order: Order, number: u32, time: u64, bytes: &[u8], options: &[Vec<u8>]) -> Vec<u8> {
    let length = bytes.len() as u32;
    let numbers = [number, (time >> 32) as u32, time as u32, length, length];
    let mut body = numbers.map(|number| order.u32(number)).concat();
    body.extend(bytes);
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(options.concat());
    block(order, 6, &body)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A record without its lifetime: time, kind, place, way, bytes.
type Seen = (Option<u64>, Kind, Place, Option<Way>, Vec<u8>);

fn read_with(bytes: &[u8], places: Places) -> (Vec<Seen>, String) {
    let mut seen = Vec::new();
    let mut capture = match Capture::open(Box::new(bytes), places) {
        Ok(capture) => capture,
        Err(error) => return (seen, format!("no capture: {error}")),
    };
    loop {
        match capture.record() {
            Ok(Some(record)) => {
                let Record { time, kind, place, way, bytes, .. } = record;
                seen.push((time, kind, place, way, bytes.to_vec()));
            }
            Ok(None) => return (seen, String::new()),
            Err(damage) => return (seen, damage.to_string()),
        }
    }
}

fn read(bytes: &[u8]) -> (Vec<Seen>, String) {
    read_with(bytes, Places::default())
}

const SECOND: u64 = 1_000_000_000;
const ETHERNET: Kind = Kind::Read(Link::Ethernet, 0);

#[test]
fn pcap_in_both_orders_and_both_resolutions() {
    for order in ORDERS {
        for (magic, nanos) in [(0xa1b2_c3d4, 5_000), (0xa1b2_3c4d, 5)] {
            // The upper half says that four bytes of checksum follow.
            let file = pcap(order, magic, 0x4400_0001, &[(7, 5, b"one"), (8, 0, b"")]);
            let (seen, end) = read(&file);
            assert_eq!(end, "");
            let one = (Some(7 * SECOND + nanos), ETHERNET, Place::Gate, None, b"one".to_vec());
            assert_eq!(seen, [one, (Some(8 * SECOND), ETHERNET, Place::Gate, None, vec![])]);
        }
    }
}

#[test]
fn links_are_known_by_number() {
    for (number, kind) in [
        (1, Kind::Read(Link::Ethernet, 0)),
        (113, Kind::Read(Link::Cooked, 0)),
        (276, Kind::Read(Link::CookedV2, 0)),
        (101, Kind::Read(Link::Raw, 0)),
        (229, Kind::Read(Link::Raw, 0)),
        (0, Kind::Read(Link::Raw, 4)),
        (105, Kind::Unread(105)),
    ] {
        let (seen, _) = read(&pcap(Order(true), 0xa1b2_c3d4, number, &[(1, 0, b"x")]));
        assert_eq!(seen[0].1, kind, "{number}");
    }
}

/// Two sections of different byte orders, with interfaces of different links and resolutions, and all
/// blocks that there are.
fn every_block() -> Vec<u8> {
    let (big, little) = (Order(true), Order(false));
    let resolution = |order, value: u8| option(order, 9, &[value]);
    let offset = option(big, 14, &100u64.to_be_bytes());
    let flags = |order: Order, flags| option(order, 2, &order.u32(flags));
    let comment = option(big, 1, b"a comment");
    let length = |number: u32| big.u32(number).to_vec();
    [
        section(big),
        interface(big, 1, &[]),
        interface(big, 101, &[option(big, 2, b"eth1"), resolution(big, 9), offset]),
        interface(big, 113, &[option(big, 2, b"lo\0"), resolution(big, 0x80 | 10)]),
        interface(big, 105, &[]),
        enhanced(big, 0, 1_000_000, b"micros", &[comment, flags(big, 0b01)]),
        enhanced(big, 1, 5, b"nanos", &[flags(big, 0b10)]),
        enhanced(big, 2, 1_536, b"binary", &[flags(big, 0b1001)]),
        enhanced(big, 3, 1_000_000, b"unread", &[]),
        enhanced(big, 4, 1_000_000, b"of no interface", &[]),
        // An interface's counts, names of hosts, something of somebody else's.
        block(big, 5, &[0; 12]),
        block(big, 4, &[0; 4]),
        block(big, 0xbad, &[0; 100]),
        // Without a time.
        block(big, 3, &[length(6), b"simple".to_vec()].concat()),
        // Obsolete: interface 0, 9 drops, time, lengths.
        block(
            big,
            2,
            &[length(9), length(0), length(2_000_000), length(3), length(3), b"old".to_vec()]
                .concat(),
        ),
        section(little),
        interface(little, 276, &[resolution(little, 3)]),
        enhanced(little, 0, 3_000, b"little", &[flags(little, 0)]),
    ]
    .concat()
}

#[test]
fn pcapng_of_several_sections_and_interfaces() {
    let (seen, end) = read(&every_block());
    assert_eq!(end, "");
    let raw = Kind::Read(Link::Raw, 0);
    let cooked = Kind::Read(Link::Cooked, 0);
    let expected = [
        (Some(SECOND), ETHERNET, Place::Gate, Some(Way::In), "micros"),
        (Some(100 * SECOND + 5), raw, Place::Gate, Some(Way::Out), "nanos"),
        (Some(3 * SECOND / 2), cooked, Place::Elsewhere, Some(Way::Past), "binary"),
        (Some(SECOND), Kind::Unread(105), Place::Gate, None, "unread"),
        (Some(SECOND), Kind::Unread(u16::MAX), Place::Gate, None, "of no interface"),
        (None, ETHERNET, Place::Gate, None, "simple"),
        (Some(2 * SECOND), ETHERNET, Place::Gate, None, "old"),
        (Some(3 * SECOND), Kind::Read(Link::CookedV2, 0), Place::Gate, None, "little"),
    ];
    let expected = expected
        .map(|(time, kind, place, way, bytes)| (time, kind, place, way, bytes.as_bytes().to_vec()));
    assert_eq!(seen, expected);
    let gate = vec![InterfaceName::new("eth0").unwrap()];
    let (seen, _) = read_with(&every_block(), Places { gate, ..Places::default() });
    assert_eq!(seen[1].2, Place::Elsewhere);
}

#[test]
fn gzip_is_read_also_in_pieces_and_twice() {
    let file = every_block();
    let (half, rest) = file.split_at(file.len() / 2);
    for compressed in [gzip(&file), gzip(&gzip(&file)), [gzip(half), gzip(rest)].concat()] {
        assert_eq!(read(&compressed), read(&file));
    }
}

/// Cut at any byte, what was whole is still read, and it is said that something is missing.
#[test]
fn what_is_cut_off_is_read_up_to_there() {
    let one = pcap(Order(false), 0xa1b2_c3d4, 1, &[(1, 0, b"one"), (2, 0, b"two")]);
    for file in [one, every_block()] {
        let (whole, _) = read(&file);
        let mut before = 0;
        for length in 0..file.len() {
            let (seen, end) = read(&file[..length]);
            assert!(whole.starts_with(&seen), "{length}");
            assert!(seen.len() >= before, "{length}");
            before = seen.len();
            let between = end.is_empty();
            let said = end.contains("cut off") || end.contains("no capture: it ");
            assert!(between || said, "{length}: {end}");
        }
        assert_eq!(before, whole.len() - 1);
        // The same when it was compressed, and when what was compressed is cut.
        let compressed = gzip(&file);
        for length in 3..compressed.len() {
            let (seen, end) = read(&compressed[..length]);
            assert!(whole.starts_with(&seen) && !end.is_empty(), "{length}");
        }
    }
}

#[test]
fn what_is_no_capture_is_said() {
    let mut long = b"zstd".to_vec();
    long.extend([0; 100]);
    let mut old = pcap(Order(true), 0xa1b2_c3d4, 1, &[]);
    old[5] = 3;
    for (bytes, expected) in [
        (&b""[..], "it is empty"),
        (b"\xa1\xb2", "it ends inside its header"),
        (b"\xa1\xb2\xc3\xd4\0\x02", "it ends inside its header"),
        (b"\x0a\x0d\x0d\x0a\0\0", "it ends inside its header"),
        (b"\x0a\x0d\x0d\x0aabcdefghijkl", "it is not pcap or pcapng"),
        (b"\x28\xb5\x2f\xfd....", "it is compressed with zstd"),
        (b"\xfd7zXZ\0..", "it is compressed with xz"),
        (b"BZh91AY&", "it is compressed with bzip2"),
        (b"snoop\0\0\0\0\0\0\x02", "it is a capture of snoop"),
        (b"#!/bin/sh\n", "it is not pcap or pcapng"),
        (&old, "it has the unknown version 3.4"),
        (&long, "it is not pcap or pcapng"),
        (&gzip(b"text"), "it is not pcap or pcapng"),
        (&gzip(b""), "it is empty"),
        (b"\x1f\x8b\x08", "it ends inside its header"),
    ] {
        let (seen, end) = read(bytes);
        assert!(seen.is_empty());
        assert!(end.starts_with(&format!("no capture: {expected}")), "{end}: {expected}");
    }
}

#[test]
fn lengths_that_cannot_be_are_damage() {
    let order = Order(true);
    let good = pcap(order, 0xa1b2_c3d4, 1, &[(1, 0, b"one")]);
    let mut huge = good.clone();
    huge.extend([1, 0, MAX_FRAME + 1, 9].map(|number| order.u32(number)).concat());
    let section = section(order);
    let mut unequal = block(order, 5, &[0; 8]);
    *unequal.last_mut().unwrap() += 4;
    let start = [section.clone(), interface(order, 1, &[]), enhanced(order, 0, 1, b"x", &[])];
    let start = start.concat();
    let with = |more: &[u8]| [&start[..], more].concat();
    let length = |number: u32| [order.u32(6), order.u32(number)].concat();
    let lie = [0, 0, 0, 1_000, 1_000].map(|number| order.u32(number)).concat();
    for (file, expected) in [
        (huge, "a frame has an impossible length"),
        (with(&unequal), "the two lengths of a block differ"),
        (with(&length(7)), "a block has an impossible length"),
        (with(&length(8)), "a block has an impossible length"),
        (with(&length(0xffff_fffc)), "a block is too long"),
        (with(&block(order, 6, &[0; 8])), "a block is too short"),
        (with(&block(order, 1, &[0; 4])), "a block is too short"),
        (with(&block(order, 6, &lie)), "a block is too short"),
        (
            with(&enhanced(order, 0, 1, &vec![0; MAX_FRAME as usize + 4], &[])),
            "a frame is too long",
        ),
    ] {
        let (seen, end) = read(&file);
        assert_eq!((seen.len(), end), (1, format!("it is damaged: {expected}")));
    }
}

/// A stream without end does not make the window grow: it is read frame by frame.
#[test]
fn a_long_stream_is_read_in_little_room() {
    let start = pcap(Order(false), 0xa1b2_c3d4, 1, &[]);
    let frame = pcap(Order(false), 0xa1b2_c3d4, 1, &[(1, 0, &[7; 1_000])]).split_off(24);
    let frames = 20_000;
    let mut left = frames;
    let mut stream: Box<dyn Read> = Box::new(std::io::Cursor::new(start));
    while left > 0 {
        stream = Box::new(stream.chain(std::io::Cursor::new(frame.repeat(2_000))));
        left -= 2_000;
    }
    let mut capture = Capture::open(stream, Places::default()).unwrap();
    let mut seen = 0;
    while let Some(record) = capture.record().unwrap() {
        assert_eq!(record.bytes, [7; 1_000]);
        seen += 1;
    }
    assert_eq!((seen, capture.passed()), (frames, 24 + frames as u64 * 1_016));
}

#[test]
fn sentences_name_what_is_wrong() {
    let mut all = String::new();
    for error in [NoCapture::Empty, NoCapture::Compressed("xz"), NoCapture::Version(3, 4)] {
        writeln!(all, "{error}: {}", error.hint().unwrap()).unwrap();
    }
    assert_eq!(
        all,
        "it is empty: write one with `tcpdump -i eth0 -w FILE`\n\
         it is compressed with xz; only gzip can be read: decompress it: `xz -dc FILE | portcullis replay -`\n\
         it has the unknown version 3.4: convert it: `editcap -F pcap FILE NEW.pcap`\n"
    );
}

/// `fuzz/seeds/capture/`; `PORTCULLIS_BLESS=1` writes it anew.
#[test]
fn seeds_are_as_committed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/capture");
    let raw = portcullis_lab::packet::Packet::syn(
        "192.0.2.7:40000".parse().unwrap(),
        "198.51.100.1:7431".parse().unwrap(),
    );
    let raw = raw.to_bytes();
    let frames: &[(u32, u32, &[u8])] = &[(7, 5, &raw), (6, 9, &raw[..30])];
    for (name, bytes) in [
        ("little.pcap", pcap(Order(false), 0xa1b2_c3d4, 101, frames)),
        ("big-nanos.pcap", pcap(Order(true), 0xa1b2_3c4d, 101, frames)),
        ("blocks.pcapng", every_block()),
        ("blocks.pcapng.gz", gzip(&every_block())),
    ] {
        let path = format!("{folder}/{name}");
        if std::env::var_os("PORTCULLIS_BLESS").is_some() {
            std::fs::write(&path, &bytes).unwrap();
        }
        let committed = std::fs::read(&path).unwrap();
        // What is compressed differs from one version of the library to the next.
        assert!(committed == bytes || name.ends_with(".gz"), "{name}");
    }
}
