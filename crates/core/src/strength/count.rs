//! Counting sequences without listing them. `docs/strength.md` derives each formula.

use super::choose::{as_u32, choose};
use super::swept::{self, Swept};
use super::{Natural, Usable};

/// How many sequences of one length there are, as one rule after the other is put into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Any usable port at any place.
    pub all: Natural,
    /// Of those, the ones in which no port follows itself. This is the rule in force.
    pub apart: Orders,
    /// Of those, the ones in which no port comes twice. No rule asks for it; other tools count so.
    pub once: Orders,
}

/// Sequences by the orders that are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// Any order.
    pub any: Natural,
    /// The port numbers neither only rise nor only fall. (Equal numbers of two protocols do both.)
    pub turning: Natural,
    /// And no sweep that is repeated opens them; `None` where those cannot be counted, which takes a
    /// host with fewer usable ports of a protocol than a hundred or so, and many forgiven.
    pub unswept: Option<Natural>,
}

impl Counts {
    /// Counts sequences of `knocks` knocks among the `usable` ports, at a door that forgives `tolerate`
    /// wrong ports.
    pub fn of(knocks: usize, tolerate: u8, usable: &Usable) -> Self {
        let ports = usable.total();
        let product = |factor: &dyn Fn(usize) -> u32| match knocks {
            0 => Natural::default(),
            _ => (0..knocks).fold(Natural::from(1u32), |all, at| all.times(&factor(at).into())),
        };
        let swept = swept::count(knocks, tolerate, usable);
        let less = |taken: usize| ports.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
        let orders = |any: Natural, rising: Natural, flat: u32, swept: Option<Natural>| {
            // Those that only rise, and as many that only fall: the same backwards. What does both has
            // been taken twice, and is given back.
            let one_way = rising.plus(&rising);
            let turning = any.plus(&flat.into()).minus(&one_way).unwrap_or_default();
            let unswept = swept.and_then(|swept| turning.minus(&swept));
            Orders { any, turning, unswept }
        };
        let (swept_apart, swept_once) = match swept {
            Some(Swept { apart, once }) => (Some(apart), Some(once)),
            None => (None, None),
        };
        // All of one number: tcp and udp in turn, beginning with either.
        let twice = usable.both().saturating_mul(2);
        let (flat, flat_once) = match knocks {
            0 => (0, 0),
            1 => (ports, ports),
            2 => (twice, twice),
            _ => (twice, 0),
        };
        Self {
            all: product(&|_| ports),
            apart: orders(
                product(&|at| less(at.min(1))),
                rising(knocks, usable),
                flat,
                swept_apart,
            ),
            once: orders(product(&less), rising_once(knocks, usable), flat_once, swept_once),
        }
    }

    /// How many the rules in force allow, and whether that is exact or an upper bound.
    pub fn in_force(&self) -> (&Natural, bool) {
        self.apart.in_force()
    }
}

impl Orders {
    /// How many the rules in force allow, and whether that is exact or an upper bound.
    pub(super) fn in_force(&self) -> (&Natural, bool) {
        match &self.unswept {
            Some(exact) => (exact, true),
            None => (&self.turning, false),
        }
    }
}

/// Sequences of `n` knocks without adjacent repeats whose numbers do not fall.
///
/// Such a sequence is a rising row of runs of one number each. A number that is usable with one
/// protocol gives a run of 0 or 1; one that is usable with both gives a run of any length, tcp and
/// udp in turn, in 2 ways. As series in x, that is `1 + x` and `(1 + x) / (1 - x)`: the answer is the
/// coefficient of x^n in `(1 + x)^(numbers) * (1 - x)^-(both)`.
fn rising(n: usize, usable: &Usable) -> Natural {
    let both = usable.both();
    let mut total = Natural::default();
    if n == 0 {
        return total;
    }
    for runs in 0..=n {
        let rest = n.saturating_sub(runs);
        let more = match (both, rest) {
            (_, 0) => Natural::from(1u32),
            (0, _) => continue,
            _ => choose(both.saturating_add(as_u32(rest)).saturating_sub(1), rest),
        };
        total = total.plus(&choose(usable.numbers(), runs).times(&more));
    }
    total
}

/// The same where no port comes twice: a number that is usable with both protocols gives a run of 0,
/// of 1 in 2 ways, or of 2 in 2 ways. The answer is the coefficient of x^n in
/// `(1 + x)^(one) * (1 + 2x + 2x²)^(both)`.
fn rising_once(n: usize, usable: &Usable) -> Natural {
    let both = usable.both();
    let one = usable.numbers().saturating_sub(both);
    let mut total = Natural::default();
    if n == 0 {
        return total;
    }
    for pairs in 0..=n / 2 {
        let rest = n.saturating_sub(pairs.saturating_mul(2));
        for singles in 0..=rest {
            // Numbers that give two knocks, then numbers of those left that give one, then numbers
            // with one protocol.
            let left = both.saturating_sub(as_u32(pairs));
            let ways = choose(both, pairs)
                .times(&choose(left, singles))
                .times(&choose(one, rest.saturating_sub(singles)));
            let each_in_two_ways = pairs.saturating_add(singles);
            let ways = (0..each_in_two_ways).fold(ways, |ways, _| ways.plus(&ways));
            total = total.plus(&ways);
        }
    }
    total
}
