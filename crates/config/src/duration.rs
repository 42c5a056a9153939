//! Durations as people write them: `500ms`, `30s`, `1m30s`, `1h`.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use portcullis_core::text::plain;

/// The units, from the largest, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationError {
    /// It does not begin with a digit.
    NoNumber,
    /// A number has no unit.
    NoUnit,
    /// A unit is none of ours.
    UnknownUnit,
    /// A unit comes twice, or after a smaller one.
    Order,
    /// It does not fit.
    TooLong,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoNumber => "expected a duration such as `30s`",
            Self::NoUnit => "the duration has no unit",
            Self::UnknownUnit => "the duration has an unknown unit; use `ms`, `s`, `m` or `h`",
            Self::Order => {
                "the units of a duration must go from the largest to the smallest, each once"
            }
            Self::TooLong => "the duration is too long",
        })
    }
}

impl std::error::Error for DurationError {}

/// Reads a duration: whole numbers, each with its unit, without spaces or fractions.
///
/// # Errors
/// Why it is none.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut units = UNITS.iter();
    let mut millis = 0u64;
    let mut rest = text;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits).unwrap_or((rest, ""));
        if number.is_empty() {
            return Err(DurationError::NoNumber);
        }
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters).unwrap_or((after, ""));
        if unit.is_empty() {
            return Err(DurationError::NoUnit);
        }
        let Some((_, factor)) = units.by_ref().find(|(name, _)| *name == unit) else {
            let known = UNITS.iter().any(|(name, _)| *name == unit);
            return Err(if known { DurationError::Order } else { DurationError::UnknownUnit });
        };
        millis = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*factor))
            .and_then(|part| millis.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        if after.is_empty() {
            return Ok(Duration::from_millis(millis));
        }
        rest = after;
    }
}

/// Reads a duration that must be in this range, which [`range_hint`] names.
///
/// # Errors
/// Why it is none, or on which side it is out of range.
pub fn parse_in(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    match parse(text) {
        Err(error) => Err(error.to_string()),
        Ok(duration) if duration < *range.start() => Err(format!("`{}` is too short", plain(text))),
        Ok(duration) if duration > *range.end() => Err(format!("`{}` is too long", plain(text))),
        Ok(duration) => Ok(duration),
    }
}

/// What may be written where a duration must be in this range: `use 1s to 1h`.
pub fn range_hint(range: &RangeInclusive<Duration>) -> String {
    format!("use {} to {}", format(*range.start()), format(*range.end()))
}

/// Writes a duration in the one form that [`parse`] reads back; what is below a millisecond is lost.
pub fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut out = String::new();
    for (unit, factor) in UNITS {
        if rest >= factor {
            out.push_str(&(rest / factor).to_string());
            out.push_str(unit);
        }
        rest %= factor;
    }
    if out.is_empty() { "0s".into() } else { out }
}

/// Writes a duration to the tenth of a second while it is shorter than a minute, and to the second then.
/// Less than a tenth of a second counts as that much.
pub fn to_the_tenth(time: Duration) -> String {
    match time.as_secs() {
        0..60 => {
            let tenths = time.as_millis().div_ceil(100).max(1);
            match (tenths / 10, tenths % 10) {
                (seconds, 0) => format!("{seconds}s"),
                (seconds, tenths) => format!("{seconds}.{tenths}s"),
            }
        }
        seconds => format(Duration::from_secs(seconds)),
    }
}

/// As a person reads what is left of a time: in whole seconds, if there are any.
pub fn to_the_second(time: Duration) -> String {
    match time.as_secs() {
        0 => format(time),
        seconds => format(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1m30s", 90_000),
            ("1h1m1s1ms", 3_661_001),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(format(Duration::from_secs(86_400)), "24h");
    }

    #[test]
    fn what_is_no_duration() {
        for (text, error) in [
            ("", DurationError::NoNumber),
            ("s", DurationError::NoNumber),
            ("-5s", DurationError::NoNumber),
            (" 5s", DurationError::NoNumber),
            ("5", DurationError::NoUnit),
            ("1m30", DurationError::NoUnit),
            ("5 s", DurationError::UnknownUnit),
            ("1d", DurationError::UnknownUnit),
            ("5sec", DurationError::UnknownUnit),
            ("1.5s", DurationError::UnknownUnit),
            ("5s1m", DurationError::Order),
            ("5s5s", DurationError::Order),
            ("99999999999999999999s", DurationError::TooLong),
            ("18446744073709551615h", DurationError::TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }
}
