//! Counting the sequences that a sweep opens, over and over, although they are in no order.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::choose::{as_u32, choose};
use super::{Natural, SweepOrder, Usable, monotone};
use crate::policy::{Port, Protocol};

/// Sequences that neither only rise nor only fall, and that a repeated sweep opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// Those in which no port follows itself.
    pub apart: Natural,
    /// Those in which no port comes twice.
    pub once: Natural,
}

/// So many sequences are listed where they cannot be counted otherwise; it takes about a second.
const MAX_LISTED: f64 = 1_000_000.0;

/// Counts them; `None` where that would take too long.
pub fn count(n: usize, tolerate: u8, usable: &Usable) -> Option<Swept> {
    if n < 3 {
        // All of those only rise or only fall.
        return Some(Swept { apart: Natural::default(), once: Natural::default() });
    }
    match at_the_ends(n, tolerate, usable) {
        // No port comes twice where the ends are far from each other.
        Some(swept) => Some(Swept { apart: swept.clone(), once: swept }),
        None => listed(n, tolerate, usable),
    }
}

/// Counted by what they are: those that go around the end of a sweep, the last ports of a round and
/// then the first of the next. `None` on hosts with so few usable ports that the ends meet.
///
/// In a round of S ports a sequence with g wrong ports in it spans `g + n - 1` steps, can be written
/// in `C(g + n - 2, n - 2)` ways from each start, and goes around the end from as many starts as it
/// has steps. Descending sweeps open the same sequences backwards.
///
/// In such a span no port is touched twice, so none of them is a knock made already: a whole round has
/// more ports than a sequence has knocks and wrong ports.
pub(super) fn at_the_ends(n: usize, tolerate: u8, usable: &Usable) -> Option<Natural> {
    let tolerate = u32::from(tolerate);
    let window = u32::try_from(n).ok()?.checked_add(tolerate)?;
    let mut around = Natural::default();
    for wrong in 0..=tolerate {
        let steps = wrong.checked_add(u32::try_from(n).ok()?)?.checked_sub(1)?;
        let ways = choose(steps.checked_sub(1)?, n.checked_sub(2)?);
        around = around.plus(&ways.times(&steps.into()));
    }
    let upwards = match (usable.count(Protocol::Tcp), usable.count(Protocol::Udp)) {
        (0, ports) | (ports, 0) => (ports >= window.checked_mul(2)?).then_some(around)?,
        _ if !is_wide(window, usable) => return None,
        _ => {
            // tcp alone and udp alone go around one end each; tcp and then udp around two; port by
            // port around one, but of that not what one protocol has, what only falls, and what is
            // in the other.
            let mut counted_already = falling(n, tolerate, window, usable)?;
            for high in [Protocol::Tcp, Protocol::Udp] {
                for low in [Protocol::Tcp, Protocol::Udp] {
                    let more = in_two_blocks(n, tolerate, window, usable, (high, low))?;
                    counted_already = counted_already.plus(&more);
                }
            }
            around.times(&Natural::from(5u32)).minus(&counted_already)?
        }
    };
    Some(upwards.plus(&upwards))
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
) -> Option<Natural> {
    let inner = u32::try_from(n).ok()?.checked_sub(2)?;
    let most = inner.checked_add(tolerate)?;
    let mut total = Natural::default();
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
            total = total.plus(&choose(above.checked_add(below)?, inner as usize));
        }
    }
    Some(total)
}

/// Sequences that a sweep port by port opens around its end, and that only fall: one high number,
/// then one low number, at least one of them with both protocols.
fn falling(n: usize, tolerate: u32, window: u32, usable: &Usable) -> Option<Natural> {
    use Protocol::{Tcp, Udp};
    let most = u32::try_from(n).ok()?.checked_sub(2)?.checked_add(tolerate)?;
    let mut total = 0u32;
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
                    3 => u32::from(high).checked_add(u32::from(low))?,
                    4 => u32::from(high && low),
                    _ => 0,
                };
                total = total.checked_add(ways)?;
            }
        }
    }
    Some(total.into())
}

