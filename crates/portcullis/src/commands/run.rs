//! `portcullis run`, and the processes that it starts.

use std::path::{self, PathBuf};

use portcullis_watcher::native::Native;
use portcullis_watcher::watch;

use crate::daemon::parts::watcher_failed;
use crate::daemon::{hosts, keeper, runner};
use crate::exit::{Exit, Failure, Outcome};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; `-` is standard input
    #[arg(default_value = portcullis_config::DEFAULT_PATH)]
    file: PathBuf,
    /// Log every stage, not only doors that open
    #[arg(short, long)]
    verbose: bool,
    /// Directory for pending `on_close` commands (root only)
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    state_dir: PathBuf,
}

/// Where pending `on_close` commands are kept when nobody says otherwise.
const STATE_DIR: &str = "/var/lib/portcullis/run";

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    // The runner works elsewhere.
    let state_dir = path::absolute(&args.state_dir)
        .map_err(|error| Failure::wrong_use(format!("not a directory: {error}")))?;
    keeper::run(keeper::Settings { path: args.file.clone(), verbose: args.verbose, state_dir })
}

/// Arguments of `run-process`.
#[derive(Debug, clap::Args)]
pub struct ProcessArgs {
    /// Process to start
    role: Role,
    #[arg(long, default_value = STATE_DIR)]
    state_dir: PathBuf,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Role {
    /// The one that reads packets
    Watcher,
    /// The one that runs commands
    Runner,
    /// The one that looks up names
    Resolver,
}

/// Runs one of the daemon's processes.
pub fn process(args: &ProcessArgs) -> Outcome {
    match args.role {
        Role::Watcher => watch::run::<Native>().map(|()| Exit::Done).map_err(watcher_failed),
        Role::Runner => runner::run(&args.state_dir),
        Role::Resolver => hosts::run(),
    }
}
