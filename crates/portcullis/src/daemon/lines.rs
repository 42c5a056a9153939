//! Lines for whoever keeps them. Each is written in one piece: several processes write to the same
//! place, and so do the commands that one of them runs.

use std::fmt::Arguments;
use std::io::{self, Write};

/// One line of what happens. If nobody reads it, the gate is kept all the same.
pub fn say(line: Arguments<'_>) {
    let text = format!("{line}\n");
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// One line that somebody should read.
pub fn warn(line: Arguments<'_>) {
    let text = format!("warning: {line}\n");
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
