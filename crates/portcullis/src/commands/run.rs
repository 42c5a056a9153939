//! `portcullis run`, and the processes that it and `portcullis apply` start.

use std::path::PathBuf;

use super::state_dir::StateDir;
use crate::apply::timer;
use crate::config;
use crate::daemon::watcher::native::Native;
use crate::daemon::{keeper, watcher};
use crate::exit::Outcome;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; `-` for standard input
    #[arg(default_value = config::DEFAULT_PATH)]
    file: PathBuf,
    /// Tell of every stage, not only of doors that open
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    keeper::run(keeper::Settings { path: args.file.clone(), verbose: args.verbose })
}

/// Arguments of `run-process`.
#[derive(Debug, clap::Args)]
pub struct ProcessArgs {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// The one that reads packets
    Watcher,
    /// The one that rolls back
    RollbackTimer {
        /// The trial that it belongs to
        #[arg(long)]
        id: u64,
        #[command(flatten)]
        state_dir: StateDir,
    },
}

/// Runs such a process.
pub fn process(args: &ProcessArgs) -> Outcome {
    match &args.role {
        Role::Watcher => watcher::run::<Native>(),
        Role::RollbackTimer { id, state_dir } => timer::run(&state_dir.path, *id),
    }
}
