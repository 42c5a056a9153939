//! The arithmetic against the plain truth: list all sequences, send all sweeps.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::automaton::{Automaton, StateId, Transition};
use crate::policy::{Ban, Door, DoorId, DoorName, Port, Protocol, Recogniser};
use core::time::Duration;

mod guesser;

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

/// The automaton of one door.
fn automaton(sequence: &[Port], tolerate: u8) -> Automaton {
    let door = Door {
        name: DoorName::new("d").unwrap(),
        guards: Vec::new(),
        sequence: sequence.to_vec(),
        step_timeout: Door::DEFAULT_STEP_TIMEOUT,
        open_for: Door::DEFAULT_OPEN_FOR,
        recogniser: Recogniser::Both,
        tolerate,
        hooks: None,
    };
    Automaton::build([(DoorId(0), &door)].into_iter()).unwrap()
}

/// The rounds of all sweeps that touch a port of this sequence: of each protocol, of one after the other, and
/// port by port, upwards and downwards.
fn rounds(symbols: &[Port]) -> Vec<Vec<Port>> {
    let of = |protocol| {
        let mut some: Vec<Port> =
            symbols.iter().copied().filter(|port| port.protocol == protocol).collect();
        some.sort_by_key(|port| port.number);
        some
    };
    let (tcp, udp) = (of(Protocol::Tcp), of(Protocol::Udp));
    let one_then_other = [tcp.as_slice(), &udp].concat();
    let mut interleaved = one_then_other.clone();
    interleaved.sort_by_key(|port| (port.number, port.protocol));
    let mut rounds = vec![tcp, udp, one_then_other, interleaved];
    for index in 0..rounds.len() {
        let backwards = rounds[index].iter().rev().copied().collect();
        rounds.push(backwards);
    }
    rounds
}

/// Sends rounds until the door opens: the wrong ports that it forgave for that. `None` if it stays closed.
fn forgiven_until_open(automaton: &Automaton, round: &[Port], knocks: usize) -> Option<u64> {
    let mut at = StateId::ROOT;
    let mut forgiven = 0;
    // An attempt waits for each knock for less than a round. The first of them finds no knock made.
    for &port in round.iter().cycle().take(round.len() * (knocks + 1)) {
        match automaton.next(at, port) {
            Transition::Repeat => {}
            Transition::Reset => {
                at = StateId::ROOT;
                forgiven = 0;
            }
            Transition::Forgive(to) => {
                at = to;
                forgiven += 1;
            }
            Transition::Advance(to) => {
                at = to;
                if automaton.state(at).unwrap().opens.is_some() {
                    return Some(forgiven);
                }
            }
        }
    }
    None
}

/// Walking automatons takes much longer than the formula that another test compares with them.
const MOST_WALKED: usize = 800;

/// All that [`Counts`] counts, by listing.
fn listed(symbols: &[Port], usable: &Usable, n: usize, tolerate: u8) -> Counts {
    let all = all(symbols, n);
    let rounds = rounds(symbols);
    let is_swept = |sequence: &[Port]| {
        if all.len() > MOST_WALKED {
            return easiest_sweep(sequence, usable).unwrap().1 <= u64::from(tolerate);
        }
        let automaton = automaton(sequence, tolerate);
        rounds.iter().any(|round| forgiven_until_open(&automaton, round, n).is_some())
    };
    let orders = |of: Vec<&Vec<Port>>| {
        let mut left = of;
        let mut count = |keep: &dyn Fn(&Vec<Port>) -> bool| {
            left.retain(|sequence| keep(sequence));
            Natural::from(left.len() as u128)
        };
        Orders {
            any: count(&|_| true),
            turning: count(&|sequence| monotone(sequence).is_none()),
            unswept: Some(count(&|sequence| !is_swept(sequence))),
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

#[test]
fn easiest_sweep_is_the_easiest_of_all_sweeps_sent_to_the_automaton() {
    let hosts: [(&[u16], &[u16], usize); 5] = [
        (&[1, 2, 4, 5, 65_535], &[2, 3, 65_534], 4),
        (&[1, 2, 4, 5, 65_535], &[2, 3, 65_534], 3),
        (&[1, 2, 3], &[2, 3], 5),
        (&[7, 8, 9, 10, 11], &[], 5),
        (&[1, 9], &[1], 7),
    ];
    for (tcp, udp, n) in hosts {
        let symbols = symbols(tcp, udp);
        let usable = Usable::new(|port| symbols.contains(&port));
        let rounds = rounds(&symbols);
        // As many as the longest attempt has packets: none of them ends it.
        let tolerate = u8::try_from(symbols.len() * n).unwrap();
        for sequence in all(&symbols, n).into_iter().filter(|sequence| !has_repeat(sequence)) {
            let automaton = automaton(&sequence, tolerate);
            let sent = rounds.iter().filter_map(|round| forgiven_until_open(&automaton, round, n));
            let (_, wrong) = easiest_sweep(&sequence, &usable).unwrap();
            assert_eq!(Some(wrong), sent.min(), "{sequence:?}");
        }
    }
    assert_eq!(easiest_sweep(&[], &Usable::new(|_| true)), None);
}

#[test]
fn knocks_made_already_are_no_wrong_ports_of_a_sweep() {
    let wrong = |sequence: &[u16], ports| {
        let sequence: Vec<Port> = sequence.iter().map(|&n| port(Protocol::Tcp, n)).collect();
        easiest_sweep(&sequence, &Usable::first(ports, &[Protocol::Tcp])).unwrap().1
    };
    assert_eq!(wrong(&[2, 4, 1, 3], 4), 1, "3 is wrong until it is a knock; 2 is made");
    assert_eq!(wrong(&[2, 4, 1, 3], 9), 6, "and 5 to 9");
    assert_eq!(wrong(&[1, 2, 1, 2], 2), 0);
    assert_eq!(wrong(&[1, 2, 3, 1, 3, 2], 3), 0, "each port has been made in the first round");
    assert_eq!(wrong(&[1, 3, 1, 2], 3), 1, "2 is wrong until it is a knock");
}

#[test]
fn three_knocks_on_a_whole_host() {
    let usable = Usable::new(|_| true);
    let strength = Strength::of(3, 0, &usable);
    let exact = strength.sequences.as_f64();
    assert!(strength.exact && exact < 131_070.0 * 131_069.0 * 131_069.0);
    assert!((strength.bits - exact.log2_for_tests()).abs() < 1e-6);
    // Three sequences in 262,140 have a repeated port. They are tried beside the others and cost no packets
    // of their own, and the right one may be among them: the time is less by twice their share.
    let missing = |strength: &Strength| {
        let half = strength.sequences.as_f64() / 2_000.0;
        (half - strength.seconds_at(1_000.0)) / half
    };
    assert!((missing(&strength) * 131_070.0 - 3.0).abs() < 0.001);
    // Of 32 knocks, any two but neighbours may be the same port.
    assert!((missing(&Strength::of(32, 0, &usable)) - 0.0071).abs() < 0.0001);
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
