//! `knockd.conf`: every directive and alias of knockd 0.8, with located errors.
//!
//! | module | what it holds |
//! |---|---|
//! | [`door`] | what a section says, as values |
//! | [`sequence`] | `7000,8000:udp,9000`; one-time sequences are written so too |
//! | [`dump`](mod@dump) | the configuration as `knockd -D` prints it |
//! | `lines` | text to headers and directives, each with its place |
//! | `read`, `directives` | lines to doors |
//! | `flags` | `syn,!ack` |
//!
//! The grammar is that of knockd(1), section by section, line by line. What knockd takes without
//! a word although it cannot mean anything (port `abc`, a timeout `soon`) is an error here; each such
//! case is in `docs/knockd-compatibility.md`. Names, paths and commands are bytes, as these files are
//! older than UTF-8.

mod directives;
pub mod door;
pub mod dump;
mod flags;
mod lines;
mod read;
pub mod sequence;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::Report;
use crate::report::Span;
pub use door::{CommandLine, Door, Knocks, Name};
pub use dump::dump;
pub use sequence::parse_sequence;

/// Where the configuration is when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/knockd.conf";

/// Largest configuration that is read. More is an error: a door takes some hundred bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// What a `knockd.conf` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configuration {
    /// What is said of the daemon itself.
    pub options: Options,
    /// In the order of the file. Two may have one name.
    pub doors: Vec<Door>,
}

/// What is said of the daemon itself. An empty value is as if the directive were not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// `UseSyslog`: whether to log to the system log too.
    pub use_syslog: bool,
    /// `LogFile`.
    pub log_file: Option<PathBuf>,
    /// `PidFile`.
    pub pid_file: Option<PathBuf>,
    /// `Interface`: what to listen on; not checked for being the name of one.
    pub interface: Option<String>,
}

/// A configuration, and where each part of it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// What it says.
    pub configuration: Configuration,
    /// Where the options stand.
    pub options: OptionPlaces,
    /// As many as there are doors.
    pub doors: Vec<DoorPlaces>,
}

/// Where the options stand: their values, and the word `UseSyslog`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each is the place of the field of `Options` with this name")]
pub struct OptionPlaces {
    pub use_syslog: Option<Span>,
    pub log_file: Option<Span>,
    pub pid_file: Option<Span>,
    pub interface: Option<Span>,
}

/// Where the parts of a door stand: their values, without the names of the directives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each is the place of the field of `Door` with this name")]
pub struct DoorPlaces {
    pub name: Span,
    pub knocks: Span,
    pub seq_timeout: Option<Span>,
    /// Of the last `TCPFlags`.
    pub flags: Option<Span>,
    pub target: Option<Span>,
    pub cmd_timeout: Option<Span>,
    pub start_command: Option<Span>,
    pub start_command_6: Option<Span>,
    pub stop_command: Option<Span>,
    pub stop_command_6: Option<Span>,
}

/// Reads a configuration that is in memory already. `path` is what messages call it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_bytes(path: &str, text: &[u8]) -> Result<Configuration, Report> {
    parse_located(path, text).map(|located| located.configuration)
}

/// As [`parse_bytes`], with the places, which count from behind a byte order mark.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_located(path: &str, text: &[u8]) -> Result<Located, Report> {
    let text = without_mark(text);
    let mut found = Vec::new();
    let located = read::read(text, &mut found);
    if found.is_empty() { Ok(located) } else { Err(Report::of_bytes(path, text, found)) }
}

/// Without the byte order mark with which some editors begin a file; it is no part of the first line.
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}
