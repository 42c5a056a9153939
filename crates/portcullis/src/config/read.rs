//! Files and standard input, with their limits.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::unistd::geteuid;
use portcullis_config::{DEFAULT_PATH, Diagnostic, MAX_BYTES, Report};
use portcullis_core::policy::Severity;
use portcullis_core::text::plain;

use crate::exit::Failure;
use crate::files;

/// Why there is no configuration.
#[derive(Debug, Clone)]
pub enum LoadError {
    /// It cannot be read.
    Unreadable(Failure),
    /// It is wrong.
    Invalid(Report),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(failure) => failure.fmt(f),
            Self::Invalid(report) => report.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}

/// A text and where it is from.
pub(super) struct Source {
    /// What messages call it.
    pub name: String,
    /// The text. Where it was not UTF-8, something else stands.
    pub text: String,
    /// The first place where it was not.
    pub bad_utf8: Option<Diagnostic>,
    /// What is to be said of the file itself.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a file, or standard input for `-`.
pub(super) fn read(path: &Path) -> Result<Source, LoadError> {
    let Bytes { name, bytes, warnings } =
        read_bytes(path, MAX_BYTES).map_err(LoadError::Unreadable)?;
    let (text, bad_utf8) = match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let message = "this is not UTF-8; a configuration must be UTF-8";
            let found =
                portcullis_config::report::error("not-utf8", at..at.saturating_add(1), message);
            // What comes before the first replacement stays where it was.
            (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(found))
        }
    };
    Ok(Source { name, text, bad_utf8, warnings })
}

/// Bytes and where they are from.
pub(crate) struct Bytes {
    /// What messages call it.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// What is to be said of the file itself.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a file, or standard input for `-`, of so many bytes at most (some mebibytes).
pub(crate) fn read_bytes(path: &Path, most: u64) -> Result<Bytes, Failure> {
    let stdin = path == Path::new("-");
    let name = if stdin { "<stdin>".into() } else { plain(&path.to_string_lossy()) };
    let mut bytes = Vec::new();
    let mut warnings = Vec::new();
    let result = if stdin {
        take(io::stdin().lock(), most, &mut bytes)
    } else {
        files::open_to_read(path).and_then(|file| {
            warnings.extend(too_open(&file, &name)?);
            take(file, most, &mut bytes)
        })
    };
    result.map_err(|error| failure(path, &name, &error))?;
    if bytes.len() as u64 > most {
        return Err(Failure::could_not(format!("`{name}` is larger than {} MiB", most >> 20)));
    }
    Ok(Bytes { name, bytes, warnings })
}

/// Reads one byte more than is allowed, so that too much can be told from just enough.
fn take(from: impl Read, most: u64, into: &mut Vec<u8>) -> io::Result<()> {
    from.take(most.saturating_add(1)).read_to_end(into).map(|_| ())
}

/// The file holds the knocks: whoever can read it can open the doors, and whoever can change it can do
/// away with them, and have commands run.
fn too_open(file: &File, name: &str) -> io::Result<Vec<Diagnostic>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Vec::new());
    }
    let mode = of_mode(metadata.permissions().mode(), name);
    let owner = of_owner(metadata.uid(), geteuid().as_raw(), name);
    Ok(mode.into_iter().chain(owner).collect())
}

/// Whether anybody but root and the reader can change this file. Standard input nobody can.
pub fn others_can_change(path: &Path) -> bool {
    let Ok(metadata) = files::open_to_read(path).and_then(|file| file.metadata()) else {
        return false;
    };
    let (owner, reader) = (metadata.uid(), geteuid().as_raw());
    metadata.is_file() && (metadata.mode() & 0o022 != 0 || owner != 0 && owner != reader)
}

fn of_mode(mode: u32, name: &str) -> Option<Diagnostic> {
    let others_can = match (mode & 0o044 != 0, mode & 0o022 != 0) {
        (true, true) => "read and change",
        (true, false) => "read",
        (false, true) => "change",
        (false, false) => return None,
    };
    let message = format!(
        "other users can {others_can} this file (mode {:04o}); it holds the knocks",
        mode & 0o7777
    );
    Some(warning("file-mode", message, format!("chmod 600 {name}")))
}

/// An ordinary user may look at a file of his own; root should not do what another user's file says.
fn of_owner(owner: u32, reader: u32, name: &str) -> Option<Diagnostic> {
    if reader != 0 || owner == 0 {
        return None;
    }
    let message = format!("this file belongs to user {owner}, who can change what root loads");
    Some(warning("file-owner", message, format!("chown root {name}")))
}

fn warning(code: &'static str, message: String, hint: String) -> Diagnostic {
    let severity = Severity::Warning;
    Diagnostic { severity, code, message, span: None, related: None, hint: Some(hint) }
}

fn failure(path: &Path, name: &str, error: &io::Error) -> Failure {
    let (reason, hint) = match error.kind() {
        io::ErrorKind::NotFound if path == Path::new(DEFAULT_PATH) => {
            ("there is no such file".into(), Some("write this file, or name another one"))
        }
        io::ErrorKind::NotFound => ("there is no such file".into(), None),
        io::ErrorKind::PermissionDenied => ("permission denied".into(), Some("run it as root")),
        io::ErrorKind::InvalidInput => (
            error.to_string(),
            Some("name a regular file; most commands read standard input as `-`"),
        ),
        io::ErrorKind::IsADirectory => ("it is a directory".into(), None),
        _ => (error.to_string(), None),
    };
    let failure = Failure::could_not(format!("cannot read `{name}`: {reason}"));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_warned_of_the_files_of_others() {
        let found = |owner, reader| of_owner(owner, reader, "a.toml").map(|found| found.code);
        assert_eq!(found(1_000, 0), Some("file-owner"));
        for (owner, reader) in [(0, 0), (1_000, 1_000), (0, 1_000)] {
            assert_eq!(found(owner, reader), None);
        }
    }
}
