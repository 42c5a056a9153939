//! How many lines an attacker can make us write.

use std::time::Duration;

use portcullis_core::time::Instant;

/// Lets so many things pass in each second, and counts the others.
#[derive(Debug)]
pub struct Pace {
    per_second: u32,
    since: Instant,
    passed: u32,
    held: u32,
}

impl Pace {
    /// One that lets this many pass.
    pub const fn new(per_second: u32) -> Self {
        Self { per_second, since: Instant::ORIGIN, passed: 0, held: 0 }
    }

    /// Whether one more may pass now.
    pub fn admits(&mut self, now: Instant) -> bool {
        if self.passed >= self.per_second && now.since(self.since) < Duration::from_secs(1) {
            self.held = self.held.saturating_add(1);
            return false;
        }
        if now.since(self.since) >= Duration::from_secs(1) {
            (self.since, self.passed) = (now, 0);
        }
        self.passed = self.passed.saturating_add(1);
        true
    }

    /// Whether some are held back, so that [`take_held`](Self::take_held) must be asked later.
    pub const fn holds(&self) -> bool {
        self.held > 0
    }

    /// How many were held back in the second that has ended; 0 while it has not.
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

    #[test]
    fn so_many_a_second_and_the_rest_is_counted() {
        let mut pace = Pace::new(3);
        let start = 5_000;
        let admitted =
            |pace: &mut Pace, ms| (0..10).filter(|_| pace.admits(Instant::from_millis(ms))).count();
        assert_eq!(admitted(&mut pace, start), 3);
        assert_eq!(pace.take_held(Instant::from_millis(start + 999)), 0);
        assert!(pace.holds());
        assert_eq!(pace.take_held(Instant::from_millis(start + 1000)), 7);
        assert!(!pace.holds());
        assert_eq!(admitted(&mut pace, start + 1000), 3);
        assert_eq!(admitted(&mut pace, start + 1500), 0);
        assert_eq!(pace.take_held(Instant::from_millis(start + 2000)), 17);
    }
}
