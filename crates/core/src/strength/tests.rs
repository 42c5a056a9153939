//! The arithmetic against the plain truth: list all sequences, send all sweeps.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::policy::{Ban, Port, Protocol};
use core::time::Duration;

fn port(protocol: Protocol, number: u16) -> Port {
    Port::new(protocol, number).unwrap()
}

/// All sequences of `n` of these symbols.
fn all(symbols: &[Port], n: usize) -> Vec<Vec<Port>> {
    let mut found = vec![vec![]];
    for _ in 0..n {
        found = found
            .iter()
            .flat_map(|start: &Vec<Port>| {
                symbols.iter().map(move |&next| [start.as_slice(), &[next]].concat())
            })
            .collect();
    }
    found
}

fn symbols(tcp: &[u16], udp: &[u16]) -> Vec<Port> {
    let tcp = tcp.iter().map(|&number| port(Protocol::Tcp, number));
    tcp.chain(udp.iter().map(|&number| port(Protocol::Udp, number))).collect()
}

fn has_repeat(sequence: &[Port]) -> bool {
    sequence.windows(2).any(|pair| pair[0] == pair[1])
}

/// All that [`Counts`] counts, by listing.
fn listed(symbols: &[Port], usable: &Usable, n: usize, tolerate: u8) -> Counts {
    let all = all(symbols, n);
    let orders = |of: Vec<&Vec<Port>>| {
        let mut left = of;
        let mut count = |keep: &dyn Fn(&Vec<Port>) -> bool| {
            left.retain(|sequence| keep(sequence));
            Natural::from(left.len() as u128)
        };
        Orders {
            any: count(&|_| true),
            turning: count(&|sequence| monotone(sequence).is_none()),
            unswept: Some(count(&|sequence| {
                easiest_sweep(sequence, usable).unwrap().1 > u64::from(tolerate)
            })),
        }
    };
    Counts {
        all: Natural::from(all.len() as u128),
        apart: orders(all.iter().filter(|sequence| !has_repeat(sequence)).collect()),
        once: orders(all.iter().filter(|sequence| !comes_twice(sequence)).collect()),
    }
}

fn comes_twice(sequence: &[Port]) -> bool {
    sequence.iter().enumerate().any(|(at, port)| sequence[..at].contains(port))
}

fn compare(tcp: &[u16], udp: &[u16], n: usize, tolerate: u8) {
    let symbols = symbols(tcp, udp);
    let usable = Usable::new(|port| symbols.contains(&port));
    let counted = Counts::of(n, tolerate, &usable);
    let listed = listed(&symbols, &usable, n, tolerate);
    assert_eq!(counted, listed, "tcp {tcp:?} udp {udp:?}, {n} knocks, tolerate {tolerate}");
}

#[test]
fn every_small_case_is_counted_as_the_list_has_it() {
    for ports in 1..=10u16 {
        let numbers: Vec<u16> = (1..=ports).collect();
        // With holes the protocols are out of step at the ends.
        let without_first: Vec<u16> = numbers.iter().copied().filter(|&n| n != 1).collect();
        let some: Vec<u16> = numbers.iter().copied().filter(|n| n % 3 != 2).collect();
        for udp in [&[][..], &numbers, &without_first, &some, &[1, 60_000]] {
            for n in 1..=6usize {
                if (numbers.len() + udp.len()).pow(n as u32) > 20_000 {
                    continue;
                }
                for tolerate in 0..=2 {
                    compare(&numbers, udp, n, tolerate);
                    compare(udp, &numbers, n, tolerate);
                }
            }
        }
    }
}

#[expect(clippy::reversed_empty_ranges, reason = "of the type that the others have")]
const NO_PORTS: core::ops::RangeInclusive<u16> = 1..=0;

#[test]
fn what_a_repeated_sweep_opens_is_not_counted() {
    for (tcp, udp, n, tolerate) in [
        (1..=8u16, 1..=8u16, 3usize, 0u8),
        (1..=10, 1..=10, 3, 1),
        (1..=13, 1..=13, 3, 2),
        (1..=11, 1..=11, 4, 0),
        (1..=12, 1..=12, 4, 1),
        (1..=12, NO_PORTS, 4, 2),
        (1..=20, NO_PORTS, 3, 3),
    ] {
        // The lists of four are long.
        let holes: &[u16] = if n == 4 { &[1] } else { &[0, 1, 2, 8] };
        for &hole in holes {
            let tcp: Vec<u16> = tcp.clone().filter(|&number| number != hole).collect();
            let udp: Vec<u16> = udp.clone().collect();
            compare(&tcp, &udp, n, tolerate);
        }
    }
}

