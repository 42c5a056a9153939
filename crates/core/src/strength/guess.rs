//! What bans are worth against somebody who guesses.

use crate::policy::Ban;

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
