//! The native configuration as text.

use std::fmt::Write as _;

use portcullis_core::policy::{Refuse, Stance};
use portcullis_core::text::{is_armed, plain};

use super::draft::{At, Draft, Entry, NoteKind, Sketch};
use super::kind::Kind;
use crate::{Report, duration};

/// What is different from knockd, whatever is imported.
const KNOCKD: &str = "\
# Differences from knockd:
# * The ports in `guards` are closed to everyone, over IPv4 and IPv6, until somebody knocks. If other rules
#   of this host drop packets to these ports, let the packets pass. Otherwise the ports stay closed after
#   a knock, too.
# * `step_timeout` is the time from each knock to the next; `seq_timeout` was the time for all knocks.
# * A knock is a SYN or a datagram. A packet to any other port ends the attempt, unless `public` holds the
#   port, the door guards it, or `tolerate` forgives it. A knock made already changes nothing.
";

/// What is to be done with rules.
const RULES: &str = "\
# The old rules stay active, and still refuse packets. After you apply this file, remove the old rules
# that are converted here.
";

/// Writes a draft. The files are those that it was made from, for the names of places.
pub fn write(draft: &Draft, files: &[Report], kind: Kind) -> String {
    let names: Vec<_> = files.iter().map(Report::path).collect();
    let mut out = format!(
        "# Made from {} ({}) by `portcullis import`.\n# This file holds the knocks. Only root should \
         be able to read it.\n",
        names.join(", "),
        kind.name()
    );
    out.push_str(if kind == Kind::Knockd { KNOCKD } else { RULES });
    let holes: Vec<_> = draft.said.iter().filter(|said| said.kind == NoteKind::Hole).collect();
    if !holes.is_empty() {
        out.push_str("#\n# Holes in the original, and what this file does instead:\n");
    }
    for hole in holes {
        let _ = writeln!(out, "# * {}: {}.", place(files, hole.at), plain(&hole.message));
        if let Some(hint) = &hole.hint {
            let _ = writeln!(out, "#   {}.", plain(hint));
        }
    }
    gate(&mut out, draft, files);
    if !draft.left.is_empty() {
        out.push_str("\n# Not converted:\n");
    }
    for left in &draft.left {
        let place = place(files, left.at);
        let _ = writeln!(out, "# * {place}: {}\n#   {}.", plain(&left.text), plain(&left.why));
        if let Some(command) = &left.command {
            let _ = writeln!(out, "#   To keep it next to the gate: {}", plain(command));
        }
    }
    for sketch in &draft.doors {
        door(&mut out, sketch, files);
    }
    out
}

fn gate(out: &mut String, draft: &Draft, files: &[Report]) {
    let mut keys = String::new();
    if !draft.interfaces.is_empty() {
        let _ = writeln!(keys, "interfaces = {}", array(&draft.interfaces));
    }
    if draft.stance == Stance::Closed {
        keys.push_str("stance = \"closed\"\n");
    }
    if let Some(refuse) = draft.refuse {
        let refuse = match refuse {
            Refuse::LikeClosed => "like-closed",
            Refuse::Drop => "drop",
            Refuse::Reject => "reject",
        };
        let _ = writeln!(keys, "refuse = \"{refuse}\"");
    }
    if draft.log_refused {
        keys.push_str("log_refused = true\n");
    }
    list(&mut keys, "public", &draft.public, files);
    list(&mut keys, "allow", &draft.allow, files);
    if !keys.is_empty() {
        let _ = write!(out, "\n[gate]\n{keys}");
    }
}

/// A list in which some entries are comments.
fn list<T: ToString>(out: &mut String, name: &str, entries: &[Entry<T>], files: &[Report]) {
    if entries.is_empty() {
        return;
    }
    let text = |entry: &T| string(&entry.to_string());
    let (kept, doubtful): (Vec<_>, Vec<_>) = entries.iter().partition(|(.., why)| why.is_none());
    let _ = writeln!(out, "{name} = [");
    let kept: Vec<_> = kept.iter().map(|(entry, ..)| text(entry)).collect();
    for line in kept.chunks(8) {
        let _ = writeln!(out, "    {},", line.join(", "));
    }
    for (entry, at, why) in doubtful {
        let why = why.as_deref().unwrap_or_default();
        let _ = writeln!(out, "    # {}, # {}: {}", text(entry), place(files, *at), plain(why));
    }
    out.push_str("]\n");
}

fn door(out: &mut String, sketch: &Sketch, files: &[Report]) {
    let door = &sketch.door;
    let from = sketch.from.iter();
    let from: Vec<_> =
        from.map(|(name, at)| format!("{} ({})", plain(name), place(files, *at))).collect();
    let from = if from.is_empty() { place(files, sketch.places.door) } else { from.join(" and ") };
    let name = door.name.as_str();
    // A dot would begin a table within the table.
    let key = if name.contains('.') { string(name) } else { name.into() };
    let guards = array(&door.guards);
    let _ = write!(out, "\n# {from}\n[door.{key}]\nguards       = {guards}\n");
    for comment in &sketch.comments {
        let _ = writeln!(out, "# {}", plain(comment));
    }
    let _ = writeln!(out, "sequence     = {}", array(&door.sequence));
    let _ = writeln!(out, "step_timeout = \"{}\"", duration::format(door.step_timeout));
    let on_close = door.hooks.as_ref().and_then(|hooks| hooks.on_close.as_ref());
    // It says when a door closes that has something to close.
    if !door.guards.is_empty() || on_close.is_some() {
        let _ = writeln!(out, "open_for     = \"{}\"", duration::format(door.open_for));
    }
    if let Some(hooks) = &door.hooks {
        let _ = writeln!(out, "on_open      = {}", array(hooks.on_open.arguments()));
    }
    if let Some(on_close) = on_close {
        let _ = writeln!(out, "on_close     = {}", array(on_close.arguments()));
    }
}

/// File and line.
fn place(files: &[Report], at: At) -> String {
    files
        .get(at.file)
        .map_or_else(String::new, |file| format!("{}:{}", file.path(), file.position(at.byte).0))
}

/// An array of strings in one line.
pub fn array<T: ToString>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(|item| string(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

/// A basic string of TOML (toml.io/en/v1.0.0#string).
fn string(text: &str) -> String {
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
