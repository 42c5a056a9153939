//! `portcullis compile`.

use crate::exit::{Failure, Outcome};

/// Arguments of `compile`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args) -> Outcome {
    Err(Failure::could_not("under construction"))
}
