//! A replay as a program reads it.

use std::net::IpAddr;

use portcullis_core::policy::{Policy, Port};
use portcullis_insight::replay::own_addresses::Origin;
use portcullis_insight::replay::report::{Report, Why};
use serde_json::{Value, json};

use super::super::live::millis;
use super::text::{moment, name};

/// The object. Times are texts in UTC.
pub fn object(policy: &Policy, report: &Report, notes: &[String]) -> Value {
    let openings = report.openings.iter().map(|opening| {
        json!({
            "at": stamp(opening.at),
            "door": name(policy, opening.door),
            "address": opening.source.to_string(),
            "open_for_ms": millis(Some(opening.open_for)),
        })
    });
    let sources = report.sources.iter().map(|(source, deeds)| {
        let furthest = deeds.furthest.map(|(stage, door, at)| {
            let of = policy.door(door).map_or(0, |door| door.sequence.len());
            json!({ "door": name(policy, door), "stage": stage, "of": of, "at": stamp(at) })
        });
        json!({
            "address": source.to_string(),
            "furthest": furthest,
            "opened": deeds.opened,
            "knocks": deeds.knocks,
            "lost": deeds.lost,
            "late": deeds.late,
            "strikes": deeds.strikes,
            "banned_at": deeds.banned.map(stamp),
        })
    });
    let strikes = report.strikes.iter().map(|strike| {
        let (why, door) = match strike.why {
            Why::Refused(door) => ("refused", Some(name(policy, door))),
            Why::Closed => ("closed", None),
        };
        json!({
            "at": stamp(strike.at),
            "address": strike.source.to_string(),
            "port": strike.port.as_ref().map(Port::to_string),
            "why": why,
            "door": door,
            "bans": strike.bans,
        })
    });
    json!({
        "packets": report.frames,
        "judged": report.judged,
        "first": report.times.map(|(first, _)| stamp(first)),
        "last": report.times.map(|(_, last)| stamp(last)),
        "complete": report.damage.is_none(),
        "damage": report.damage.as_ref().map(ToString::to_string),
        "host": report.host.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
        "host_found": report.host_source == Some(Origin::Found),
        "opened": report.opened,
        "openings": openings.collect::<Vec<_>>(),
        "sources": sources.collect::<Vec<_>>(),
        "struck": report.struck,
        "bans": report.bans,
        "strikes": strikes.collect::<Vec<_>>(),
        "notes": notes,
    })
}

/// A moment as RFC 3339 writes it.
fn stamp(nanos: u64) -> String {
    moment(nanos).replace(' ', "T")
}
