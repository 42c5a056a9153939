//! The directives of a door.

use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_core::knockd::FlagFilter;

use super::door::{CommandLine, Door, Knocks, Name};
use super::lines::shown;
use super::sequence::parse_sequence;
use super::{DoorPlaces, flags};
use crate::report::error;
use crate::report::{Diagnostic, Span};

/// The keys of a door, aliases beside what they stand for.
pub const KEYS: [&str; 13] = [
    "sequence",
    "one_time_sequences",
    "seq_timeout",
    "timeout",
    "tcpflags",
    "target",
    "start_command",
    "command",
    "start_command_6",
    "command_6",
    "cmd_timeout",
    "stop_command",
    "stop_command_6",
];

/// What has been read of a door so far.
pub struct Reading {
    pub name: Name,
    knocks: Option<Knocks>,
    seq_timeout: Duration,
    flags: FlagFilter,
    target: Option<IpAddr>,
    cmd_timeout: Duration,
    start_command: Option<CommandLine>,
    start_command_6: Option<CommandLine>,
    stop_command: Option<CommandLine>,
    stop_command_6: Option<CommandLine>,
    pub places: DoorPlaces,
    sequence: Option<Span>,
    one_time: Option<Span>,
    /// Something is wrong that might have been the knocks, and has been reported.
    pub flawed: bool,
}

impl Reading {
    /// A section that begins.
    pub fn new(name: Name, span: Span) -> Self {
        Self {
            name,
            knocks: None,
            seq_timeout: Door::DEFAULT_SEQ_TIMEOUT,
            flags: FlagFilter::default(),
            target: None,
            cmd_timeout: Door::DEFAULT_CMD_TIMEOUT,
            start_command: None,
            start_command_6: None,
            stop_command: None,
            stop_command_6: None,
            places: DoorPlaces { name: span, ..DoorPlaces::default() },
            sequence: None,
            one_time: None,
            flawed: false,
        }
    }

    /// One of [`KEYS`].
    pub fn directive(&mut self, key: &str, value: &[u8], at: Span, found: &mut Vec<Diagnostic>) {
        let command = Some(CommandLine::new(value));
        let place = Some(at.clone());
        match key {
            "sequence" => {
                self.sequence = place;
                self.places.knocks = at.clone();
                match parse_sequence(value) {
                    Ok(ports) => self.knocks = Some(Knocks::Sequence(ports)),
                    Err(problems) => {
                        self.flawed = true;
                        found.extend(shifted(problems, at.start));
                    }
                }
            }
            "one_time_sequences" => {
                self.one_time = place;
                self.places.knocks = at.clone();
                match path(value) {
                    Some(path) => self.knocks = Some(Knocks::OneTime(path)),
                    None => {
                        self.flawed = true;
                        let hint = "name the file with the sequences, one on each line";
                        found.push(
                            error("missing-value", here(&at), "a path is missing").hint(hint),
                        );
                    }
                }
            }
            "seq_timeout" | "timeout" => {
                self.places.seq_timeout = place;
                match seconds(value, &at) {
                    Ok(timeout) => self.seq_timeout = timeout,
                    Err(diagnostic) => found.push(diagnostic),
                }
            }
            "cmd_timeout" => {
                self.places.cmd_timeout = place;
                match seconds(value, &at) {
                    Ok(timeout) => self.cmd_timeout = timeout,
                    Err(diagnostic) => found.push(diagnostic),
                }
            }
            "tcpflags" => {
                self.places.flags = place;
                if let Err(problems) = flags::add(value, &mut self.flags) {
                    found.extend(shifted(problems, at.start));
                }
            }
            "target" => {
                self.places.target = place;
                match target(value, &at) {
                    Ok(target) => self.target = Some(target),
                    Err(diagnostic) => found.push(diagnostic),
                }
            }
            "start_command" | "command" => {
                (self.start_command, self.places.start_command) = (command, place);
            }
            "start_command_6" | "command_6" => {
                (self.start_command_6, self.places.start_command_6) = (command, place);
            }
            "stop_command" => (self.stop_command, self.places.stop_command) = (command, place),
            _ => (self.stop_command_6, self.places.stop_command_6) = (command, place),
        }
    }

