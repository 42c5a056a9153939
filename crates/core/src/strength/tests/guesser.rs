//! What a guesser tries, by sending every row of packets to the automatons of all sequences.

use alloc::collections::BTreeSet;
use alloc::string::ToString;

use proptest::prelude::*;

use super::super::guess::{repeats_tried_per_packet, tried_per_packet};
use super::*;

/// A door and how its state follows from a state and a packet, taken from its automaton.
struct Guessed {
    /// How many ports its sequence has.
    distinct: usize,
    /// By state, then by port.
    next: Vec<Vec<usize>>,
    /// The state in which it opens.
    open: usize,
}

impl Guessed {
    fn new(sequence: &[Port], tolerate: u8, ports: &[Port]) -> Self {
        let automaton = automaton(sequence, tolerate);
        let number = |id: StateId| id.0 as usize;
        let after = |state: StateId, port: Port| match automaton.next(state, port) {
            Transition::Repeat => number(state),
            Transition::Reset => 0,
            Transition::Forgive(to) | Transition::Advance(to) => number(to),
        };
        let from = |state| ports.iter().map(|&port| after(state, port)).collect();
        let states = || automaton.states().map(|(id, _)| id);
        let opens = automaton.states().find(|(_, state)| state.opens.is_some());
        Self {
            distinct: sequence.iter().collect::<BTreeSet<_>>().len(),
            next: core::iter::once(StateId::ROOT).chain(states()).map(from).collect(),
            open: number(opens.unwrap().0),
        }
    }
}

/// All doors of one length, and the most of them that any row of packets opened: by the number of ports in
/// their sequences, then by the length of the row.
struct Guesser {
    doors: Vec<Guessed>,
    ports: usize,
    most: Vec<Vec<u32>>,
}

impl Guesser {
    fn new(ports: u16, knocks: usize, tolerate: u8, packets: usize) -> Self {
        let symbols = symbols(&(1..=ports).collect::<Vec<_>>(), &[]);
        let sequences = all(&symbols, knocks).into_iter().filter(|sequence| !has_repeat(sequence));
        let doors = sequences.map(|sequence| Guessed::new(&sequence, tolerate, &symbols)).collect();
        let most = vec![vec![0; packets + 1]; knocks + 1];
        Self { doors, ports: symbols.len(), most }
    }

    fn send_every_row(&mut self) {
        let states = vec![0; self.doors.len()];
        let opened = vec![false; self.doors.len()];
        self.send(0, 0, &states, &opened);
    }

    /// Goes on with every port. All ports are alike, so the first new one stands for all new ones.
    fn send(&mut self, sent: usize, seen: usize, states: &[usize], opened: &[bool]) {
        if sent + 1 >= self.most[0].len() {
            return;
        }
        for port in 0..self.ports.min(seen + 1) {
            let (mut states, mut opened) = (states.to_vec(), opened.to_vec());
            let mut count = vec![0; self.most.len()];
            for ((door, state), opened) in self.doors.iter().zip(&mut states).zip(&mut opened) {
                *state = door.next[*state][port];
                *opened |= *state == door.open;
                count[door.distinct] += u32::from(*opened);
            }
            for (most, count) in self.most.iter_mut().zip(count) {
                most[sent + 1] = most[sent + 1].max(count);
            }
            self.send(sent + 1, seen.max(port + 1), &states, &opened);
        }
    }
}

/// The patterns of `knocks` knocks with `distinct` ports, none of which follows itself.
fn patterns(knocks: usize, distinct: usize) -> usize {
    let symbols = symbols(&(1..=knocks as u16).collect::<Vec<_>>(), &[]);
    let is_pattern = |sequence: &&Vec<Port>| {
        let mut seen = Vec::new();
        for port in *sequence {
            if !seen.contains(port) {
                seen.push(*port);
            }
        }
        // In the order of first appearance: one of each pattern.
        !has_repeat(sequence) && seen.len() == distinct && symbols.starts_with(&seen)
    };
    all(&symbols, knocks).iter().filter(is_pattern).count()
}

