//! Random packets from several sources, with the time between them.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::policy::{Policy, Port, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::policies::{self, GUARDS, PUBLIC, port};

/// A packet that comes so long after the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The time between.
    pub after: Duration,
    /// Who sends it: a number below the length of [`SOURCES`].
    pub source: usize,
    /// What it is.
    pub what: What,
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A bare SYN or a datagram.
    New(Port),
    /// A bare SYN to port 0.
    Zero,
    /// A TCP segment with other flags.
    Segment(u16, u8),
    /// The first fragment of a datagram to this port.
    Fragment(u16),
    /// An ICMP message.
    Icmp,
    /// A datagram that was sent to everyone.
    Broadcast(u16),
    /// A datagram to this port that answers one from there.
    Answer(u16),
}

/// Who sends: two IPv4 and two IPv6 addresses.
pub const SOURCES: [&str; 4] = ["198.51.100.7", "198.51.100.8", "2001:db8::7", "2001:db8:1::7"];

/// The addresses of the host.
pub const HOST: [&str; 2] = ["198.51.100.1", "2001:db8::1"];

impl Event {
    /// The address that it comes from.
    pub fn source(&self) -> IpAddr {
        SOURCES[self.source].parse().expect("an address")
    }

    /// The host's address of the same family.
    pub fn destination(&self) -> IpAddr {
        HOST[usize::from(self.source().is_ipv6())].parse().expect("an address")
    }
}

/// A script for this policy: much of it is honest knocking, with all sorts of things in between.
pub fn script(policy: &Policy) -> impl Strategy<Value = Vec<Event>> + use<> {
    let sequences: Vec<Vec<Port>> = policy.doors.iter().map(|door| door.sequence.clone()).collect();
    let honest = match sequences.is_empty() {
        true => Just(Vec::new()).boxed(),
        false => select(sequences).boxed(),
    };
    let knock = honest.prop_map(|sequence| sequence.into_iter().map(What::New).collect::<Vec<_>>());
    let knock = knock.boxed();
    let tcp_or_udp = select(vec![Protocol::Tcp, Protocol::Udp]);
    let guarded = (tcp_or_udp, select([&GUARDS[..], &PUBLIC[..]].concat()));
    let guarded = guarded.prop_map(|(protocol, number)| What::New(port(protocol, number)));
    let number = || select(policies::KNOCKS.to_vec());
    // SYN alone is the one that must not be drawn here.
    let flags = select(vec![0x00u8, 0x01, 0x03, 0x04, 0x06, 0x10, 0x11, 0x12, 0x14, 0x18, 0x29]);
    let one = prop_oneof![
        6 => policies::knock().prop_map(What::New),
        2 => guarded.clone(),
        1 => Just(What::Zero),
        2 => (number(), flags).prop_map(|(number, flags)| What::Segment(number, flags)),
        1 => number().prop_map(What::Fragment),
        1 => Just(What::Icmp),
        1 => number().prop_map(What::Broadcast),
        1 => number().prop_map(What::Answer),
    ];
    // A knock that comes again later, and a guarded or public port between knocks.
    let again = (knock.clone(), 0..6usize, 0..6usize).prop_map(|(mut sequence, which, place)| {
        let at = place.min(sequence.len());
        let made = sequence.get(which.min(at.saturating_sub(1))).copied();
        sequence.splice(at..at, made);
        sequence
    });
    let between = (knock.clone(), guarded, 0..6usize).prop_map(|(mut sequence, what, place)| {
        sequence.insert(place.min(sequence.len()), what);
        sequence
    });
    let one = one.prop_map(|what| vec![what]);
    let piece = prop_oneof![3 => knock, 2 => one, 2 => again, 2 => between];
    // Mostly at once; now and then just before, at and after a deadline, or much later.
    let after = prop_oneof![
        10 => Just(0u64),
        3 => Just(100),
        4 => select(vec![400u64, 700, 999, 1_000, 1_001, 1_500, 1_999, 2_000, 4_999, 5_000, 30_000]),
    ];
    let source = prop_oneof![3 => Just(0usize), 1 => 0..SOURCES.len()];
    vec((piece, source, vec(after, 6)), 1..30).prop_map(|pieces| {
        let pieces = pieces.into_iter().flat_map(|(piece, source, after)| {
            piece.into_iter().zip(after).map(move |(what, after)| Event {
                after: Duration::from_millis(after),
                source,
                what,
            })
        });
        pieces.collect()
    })
}
