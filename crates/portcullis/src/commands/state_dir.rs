//! The option `--state-dir`, which the commands share that change what is in force.

use std::path::PathBuf;

use crate::apply::DEFAULT_FOLDER;

/// Where the state is.
#[derive(Debug, clap::Args)]
pub struct StateDir {
    /// State directory for the confirmed rules and the trial (root only)
    #[arg(long = "state-dir", value_name = "DIR", default_value = DEFAULT_FOLDER)]
    pub path: PathBuf,
}
