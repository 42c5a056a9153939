//! `portcullis confirm`: keeps the rules on trial, and loads them at boot.

use super::apply::remind_daemon;
use super::state_dir::StateDir;
use crate::apply;
use crate::exit::{Exit, Outcome};
use crate::out::say;

/// Arguments of `confirm`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Confirm without an SSH session, at the console
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    state_dir: StateDir,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    apply::confirm(&args.state_dir.path, args.yes)?;
    say("Confirmed. portcullis-rules.service loads these rules at boot");
    remind_daemon();
    Ok(Exit::Done)
}
