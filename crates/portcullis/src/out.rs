//! Standard output and standard error.

use std::io::{self, Write};

use crate::exit::Failure;

/// Writes to standard output, without colours where they are not wanted.
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
