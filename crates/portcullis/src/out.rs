//! Standard output and standard error, for all commands and daemons.

use std::fmt::Arguments;
use std::io::{self, Write};

use crate::exit::Failure;

/// Writes data to standard output, without colours where they are not wanted.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough, as `head` has.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::could_not(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Talk.
pub(crate) fn say(line: &str) {
    // Nothing can be done when there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Replaces the last line of the terminal that standard error is.
pub(crate) fn redraw(line: &str) {
    let mut out = io::stderr().lock();
    let _ = write!(out, "\r\x1b[K{line}").and_then(|()| out.flush());
}

/// A line of a daemon about what happens. If nobody reads it, the gate is kept all the same.
///
/// It is written in one piece, as all that daemons write: several processes write to the same place, and so
/// do the commands that one of them runs.
pub(crate) fn line(line: Arguments<'_>) {
    write(format!("{line}\n").as_bytes());
}

/// A line of a daemon that somebody should read.
pub(crate) fn warn(line: Arguments<'_>) {
    let _ = io::stderr().lock().write_all(format!("warning: {line}\n").as_bytes());
}

/// Bytes of a daemon for standard output, at once.
pub(crate) fn write(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}
