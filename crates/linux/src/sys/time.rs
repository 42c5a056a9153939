//! Local time, as the C library knows it.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment as the clocks on the wall show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalTime {
    /// Of the Gregorian calendar.
    pub year: i64,
    /// 1 to 12.
    pub month: i32,
    /// 1 to 31.
    pub day: i32,
    /// 0 to 23.
    pub hour: i32,
    /// 0 to 59.
    pub minute: i32,
    /// 0 to 60.
    pub second: i32,
}

unsafe extern "C" {
    /// tzset(3), which the crate `libc` does not have.
    fn tzset();
}

/// What the clocks of this machine show at this moment: by the variable `TZ`, or `/etc/localtime`,
/// also when that file has changed. All zero for a moment that cannot be told.
pub fn local(at: SystemTime) -> LocalTime {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let Ok(seconds) = libc::time_t::try_from(seconds) else { return LocalTime::default() };
    // SAFETY: reads the variable `TZ`, which nothing in this program ever changes; the C library
    // keeps what it learns behind a lock.
    unsafe { tzset() };
    // SAFETY: `tm` is plain old data of C, for which all zeros is a valid value (a null pointer for
    // the name of the zone, which nobody looks at).
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values that live through the call, and the second is writable.
    if unsafe { libc::localtime_r(&raw const seconds, &raw mut tm) }.is_null() {
        return LocalTime::default();
    }
    LocalTime {
        year: i64::from(tm.tm_year).saturating_add(1900),
        month: tm.tm_mon.saturating_add(1),
        day: tm.tm_mday,
        hour: tm.tm_hour,
        minute: tm.tm_min,
        second: tm.tm_sec,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_day_later_is_the_next_day() {
        // 2000-01-10, noon UTC: the tenth in all zones but those 12 hours and more ahead. That zones
        // are honoured is seen in `tests/knockd_log.rs`.
        let noon = UNIX_EPOCH + Duration::from_secs(947_505_600);
        let (today, tomorrow) = (local(noon), local(noon + Duration::from_secs(86_400)));
        assert_eq!((today.year, today.month), (2000, 1));
        assert_eq!(LocalTime { day: today.day + 1, ..today }, tomorrow);
    }

    #[test]
    fn no_moment_is_too_far() {
        let _ = local(UNIX_EPOCH + Duration::from_secs(i64::MAX.cast_unsigned()));
        let before = UNIX_EPOCH - Duration::from_secs(1 << 40);
        assert_eq!(local(before), local(UNIX_EPOCH));
    }
}
