//! `portcullis run`.

use crate::exit::{Failure, Outcome};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args) -> Outcome {
    Err(Failure::could_not("under construction"))
}

/// Arguments of `run-process`.
#[derive(Debug, clap::Args)]
pub struct ProcessArgs {}

/// Runs one of the daemon's processes.
pub fn process(_args: &ProcessArgs) -> Outcome {
    Err(Failure::could_not("under construction"))
}
