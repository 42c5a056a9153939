//! `portcullis remove`: removes the rules from the kernel, and no longer loads them at boot.

use portcullis_firewall::ruleset::TABLE;
use portcullis_gate::Removed;

use super::state_dir::StateDir;
use crate::apply;
use crate::exit::{Exit, Outcome};
use crate::out::say;

/// Arguments of `remove`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    state_dir: StateDir,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let Removed { table, chains } = apply::remove(&args.state_dir.path)?;
    let said = match (table, chains) {
        (true, false) => format!("table inet {TABLE} removed: guarded ports are open again"),
        (false, true) => "chains of iptables removed: guarded ports are open again".to_owned(),
        (true, true) => format!(
            "table inet {TABLE} and chains of iptables removed: guarded ports are open again"
        ),
        (false, false) => "the gate is not loaded; there is nothing to remove".to_owned(),
    };
    say(&said);
    Ok(Exit::Done)
}