#[test]
fn at_the_ends_there_is_what_is_listed() {
    // Beside each other on all hosts near the size from which on the first can be used.
    let mut used = 0;
    for ports in 3..=24u16 {
        for hole in [0u16, 1, 2, ports] {
            for udp_from in [1u16, 2, 100] {
                let usable = Usable::new(|port| match port.protocol {
                    Protocol::Tcp => port.number.get() <= ports && port.number.get() != hole,
                    Protocol::Udp => (udp_from..=ports).contains(&port.number.get()),
                });
                for (n, tolerate) in
                    [(3, 0), (3, 1), (3, 4), (4, 0), (4, 2), (5, 0), (5, 1), (7, 0)]
                {
                    let Some(counted) = swept::at_the_ends(n, tolerate, &usable) else { continue };
                    used += 1;
                    let listed = swept::listed(n, tolerate, &usable).unwrap();
                    let case =
                        format!("{ports} ports, hole {hole}, udp from {udp_from}, {n} knocks");
                    assert_eq!((&counted, &counted), (&listed.apart, &listed.once), "{case}");
                }
            }
        }
    }
    assert!(used > 500, "{used}");
}

#[test]
fn the_numbers_of_iplock_and_ours() {
    // The peer's own tool forgets that no port may come twice (`docs/strength.md`).
    let usable = Usable::first(65_534, &[Protocol::Tcp]);
    let counts = Counts::of(3, 0, &usable);
    assert_eq!(counts.all.to_string(), "281449207693304");
    assert_eq!(counts.once.turning.to_string(), "187624215805936");
    // A port may come again, but not at once.
    let again = Natural::from(65_534u128 * 65_533);
    assert_eq!(counts.apart.turning, counts.once.turning.plus(&again));
    // 65534 then 1 then 2, 65533 then 65534 then 1, and both backwards.
    assert_eq!(counts.apart.unswept, counts.apart.turning.minus(&Natural::from(4u32)));
    assert_eq!(counts.in_force(), (counts.apart.unswept.as_ref().unwrap(), true));
}

/// Sends the sweep until the door opens: the wrong ports that have to be forgiven for it.
fn wrong_of(round: &[Port], sequence: &[Port]) -> u64 {
    let start = round.iter().position(|p| *p == sequence[0]).unwrap();
    let mut wrong = 0;
    let mut next = 1;
    for at in (start + 1)..(start + 1 + round.len() * sequence.len()) {
        if round[at % round.len()] == sequence[next] {
            next += 1;
            if next == sequence.len() {
                return wrong;
            }
        } else {
            wrong += 1;
        }
    }
    unreachable!("a sweep touches every port")
}

#[test]
fn the_easiest_sweep_is_the_easiest_of_all_that_are_sent() {
    let (tcp, udp) = (vec![1u16, 2, 4, 5, 65_535], vec![2u16, 3, 65_534]);
    let symbols = symbols(&tcp, &udp);
    let usable = Usable::new(|port| symbols.contains(&port));
    let mut interleaved = symbols.clone();
    interleaved.sort_by_key(|port| (port.number, port.protocol));
    for sequence in all(&symbols, 3).into_iter().filter(|sequence| !has_repeat(sequence)) {
        let one = sequence.iter().all(|port| port.protocol == sequence[0].protocol);
        let mut rounds = if one {
            let mut only = symbols.clone();
            only.retain(|port| port.protocol == sequence[0].protocol);
            vec![only]
        } else {
            vec![symbols.clone(), interleaved.clone()]
        };
        for index in 0..rounds.len() {
            let backwards = rounds[index].iter().rev().copied().collect();
            rounds.push(backwards);
        }
        let sent = rounds.iter().map(|round| wrong_of(round, &sequence)).min().unwrap();
        let (_, wrong) = easiest_sweep(&sequence, &usable).unwrap();
        assert_eq!(wrong, sent, "{sequence:?}");
    }
    assert_eq!(easiest_sweep(&[], &usable), None);
}

