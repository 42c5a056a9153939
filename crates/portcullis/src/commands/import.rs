//! `portcullis import`: a native configuration from a `knockd.conf`.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::config::read::read_bytes;
use crate::exit::{Exit, Failure, Outcome};
use crate::import::{Imported, import};
use crate::knockd::config::{DEFAULT_PATH, MAX_BYTES};

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The configuration goes to standard output, what is to be said of it to \
                        standard error.\n\nExit code 0: everything was carried over; 1: something \
                        needs your hand; 3: the file cannot be read, or knockd would not take it \
                        either.")]
pub struct Args {
    /// The configuration of knockd; `-` is standard input [default: /etc/knockd.conf]
    file: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let source = read_bytes(args.file.as_deref().unwrap_or(Path::new(DEFAULT_PATH)), MAX_BYTES)?;
    let imported = import(&source.name, &source.bytes).map_err(|report| {
        report.show();
        Failure { exit: Exit::CouldNot, ..Failure::no() }
    })?;
    let mut out = io::stdout().lock();
    match out.write_all(imported.toml.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough, as `head` has.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let message = format!("cannot write to standard output: {error}");
            return Err(Failure::could_not(message));
        }
        _ => {}
    }
    // Nothing can be done when there is nobody to tell.
    let _ = anstream::stderr().lock().write_all(talk(&source.name, &imported).as_bytes());
    let by_hand = imported.notes.iter().any(|note| note.by_hand);
    Ok(if by_hand { Exit::No } else { Exit::Done })
}

/// What is said of a configuration, as a person reads it.
fn talk(name: &str, imported: &Imported) -> String {
    let mut out = String::new();
    for note in &imported.notes {
        let (line, column) = note.place;
        let kind = if note.by_hand { "warning" } else { "note" };
        let _ = writeln!(out, "{name}:{line}:{column}: {kind}: {}", note.message);
        if let Some(hint) = &note.hint {
            let _ = writeln!(out, "  hint: {hint}");
        }
    }
    let by_hand = imported.notes.iter().filter(|note| note.by_hand).count();
    let doors = count(imported.doors, "door");
    let _ = match by_hand {
        0 => writeln!(out, "{name}: {doors}, everything was carried over"),
        _ => writeln!(out, "{name}: {doors}, {} to be done by hand", count(by_hand, "thing")),
    };
    out
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
