//! Doors and findings as one JSON object.

use portcullis_config::{Diagnostic, Report};
use portcullis_core::policy::{Door, Hook, Policy, Port, Severity};
use portcullis_core::strength::Strength;
use serde_json::{Map, Value, json};

use super::text::recogniser;
use super::{RATES, with_strength};

/// The object, and a newline.
pub fn render(policy: &Policy, report: &Report, unseen: &[String], show_knocks: bool) -> String {
    let doors = with_strength(policy);
    let object = json!({
        "file": report.path(),
        "ok": report.errors() == 0,
        "doors": doors.iter().map(|(d, strength)| door(d, strength, show_knocks)).collect::<Vec<_>>(),
        "ban": policy.gate.ban.map(|ban| json!({
            "strikes": ban.strikes,
            "within_ms": millis(ban.within),
            "for_ms": millis(ban.time),
        })),
        "findings": report.findings().iter().map(|found| finding(report, found)).collect::<Vec<_>>(),
        "not_looked_at": unseen,
    });
    format!("{object:#}\n")
}

fn door(door: &Door, strength: &Strength, show_knocks: bool) -> Value {
    let ports = |ports: &[Port]| ports.iter().map(Port::to_string).collect::<Vec<_>>();
    let seconds: Map<String, Value> = RATES
        .iter()
        .map(|&rate| (rate.to_string(), strength.seconds_at(f64::from(rate)).into()))
        .collect();
    let mut object = json!({
        "name": door.name.as_str(),
        "guards": ports(&door.guards),
        "knocks": door.sequence.len(),
        "step_timeout_ms": millis(door.step_timeout),
        "open_for_ms": millis(door.open_for),
        "recogniser": recogniser(door.recogniser),
        "tolerate": door.tolerate,
        "on_open": door.hooks.as_ref().map(|hooks| hooks.on_open.arguments()),
        "on_close": door
            .hooks
            .as_ref()
            .and_then(|hooks| hooks.on_close.as_ref())
            .map(Hook::arguments),
        // A string: most readers of JSON keep only 53 bits of a number.
        "sequences": strength.sequences.to_string(),
        "exact": strength.exact,
        "bits": strength.bits,
        "bits_lost_to_tolerate": strength.bits_lost(),
        "seconds_to_guess_at_packets_per_second": seconds,
    });
    if show_knocks && let Some(object) = object.as_object_mut() {
        object.insert("sequence".into(), ports(&door.sequence).into());
    }
    object
}

fn finding(report: &Report, found: &Diagnostic) -> Value {
    let position = found.span.as_ref().map(|span| report.position(span.start));
    json!({
        "severity": match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "code": found.code,
        "message": found.message,
        "line": position.map(|(line, _)| line),
        "column": position.map(|(_, column)| column),
        "hint": found.hint,
    })
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
