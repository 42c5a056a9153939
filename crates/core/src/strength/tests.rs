//! The arithmetic against the plain truth: list all sequences, send all sweeps.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::policy::{Port, Protocol};

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

/// Counts by listing; `tolerate` of `None` leaves the sweeps out.
fn listed(symbols: &[Port], usable: &Usable, n: usize, tolerate: Option<u8>) -> u128 {
    let allowed = |sequence: &&Vec<Port>| {
        !has_repeat(sequence)
            && monotone(sequence).is_none()
            && tolerate.is_none_or(|tolerate| {
                easiest_sweep(sequence, usable).unwrap().1 > u64::from(tolerate)
            })
    };
    all(symbols, n).iter().filter(allowed).count() as u128
}

#[test]
fn the_number_of_sequences_is_that_of_the_list() {
    // Too few ports for the sweeps to have two ends, so those are left out.
    for usable_ports in 1..=6u16 {
        let numbers: Vec<u16> = (1..=usable_ports).collect();
        let symbols = symbols(&numbers, &numbers);
        let usable = Usable::new(|port| symbols.contains(&port));
        for n in 1..=5 {
            if symbols.len().pow(n as u32) > 60_000 {
                continue;
            }
            let strength = Strength::of(n, 0, &usable);
            let listed = listed(&symbols, &usable, n, None);
            assert_eq!(strength.sequences, Some(listed), "{usable_ports} ports, {n} knocks");
        }
    }
}

#[test]
fn ports_of_one_protocol_only_are_counted_too() {
    for (tcp, udp) in [(&[1u16, 2, 3, 9][..], &[2u16, 5][..]), (&[1, 2, 3], &[]), (&[4], &[4, 5])] {
        let symbols = symbols(tcp, udp);
        let usable = Usable::new(|port| symbols.contains(&port));
        for n in 1..=5 {
            let listed = listed(&symbols, &usable, n, None);
            assert_eq!(Strength::of(n, 0, &usable).sequences, Some(listed), "{tcp:?} {udp:?} {n}");
        }
    }
}

#[test]
fn what_a_repeated_sweep_opens_is_not_counted() {
    for (tcp, udp, n, tolerate) in [
        (1..=8u16, 1..=8u16, 3usize, 0u8),
        (1..=10, 1..=10, 3, 1),
        (1..=13, 1..=13, 3, 2),
        (1..=11, 1..=11, 4, 0),
        (1..=12, 1..=12, 4, 1),
    ] {
        // The lists of four are long.
        let holes: &[u16] = if n == 4 { &[0, 1] } else { &[0, 1, 2, 8] };
        for &hole in holes {
            // With a hole the protocols are out of step at the ends.
            let tcp: Vec<u16> = tcp.clone().filter(|&number| number != hole).collect();
            let udp: Vec<u16> = udp.clone().collect();
            let symbols = symbols(&tcp, &udp);
            let usable = Usable::new(|port| symbols.contains(&port));
            let listed = listed(&symbols, &usable, n, Some(tolerate));
            assert_eq!(
                Strength::of(n, tolerate, &usable).sequences,
                Some(listed),
                "{} and {} ports, hole {hole}, {n} knocks, tolerate {tolerate}",
                tcp.len(),
                udp.len()
            );
        }
    }
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
            assert_eq!(Strength::of(n, tolerate, &usable).tried_per_packet, ways as u128);
        }
    }
}

#[test]
fn three_knocks_on_a_whole_host() {
    let usable = Usable::new(|_| true);
    let strength = Strength::of(3, 0, &usable);
    let exact = strength.sequences.unwrap();
    assert!(exact < 131_070 * 131_069 * 131_069);
    assert!((strength.bits - (exact as f64).log2_for_tests()).abs() < 1e-6);
    assert!((strength.seconds_at(1_000.0) - exact as f64 / 2_000.0).abs() < 1.0);
    assert!(strength.bits_lost().abs() < 1e-9);
    assert!((Strength::of(3, 2, &usable).bits_lost() - 6f64.log2_for_tests()).abs() < 1e-6);
}

#[test]
fn strength_does_not_stop_where_u128_does() {
    let usable = Usable::new(|_| true);
    let seven = Strength::of(7, 0, &usable);
    assert!(seven.sequences.is_some() && (118.0..119.0).contains(&seven.bits), "{seven:?}");
    let eight = Strength::of(8, 0, &usable);
    assert!(eight.sequences.is_none() && (135.9..136.1).contains(&eight.bits), "{eight:?}");
    let most = Strength::of(32, 16, &usable);
    assert!((543.0..545.0).contains(&most.bits) && most.packets.is_finite(), "{most:?}");
}

#[test]
fn usable_ports_are_those_neither_guarded_nor_public() {
    let policy = crate::policy::Policy {
        gate: crate::policy::Gate {
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
