//! A replay as a person reads it.

use std::fmt::Write as _;
use std::net::IpAddr;

use portcullis_config::duration;
use portcullis_core::policy::{DoorId, Policy};
use portcullis_insight::replay::own_addresses::Origin;
use portcullis_insight::replay::report::{Report, Strike, Why};
use portcullis_insight::replay::sources::Deeds;

use super::super::live::table;
use crate::progress::thousands;

/// Rows of a list that may be long, unless all are asked for.
const FEW: usize = 20;

/// All of it.
pub fn render(policy: &Policy, report: &Report, all: bool) -> String {
    let mut out = String::new();
    head(&mut out, report);
    openings(&mut out, policy, report);
    sources(&mut out, policy, report, all);
    strikes(&mut out, policy, report, all);
    out
}

fn head(out: &mut String, report: &Report) {
    let _ = write!(out, "packets  {}", thousands(report.frames));
    if let Some((first, last)) = report.times {
        let _ = write!(out, ", from {} to {}", moment(first), moment(last));
    }
    let how = match report.host_source {
        Some(Origin::Told) => "",
        _ if report.host.is_empty() => "(direction of each packet from the capture)",
        _ => " (detected)",
    };
    let host: Vec<String> = report.host.iter().map(IpAddr::to_string).collect();
    let _ = writeln!(out, "\nhost     {}{how}", host.join(", "));
}

fn openings(out: &mut String, policy: &Policy, report: &Report) {
    if report.opened == 0 {
        out.push_str("\nno door would have opened\n");
        return;
    }
    let _ = writeln!(out, "\ndoors that would have opened: {}", thousands(report.opened));
    let rows: Vec<_> = report
        .openings
        .iter()
        .map(|opening| {
            let door = name(policy, opening.door);
            let open_for = duration::format(opening.open_for);
            [moment(opening.at), door, opening.source.to_string(), open_for]
        })
        .collect();
    out.push_str(&table(["WHEN", "DOOR", "ADDRESS", "OPEN FOR"], &rows));
}

fn sources(out: &mut String, policy: &Policy, report: &Report, all: bool) {
    let listed: Vec<_> =
        report.sources.iter().filter(|(_, deeds)| *deeds != Deeds::default()).collect();
    if listed.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nsources with knocks or strikes: {}", listed.len());
    let most = if all { usize::MAX } else { FEW };
    let rows: Vec<_> = listed
        .iter()
        .take(most)
        .map(|(source, deeds)| {
            let (came, when) = match deeds.furthest {
                Some((stage, door, at)) => (how_far(policy, stage, door), moment(at)),
                None => ("-".into(), "-".into()),
            };
            let banned = deeds.banned.map_or_else(|| "-".into(), moment);
            let numbers = [deeds.opened, deeds.lost, deeds.late, deeds.strikes].map(thousands);
            let [opened, lost, late, strikes] = numbers;
            [source.to_string(), came, when, opened, lost, late, strikes, banned]
        })
        .collect();
    let titles = ["ADDRESS", "REACHED", "WHEN", "OPENED", "LOST", "LATE", "STRIKES", "BANNED"];
    out.push_str(&table(titles, &rows));
    more(out, listed.len(), rows.len(), all);
}

fn strikes(out: &mut String, policy: &Policy, report: &Report, all: bool) {
    if report.struck == 0 {
        return;
    }
    let _ = write!(out, "\nstrikes: {}", thousands(report.struck));
    let _ = match policy.gate.ban {
        None => writeln!(out, " (no `[ban]` is configured, so they ban nobody)"),
        Some(_) => writeln!(out, "; bans: {}", thousands(report.bans)),
    };
    let most = if all { usize::MAX } else { FEW };
    let rows: Vec<_> = report
        .strikes
        .iter()
        .take(most)
        .map(|strike| {
            let why = reason(policy, strike);
            let port = strike.port.map_or_else(|| "port 0".into(), |port| port.to_string());
            [moment(strike.at), strike.source.to_string(), port, why]
        })
        .collect();
    out.push_str(&table(["WHEN", "ADDRESS", "PORT", "WHY"], &rows));
    more(out, usize::try_from(report.struck).unwrap_or(usize::MAX), rows.len(), all);
}

/// Says how many there are beyond those listed, and how to see them if they are kept.
fn more(out: &mut String, number: usize, listed: usize, all: bool) {
    let left = number.saturating_sub(listed);
    if left > 0 {
        let how = if all { "" } else { " (use --all to list them)" };
        let _ = writeln!(out, "… and {} more{how}", thousands(left as u64));
    }
}

fn reason(policy: &Policy, strike: &Strike) -> String {
    let why = match strike.why {
        Why::Refused(door) => format!("refused at door {}", name(policy, door)),
        Why::Closed => "at a closed port".into(),
    };
    if strike.bans { why + ", and bans" } else { why }
}

/// "ssh 2 of 3".
fn how_far(policy: &Policy, stage: u8, door: DoorId) -> String {
    let of = policy.door(door).map_or(0, |door| door.sequence.len());
    format!("{} {stage} of {of}", name(policy, door))
}

/// The name of a door.
pub fn name(policy: &Policy, door: DoorId) -> String {
    policy.door(door).map(|door| door.name.to_string()).unwrap_or_default()
}

/// A moment in nanoseconds since 1970 as the clocks of UTC show it, to the millisecond.
pub fn moment(nanos: u64) -> String {
    let (seconds, millis) = (nanos / 1_000_000_000, nanos / 1_000_000 % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of so many days after 1970-01-01 (Howard Hinnant, "chrono-compatible low-level
/// date algorithms", `civil_from_days`). Years begin in March here, so that leap days are last.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a 64-bit count of nanoseconds has 213,503 days"
)]
const fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + (month <= 2) as u64, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_utc() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00.000Z"),
            (951_782_399, "2000-02-28 23:59:59.000Z"),
            (951_782_400, "2000-02-29 00:00:00.000Z"),
            (951_868_800, "2000-03-01 00:00:00.000Z"),
            (1_767_225_599, "2025-12-31 23:59:59.000Z"),
            (4_107_542_400, "2100-03-01 00:00:00.000Z"),
        ] {
            assert_eq!(moment(seconds * 1_000_000_000), text);
        }
        assert_eq!(moment(1_234_999_999), "1970-01-01 00:00:01.234Z");
        assert_eq!(moment(u64::MAX), "2554-07-21 23:34:33.709Z");
    }
}
