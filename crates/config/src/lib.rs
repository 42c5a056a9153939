//! Configurations as values: texts in, policies and located errors out, and back to text.
//!
//! Opens nothing: whoever has read a file, or looked at a host, says what was found. It knows the
//! names of back ends, and nothing of their rules.
//!
//! | module | what it holds |
//! |---|---|
//! | [`parse`](mod@parse) | TOML to policy |
//! | [`report`] | what was found, where, and how it is shown |
//! | [`duration`] | `30s`, `1m30s` |
//! | `syntax` | text to a tree of TOML values, each with its place |
//! | `reader` | values of the types that keys have |
//! | `meaning`, `door`, `hook` | the keys: tree to policy |
//! | [`backend`] | which back end it is for |
//! | [`settle`] | what that changes, and where it is said |
//! | [`keys`] | what each key means, for the reader and for the manual |
//! | [`host`] | what a configuration means for one host: services at its knocks, interfaces without a gate |
//! | [`topology`] | whether packets arrive on the interfaces where the gate stands |
//! | [`conntrack`] | whether the kernel's table of connections has room |
//! | [`problems`] | each code that a finding can have, explained |
//! | `locate` | what the check of the policy finds, put where it stands in the file |
//! | [`suggest`] | "did you mean" |
//! | [`knockd`] | `knockd.conf` |
//! | [`import`](mod@import) | a native configuration from a `knockd.conf` or from rules |
//!
//! Nothing stops at the first error: a person who fixes a file sees all that is wrong with it.
//!
//! A text to a policy, and a text with an error to a report that says where it is:
//!
//! ```
//! use portcullis_config::parse_str;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = r#"
//!     [door.ssh]
//!     guards   = ["tcp/22"]
//!     sequence = ["tcp/7431", "udp/29117", "tcp/1123"]
//! "#;
//! let loaded = parse_str("portcullis.toml", text)?;
//! let door = loaded.policy.doors.first().ok_or("there is no door")?;
//! assert_eq!(door.name.as_str(), "ssh");
//! assert_eq!(door.open_for.as_secs(), 30); // the default
//!
//! let report = match parse_str("portcullis.toml", "[door.ssh]\nguards = [\"tcp/99999\"]\n") {
//!     Ok(_) => return Err("port 99999 was accepted".into()),
//!     Err(report) => report,
//! };
//! assert!(report.errors() > 0);
//! // As a person reads it, with the line and the column.
//! assert!(report.render(false).contains("portcullis.toml:2:"));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod backend;
pub mod conntrack;
mod door;
pub mod duration;
mod hook;
pub mod host;
pub mod import;
pub mod keys;
pub mod knockd;
mod locate;
mod meaning;
pub mod parse;
pub mod problems;
mod reader;
pub mod report;
pub mod settle;
pub mod suggest;
mod syntax;
pub mod topology;

pub use backend::Backend;
pub use host::Host;
pub use parse::{Context, Loaded, parse, parse_str};
pub use report::{Diagnostic, Report};

/// Where the configuration is when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/portcullis/portcullis.toml";

/// Largest configuration that is read, in bytes. Ten thousand doors take about two of these sixteen
/// mebibytes.
pub const MAX_BYTES: u64 = 16 << 20;

/// What this crate cannot use, tried: each of these imports fails to compile.
///
/// ```compile_fail
/// use portcullis_firewall as _;
/// ```
///
/// ```compile_fail
/// use portcullis_linux as _;
/// ```
///
/// ```compile_fail
/// use nix as _;
/// ```
#[cfg(doctest)]
struct Walls;
