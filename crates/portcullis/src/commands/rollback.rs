//! `portcullis rollback`: rolls back the rules on trial at once. Also the process that does it when the time is
//! over.

use super::state_dir::StateDir;
use crate::apply::{self, timer};
use crate::exit::{Exit, Outcome};
use crate::out::say;

/// Arguments of `rollback`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    state_dir: StateDir,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let prepared = apply::rollback(&args.state_dir.path)?;
    say(&prepared.to_string());
    Ok(Exit::Done)
}

/// Arguments of `rollback-timer`.
#[derive(Debug, clap::Args)]
pub struct TimerArgs {
    /// The trial that it belongs to
    #[arg(long)]
    id: u64,
    #[command(flatten)]
    state_dir: StateDir,
}

/// Runs the process.
pub fn timer(args: &TimerArgs) -> Outcome {
    timer::run(&args.state_dir.path, args.id)
}
