//! The native configuration: TOML to policy, with located errors.
//!
//! | module | what it holds |
//! |---|---|
//! | [`read`] | files and standard input, with their limits |
//! | [`report`] | what was found, where, and how it is shown |
//! | [`duration`] | `30s`, `1m30s` |
//! | `syntax` | text to a tree of TOML values, each with its place |
//! | `reader` | values of the types that keys have |
//! | `meaning`, `door`, `hook` | the keys: tree to policy |
//! | [`backend`] | which back end it is for, and what that one cannot do |
//! | [`keys`] | what each key means, for the reader and for the manual |
//! | [`host`] | what a configuration means for one host: services at its knocks, interfaces without a gate |
//! | [`topology`] | whether packets arrive on the interfaces where the gate stands |
//! | [`conntrack`] | whether the kernel's table of connections has room |
//! | [`problems`] | each code that a finding can have, explained |
//! | `locate` | what the check of the policy finds, put where it stands in the file |
//! | `suggest` | "did you mean" |
//!
//! Nothing stops at the first error: a person who fixes a file sees all that is wrong with it.

pub mod backend;
pub mod conntrack;
mod door;
pub mod duration;
mod hook;
pub mod host;
pub mod keys;
mod locate;
mod meaning;
pub mod problems;
pub mod read;
mod reader;
pub mod report;
pub(crate) mod suggest;
mod syntax;
pub mod topology;

#[cfg(test)]
mod tests;

use std::path::Path;

use portcullis_core::policy::{Policy, Severity};

use crate::exit::Failure;
pub use backend::Backend;
pub use host::Host;
pub use read::{LoadError, MAX_BYTES};
pub use report::{Diagnostic, Report};

/// Where the configuration is when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/portcullis/portcullis.toml";

/// A configuration that may be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says. It has passed the check.
    pub policy: Policy,
    /// Which back end it is for.
    pub backend: Backend,
    /// Where it says so.
    backend_span: report::Span,
    /// What could be better. Holds no errors.
    pub warnings: Report,
    /// What was read.
    pub text: String,
}

/// Which back end it is to be for, given the one that the configuration names.
type Choose<'a> = &'a dyn Fn(Backend) -> Backend;

impl Loaded {
    /// For a command that works with nftables alone.
    ///
    /// # Errors
    /// The configuration is for another back end.
    pub fn only_nftables(self, command: &str, hint: &str) -> Result<Self, Box<Report>> {
        if self.backend == Backend::Nftables {
            return Ok(self);
        }
        let message = format!("`portcullis {command}` works with nftables alone");
        let found = error("backend-not-here", self.backend_span, message).hint(hint);
        Err(Box::new(self.warnings.with_only(found)))
    }
}

/// Reads a configuration that is in memory already. `path` is what messages call it.
///
/// # Errors
/// Everything that is wrong with it, of syntax, of meaning, and what the check of the policy found.
pub fn parse_str(path: &str, text: &str) -> Result<Loaded, Report> {
    parse_for(path, text, &|named| named, None)
}

/// As [`parse_str`], with what it means for this host.
///
/// # Errors
/// As [`parse_str`].
pub fn parse_on(host: &Host, path: &str, text: &str) -> Result<Loaded, Report> {
    parse_for(path, text, &|named| named, Some(host))
}

/// As [`parse_str`], for another back end than the configuration names, and for a host.
fn parse_for(
    path: &str,
    text: &str,
    choose: Choose<'_>,
    host: Option<&Host>,
) -> Result<Loaded, Report> {
    // Some editors begin a file with a byte order mark. TOML does not count it, nor do columns.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    let tree = syntax::parse(text, &mut found);
    let mut meaning = meaning::Meaning::default();
    if let Some(tree) = tree {
        meaning = meaning::read(&tree, &mut found);
        meaning.backend = choose(meaning.backend);
        locate::check(&meaning, &mut found);
        backend::settle(&mut meaning, &mut found);
        if let Some(host) = host {
            host::check(&meaning, host, &mut found);
        }
    }
    let warnings = Report::new(path, text, found);
    if warnings.errors() > 0 {
        return Err(warnings);
    }
    let backend_span = meaning.backend_span.unwrap_or(0..0);
    let text = text.to_owned();
    Ok(Loaded { policy: meaning.policy, backend: meaning.backend, backend_span, warnings, text })
}

/// Reads a file, or standard input if the path is `-`.
///
/// # Errors
/// That it cannot be read, or what is wrong with it.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    read_for(path, &|named| named, None)
}

/// As [`load`], with what it means for this host.
///
/// # Errors
/// As [`load`].
pub fn load_on(host: &Host, path: &Path) -> Result<Loaded, LoadError> {
    read_for(path, &|named| named, Some(host))
}

fn read_for(path: &Path, choose: Choose<'_>, host: Option<&Host>) -> Result<Loaded, LoadError> {
    let source = read::read(path)?;
    let mut loaded = match &source.bad_utf8 {
        Some(at) => Err(Report::new(&source.name, &source.text, vec![at.clone()])),
        None => parse_for(&source.name, &source.text, choose, host),
    };
    let report = match &mut loaded {
        Ok(loaded) => &mut loaded.warnings,
        Err(report) => report,
    };
    report.extend(source.warnings);
    loaded.map_err(LoadError::Invalid)
}

/// Reads the configuration for a command that needs one, from [`DEFAULT_PATH`] if none is named.
/// Errors and warnings are shown to the person at once.
///
/// # Errors
/// With [`Exit::No`](crate::exit::Exit::No) and no message when the configuration is wrong, as all
/// has been said; with [`Exit::CouldNot`](crate::exit::Exit::CouldNot) when it cannot be read.
pub fn load_for(path: Option<&Path>) -> Result<Loaded, Failure> {
    load_for_backend(path, |named| named)
}

/// As [`load_for`], for the back end that is chosen, given the one that the configuration names.
///
/// # Errors
/// As [`load_for`]; what that back end cannot do is wrong with it too.
pub fn load_for_backend(
    path: Option<&Path>,
    choose: impl Fn(Backend) -> Backend,
) -> Result<Loaded, Failure> {
    shown(read_for(path.unwrap_or(Path::new(DEFAULT_PATH)), &choose, None))
}

/// As [`load_for`], with what it means for this host.
///
/// # Errors
/// As [`load_for`].
pub fn load_for_host(path: Option<&Path>, host: &Host) -> Result<Loaded, Failure> {
    shown(load_on(host, path.unwrap_or(Path::new(DEFAULT_PATH))))
}

/// Shows what was found.
fn shown(loaded: Result<Loaded, LoadError>) -> Result<Loaded, Failure> {
    match loaded {
        Ok(loaded) => {
            loaded.warnings.show();
            Ok(loaded)
        }
        Err(LoadError::Unreadable(failure)) => Err(failure),
        Err(LoadError::Invalid(report)) => {
            report.show();
            Err(Failure::no())
        }
    }
}

/// An error in the configuration.
pub(crate) fn error(
    code: &'static str,
    span: report::Span,
    message: impl Into<String>,
) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code,
        message: message.into(),
        span: Some(span),
        related: None,
        hint: None,
    }
}
