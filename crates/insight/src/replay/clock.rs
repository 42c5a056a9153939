//! The capture's own clock, made to go forward only.
//!
//! The engine wants a clock that nobody sets. Frames in a file may be a little out of order (several
//! interfaces, several processors), and whoever captured may have set his clock, or joined two files.

use std::time::Duration;

use portcullis_core::time::Instant;

/// Frames may be this much older than one before them: they are taken for as late as that one.
/// What goes back further is another time.
pub const JITTER: Duration = Duration::from_secs(1);

/// A pause longer than this is told, since it may be none.
pub const PAUSE: Duration = Duration::from_secs(86_400);

/// Makes moments of the times in a capture.
#[derive(Debug, Default)]
pub struct Clock {
    /// The latest time since the clock was set last.
    latest: Option<u64>,
    now: u64,
    /// The time and the moment from which the clock went back, and the time to which.
    before: Option<(u64, u64, u64)>,
    /// What was odd.
    pub oddities: Oddities,
}

/// What is odd about the times of a capture.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Oddities {
    /// Frames a little older than one before them.
    pub out_of_order: u64,
    /// By how much at most.
    pub out_of_order_by: Duration,
    /// How often the clock went back.
    pub back: u64,
    /// By how much at most.
    pub back_by: Duration,
    /// How often it went forward more than [`PAUSE`].
    pub forward: u64,
    /// By how much at most.
    pub forward_by: Duration,
    /// Frames without a time.
    pub untimed: u64,
}

impl Clock {
    /// The moment of a frame with this time.
    pub fn tick(&mut self, time: Option<u64>) -> Instant {
        match (time, self.latest) {
            (None, _) => self.oddities.untimed = self.oddities.untimed.saturating_add(1),
            (Some(time), Some(latest)) if time < latest => self.go_back(time, latest),
            (Some(time), Some(latest)) => self.go_on(time, latest),
            // Moments begin at the first time, so that they are hardly ever too large.
            (Some(time), None) => {
                self.latest = Some(time);
                self.now = 1;
            }
        }
        Instant::from_nanos(self.now)
    }

    fn go_on(&mut self, time: u64, latest: u64) {
        let mut step = time.saturating_sub(latest);
        self.latest = Some(time);
        if let Some((high, moment, low)) = self.before.filter(|(high, ..)| time >= *high) {
            self.before = None;
            // Back where it was at a single step: what went before was a frame or two from elsewhere.
            if step > high.saturating_sub(low) / 2 {
                step = moment.saturating_add(time.saturating_sub(high)).saturating_sub(self.now);
            }
        }
        let by = Duration::from_nanos(step);
        if by > PAUSE {
            self.oddities.forward = self.oddities.forward.saturating_add(1);
            self.oddities.forward_by = self.oddities.forward_by.max(by);
        }
        self.now = self.now.saturating_add(step);
    }

    fn go_back(&mut self, time: u64, latest: u64) {
        let by = Duration::from_nanos(latest.saturating_sub(time));
        let odd = &mut self.oddities;
        if by <= JITTER {
            odd.out_of_order = odd.out_of_order.saturating_add(1);
            odd.out_of_order_by = odd.out_of_order_by.max(by);
            return;
        }
        odd.back = odd.back.saturating_add(1);
        odd.back_by = odd.back_by.max(by);
        self.before = Some((latest, self.now, time));
        self.latest = Some(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// The moments of these times in seconds, the first of them taken for 0.
    fn moments(times: &[u64]) -> (Vec<u64>, Oddities) {
        let mut clock = Clock::default();
        let moments: Vec<u64> =
            times.iter().map(|time| clock.tick(Some(time * SECOND / 10)).as_nanos()).collect();
        let moments = moments.iter().map(|nanos| (nanos - 1) * 10 / SECOND).collect();
        (moments, clock.oddities)
    }

    #[test]
    fn time_goes_on_as_in_the_capture() {
        let (found, odd) = moments(&[17_000, 17_001, 17_001, 17_900]);
        assert_eq!((found, odd), (vec![0, 1, 1, 900], Oddities::default()));
    }

    #[test]
    fn a_frame_a_little_late_is_as_late_as_the_one_before() {
        let (found, odd) = moments(&[100, 105, 103, 106]);
        assert_eq!(found, [0, 5, 5, 6]);
        assert_eq!((odd.out_of_order, odd.out_of_order_by.as_millis(), odd.back), (1, 200, 0));
    }

    #[test]
    fn a_clock_that_is_set_back_goes_on_from_there() {
        let (found, odd) = moments(&[90_000, 90_010, 100, 120, 130]);
        assert_eq!(found, [0, 10, 10, 30, 40]);
        assert_eq!((odd.back, odd.back_by.as_secs()), (1, 8991));
        // Also when it comes to where it was.
        let (found, _) = moments(&[100, 200, 150, 170, 199, 201]);
        assert_eq!(found, [0, 100, 100, 120, 149, 151]);
    }

    #[test]
    fn a_single_old_frame_does_not_make_time_longer() {
        let (found, odd) = moments(&[100, 200, 10, 201, 202]);
        assert_eq!((found, odd.back), (vec![0, 100, 100, 101, 102], 1));
    }

    #[test]
    fn pauses_are_told_and_no_time_is_too_large() {
        let mut clock = Clock::default();
        for time in [Some(0), None, Some(u64::MAX), Some(0), Some(u64::MAX), None] {
            clock.tick(time);
        }
        assert_eq!((clock.oddities.forward, clock.oddities.untimed), (1, 2));
    }
}
