//! The option `--state-dir`, which the commands share that change what is in force.

use std::path::PathBuf;

use crate::apply::DEFAULT_FOLDER;

/// Where the state is.
#[derive(Debug, clap::Args)]
pub struct StateDir {
    /// Where it is kept what is confirmed and what is on trial; for root alone
    #[arg(long = "state-dir", value_name = "FOLDER", default_value = DEFAULT_FOLDER)]
    pub path: PathBuf,
}
