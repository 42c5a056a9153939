//! `portcullis remove`: the rules out of the kernel, and no longer loaded at boot.

use std::io::Write;

use portcullis_firewall::ruleset::TABLE;
use portcullis_gate::iptables;

use super::state_dir::StateDir;
use crate::apply;
use crate::exit::{Exit, Outcome};

/// Arguments of `remove`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    state_dir: StateDir,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    // Both are tried, whatever the other says.
    let table = apply::remove(&args.state_dir.path);
    let chains = iptables::remove();
    let (table, chains) = match (table, chains) {
        // A host that lives on iptables may have a kernel without nftables.
        (Err(_), Ok(true)) => (false, true),
        (Err(error), _) => return Err(error),
        (Ok(table), Err(failure)) => {
            if table {
                let _ = writeln!(anstream::stderr(), "table inet {TABLE} removed");
            }
            return Err(failure.into());
        }
        (Ok(table), Ok(chains)) => (table, chains),
    };
    let said = match (table, chains) {
        (true, false) => format!("table inet {TABLE} removed: guarded ports are open again"),
        (false, true) => "chains of iptables removed: guarded ports are open again".to_owned(),
        (true, true) => format!(
            "table inet {TABLE} and chains of iptables removed: guarded ports are open again"
        ),
        (false, false) => format!("table inet {TABLE} not there: nothing to remove"),
    };
    // Nothing can be done when there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "{said}");
    Ok(Exit::Done)
}
