//! Random doors, and packets to try them on.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::knockd::{Door, FlagFilter};
use portcullis_core::policy::{Port, Protocol};
use portcullis_core::wire::{Packet, Segment, TcpFlags};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Who knocks; the last ones can be nobody.
pub const SOURCES: [&str; 7] = [
    "192.0.2.7",
    "192.0.2.8",
    "2001:db8::7",
    "127.0.0.1",
    "::ffff:192.0.2.7",
    "255.255.255.255",
    "ff02::1",
];

/// The addresses of the host. The first two are targets too; the last one only after a change.
pub const HOST: [&str; 4] = ["198.51.100.1", "2001:db8::1", "198.51.100.2", "198.51.100.3"];

/// A target that is no address of the host, and an address that is nothing.
pub const ELSEWHERE: [&str; 2] = ["198.51.100.9", "198.51.100.10"];

/// The addresses of the host: of the first so many of [`HOST`].
pub fn host(count: usize) -> Vec<IpAddr> {
    HOST.iter().take(count).map(|text| text.parse().expect("an address")).collect()
}

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Happening {
    /// A packet comes.
    Packet(Packet),
    /// The time is looked at.
    Look,
    /// There are other doors now.
    Doors(Vec<Door>),
    /// The host has so many addresses now.
    Host(usize),
}

/// Doors that have much in common: few ports, shared beginnings, the same door twice.
pub fn doors() -> impl Strategy<Value = Vec<Door>> {
    vec((door(), any::<Index>(), 0usize..6), 1..7).prop_map(|drawn| {
        let mut doors: Vec<Door> = Vec::new();
        for (mut door, other, shared) in drawn {
            if !doors.is_empty() && shared > 0 {
                let other = other.get(&doors);
                let beginning = other.sequence.iter().copied().take(shared);
                door.sequence = beginning.chain(door.sequence).take(5).collect();
                if shared == 5 {
                    door = other.clone();
                }
            }
            doors.push(door);
        }
        doors
    })
}

fn door() -> impl Strategy<Value = Door> {
    let filter = |set: u8, clear: u8| FlagFilter {
        set: TcpFlags::from_bits(set),
        clear: TcpFlags::from_bits(clear),
    };
    let flags = select(vec![
        filter(0x02, 0),
        filter(0x02, 0),
        filter(0, 0),
        filter(0x02, 0x10),
        filter(0x10, 0),
    ]);
    let timeout = select(vec![0u64, 1_000, 1_000, 2_000, 2_000, 2_000, 5_000, u64::MAX]);
    let target = prop_oneof![
        4 => Just(None),
        1 => select(vec![HOST[0], HOST[1], ELSEWHERE[0]]).prop_map(Some),
    ];
    let sequence = prop_oneof![30 => vec(port(), 1..4), 1 => vec(port(), 0), 1 => vec(port(), 33)];
    let once = prop::bool::weighted(0.2);
    (sequence, flags, timeout, target, once).prop_map(|(sequence, flags, millis, target, once)| {
        let target = target.map(|text| text.parse().expect("an address"));
        Door { sequence, flags, timeout: Duration::from_millis(millis), target, once }
    })
}

fn port() -> impl Strategy<Value = Port> {
    let tcp = (1u16..5).prop_map(|number| Port::tcp(number).expect("not 0"));
    let udp = (1u16..3).prop_map(|number| Port::udp(number).expect("not 0"));
    prop_oneof![3 => tcp, 1 => udp]
}

