//! The clock of everything that ends by itself.

use nix::time::{ClockId, clock_gettime};
use portcullis_core::time::Instant;

/// The time, on a clock that nobody sets and that goes on while the machine sleeps.
pub fn clock() -> Instant {
    let Ok(time) = clock_gettime(ClockId::CLOCK_BOOTTIME) else { return Instant::ORIGIN };
    let (seconds, nanos) = (time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs());
    Instant::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_forward() {
        let first = clock();
        assert!(first > Instant::ORIGIN);
        assert!(clock() >= first);
    }
}
