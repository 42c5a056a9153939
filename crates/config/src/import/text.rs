//! The native configuration as text.

use std::fmt::Write as _;

use portcullis_core::policy::Hook;
use portcullis_core::text::{is_armed, plain};

use super::advice::sequence;
use super::planned::{Plan, Planned};
use crate::{Report, duration};

/// What holds for every configuration that is imported.
const DIFFERENT: &str = "\
# This file holds the knocks: nobody but root should read it. What is different from knockd:
# * The ports in `guards` are closed to everyone, over IPv4 and IPv6, until somebody knocks. Where rules
#   of your own drop packets to them, let these pass: they would stay closed for those who knocked.
# * `step_timeout` is the time from each knock to the next; `seq_timeout` was that for all of them.
# * A knock is a SYN or a datagram. A packet to any other port ends the attempt, unless `tolerate` or
#   `public` say otherwise.
";

/// Writes a plan. The places are those of the `knockd.conf`.
pub fn write(plan: &Plan, places: &Report) -> String {
    let mut out = format!("# Made from {} by `portcullis import`.\n{DIFFERENT}", places.path());
    if let Some(interface) = &plan.interface {
        let _ = write!(out, "\n[gate]\ninterfaces = [{}]\n", string(&interface.to_string()));
    }
    for (at, message) in &plan.left_out {
        let _ = write!(out, "\n# Line {}: {}\n", places.position(*at).0, plain(message));
    }
    for planned in &plan.doors {
        door(&mut out, planned, places);
    }
    out
}

fn door(out: &mut String, planned: &Planned, places: &Report) {
    let native = &planned.door;
    let sections: Vec<_> = planned
        .sections
        .iter()
        .map(|(name, at)| format!("[{}] of line {}", plain(name), places.position(*at).0))
        .collect();
    let name = native.name.as_str();
    // A dot would begin a table within the table.
    let key = if name.contains('.') { string(name) } else { name.into() };
    let guards = sequence(&native.guards);
    let _ = write!(out, "\n# {}\n[door.{key}]\nguards       = {guards}\n", sections.join(" and "));
    for comment in &planned.comments {
        let _ = writeln!(out, "# {}", plain(comment));
    }
    let _ = writeln!(out, "sequence     = {}", sequence(&native.sequence));
    let _ = writeln!(out, "step_timeout = \"{}\"", duration::format(native.step_timeout));
    if planned.closes {
        let _ = writeln!(out, "open_for     = \"{}\"", duration::format(native.open_for));
    }
    if let Some(hooks) = &native.hooks {
        let _ = writeln!(out, "on_open      = {}", arguments(&hooks.on_open));
        if let Some(on_close) = &hooks.on_close {
            let _ = writeln!(out, "on_close     = {}", arguments(on_close));
        }
    }
}

fn arguments(hook: &Hook) -> String {
    let arguments: Vec<_> = hook.arguments().iter().map(|argument| string(argument)).collect();
    format!("[{}]", arguments.join(", "))
}

/// A basic string of TOML (toml.io/en/v1.0.0#string).
pub fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_armed(c) => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
