//! Counting sequences without listing them.

use super::{SweepOrder, Usable};
use crate::policy::{Port, Protocol};

/// Sequences of `n` knocks that the rules allow; `None` when `u128` cannot hold the number.
///
/// With S ports there are `S * (S-1)^(n-1)` sequences without adjacent repeats. Taken away are those
/// that only rise, as many that only fall (the same backwards), and what a repeated sweep opens
/// beside those. Given back are those that do both, having been taken twice.
pub fn allowed(n: usize, tolerate: u8, usable: &Usable) -> Option<u128> {
    let ports = u128::from(usable.total());
    let mut all = ports;
    for _ in 1..n {
        all = all.checked_mul(ports.saturating_sub(1))?;
    }
    let flat = match n {
        0 => return Some(0),
        1 => ports,
        // All of one number: tcp and udp in turn, beginning with either.
        _ => u128::from(usable.both()).checked_mul(2)?,
    };
    let one_way = rising(n, usable)?.checked_mul(2)?;
    let swept = swept(n, u32::from(tolerate), usable).unwrap_or(0);
    all.checked_add(flat)?.checked_sub(one_way)?.checked_sub(swept)
}

/// The same where it is too large to be exact: of that many knocks, next to none only rise.
pub fn roughly(n: usize, usable: &Usable) -> f64 {
    let ports = f64::from(usable.total());
    (1..n).fold(ports, |all, _| all * (ports - 1.0))
}

/// Sequences of `n` knocks without adjacent repeats whose numbers do not fall.
///
/// Such a sequence is a rising row of runs of one number each. A number that is usable with one
/// protocol gives a run of 0 or 1; one that is usable with both gives a run of any length, tcp and
/// udp in turn, in 2 ways. As series in x, that is `1 + x` and `(1 + x) / (1 - x)`: the answer is the
/// coefficient of x^n in `(1 + x)^(numbers) * (1 - x)^-(both)`.
fn rising(n: usize, usable: &Usable) -> Option<u128> {
    let both = u128::from(usable.both());
    let numbers = u128::from(usable.total()).checked_sub(both)?;
    let mut total = 0u128;
    for runs in 0..=n {
        let rest = n.saturating_sub(runs);
        let more = match (both, rest) {
            (_, 0) => 1,
            (0, _) => 0,
            _ => choose(both.checked_add(rest as u128)?.checked_sub(1)?, rest)?,
        };
        total = total.checked_add(choose(numbers, runs)?.checked_mul(more)?)?;
    }
    Some(total)
}

/// Sequences that neither only rise nor only fall, and yet are opened by a sweep over and over,
/// because they go around its end: the last ports of a round, then the first of the next.
/// `None` on hosts with so few usable ports that the ends meet, where nothing is taken away.
///
/// In a round of S ports a sequence with g wrong ports in it spans `g + n - 1` steps, can be written
/// in `C(g + n - 2, n - 2)` ways from each start, and goes around the end from as many starts as it
/// has steps. Descending sweeps open the same sequences backwards.
fn swept(n: usize, tolerate: u32, usable: &Usable) -> Option<u128> {
    let window = u32::try_from(n).ok()?.checked_add(tolerate)?;
    if n < 3 || !is_wide(window, usable) {
        return None;
    }
    let mut around = 0u128;
    for wrong in 0..=u128::from(tolerate) {
        let steps = wrong.checked_add(n as u128)?.checked_sub(1)?;
        let ways = choose(steps.checked_sub(1)?, n.checked_sub(2)?)?;
        around = around.checked_add(ways.checked_mul(steps)?)?;
    }
    // tcp alone and udp alone go around one end each; tcp and then udp around two; port by port
    // around one, but of that not what one protocol has, what only falls, and what is in the other.
    let mut counted_already = falling(n, tolerate, window, usable)?;
    for high in [Protocol::Tcp, Protocol::Udp] {
        for low in [Protocol::Tcp, Protocol::Udp] {
            let more = in_two_blocks(n, tolerate, window, usable, (high, low))?;
            counted_already = counted_already.checked_add(more)?;
        }
    }
    around.checked_mul(5)?.checked_sub(counted_already)?.checked_mul(2)
}

/// Whether the lowest and the highest ports that a sweep may open are far enough from each other.
fn is_wide(window: u32, usable: &Usable) -> bool {
    let ends = |protocol| {
        let last = usable.count(protocol).checked_sub(window)?;
        Some((usable.nth(protocol, window)?.number, usable.nth(protocol, last)?.number))
    };
    match (ends(Protocol::Tcp), ends(Protocol::Udp)) {
        (Some((low_tcp, high_tcp)), Some((low_udp, high_udp))) => {
            low_tcp.max(low_udp) < high_tcp.min(high_udp)
        }
        _ => false,
    }
}

/// Sequences that begin with some of the highest ports of one protocol and end with some of the
/// lowest of one protocol, and are opened port by port; if the protocols differ, also by one
/// protocol after the other.
fn in_two_blocks(
    n: usize,
    tolerate: u32,
    window: u32,
    usable: &Usable,
    (high, low): (Protocol, Protocol),
) -> Option<u128> {
    let inner = u32::try_from(n).ok()?.checked_sub(2)?;
    let most = inner.checked_add(tolerate)?;
    let mut total = 0u128;
    // The first knock has `above` ports above it, the last has `below` ports below it.
    for above in 0..window {
        let first = usable.nth(high, usable.count(high).checked_sub(above.checked_add(1)?)?)?;
        for below in 0..window {
            let last = usable.nth(low, below)?;
            let other = if high == low { 0 } else { above.checked_add(below)? };
            if SweepOrder::Interleaved.between(first, last, usable) > most || other > most {
                continue;
            }
            // The knocks between these two lie among those ports, in every split: Vandermonde.
            let ways = choose(u128::from(above.checked_add(below)?), inner as usize)?;
            total = total.checked_add(ways)?;
        }
    }
    Some(total)
}

/// Sequences that a sweep port by port opens around its end, and that only fall: one high number,
/// then one low number, at least one of them with both protocols.
fn falling(n: usize, tolerate: u32, window: u32, usable: &Usable) -> Option<u128> {
    use Protocol::{Tcp, Udp};
    let most = u32::try_from(n).ok()?.checked_sub(2)?.checked_add(tolerate)?;
    let mut total = 0u128;
    for (begin, end) in [(Tcp, Tcp), (Tcp, Udp), (Udp, Tcp), (Udp, Udp)] {
        for above in 0..window {
            let first =
                usable.nth(begin, usable.count(begin).checked_sub(above.checked_add(1)?)?)?;
            for below in 0..window {
                let last = usable.nth(end, below)?;
                if SweepOrder::Interleaved.between(first, last, usable) > most {
                    continue;
                }
                let pair = |protocol, port: Port| {
                    port.protocol != protocol && usable.contains(Port { protocol, ..port })
                };
                // A run of two goes from tcp to udp, as the sweep does.
                let (high, low) = (pair(Udp, first), pair(Tcp, last));
                let ways = match n {
                    3 => u128::from(high).checked_add(u128::from(low))?,
                    4 => u128::from(high && low),
                    _ => 0,
                };
                total = total.checked_add(ways)?;
            }
        }
    }
    Some(total)
}

/// The binomial coefficient; `None` when it overflows.
pub fn choose(n: u128, k: usize) -> Option<u128> {
    let mut result = 1u128;
    for i in 0..k as u128 {
        // Exact: the product of i consecutive numbers is divisible by i!.
        result = result.checked_mul(n.saturating_sub(i))?.checked_div(i.saturating_add(1))?;
    }
    Some(result)
}