/// A script for these doors, with the time before each thing: much of it is honest knocking, with all
/// sorts of things in between.
pub fn script(doors: &[Door]) -> impl Strategy<Value = Vec<(Duration, Happening)>> + use<> {
    let honest = (select(doors.to_vec()), syn(), source(), 0..HOST.len()).prop_map(
        |(door, flags, source, at)| {
            let destination = door.target.unwrap_or_else(|| HOST[at].parse().expect("an address"));
            let knock = |(port, sequence): (&Port, u32)| {
                let segment = segment(port.protocol, port.number.get(), sequence, flags);
                Happening::Packet(Packet { source, destination, segment })
            };
            door.sequence.iter().zip(100..).map(knock).collect::<Vec<_>>()
        },
    );
    let one = packet().prop_map(|packet| vec![Happening::Packet(packet)]);
    // The same doors, but for one that goes, one that comes, and one that has another timeout.
    let other = (vec(any::<Index>(), 0..6), doors_again(doors), any::<bool>());
    let other = other.prop_map(|(places, mut doors, later)| {
        for (place, nth) in places.iter().zip(0..) {
            let at = place.index(doors.len());
            match nth % 3 {
                0 => doors.swap(0, at),
                1 if doors.len() > 1 => drop(doors.remove(at)),
                _ if later => doors[at].timeout += Duration::from_secs(1),
                _ => doors.insert(at, doors[at].clone()),
            }
        }
        vec![Happening::Doors(doors)]
    });
    let piece = prop_oneof![
        8 => honest,
        8 => one,
        // One after the other from the same source, to the same address: a sweep.
        1 => (packet(), vec(segments(), 3..9)).prop_map(|(packet, segments)| {
            let packets = segments.into_iter().map(|segment| Packet { segment, ..packet });
            packets.map(Happening::Packet).collect()
        }),
        1 => Just(vec![Happening::Look]),
        1 => other,
        1 => (0..=HOST.len()).prop_map(|count| vec![Happening::Host(count)]),
    ];
    // Mostly at once; now and then just before, at and after a deadline, or much later.
    let after = prop_oneof![
        12 => Just(0u64),
        3 => Just(100),
        4 => select(vec![500u64, 999, 1_000, 1_001, 1_500, 2_000, 4_999, 5_000, 30_000]),
    ];
    let twice = prop::bool::weighted(0.1);
    let pieces = vec((piece, vec((after, twice), 12)), 1..25);
    (pieces, any::<bool>()).prop_map(|(pieces, interleaved)| {
        let mut lines: Vec<Vec<(Duration, Happening)>> = Vec::new();
        for (piece, times) in pieces {
            let mut line = Vec::new();
            for (happening, (after, twice)) in piece.into_iter().zip(times) {
                let after = Duration::from_millis(after);
                if twice {
                    line.push((Duration::ZERO, happening.clone()));
                }
                line.push((after, happening));
            }
            lines.push(line);
        }
        if !interleaved {
            return lines.concat();
        }
        // Two at a time: one of each in turn.
        let mut mixed = Vec::new();
        for pair in lines.chunks(2) {
            let longest = pair.iter().map(Vec::len).max().unwrap_or(0);
            for at in 0..longest {
                mixed.extend(pair.iter().filter_map(|line| line.get(at).cloned()));
            }
        }
        mixed
    })
}

/// The same doors, or others.
fn doors_again(same: &[Door]) -> impl Strategy<Value = Vec<Door>> + use<> {
    prop_oneof![4 => Just(same.to_vec()), 1 => doors()]
}

fn source() -> impl Strategy<Value = IpAddr> {
    let index = prop_oneof![6 => Just(0usize), 3 => 1..3usize, 1 => 3..SOURCES.len()];
    index.prop_map(|index| SOURCES[index].parse().expect("an address"))
}

fn syn() -> impl Strategy<Value = u8> {
    select(vec![0x02u8, 0x02, 0x02, 0x12])
}

fn segment(protocol: Protocol, destination_port: u16, sequence: u32, flags: u8) -> Segment {
    let source_port = 40_000;
    match protocol {
        Protocol::Tcp => {
            let flags = TcpFlags::from_bits(flags);
            Segment::Tcp { source_port, destination_port, sequence, flags }
        }
        Protocol::Udp => Segment::Udp { source_port, destination_port },
    }
}

/// A packet to a port of some door, or to one of none.
pub fn packet() -> impl Strategy<Value = Packet> {
    let all = [&HOST[..], &ELSEWHERE].concat();
    let destination = prop_oneof![3 => Just(HOST[0]), 2 => select(all)];
    (source(), destination, segments()).prop_map(|(source, destination, segment)| {
        let destination = destination.parse().expect("an address");
        Packet { source, destination, segment }
    })
}

fn segments() -> impl Strategy<Value = Segment> {
    let protocol = || prop_oneof![3 => Just(Protocol::Tcp), 1 => Just(Protocol::Udp)];
    let number = prop_oneof![5 => 1u16..6, 4 => 20u16..28, 1 => Just(0u16)];
    let flags = prop_oneof![4 => syn(), 1 => select(vec![0x00u8, 0x04, 0x10, 0x18, 0x29])];
    prop_oneof![
        20 => (protocol(), number, 0u32..4, flags)
            .prop_map(|(protocol, number, sequence, flags)| segment(protocol, number, sequence, flags)),
        1 => select(vec![Segment::Fragment, Segment::Other(1)]),
    ]
}
