//! Where lines go: a file, syslog, stdout.
//!
//! Programs read this log, so every byte is as knockd 0.8 writes it: `[2026-11-21 03:43] message` in
//! local time, and the bare message for syslog and stdout. A message may end with a newline of its own;
//! in the file that makes a blank line, as theirs does.
//!
//! Nothing here can fail: a daemon that keeps doors must not stop because a disk is full.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use portcullis_linux::sys::time::local;

use crate::files;
use crate::out;
use crate::syslog::Syslog;

/// Longest message, in bytes; more than this is cut off. The longest that there is, a command, has
/// 4,095 (theirs cuts all at 1,023).
pub const LONGEST: usize = 8192;

/// Where the lines of the daemon go.
#[derive(Debug)]
pub struct Log {
    file: Option<LogFile>,
    syslog: Option<Syslog>,
    /// `-v`.
    verbose: bool,
    terminal: bool,
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    /// That it cannot be written has been said.
    complained: bool,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = files::open_to_append(path)?;
        Ok(Self { path: path.to_owned(), file, complained: false })
    }
}

impl Log {
    /// A log that goes nowhere, but to stdout if `verbose`.
    pub fn new(verbose: bool) -> Self {
        Self { file: None, syslog: None, verbose, terminal: io::stdout().is_terminal() }
    }

    /// From now on lines are added to this file, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// It cannot be opened. Lines then go where they went before.
    pub fn open(&mut self, path: &Path) -> io::Result<()> {
        self.file = Some(LogFile::open(path)?);
        Ok(())
    }

    /// From now on lines go to no file.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Opens the file anew, after somebody has moved it away. Without a file there is nothing to do.
    ///
    /// # Errors
    ///
    /// It cannot be opened. Lines then go where they went before, wherever that file is now.
    pub fn reopen(&mut self) -> io::Result<()> {
        match &self.file {
            Some(LogFile { path, .. }) => {
                let path = path.clone();
                self.open(&path)
            }
            None => Ok(()),
        }
    }

    /// Whether lines go to syslog.
    pub fn use_syslog(&mut self, on: bool) {
        if on != self.syslog.is_some() {
            self.syslog = on.then(Syslog::default);
        }
    }

    /// A line for the file, syslog and (with `-v`) stdout; `at` is when that was.
    pub fn line(&mut self, at: SystemTime, message: &[u8]) {
        self.record(at, message);
        self.say(message);
    }

    /// A line for the file and syslog alone.
    pub fn record(&mut self, at: SystemTime, message: &[u8]) {
        let message = message.get(..LONGEST).unwrap_or(message);
        self.write(at, message);
        self.tell_syslog(at, message);
    }

    /// A line for syslog and (with `-v`) stdout, but not for the file, which is just being changed.
    pub fn aside(&mut self, at: SystemTime, message: &[u8]) {
        self.tell_syslog(at, message);
        self.say(message);
    }

    fn tell_syslog(&mut self, at: SystemTime, message: &[u8]) {
        if let Some(syslog) = &mut self.syslog {
            syslog.tell(at, message);
        }
    }

    /// A line for stdout alone, with `-v`. Stdout may be gone, which is nobody's concern.
    pub fn say(&self, message: &[u8]) {
        if self.verbose {
            out::write(&said(message, self.terminal));
        }
    }

    fn write(&mut self, at: SystemTime, message: &[u8]) {
        let Some(log) = &mut self.file else { return };
        let mut line = stamp(at).into_bytes();
        line.extend(message);
        line.push(b'\n');
        // In one piece, so that whoever else appends to the file does not get in between.
        match log.file.write_all(&line) {
            Err(error) if !log.complained => {
                log.complained = true;
                let path = log.path.display().to_string();
                let path = path.escape_debug();
                // Where else could this be said.
                out::warn(format_args!(
                    "cannot write to the log file {path}: {error}\n  hint: free space for \
                     it, or reload knockd with SIGHUP; knockd repeats this warning only after that"
                ));
            }
            _ => {}
        }
    }
}

/// `[2026-11-21 03:43] `
fn stamp(at: SystemTime) -> String {
    let now = local(at);
    let (year, month, day) = (now.year, now.month, now.day);
    format!("[{year:04}-{month:02}-{day:02} {:02}:{:02}] ", now.hour, now.minute)
}

