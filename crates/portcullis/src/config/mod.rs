//! The native configuration: opens it, and checks it against the abilities of its back end.
//!
//! | module | what it holds |
//! |---|---|
//! | [`read`] | files and standard input, with their limits |
//! | `backend` | what the back ends of iptables cannot do |
//!
//! [`portcullis_config`] defines the meaning of a configuration. It opens no file and knows no rules.

mod backend;
pub mod read;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::Path;

use portcullis_config::parse::Choose;
use portcullis_config::{Backend, Context, DEFAULT_PATH, Host, Loaded, Report, knockd, parse};

use crate::exit::Failure;
use backend::limits;
pub use backend::store;
pub use read::{LoadError, others_can_change};

/// Reads a configuration that is in memory already. `path` is what messages call it.
///
/// # Errors
/// Everything that is wrong with it, of syntax, of meaning, what the check of the policy found, and
/// what its back end cannot do.
pub fn parse_str(path: &str, text: &str) -> Result<Loaded, Report> {
    parse(path, text, Context { limits: &limits, ..Context::default() })
}

/// As [`parse_str`], with what it means for this host.
///
/// # Errors
/// As [`parse_str`].
pub fn parse_on(host: &Host, path: &str, text: &str) -> Result<Loaded, Report> {
    parse(path, text, Context { limits: &limits, host: Some(host), ..Context::default() })
}

/// Writes a report to standard error, with colours if that is a terminal that wants them.
pub fn show(report: &Report) {
    // Nothing can be done when there is nobody to tell.
    let _ = anstream::stderr().lock().write_all(report.render(true).as_bytes());
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
        None => parse(&source.name, &source.text, Context { choose, limits: &limits, host }),
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

/// Reads a `knockd.conf`, or standard input if the path is `-`.
///
/// # Errors
/// That it cannot be read or is larger than [`knockd::MAX_BYTES`], or what is wrong with it.
pub fn load_knockd(path: &Path) -> Result<knockd::Configuration, LoadError> {
    let source = read::read_bytes(path, knockd::MAX_BYTES).map_err(LoadError::Unreadable)?;
    knockd::parse_bytes(&source.name, &source.bytes).map_err(LoadError::Invalid)
}

/// Shows what was found.
fn shown(loaded: Result<Loaded, LoadError>) -> Result<Loaded, Failure> {
    match loaded {
        Ok(loaded) => {
            show(&loaded.warnings);
            Ok(loaded)
        }
        Err(LoadError::Unreadable(failure)) => Err(failure),
        Err(LoadError::Invalid(report)) => {
            show(&report);
            Err(Failure::no())
        }
    }
}
