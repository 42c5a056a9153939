//! The native configuration of a packet filter as text.

use std::fmt::Write as _;

use portcullis_core::policy::{Refuse, Stance};
use portcullis_core::text::plain;

use super::At;
use super::draft::{Draft, Kind, Sketch};
use crate::import::advice::sequence;
use crate::import::text::string;
use crate::{Report, duration};

/// Writes a draft. The files are those that it was made from, for the names of places.
pub fn write(draft: &Draft, files: &[Report], what: &str) -> String {
    let names: Vec<_> = files.iter().map(Report::path).collect();
    let mut out = format!("# Made from {} ({what}) by `portcullis import`.\n", names.join(", "));
    out.push_str(
        "# This file holds the knocks: nobody but root should read it.\n\
         # The old rules stay in force, and refuse what they refuse: once this is applied, take those away that\n\
         # are carried over.\n",
    );
    let holes: Vec<_> = draft.said.iter().filter(|said| said.kind == Kind::Hole).collect();
    if !holes.is_empty() {
        out.push_str("#\n# Holes of the original, with what this file does instead:\n");
    }
    for hole in holes {
        let _ = writeln!(out, "# * {}: {}.", place(files, hole.at), plain(&hole.message));
        if let Some(hint) = &hole.hint {
            let _ = writeln!(out, "#   {}.", plain(hint));
        }
    }
    gate(&mut out, draft, files);
    if !draft.left.is_empty() {
        out.push_str("\n# Not carried over:\n");
    }
    for left in &draft.left {
        let place = place(files, left.at);
        let _ = writeln!(out, "# * {place}: {}\n#   {}.", plain(&left.text), plain(&left.why));
        if let Some(command) = &left.command {
            let _ = writeln!(out, "#   The same beside the gate: {}", plain(command));
        }
    }
    for sketch in &draft.doors {
        door(&mut out, sketch, files);
    }
    out
}

fn gate(out: &mut String, draft: &Draft, files: &[Report]) {
    let mut keys = String::new();
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
    let public = draft.public.iter().map(|(port, at, why)| (port.to_string(), *at, why));
    list(&mut keys, "public", public.collect(), files);
    let allow = draft.allow.iter().map(|(allowed, at, why)| (allowed.to_string(), *at, why));
    list(&mut keys, "allow", allow.collect(), files);
    if !keys.is_empty() {
        let _ = write!(out, "\n[gate]\n{keys}");
    }
}

type Entry<'a> = (String, At, &'a Option<String>);

/// A list in which some entries are comments.
fn list(out: &mut String, name: &str, entries: Vec<Entry<'_>>, files: &[Report]) {
    let (kept, doubtful): (Vec<Entry<'_>>, Vec<_>) =
        entries.into_iter().partition(|(.., why)| why.is_none());
    if kept.is_empty() && doubtful.is_empty() {
        return;
    }
    let _ = writeln!(out, "{name} = [");
    let kept: Vec<_> = kept.iter().map(|(entry, ..)| string(entry)).collect();
    for line in kept.chunks(8) {
        let _ = writeln!(out, "    {},", line.join(", "));
    }
    for (entry, at, why) in doubtful {
        let why = why.as_deref().unwrap_or_default();
        let _ = writeln!(out, "    # {}, # {}: {}", string(&entry), place(files, at), plain(why));
    }
    out.push_str("]\n");
}

fn door(out: &mut String, sketch: &Sketch, files: &[Report]) {
    let door = &sketch.door;
    let name = door.name.as_str();
    // A dot would begin a table within the table.
    let key = if name.contains('.') { string(name) } else { name.into() };
    let _ = write!(out, "\n# {}\n[door.{key}]\n", place(files, sketch.at));
    let _ = writeln!(out, "guards       = {}", sequence(&door.guards));
    for comment in &sketch.comments {
        let _ = writeln!(out, "# {}", plain(comment));
    }
    let _ = writeln!(out, "sequence     = {}", sequence(&door.sequence));
    let _ = writeln!(out, "step_timeout = \"{}\"", duration::format(door.step_timeout));
    let _ = writeln!(out, "open_for     = \"{}\"", duration::format(door.open_for));
}

/// File and line.
fn place(files: &[Report], at: At) -> String {
    files
        .get(at.file)
        .map_or_else(String::new, |file| format!("{}:{}", file.path(), file.position(at.byte).0))
}
