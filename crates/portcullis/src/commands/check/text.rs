//! Doors and their strength as a person reads them.

use std::fmt::Write as _;

use portcullis_config::{Report, duration};
use portcullis_core::policy::{Door, Hook, Hooks, Policy, Port, Recogniser};
use portcullis_core::strength::Strength;
use portcullis_core::text::plain;

use super::{RATES, with_strength};

/// All doors, each with a line per property.
pub fn doors(policy: &Policy, show_knocks: bool) -> String {
    let mut out = String::new();
    for (door, strength) in with_strength(policy) {
        let bold = anstyle::Style::new().bold();
        let _ = writeln!(out, "{bold}door {}{bold:#}", door.name);
        for (key, value) in properties(door, &strength, show_knocks) {
            let _ = writeln!(out, "  {key:<13} {value}");
        }
        out.push('\n');
    }
    out
}

/// What bans, and what that is worth against whom.
pub fn bans(policy: &Policy) -> String {
    let Some(ban) = policy.gate.ban else { return String::new() };
    let bold = anstyle::Style::new().bold();
    format!(
        "{bold}bans{bold:#}\n  {:<13} {} strikes within {} trigger a ban of {}\n  {:<13} {}\n  \
         {:<13} {}\n\n",
        "rule",
        grouped(&ban.strikes.to_string()),
        duration::format(ban.within),
        duration::format(ban.time),
        "to guess",
        "bans do not slow guessing down: knocks of a banned source still count",
        "forgery",
        format_args!(
            "{} forged packets can ban an address from public ports; established connections, \
             knocks and grants still work",
            grouped(&ban.strikes.to_string())
        ),
    )
}

/// The last line.
pub fn verdict(policy: &Policy, report: &Report) -> String {
    let count = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{} {what}s", grouped(&count.to_string())),
    };
    let path = report.path();
    let warnings = match report.warnings() {
        0 => String::new(),
        some => format!(", {}", count(some, "warning")),
    };
    match report.errors() {
        0 => format!("{path}: ok, {}{warnings}", count(policy.doors.len(), "door")),
        errors => format!("{path}: {}{warnings}", count(errors, "error")),
    }
}

fn properties(door: &Door, strength: &Strength, show_knocks: bool) -> Vec<(&'static str, String)> {
    let sequence = match show_knocks {
        true => list(&door.sequence),
        false => format!("{} knocks", door.sequence.len()),
    };
    let tolerate = match door.tolerate {
        0 => "0".into(),
        some => format!(
            "{some}; this costs {:.1} bits, because each packet tries {} sequences",
            strength.bits_lost(),
            grouped(&strength.tried_per_packet.to_string())
        ),
    };
    let sequences = format!(
        "{}{} sequences, {:.1} bits",
        if strength.exact { "" } else { "at most " },
        grouped(&strength.sequences.to_string()),
        strength.bits
    );
    let guess = RATES.map(|rate| {
        let time = time(strength.seconds_at(f64::from(rate)));
        format!("{time} at {} packets per second", grouped(&rate.to_string()))
    });
    let mut lines = vec![
        ("guards", guards(&door.guards)),
        ("sequence", sequence),
        ("step_timeout", duration::format(door.step_timeout)),
        ("open_for", duration::format(door.open_for)),
        ("recogniser", recogniser(door.recogniser).into()),
        ("tolerate", tolerate),
        ("strength", sequences),
        ("to guess", guess.join(", ")),
    ];
    if let Some(Hooks { on_open, on_close }) = &door.hooks {
        lines.push(("on_open", command(on_open)));
        lines.extend(on_close.as_ref().map(|hook| ("on_close", command(hook))));
    }
    lines
}

fn guards(ports: &[Port]) -> String {
    if ports.is_empty() { "nothing".into() } else { list(ports) }
}

/// As it would be written, on one line and without what a terminal would act upon.
fn command(hook: &Hook) -> String {
    plain(&format!("{:?}", hook.arguments()))
}

/// The word of the configuration.
pub const fn recogniser(recogniser: Recogniser) -> &'static str {
    match recogniser {
        Recogniser::Both => "both",
        Recogniser::Kernel => "kernel",
        Recogniser::Daemon => "daemon",
    }
}

fn list(ports: &[Port]) -> String {
    ports.iter().map(Port::to_string).collect::<Vec<_>>().join(", ")
}

/// Digits in groups of three.
pub fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How long that is, to two digits; nobody needs more of a guess at guessing.
pub fn time(seconds: f64) -> String {
    const YEAR: f64 = 365.25 * 86_400.0;
    const UNITS: [(f64, &str); 8] = [
        (YEAR * 1e9, "billion years"),
        (YEAR * 1e6, "million years"),
        (YEAR, "year"),
        (7.0 * 86_400.0, "week"),
        (86_400.0, "day"),
        (3_600.0, "hour"),
        (60.0, "minute"),
        (1.0, "second"),
    ];
    if seconds >= YEAR * 1e12 {
        return "more than a trillion years".into();
    }
    for (unit, name) in UNITS {
        // What is nearly one of a unit is one of it, not sixty of the next.
        let count = two_digits(seconds / unit);
        if count >= 1 {
            let plural = if count == 1 || name.ends_with('s') { "" } else { "s" };
            return format!("{} {name}{plural}", grouped(&count.to_string()));
        }
    }
    "less than a second".into()
}

fn two_digits(number: f64) -> u64 {
    let scale = 10f64.powf((number.max(1.0).log10().floor() - 1.0).max(0.0));
    ((number / scale).round() * scale) as u64
}
