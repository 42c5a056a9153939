//! `portcullis check`: what is wrong with a configuration, and how strong its doors are.
//!
//! Doors go to standard output, findings to standard error. The knocks themselves are printed only
//! when asked for: what a terminal shows is often kept.

mod json;
#[cfg(test)]
mod tests;
pub(super) mod text;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use portcullis_core::policy::{Door, Policy};
use portcullis_core::strength::{Strength, Usable};

use crate::config::{self, DEFAULT_PATH, LoadError};
use crate::exit::{Exit, Failure, Outcome};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; `-` is standard input [default: /etc/portcullis/portcullis.toml]
    file: Option<PathBuf>,
    /// Print one JSON object with doors and findings
    #[arg(long)]
    json: bool,
    /// Print the knocks of each door too
    #[arg(long)]
    show_knocks: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let path = args.file.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
    let (policy, report) = match config::load(path) {
        Ok(loaded) => (loaded.policy, loaded.warnings),
        Err(LoadError::Unreadable(failure)) => return Err(failure),
        Err(LoadError::Invalid(report)) => (Policy::default(), report),
    };
    if args.json {
        print(&json::render(&policy, &report, args.show_knocks))?;
    } else {
        print(&text::doors(&policy, args.show_knocks))?;
        print(&text::bans(&policy))?;
        report.show();
        // Nothing can be done when there is nobody to tell.
        let _ = writeln!(anstream::stderr(), "{}", text::verdict(&policy, &report));
    }
    Ok(if report.errors() == 0 { Exit::Done } else { Exit::No })
}

/// Writes to standard output, without colours where they are not wanted.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough, as `head` has.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::could_not(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// The doors of a policy with the strength of each.
pub(super) fn with_strength(policy: &Policy) -> Vec<(&Door, Strength)> {
    // Most doors are alike in what their strength depends on.
    let mut known: BTreeMap<(usize, u8), Strength> = BTreeMap::new();
    let usable = Usable::of(policy);
    let strength = |door: &Door| {
        let (knocks, tolerate) = (door.sequence.len(), door.tolerate);
        let strength = known
            .entry((knocks, tolerate))
            .or_insert_with(|| Strength::of(knocks, tolerate, &usable));
        strength.clone()
    };
    policy.doors.iter().zip(policy.doors.iter().map(strength)).collect()
}

/// The rates at which the time to guess is given, in packets per second.
pub(super) const RATES: [u32; 2] = [1_000, 100_000];
