//! `portcullis check`: finds errors in a configuration and problems on this host, shows how strong the doors
//! are, and explains each finding.
//!
//! Doors go to standard output, findings to standard error. The knocks themselves are printed only
//! when asked for: what a terminal shows is often kept.

mod json;
#[cfg(test)]
mod tests;
pub(super) mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use portcullis_config::{DEFAULT_PATH, problems};
use portcullis_core::policy::{Door, Policy};
use portcullis_core::strength::{Strength, Usable};
use portcullis_core::text::plain;

use crate::config::{self, LoadError};
use crate::exit::{Exit, Failure, Outcome};
use crate::look::look;
use crate::out::{print, say};

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
    /// Do not look at this host: the configuration is for another one
    #[arg(long)]
    no_host: bool,
    /// Explain the code of a finding: why it matters, and what to do; without a code, list all
    /// codes
    #[arg(
        long,
        value_name = "CODE",
        num_args = 0..=1,
        default_missing_value = "",
        conflicts_with_all = ["file", "json", "show_knocks", "no_host", "codes"]
    )]
    explain: Option<String>,
    /// List the codes that findings can have
    #[arg(long, conflicts_with_all = ["file", "json", "show_knocks", "no_host"])]
    codes: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    match args.explain.as_deref() {
        Some("") => return list(),
        Some(code) => return explain(code),
        None if args.codes => return list(),
        None => {}
    }
    let path = args.file.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
    let (host, unseen) = if args.no_host { Default::default() } else { look() };
    let (policy, report) = match config::load_on(&host, path) {
        Ok(loaded) => (loaded.policy, loaded.warnings),
        Err(LoadError::Unreadable(failure)) => return Err(failure),
        Err(LoadError::Invalid(report)) => (Policy::default(), report),
    };
    if args.json {
        print(&json::render(&policy, &report, &unseen, args.show_knocks))?;
    } else {
        print(&text::doors(&policy, args.show_knocks))?;
        print(&text::bans(&policy))?;
        config::show(&report);
        for line in &unseen {
            say(&format!("not checked: {line}"));
        }
        say(&text::verdict(&policy, &report));
    }
    Ok(if report.errors() == 0 { Exit::Done } else { Exit::No })
}

fn list() -> Outcome {
    print(&problems::list())?;
    Ok(Exit::Done)
}

fn explain(code: &str) -> Outcome {
    let Some(entry) = problems::find(code) else {
        let failure = Failure::wrong_use(format!("unknown code `{}`", plain(code)));
        return Err(failure.hint(problems::hint(code)));
    };
    print(&problems::text(entry))?;
    Ok(Exit::Done)
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
