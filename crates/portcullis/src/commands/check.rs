//! `portcullis check`.

use crate::exit::{Failure, Outcome};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args) -> Outcome {
    Err(Failure::could_not("under construction"))
}
