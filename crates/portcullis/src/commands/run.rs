//! `portcullis run`, and the processes that it starts.

use std::io;
use std::path::{self, Path, PathBuf};

use portcullis_config::duration::to_the_second;
use portcullis_watcher::native::Native;
use portcullis_watcher::watch;

use crate::apply;
use crate::daemon::parts::watcher_failed;
use crate::daemon::{keeper, resolver, runner};
use crate::exit::{Exit, Failure, Outcome};
use crate::files;
use crate::out::say;

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
    stand_by_trial(&args.file)?;
    keeper::run(keeper::Settings { path: args.file.clone(), verbose: args.verbose, state_dir })
}

/// The rules of another configuration are not loaded over those on trial. The state of `apply` may be unreadable for whoever
/// may run this all the same, so that nothing but a trial stands in the way.
fn stand_by_trial(file: &Path) -> Result<(), Failure> {
    let Ok(Some(trial)) = apply::trial(Path::new(apply::DEFAULT_FOLDER)) else { return Ok(()) };
    let text = files::open_to_read(file).and_then(io::read_to_string);
    if !text.is_ok_and(|text| text == trial.text) {
        return Err(apply::another_on_trial(trial.left));
    }
    say(&format!(
        "note: these rules are on trial: they are undone in {} unless you run `portcullis confirm`",
        to_the_second(trial.left)
    ));
    Ok(())
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
        Role::Resolver => resolver::run(),
    }
}
