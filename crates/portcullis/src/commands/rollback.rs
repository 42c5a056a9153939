//! `portcullis rollback`: what is on trial is taken back at once.

use std::io::Write;

use super::state_dir::StateDir;
use crate::apply;
use crate::exit::{Exit, Outcome};

/// Arguments of `rollback`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    state_dir: StateDir,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let prepared = apply::rollback(&args.state_dir.path)?;
    // Nothing can be done when there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "{prepared}");
    Ok(Exit::Done)
}
