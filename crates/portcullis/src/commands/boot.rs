//! `portcullis boot`: loads the last confirmed configuration into the kernel. It needs no network, no daemon and
//! no file except the state.

use super::apply::{active, doors};
use super::state_dir::StateDir;
use crate::apply;
use crate::exit::{Exit, Outcome};
use crate::out::say;

/// Arguments of `boot`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    state_dir: StateDir,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let said = match apply::boot(&args.state_dir.path)? {
        None => "no rules are confirmed; nothing was loaded".to_owned(),
        Some((policy, loaded)) => active(&doors(&policy), &loaded),
    };
    say(&said);
    Ok(Exit::Done)
}
