//! How many lines an attacker can make us write.

use std::time::Duration;

use portcullis_core::time::Instant;

/// What one thing costs, so that fractions of it can come back in nanoseconds.
const ONE: u64 = 1_000_000_000;

/// A token bucket: lets a burst of things pass, then a number in each second, and counts the others.
#[derive(Debug)]
pub struct Pace {
    /// What fits into the bucket; a thing takes [`ONE`].
    full: u64,
    per_second: u32,
    left: u64,
    /// When `left` was right.
    at: Instant,
    held: u32,
    /// When the first of `held` was.
    since: Instant,
}

impl Pace {
    /// One that lets `burst` pass at once, and after that `per_second` in the long run.
    pub const fn new(burst: u32, per_second: u32) -> Self {
        // The largest burst fits: 2^32 times 10^9 is less than 2^64.
        let full = (burst as u64).saturating_mul(ONE);
        let (at, since) = (Instant::ORIGIN, Instant::ORIGIN);
        Self { full, per_second, left: full, at, held: 0, since }
    }

    /// Whether one more may pass now.
    pub fn admits(&mut self, now: Instant) -> bool {
        let passed = now.as_nanos().saturating_sub(self.at.as_nanos());
        let returned = passed.saturating_mul(u64::from(self.per_second));
        self.left = self.left.saturating_add(returned).min(self.full);
        self.at = self.at.max(now);
        if let Some(left) = self.left.checked_sub(ONE) {
            self.left = left;
            return true;
        }
        self.hold(1, now);
        false
    }

    /// Counts this number as held back, if another part has held them back.
    pub fn hold(&mut self, count: u32, now: Instant) {
        if self.held == 0 {
            self.since = now;
        }
        self.held = self.held.saturating_add(count);
    }

    /// Whether some are held back, so that [`take_held`](Self::take_held) must be asked later.
    pub const fn holds(&self) -> bool {
        self.held > 0
    }

    /// How many were held back, a second after the first of them; 0 before, so that an attacker does
    /// not make us write about what we do not write.
    pub fn take_held(&mut self, now: Instant) -> u32 {
        if now.since(self.since) < Duration::from_secs(1) {
            return 0;
        }
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(pace: &mut Pace, ms: u64) -> usize {
        (0..10).filter(|_| pace.admits(Instant::from_millis(ms))).count()
    }

    #[test]
    fn so_many_a_second_and_the_rest_is_counted() {
        let mut pace = Pace::new(3, 3);
        let start = 5_000;
        assert_eq!(admitted(&mut pace, start), 3);
        assert_eq!(pace.take_held(Instant::from_millis(start + 999)), 0);
        assert!(pace.holds());
        assert_eq!(pace.take_held(Instant::from_millis(start + 1000)), 7);
        assert!(!pace.holds());
        assert_eq!(admitted(&mut pace, start + 1000), 3);
        assert_eq!(admitted(&mut pace, start + 1333), 0);
        assert_eq!(admitted(&mut pace, start + 1334), 1);
        assert_eq!(pace.take_held(Instant::from_millis(start + 1999)), 0);
        assert_eq!(pace.take_held(Instant::from_millis(start + 2000)), 7 + 10 + 9);
    }

    #[test]
    fn what_others_held_back_is_told_once_a_second() {
        let mut pace = Pace::new(1, 1);
        let at = |ms: u64| Instant::from_millis(5_000 + ms);
        for ms in 0..1000 {
            pace.hold(u32::MAX, at(ms));
            assert_eq!(pace.take_held(at(ms)), 0);
        }
        assert!(pace.holds());
        assert_eq!(pace.take_held(at(1000)), u32::MAX);
        assert!(pace.admits(at(1000)), "it takes no room");
    }

    #[test]
    fn a_burst_comes_back_slowly_and_never_grows() {
        let mut pace = Pace::new(8, 2);
        assert_eq!(admitted(&mut pace, 0), 8);
        assert_eq!(admitted(&mut pace, 500), 1);
        assert_eq!(admitted(&mut pace, 2_500), 4);
        assert_eq!(admitted(&mut pace, 1_000_000_000), 8);
        // A clock that is asked out of order gives nothing away.
        assert_eq!(admitted(&mut pace, 999_999_000), 0);
        assert_eq!(admitted(&mut pace, 1_000_000_500), 1);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let mut pace = Pace::new(u32::MAX, u32::MAX);
        assert_eq!(admitted(&mut pace, 0), 10);
        assert_eq!(admitted(&mut pace, u64::MAX), 10);
        assert_eq!(admitted(&mut Pace::new(0, 0), u64::MAX), 0);
    }
}
