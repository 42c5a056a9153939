//! `portcullis run`, and the processes that it starts.

use std::path::PathBuf;

use crate::config;
use crate::daemon::watcher::native::Native;
use crate::daemon::{hosts, keeper, watcher};
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
    /// Which process to be
    role: Role,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Role {
    /// The one that reads packets
    Watcher,
    /// The one that looks up names
    Resolver,
}

/// Runs one of the daemon's processes.
pub fn process(args: &ProcessArgs) -> Outcome {
    match args.role {
        Role::Watcher => watcher::run::<Native>(),
        Role::Resolver => hosts::run(),
    }
}