    /// The door, if it has knocks.
    pub fn finish(self, found: &mut Vec<Diagnostic>) -> Option<Door> {
        if let (Some(sequence), Some(one_time)) = (&self.sequence, &self.one_time) {
            let message = "the door has a sequence and a file of one-time sequences";
            let hint = "remove one of them; a fixed sequence can be heard and used again";
            let (earlier, later) = if sequence.start < one_time.start {
                (sequence, one_time)
            } else {
                (one_time, sequence)
            };
            let diagnostic = error("two-sequences", here(later), message).hint(hint);
            found.push(diagnostic.related(here(earlier), "also here"));
        }
        if self.knocks.is_none() && !self.flawed {
            let message = format!("door `{}` has no sequence", shown(self.name.as_bytes()));
            let hint = if is_nearly_options(&self.name) {
                NEARLY_OPTIONS
            } else {
                "name its knocks, as in `sequence = 7000,8000:udp,9000`"
            };
            found.push(error("missing-key", self.places.name.clone(), message).hint(hint));
        }
        Some(Door {
            name: self.name,
            knocks: self.knocks?,
            seq_timeout: self.seq_timeout,
            flags: self.flags,
            target: self.target,
            cmd_timeout: self.cmd_timeout,
            start_command: self.start_command,
            start_command_6: self.start_command_6,
            stop_command: self.stop_command,
            stop_command_6: self.stop_command_6,
        })
    }
}

/// Advice to whoever wrote something like `[Options]`.
pub const NEARLY_OPTIONS: &str =
    "write `[options]`, in lower case and without spaces, unless this is a door";

/// Whether a door is probably meant to be `[options]`.
pub fn is_nearly_options(name: &Name) -> bool {
    name.as_bytes().trim_ascii().eq_ignore_ascii_case(b"options")
}

/// Whole seconds; what is negative is zero.
fn seconds(value: &[u8], at: &Span) -> Result<Duration, Diagnostic> {
    let text = String::from_utf8_lossy(value);
    if let Ok(number) = text.parse::<i32>() {
        return Ok(Duration::from_secs(u64::try_from(number).unwrap_or(0)));
    }
    let bad = |message: &str| error("bad-timeout", here(at), message);
    if text.is_empty() {
        return Err(bad("a number of seconds is missing"));
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() {
        return Err(bad("the number is too large").hint(format!("at most {}", i32::MAX)));
    }
    let diagnostic = bad("a timeout is a whole number of seconds");
    if text.contains('#') {
        return Err(diagnostic.hint("a comment is a line of its own; put it above this one"));
    }
    // What knockd makes of it.
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Err(match text.get(..end).and_then(|number| number.parse::<i32>().ok()) {
        Some(number) => diagnostic.hint(format!("write `{number}`, which is how knockd reads it")),
        None => diagnostic.hint("knockd reads it as `0`, which is no time at all"),
    })
}

fn target(value: &[u8], at: &Span) -> Result<IpAddr, Diagnostic> {
    let text = String::from_utf8_lossy(value);
    text.parse().map_err(|_| {
        let diagnostic = error("bad-address", here(at), "the target is not an address");
        diagnostic.hint(match text.split_once(['/', '%']) {
            Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
                "write one address, without a network or a scope"
            }
            _ => "write it in numbers, as in `192.0.2.1` or `2001:db8::1`; a packet has no names",
        })
    })
}

/// A path; `None` if there is nothing.
pub fn path(value: &[u8]) -> Option<PathBuf> {
    (!value.is_empty()).then(|| PathBuf::from(OsString::from_vec(value.to_vec())))
}

/// A place that can be seen even when nothing stands there.
fn here(at: &Span) -> Span {
    at.start..at.end.max(at.start.saturating_add(1))
}

/// Findings in a value that begins at this byte.
fn shifted(mut found: Vec<Diagnostic>, by: usize) -> Vec<Diagnostic> {
    for diagnostic in &mut found {
        if let Some(span) = &mut diagnostic.span {
            *span = span.start.saturating_add(by)..span.end.saturating_add(by);
        }
    }
    found
}