fn ways(distinct: usize, tolerate: u8) -> u32 {
    tried_per_packet(distinct, tolerate).to_string().parse().unwrap()
}

#[test]
fn no_row_of_packets_tries_more_sequences_than_counted() {
    // The most in the longest rows, by the number of different ports from 2 on, for each `tolerate`.
    let cases: [(u16, usize, usize, [&[u32]; 3]); 4] = [
        (4, 3, 9, [&[5, 7], &[8, 18], &[12, 21]]),
        (5, 3, 8, [&[4, 6], &[7, 16], &[12, 28]]),
        (4, 4, 9, [&[4, 13, 6], &[4, 22, 13], &[6, 39, 16]]),
        (5, 4, 8, [&[3, 10, 5], &[3, 18, 17], &[6, 30, 25]]),
    ];
    for (ports, knocks, packets, expected) in cases {
        for (tolerate, expected) in (0u8..).zip(expected) {
            let case = (ports, knocks, tolerate);
            let mut guesser = Guesser::new(ports, knocks, tolerate, packets);
            guesser.send_every_row();
            for distinct in 2..=knocks {
                // From each packet on that has enough of them behind it.
                let from_each = ways(distinct, tolerate) * patterns(knocks, distinct) as u32;
                for (sent, &most) in guesser.most[distinct].iter().enumerate() {
                    let starts = (sent + 1).saturating_sub(knocks) as u32;
                    let bound = starts * from_each;
                    assert!(
                        most <= bound,
                        "{case:?}: {most} with {distinct} ports in {sent} packets"
                    );
                    // So many there are. Without forgiving, a row tries one with each packet.
                    if distinct == knocks && tolerate == 0 {
                        assert_eq!(most, bound, "{case:?}: in {sent} packets");
                    }
                }
            }
            let most = guesser.most[2..].iter().map(|by_packets| *by_packets.last().unwrap());
            assert_eq!(most.collect::<Vec<_>>(), expected, "{case:?}");
        }
    }
}

#[test]
fn repeats_tried_per_packet_are_the_patterns_times_the_ways() {
    for knocks in 0..=6usize {
        for tolerate in 0..=3 {
            let listed: u32 = (2..knocks)
                .map(|distinct| ways(distinct, tolerate) * patterns(knocks, distinct) as u32)
                .sum();
            let tried = repeats_tried_per_packet(knocks, tolerate);
            assert!((tried - f64::from(listed)).abs() < 1e-9, "{knocks} {tolerate}: {tried}");
        }
    }
    assert!(repeats_tried_per_packet(32, 16).is_finite());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn guessing_takes_no_fewer_packets_than_counted(seed: u64, ports in 3u16..=5, knocks in 3usize..=4, tolerate in 0u8..=2) {
        let symbols = symbols(&(1..=ports).collect::<Vec<_>>(), &[]);
        let usable = Usable::first(ports, &[Protocol::Tcp]);
        let allowed = |sequence: &Vec<Port>| {
            !has_repeat(sequence)
                && monotone(sequence).is_none()
                && easiest_sweep(sequence, &usable).unwrap().1 > u64::from(tolerate)
        };
        let mut doors: Vec<_> = all(&symbols, knocks)
            .into_iter()
            .filter(allowed)
            .map(|sequence| (Guessed::new(&sequence, tolerate, &symbols), 0))
            .collect();
        let sequences = doors.len();
        let (mut sum, mut random) = (0, seed);
        while !doors.is_empty() {
            // Knuth's generator: a guesser who has no plan.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let port = (random >> 33) as usize % symbols.len();
            doors.retain_mut(|(door, state)| {
                *state = door.next[*state][port];
                *state != door.open
            });
            sum += doors.len();
        }
        // Each door that is closed yet takes one more packet than those sent.
        let average = (sequences + sum) as f64 / sequences as f64;
        let strength = Strength::of(knocks, tolerate, &usable);
        prop_assert!(strength.exact);
        prop_assert_eq!(&strength.sequences, &Natural::from(sequences as u128));
        prop_assert!(sequences == 0 || average >= strength.packets, "{} {:?}", average, strength);
    }
}
