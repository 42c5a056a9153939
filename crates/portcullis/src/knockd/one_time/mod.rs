//! Files of one-time sequences: one sequence on each line, each opens its door once.
//!
//! A line that is used is marked by a `#`, as knockd marks it, so that either program goes on where
//! the other stopped. The mark is on the disk before the door opens: a sequence that was heard on the
//! way is worth nothing, whatever happens to the daemon or the machine. Where knockd writes over one
//! byte in place, and over the wrong line if there was one that it could not read, this writes a new
//! file beside the old one and puts it in its place; see the module `replace`.
//!
//! A sequence that stands on several lines is used with the first of them, and all are marked.

mod replace;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use portcullis_config::Report;
use portcullis_config::knockd::sequence::parse_sequence;
use portcullis_config::report::Diagnostic;
use portcullis_core::policy::{Port, Severity};
use portcullis_core::text::plain;

use crate::exit::Failure;

/// Largest file that is read. More is a failure: this holds tens of thousands of sequences.
pub const MAX_BYTES: u64 = 1 << 20;

/// A file of one-time sequences, and which one is next.
#[derive(Debug, Clone)]
pub struct OneTime {
    /// As the configuration names it.
    path: PathBuf,
    current: Option<Vec<Port>>,
    warnings: Report,
}

/// What became of a sequence that was knocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Whether it was still there, and is marked now. If not, another door or another daemon with the
    /// same file has used it, or somebody has taken it out: whoever knocks it now may be repeating
    /// what he heard, and nothing should open.
    pub was_there: bool,
    /// What opens the door the next time; `None` if the file is used up.
    pub next: Option<Vec<Port>>,
}

/// Opens a file of one-time sequences. There may be none left in it: see [`OneTime::current`].
///
/// # Errors
/// That it cannot be read, or that its folder cannot be written to, so that nothing could be marked.
pub fn load(path: &Path) -> Result<OneTime, Failure> {
    let mut one_time =
        OneTime { path: path.into(), current: None, warnings: Report::new("", "", Vec::new()) };
    one_time.refresh()?;
    let real = path.canonicalize().map_err(|error| cannot("read", path, &error))?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    access(folder, AccessFlags::W_OK).map_err(|error| {
        let reason = io::Error::from(error);
        cannot("mark used sequences in", path, &reason).hint(format!(
            "knockd must be able to create files in `{}`",
            plain(&folder.to_string_lossy())
        ))
    })?;
    Ok(one_time)
}

impl OneTime {
    /// The sequence that opens the door: that of the first line that is neither marked nor wrong.
    /// `None` if the file is used up, or when marking has failed.
    pub fn current(&self) -> Option<&[Port]> {
        self.current.as_deref()
    }

    /// The lines that are wrong and skipped, as of the last time that the file was read. They are
    /// never marked.
    pub const fn warnings(&self) -> &Report {
        &self.warnings
    }

    /// Reads the file again, and returns what is [current](Self::current) now. For a door whose file
    /// another door has just used up a sequence of: until then it waits for that one.
    ///
    /// # Errors
    /// That the file cannot be read. Nothing is current then.
    pub fn refresh(&mut self) -> Result<Option<&[Port]>, Failure> {
        self.current = None;
        let text = open(&self.path)
            .and_then(|mut file| read(&mut file))
            .map_err(|error| cannot("read", &self.path, &error))?;
        self.take(&text);
        Ok(self.current())
    }

    /// Marks a sequence as used, wherever it stands in the file as it is now. When this returns
    /// without an error, the mark is on the disk. What a link points to is replaced, not the link.
    ///
    /// # Errors
    /// That the file could not be read, written or put in its place. Nothing is current then, and
    /// nothing should open: the file may not say that the sequence was used.
    pub fn use_up(&mut self, used: &[Port]) -> Result<Used, Failure> {
        self.current = None;
        let mut was_there = false;
        let text = replace::edit(&self.path, |text| {
            let marked = mark(text, used);
            was_there = marked.is_some();
            marked
        });
        let text = text.map_err(|error| cannot("mark the used sequence in", &self.path, &error))?;
        self.take(&text);
        Ok(Used { was_there, next: self.current.clone() })
    }

    /// Takes what the file holds.
    fn take(&mut self, text: &[u8]) {
        let mut found = Vec::new();
        self.current = None;
        for line in lines(text) {
            match line.sequence {
                Ok(sequence) => {
                    self.current.get_or_insert(sequence);
                }
                Err(wrong) => found.push(wrong),
            }
        }
        self.warnings = Report::of_bytes(&self.path.to_string_lossy(), text, found);
    }
}

/// A line that is neither blank nor marked.
struct Line {
    /// Its first byte, be it white space or not.
    start: usize,
    sequence: Result<Vec<Port>, Diagnostic>,
}

fn lines(text: &[u8]) -> impl Iterator<Item = Line> {
    let body = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut at = text.len().saturating_sub(body.len());
    body.split(|byte| *byte == b'\n').filter_map(move |line| {
        let start = at;
        at = at.saturating_add(line.len()).saturating_add(1);
        let first = line.iter().find(|byte| !matches!(byte, b' ' | b'\t'..=b'\r'))?;
        let sequence = || parse_sequence(line).map_err(|problems| skipped(problems, start));
        (*first != b'#').then(|| Line { start, sequence: sequence() })
    })
}

/// The first of the problems of a line that begins at this byte.
fn skipped(problems: Vec<Diagnostic>, start: usize) -> Diagnostic {
    let first = problems.into_iter().next();
    let span = first.as_ref().and_then(|first| first.span.clone()).unwrap_or(0..0);
    let why = first.as_ref().map_or("", |first| first.message.as_str());
    Diagnostic {
        severity: Severity::Warning,
        code: first.as_ref().map_or("bad-port", |first| first.code),
        message: format!("line skipped: {why}"),
        span: Some(span.start.saturating_add(start)..span.end.saturating_add(start)),
        related: None,
        hint: first.and_then(|first| first.hint),
    }
}

/// The text with a `#` at the beginning of each line that holds this sequence; `None` if none does.
/// White space there gives way, as with knockd, and a digit does not.
fn mark(text: &[u8], used: &[Port]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut copied = 0;
    for line in lines(text) {
        if line.sequence.is_ok_and(|sequence| sequence == used) {
            out.extend_from_slice(text.get(copied..line.start).unwrap_or_default());
            out.push(b'#');
            let is_blank = text.get(line.start).is_some_and(u8::is_ascii_whitespace);
            copied = line.start.saturating_add(usize::from(is_blank));
        }
    }
    if out.is_empty() {
        return None;
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    Some(out)
}

/// Opens a file; does not wait for the other end if it is a pipe.
fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// All that a file holds.
fn read(file: &mut File) -> io::Result<Vec<u8>> {
    // Nothing else can be replaced.
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
    }
    Ok(text)
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => error.to_string(),
    };
    Failure::could_not(format!("cannot {what} `{}`: {reason}", plain(&path.to_string_lossy())))
}

/// The name of the new file while it is written.
fn temporary(real: &Path) -> PathBuf {
    let mut name = b".".to_vec();
    name.extend(real.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default());
    name.extend_from_slice(b".portcullis-new");
    real.with_file_name(OsString::from_vec(name))
}
