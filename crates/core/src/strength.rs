//! What a sequence is worth: how many there are, and what gets through by accident.

use alloc::vec::Vec;
use core::fmt;

use crate::policy::{Port, Protocol};

/// A regular way of touching every port, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// From port 1 upwards, or from port 65535 downwards.
    pub ascending: bool,
    /// Which ports follow each other.
    pub order: SweepOrder,
}

/// Which ports a sweep touches, and how it mixes the protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepOrder {
    /// The ports of one protocol alone.
    Only(Protocol),
    /// All ports of the first protocol, then all of the other.
    OneThenOther,
    /// Both protocols of each port before the next port.
    Interleaved,
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.ascending { "an ascending" } else { "a descending" };
        match self.order {
            SweepOrder::Only(protocol) => write!(f, "{direction} {protocol} sweep"),
            SweepOrder::OneThenOther => write!(f, "{direction} sweep of tcp and udp"),
            SweepOrder::Interleaved => write!(f, "{direction} sweep of tcp and udp port by port"),
        }
    }
}

/// Whether the port numbers of a sequence only rise (`Some(true)`) or only fall (`Some(false)`).
/// Equal numbers of two protocols count as both.
pub fn monotone(knocks: &[Port]) -> Option<bool> {
    if knocks.is_sorted_by_key(|port| port.number) {
        Some(true)
    } else if knocks.iter().rev().is_sorted_by_key(|port| port.number) {
        Some(false)
    } else {
        None
    }
}

/// The endlessly repeated sweep that touches the fewest wrong ports between the knocks, and how many
/// those are, `counts` saying which ports count at all. A door that forgives as many is opened by it.
/// `None` for an empty sequence.
pub fn easiest_sweep(knocks: &[Port], counts: impl Fn(Port) -> bool) -> Option<(Sweep, u64)> {
    let one = knocks.first()?.protocol;
    let orders: &[SweepOrder] = if knocks.iter().all(|port| port.protocol == one) {
        &[SweepOrder::Only(one)]
    } else {
        &[SweepOrder::OneThenOther, SweepOrder::Interleaved]
    };
    let mut easiest: Option<(Sweep, u64)> = None;
    for &order in orders {
        for ascending in [true, false] {
            let sweep = Sweep { ascending, order };
            let best = easiest.map_or(u64::MAX, |(_, wrong)| wrong);
            let wrong = sweep.wrong_between(knocks, &counts, best);
            if wrong < best {
                easiest = Some((sweep, wrong));
            }
        }
    }
    easiest
}

impl Sweep {
    /// Ports in one round.
    const fn round(self) -> u32 {
        match self.order {
            SweepOrder::Only(_) => 65_535,
            _ => 2 * 65_535,
        }
    }

    /// When this port comes, from 0.
    fn position(self, port: Port) -> u32 {
        let number = u32::from(port.number.get()).saturating_sub(1);
        let other = u32::from(port.protocol == Protocol::Udp);
        let position = match self.order {
            SweepOrder::Only(_) => number,
            SweepOrder::OneThenOther => other.saturating_mul(65_535).saturating_add(number),
            SweepOrder::Interleaved => number.saturating_mul(2).saturating_add(other),
        };
        if self.ascending { position } else { self.round().saturating_sub(1).saturating_sub(position) }
    }

    /// The port that comes at this position of a round.
    fn port_at(self, position: u32) -> Option<Port> {
        let position =
            if self.ascending { position } else { self.round().checked_sub(1)?.checked_sub(position)? };
        let (number, udp) = match self.order {
            SweepOrder::Only(protocol) => (position, protocol == Protocol::Udp),
            SweepOrder::OneThenOther => (position % 65_535, position >= 65_535),
            SweepOrder::Interleaved => (position / 2, position % 2 == 1),
        };
        let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
        Port::new(protocol, u16::try_from(number.checked_add(1)?).ok()?)
    }

    /// Wrong ports that count, summed over the gaps between the knocks; `enough` or more if it
    /// reaches that.
    fn wrong_between(self, knocks: &[Port], counts: &impl Fn(Port) -> bool, enough: u64) -> u64 {
        /// No door forgives more, so there is no use in counting on.
        const PLENTY: u64 = 1_000;
        let enough = enough.min(PLENTY);
        let mut wrong = 0u64;
        for (from, to) in knocks.iter().zip(knocks.iter().skip(1)) {
            let (from, to) = (self.position(*from), self.position(*to));
            let mut at = (from.saturating_add(1)) % self.round();
            while at != to {
                wrong = wrong.saturating_add(u64::from(self.port_at(at).is_some_and(counts)));
                if wrong >= enough {
                    return wrong;
                }
                at = (at.saturating_add(1)) % self.round();
            }
        }
        wrong
    }
}

