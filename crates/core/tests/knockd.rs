//! The recogniser of the drop-in for knockd against its model, against sweeps, and under a flood.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use portcullis_core::knockd::{Door, Event, FlagFilter, KnockdEngine, Options};
use portcullis_core::policy::Port;
use portcullis_core::time::Instant;
use portcullis_core::wire::{Packet, Segment, TcpFlags};
use portcullis_testkit::knockd;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_matcher_means_what_the_model_means(
        (doors, script) in knockd::doors().prop_flat_map(|doors| {
            let script = knockd::script(&doors);
            (Just(doors), script)
        }),
        allow_loopback: bool,
        look_first: bool,
    ) {
        if let Err(difference) = knockd::compare(doors.clone(), &script, allow_loopback, look_first) {
            prop_assert!(false, "{}: {:#?}", difference, doors);
        }
    }

    /// What a fuzzer would feed it.
    #[test]
    fn any_bytes_mean_the_same_to_both(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (doors, script) = knockd::from_bytes(&bytes);
        for look_first in [false, true] {
            if let Err(difference) = knockd::compare(doors.clone(), &script, false, look_first) {
                prop_assert!(false, "{}: {:#?}", difference, doors);
            }
        }
    }
}

fn all_events(engine: &mut KnockdEngine) -> Vec<Event> {
    std::iter::from_fn(|| engine.next_event()).collect()
}

/// A door with these knocks, one SYN each.
fn door(knocks: impl IntoIterator<Item = u16>) -> Door {
    Door {
        sequence: knocks.into_iter().map(|number| Port::tcp(number).unwrap()).collect(),
        flags: FlagFilter { set: TcpFlags::SYN, clear: TcpFlags::default() },
        timeout: Duration::from_secs(25),
        target: None,
        once: false,
    }
}

fn syn(source: Ipv4Addr, destination_port: u16, sequence: u32) -> Packet {
    let destination = IpAddr::from([198, 51, 100, 1]);
    let flags = TcpFlags::SYN;
    let segment = Segment::Tcp { source_port: 40_000, destination_port, sequence, flags };
    Packet { source: source.into(), destination, segment }
}

/// Numbers that look random and are the same each time (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            list.swap(end, self.below(end as u64 + 1) as usize);
        }
    }
}

/// Each door by itself: beside others, their ports would break a sweep all the more.
#[test]
fn no_sweep_of_all_ports_opens_a_random_door() {
    let mut numbers = Numbers(7);
    let scanner = Ipv4Addr::new(192, 0, 2, 66);
    let mut sweep: Vec<u16> = (1..=u16::MAX).collect();
    for index in 0..100 {
        let knocks: Vec<u16> =
            (0..3 + index % 2).map(|_| 1 + numbers.below(65_535) as u16).collect();
        let doors = vec![door(knocks.iter().copied())];
        let options = Options { max_knockers: 4, ..Options::default() };
        for order in ["ascending", "descending", "permuted"] {
            match order {
                "ascending" => sweep.sort_unstable(),
                "descending" => sweep.reverse(),
                _ => numbers.shuffle(&mut sweep),
            }
            let mut engine = KnockdEngine::new(doors.clone(), options);
            let mut stages = 0;
            for (&port, sequence) in sweep.iter().zip(0..) {
                engine.handle_packet(&syn(scanner, port, sequence), Instant::ORIGIN);
                for event in all_events(&mut engine) {
                    assert!(
                        !matches!(event, Event::Opened { .. }),
                        "{order} sweep opens {knocks:?}"
                    );
                    stages += 1;
                }
            }
            assert!(stages > 0, "the sweep came by");
            // The same packets without the others between them do open it.
            let mut engine = KnockdEngine::new(doors.clone(), options);
            for &port in &knocks {
                engine.handle_packet(&syn(scanner, port, port.into()), Instant::ORIGIN);
            }
            let opened = Event::Opened { door: 0, source: scanner.into() };
            assert_eq!(all_events(&mut engine).last(), Some(&opened));
        }
    }
}

#[test]
fn a_flood_of_first_knocks_finds_a_bound_and_the_honest_still_get_in() {
    const ROOM: usize = 10_000;
    let mut numbers = Numbers(11);
    let honest = Ipv4Addr::new(192, 0, 2, 7);
    let options = Options { max_knockers: ROOM, ..Options::default() };
    let mut engine = KnockdEngine::new(vec![door([7_000, 8_000, 9_000])], options);
    let mut now = Instant::ORIGIN;
    let mut opened = Vec::new();
    for count in 0..1_000_000u32 {
        // Half from everywhere, half from one /16.
        let bits = numbers.next() as u32;
        let bits = if count % 2 == 0 { bits } else { 0x0a0a_0000 | bits >> 16 };
        engine.handle_packet(&syn(bits.into(), 7_000, count), now);
        // A knock now and then: a thousand of the forged ones come between two.
        if count % 1_000 == 0 {
            let port = [7_000, 8_000, 9_000][count as usize / 1_000 % 3];
            engine.handle_packet(&syn(honest, port, count), now);
        }
        while let Some(event) = engine.next_event() {
            if let Event::Opened { source, .. } = event {
                opened.push(source);
            }
        }
        // Ten seconds in all: nobody is late.
        now = now.after(Duration::from_micros(10));
        assert!(engine.knockers() <= ROOM);
    }
    assert_eq!(engine.knockers(), ROOM);
    assert_eq!(opened.len(), 333);
    assert!(opened.iter().all(|&source| source == honest));
    // And when it is over, all of them are late, at their own moments.
    let mut late = 0;
    while let Some(next) = engine.poll_timeout() {
        assert!(next >= now);
        now = next;
        engine.handle_timeout(now);
        late += all_events(&mut engine).len();
    }
    assert_eq!((late, engine.knockers()), (ROOM, 0));
}
