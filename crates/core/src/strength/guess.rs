//! How fast a guesser is, and what bans are worth against it.

use alloc::vec::Vec;

use super::choose::{as_u32, choose};
use super::{Counts, Natural};
use crate::policy::Ban;

/// Sequences without a repeated port that a guesser tries with each packet, at most and on average over
/// all packets: the ways to place the knocks after the first one.
///
/// An attempt begins with the first knock, and each later packet is the next knock, a knock made already,
/// or a wrong port. So from each packet on, the order in which ports first appear is the sequence. A door
/// that forgives wrong ports leaves out some of them.
pub fn tried_per_packet(knocks: usize, tolerate: u8) -> Natural {
    let after = knocks.saturating_sub(1);
    choose(as_u32(after).saturating_add(tolerate.into()), after)
}

/// The same for sequences with a repeated port.
///
/// When a port appears again, it may be the next knock, or change nothing. So the order of first
/// appearance leaves open where the repeated ports are. There are as many such patterns of n knocks with
/// d ports as ways to divide n - 1 things into d - 1 parts: Stirling's numbers of the second kind.
pub fn repeats_tried_per_packet(knocks: usize, tolerate: u8) -> f64 {
    // At index k: the ways to divide so many things into k + 1 parts.
    let mut parts: Vec<f64> = Vec::new();
    for _ in 1..knocks {
        let before = core::mem::take(&mut parts);
        let joins = before.iter().zip(1u32..).map(|(ways, parts)| ways * f64::from(parts));
        let begins = core::iter::once(0.0).chain(before.iter().copied());
        parts.extend(joins.chain([0.0]).zip(begins).map(|(join, begin)| join + begin));
        if let [only] = parts.as_mut_slice() {
            *only = 1.0;
        }
    }
    // The last has a part for each knock: no port repeats.
    parts.pop();
    let ports = 2usize..;
    parts
        .iter()
        .zip(ports)
        .map(|(ways, ports)| ways * tried_per_packet(ports, tolerate).as_f64())
        .sum()
}

/// Packets that a guesser needs on average, at least.
///
/// Sequences with and without a repeated port are tried side by side, each at its own rate. Of N
/// sequences tried at a rate of r, half are tried after N / 2r packets.
pub fn packets(counts: &Counts, knocks: usize, tolerate: u8) -> f64 {
    let (all, _) = counts.apart.in_force();
    let (once, _) = counts.once.in_force();
    let repeating = all.minus(once).unwrap_or_default();
    let kinds = [
        (once.as_f64(), tried_per_packet(knocks, tolerate).as_f64()),
        (repeating.as_f64(), repeats_tried_per_packet(knocks, tolerate)),
    ];
    let there_are = kinds.iter().filter(|(sequences, _)| *sequences > 0.0);
    there_are.map(|(sequences, rate)| sequences / all.as_f64() * (sequences / rate / 2.0)).sum()
}

/// Packets per second of a guesser that a gate would hear if it did not listen to the banned, and each
/// wrong packet were a strike: the strictest ban that there could be. The guesser sends
/// `packets_per_second` from `sources` addresses in turn, and does what is better for him: he sends so
/// slowly that he is never banned, or he is banned and waits for the end of it.
///
/// This gate hears all of them, since a right knock passes its bans: a strike can be forged.
pub fn guesses_heard(ban: &Ban, packets_per_second: f64, sources: f64) -> f64 {
    let strikes = f64::from(ban.strikes);
    let each = packets_per_second / sources;
    let slowly = (strikes - 1.0).max(0.0) / ban.within.as_secs_f64();
    let in_bursts = strikes / (ban.time.as_secs_f64() + strikes / each);
    slowly.max(in_bursts).min(each) * sources
}