#[test]
fn guesses_per_packet_are_the_ways_to_place_the_knocks() {
    let usable = Usable::new(|_| true);
    for n in 1..=5usize {
        for tolerate in 0..=4u8 {
            // Every choice of n packets, the last being the last knock, with few enough wrong ones
            // between: as bits of a number.
            let reach = n + usize::from(tolerate);
            let ways = (0u32..1 << reach)
                .filter(|bits| bits & 1 == 1 && bits.count_ones() as usize == n)
                .count();
            let tried = Strength::of(n, tolerate, &usable).tried_per_packet;
            assert_eq!(tried, Natural::from(ways as u128));
        }
    }
}

#[test]
fn three_knocks_on_a_whole_host() {
    let usable = Usable::new(|_| true);
    let strength = Strength::of(3, 0, &usable);
    let exact = strength.sequences.as_f64();
    assert!(strength.exact && exact < 131_070.0 * 131_069.0 * 131_069.0);
    assert!((strength.bits - exact.log2_for_tests()).abs() < 1e-6);
    assert!((strength.seconds_at(1_000.0) - exact / 2_000.0).abs() < 1.0);
    assert!(strength.bits_lost().abs() < 1e-9);
    assert!((Strength::of(3, 2, &usable).bits_lost() - 6f64.log2_for_tests()).abs() < 1e-6);
}

#[test]
fn strength_does_not_stop_where_u128_does() {
    let usable = Usable::new(|_| true);
    for (knocks, bits) in [(7, 119.0), (8, 136.0), (32, 544.0)] {
        let strength = Strength::of(knocks, 0, &usable);
        assert!(strength.exact && (strength.bits - bits).abs() < 0.2, "{strength:?}");
    }
    let most = Strength::of(32, 16, &usable);
    assert!(most.exact && most.packets.is_finite(), "{most:?}");
}

#[test]
fn usable_ports_are_those_neither_guarded_nor_public() {
    let policy = crate::policy::Policy {
        gate: crate::policy::GatePolicy {
            public: [port(Protocol::Tcp, 80), port(Protocol::Tcp, 80), port(Protocol::Udp, 65_535)]
                .into(),
            ..Default::default()
        },
        doors: Vec::new(),
    };
    let usable = Usable::of(&policy);
    assert_eq!(usable.count(Protocol::Tcp), 65_534);
    assert_eq!(usable.count(Protocol::Udp), 65_534);
    assert_eq!((usable.total(), usable.both()), (131_068, 65_533));
    assert!(!usable.contains(port(Protocol::Tcp, 80)));
    assert!(usable.contains(port(Protocol::Udp, 80)));
}

#[test]
fn a_ban_that_did_not_listen_would_slow_one_address_and_not_many() {
    let ban =
        Ban { strikes: 10, within: Duration::from_secs(60), time: Duration::from_secs(3_600) };
    let heard = |rate, sources| guesses_heard(&ban, rate, sources);
    // Nine a minute are never banned.
    assert!((heard(1_000.0, 1.0) - 0.15).abs() < 1e-9);
    assert!((heard(1_000.0, 1_000.0) - 150.0).abs() < 1e-9);
    // More than is sent is not heard.
    assert!((heard(1_000.0, 65_536.0) - 1_000.0).abs() < 1e-9);
    assert!((heard(0.1, 1.0) - 0.1).abs() < 1e-9);
    // A short ban is worth being taken: 100 in the second it takes to send them, then one of waiting.
    let ban =
        Ban { strikes: 100, within: Duration::from_secs(3_600), time: Duration::from_secs(1) };
    assert!((guesses_heard(&ban, 100.0, 1.0) - 50.0).abs() < 1e-9);
}

/// `core` has no logarithm, but tests have the standard library of the host.
trait Log2 {
    fn log2_for_tests(self) -> f64;
}

impl Log2 for f64 {
    fn log2_for_tests(self) -> f64 {
        extern crate std;
        std::primitive::f64::log2(self)
    }
}