/// The message as it is said, with one newline. On a terminal, characters that command it are
/// escaped: the name of a door can have any.
fn said(message: &[u8], terminal: bool) -> Vec<u8> {
    let message = message.strip_suffix(b"\n").unwrap_or(message);
    let mut line = if terminal { escaped(message).into_bytes() } else { message.to_vec() };
    line.push(b'\n');
    line
}

fn escaped(message: &[u8]) -> String {
    let mut text = String::with_capacity(message.len());
    for chunk in message.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || reorders(character) {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        text.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    text
}

/// Whether it changes the order in which others are shown (Unicode, annex 9, section 2).
const fn reorders(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::UNIX_EPOCH;

    use tempfile::TempDir;

    use super::*;

    /// What is in the file, without the times, which all have one width.
    fn messages(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let message = |line: &str| line.get("[2026-11-21 03:43] ".len()..).map(str::to_owned);
        text.lines().map(|line| message(line).unwrap_or_default()).collect()
    }

    fn log(path: &Path) -> Log {
        let mut log = Log::new(false);
        log.open(path).unwrap();
        log
    }

    #[test]
    fn lines_are_added_and_may_have_a_blank_one_after_them() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("knockd.log");
        fs::write(&path, "before\n").unwrap();
        let mut log = log(&path);
        log.line(UNIX_EPOCH, b"a: running command: true\n");
        log.record(UNIX_EPOCH, b"\xffshutting down");
        log.say(b"nothing of this");
        let text = fs::read(&path).unwrap();
        let stamp = stamp(UNIX_EPOCH).into_bytes();
        let lines: [&[u8]; 5] =
            [b"before\n", &stamp, b"a: running command: true\n\n", &stamp, b"\xffshutting down\n"];
        assert_eq!(text, lines.concat());
        assert!(stamp.len() == 19 && stamp.starts_with(b"[19") && stamp.ends_with(b"] "));
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_anew() {
        let folder = TempDir::new().unwrap();
        let (path, moved) = (folder.path().join("knockd.log"), folder.path().join("knockd.log.1"));
        let mut log = log(&path);
        log.line(UNIX_EPOCH, b"one");
        fs::rename(&path, &moved).unwrap();
        log.line(UNIX_EPOCH, b"two");
        log.reopen().unwrap();
        log.line(UNIX_EPOCH, b"three");
        assert_eq!(
            (messages(&moved), messages(&path)),
            (vec!["one".into(), "two".into()], vec!["three".into()])
        );
        // Where it cannot be opened, nothing is lost.
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(log.reopen().is_err() && log.open(Path::new("/nonexistent/x")).is_err());
        log.line(UNIX_EPOCH, b"four");
        assert_eq!(messages(&moved), ["three", "four"]);
        log.close();
        log.line(UNIX_EPOCH, b"five");
        log.reopen().unwrap();
        assert_eq!(messages(&moved), ["three", "four"]);
    }

    #[test]
    fn a_full_disk_stops_nothing() {
        let mut log = log(Path::new("/dev/full"));
        log.line(UNIX_EPOCH, b"one");
        assert!(log.file.as_ref().unwrap().complained);
        log.line(UNIX_EPOCH, b"two");
        log.reopen().unwrap();
        assert!(!log.file.as_ref().unwrap().complained);
    }

    #[test]
    fn long_messages_are_whole_and_endless_ones_are_cut() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("knockd.log");
        let mut log = log(&path);
        log.line(UNIX_EPOCH, &[b'x'; LONGEST]);
        log.line(UNIX_EPOCH, &[b'y'; LONGEST + 1]);
        assert_eq!(messages(&path), ["x".repeat(LONGEST), "y".repeat(LONGEST)]);
    }

    #[test]
    fn a_terminal_is_not_commanded() {
        let hostile = b"a\x1b[2J\r\xc2\x9b\xff\n\xe2\x80\xae.\n";
        assert_eq!(said(hostile, false), hostile);
        let safe = said(hostile, true);
        assert_eq!(String::from_utf8(safe).unwrap(), "a\\u{1b}[2J\\r\\u{9b}\\xff\\n\\u{202e}.\n");
        assert_eq!(said("t\u{fc}r: Stage 1".as_bytes(), true), "t\u{fc}r: Stage 1\n".as_bytes());
        assert_eq!(said(b"", true), b"\n");
    }
}