/// Counted by listing what each sweep opens; `None` if that is too much.
pub(super) fn listed(n: usize, tolerate: u8, usable: &Usable) -> Option<Swept> {
    let rounds = rounds(usable);
    let paths = rounds.iter().map(|round| paths(round.len(), n, tolerate)).sum::<f64>();
    if paths > MAX_LISTED {
        return None;
    }
    let mut found = BTreeSet::new();
    for round in &rounds {
        for start in 0..round.len() {
            let mut knocks = Vec::with_capacity(n);
            follow(round, start, n, usize::from(tolerate), &mut knocks, &mut found);
        }
    }
    let comes_twice = |knocks: &&Vec<Port>| {
        let distinct: BTreeSet<_> = knocks.iter().collect();
        distinct.len() == knocks.len()
    };
    Some(Swept {
        apart: Natural::from(found.len() as u128),
        once: Natural::from(found.iter().filter(comes_twice).count() as u128),
    })
}

/// At most so many sequences are opened by a sweep with rounds of so many ports, from all starts
/// together.
///
/// In the first round from its start, each port is a knock or wrong: `C(n - 1 + tolerate, n - 1)`
/// ways, if the sequence ends in this round. If it does not, the wrong ports were any of this round, and
/// each further knock is any port but the one before.
fn paths(ports: usize, n: usize, tolerate: u8) -> f64 {
    let others = ports.saturating_sub(1);
    let further = |knocks: usize| (0..knocks).fold(1.0, |ways, _| ways * others as f64);
    let forgiven = usize::from(tolerate);
    let before = n.saturating_sub(1);
    let mut from_each = choose(as_u32(before.saturating_add(forgiven)), before).as_f64();
    for wrong in 0..=forgiven.min(others) {
        if let Some(left) = n.checked_sub(ports.saturating_sub(wrong))
            && left > 0
        {
            from_each += choose(as_u32(others), wrong).as_f64() * further(left);
        }
    }
    ports as f64 * from_each.min(further(before))
}

/// Adds all that the sweep opens that goes on with this place of its round, having `left` knocks to
/// come and so many wrong ports to be forgiven.
fn follow(
    round: &[Port],
    at: usize,
    left: usize,
    mut forgiven: usize,
    knocks: &mut Vec<Port>,
    found: &mut BTreeSet<Vec<Port>>,
) {
    let place = |at: usize| at.checked_rem(round.len()).and_then(|at| round.get(at)).copied();
    knocks.extend(place(at));
    match left.saturating_sub(1) {
        0 => {
            if monotone(knocks).is_none() {
                found.insert(knocks.clone());
            }
        }
        left => {
            // After a whole round comes the same port again, which is no next knock.
            for next in at.saturating_add(1)..at.saturating_add(round.len()) {
                follow(round, next, left, forgiven, knocks, found);
                // If it is not the next knock, it changes nothing or is wrong.
                if place(next).is_none_or(|port| knocks.contains(&port)) {
                    continue;
                }
                match forgiven.checked_sub(1) {
                    Some(fewer) => forgiven = fewer,
                    None => break,
                }
            }
        }
    }
    knocks.pop();
}

/// What each sweep touches in one round.
fn rounds(usable: &Usable) -> Vec<Vec<Port>> {
    let of = |protocol| (0..usable.count(protocol)).filter_map(move |at| usable.nth(protocol, at));
    let tcp: Vec<Port> = of(Protocol::Tcp).collect();
    let udp: Vec<Port> = of(Protocol::Udp).collect();
    let one_then_other = [tcp.as_slice(), udp.as_slice()].concat();
    let mut interleaved = one_then_other.clone();
    interleaved.sort_by_key(|port| (port.number, port.protocol));
    let mut rounds: Vec<_> = [tcp, udp, one_then_other, interleaved].into();
    let backwards: Vec<Vec<Port>> =
        rounds.iter().map(|round| round.iter().rev().copied().collect()).collect();
    rounds.extend(backwards);
    rounds
}
