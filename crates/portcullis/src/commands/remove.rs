//! `portcullis remove`: the rules out of the kernel, and no longer loaded at boot.

use std::io::Write;

use portcullis_firewall::ruleset::TABLE;

use super::state_dir::StateDir;
use crate::apply;
use crate::exit::{Exit, Outcome};

/// Arguments of `remove`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    state_dir: StateDir,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let said = if apply::remove(&args.state_dir.path)? {
        "removed: guarded ports are open again"
    } else {
        "not there: nothing to remove"
    };
    // Nothing can be done when there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "table inet {TABLE} {said}");
    Ok(Exit::Done)
}