/// How hard one door is to guess.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strength {
    /// Sequences of this length that the rules allow; `u128::MAX` when there are more.
    pub sequences: u128,
    /// The logarithm of that to base 2.
    pub bits: f64,
    /// Sequences that a guesser tries with each packet, because wrong ports are forgiven: the ways
    /// to place the knocks before the last among the packets that came within reach.
    pub tried_per_packet: u128,
    /// Packets that a guesser needs on average.
    pub packets: f64,
}

impl Strength {
    /// The strength of a door with `knocks` knocks that forgives `tolerate` wrong ports, on a host
    /// where `usable` ports of each of the two protocols can be knocks.
    ///
    /// Allowed are sequences without adjacent repeats whose port numbers neither only rise nor only
    /// fall. With S symbols there are `S * (S-1)^(n-1)` without adjacent repeats; of those,
    /// monotone ones are chains of the port numbers in which one number may stand for tcp and udp.
    pub fn of(knocks: usize, tolerate: u8, usable: u32) -> Self {
        let symbols = u128::from(usable).saturating_mul(2);
        let mut all = symbols;
        for _ in 1..knocks {
            all = all.saturating_mul(symbols.saturating_sub(1));
        }
        let sequences = all.saturating_sub(monotone_count(knocks, usable).saturating_mul(2));
        // All of one number: tcp and udp in turn. Those rise and fall at once, and were taken twice.
        let flat = if knocks >= 2 { u128::from(usable).saturating_mul(2) } else { 0 };
        let sequences = sequences.saturating_add(flat);
        let tried_per_packet = ways(u128::from(tolerate), knocks.saturating_sub(1));
        let packets = sequences as f64 / tried_per_packet as f64 / 2.0;
        Self { sequences, bits: log2(sequences as f64), tried_per_packet, packets }
    }

    /// Seconds that guessing takes on average, at this many packets per second.
    pub fn seconds_at(&self, packets_per_second: f64) -> f64 {
        self.packets / packets_per_second
    }
}

/// Sequences of `n` knocks without adjacent repeats whose numbers do not fall.
///
/// Such a sequence is a rising row of runs; a run of length r at one number is tcp and udp in turn,
/// which can be written in 2 ways. So with `k` runs: `C(usable, k) * C(n-1, k-1) * 2^k`.
fn monotone_count(n: usize, usable: u32) -> u128 {
    let mut total = 0u128;
    for runs in 1..=n {
        let numbers = choose(u128::from(usable), runs);
        let cuts = choose(n.saturating_sub(1) as u128, runs.saturating_sub(1));
        let writings = 1u128.checked_shl(runs as u32).unwrap_or(u128::MAX);
        total = total.saturating_add(numbers.saturating_mul(cuts).saturating_mul(writings));
    }
    total
}

/// Ways to place `knocks` knocks in a row of packets with up to `wrong` wrong ones among them, the
/// row ending with a knock: `C(wrong + knocks, knocks)`.
fn ways(wrong: u128, knocks: usize) -> u128 {
    choose(wrong.saturating_add(knocks as u128), knocks).max(1)
}

/// The binomial coefficient; `u128::MAX` when it overflows.
fn choose(n: u128, k: usize) -> u128 {
    if (k as u128) > n {
        return 0;
    }
    let factors: Vec<u128> = (0..k as u128).map(|i| n.saturating_sub(i)).collect();
    let mut result = 1u128;
    for (factor, divisor) in factors.into_iter().zip(1u128..) {
        match result.checked_mul(factor) {
            // Exact: after i factors the product of i consecutive numbers is divisible by i!.
            Some(product) => result = product.checked_div(divisor).unwrap_or(u128::MAX),
            None => return u128::MAX,
        }
    }
    result
}

/// The logarithm to base 2 of a number of at least 1, to about 1e-9; `core` has none.
fn log2(x: f64) -> f64 {
    if !(1.0..f64::INFINITY).contains(&x) {
        return 0.0;
    }
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let mut mantissa = f64::from_bits((x.to_bits() & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    let mut fraction = 0.0;
    let mut bit = 0.5;
    for _ in 0..32 {
        mantissa *= mantissa;
        if mantissa >= 2.0 {
            mantissa /= 2.0;
            fraction += bit;
        }
        bit /= 2.0;
    }
    f64::from(exponent) + fraction
}
