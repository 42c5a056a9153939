//! `portcullis remove`: the rules out of the kernel.

use std::io::Write;

use portcullis_firewall::ruleset::TABLE;

use crate::exit::{Exit, Outcome};
use crate::iptables;
use crate::netlink::nftables::Gate;

/// Arguments of `remove`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args) -> Outcome {
    let chains = iptables::remove()?;
    // A host that lives on iptables may have a kernel without nftables.
    let table = match Gate::open().and_then(|mut gate| gate.remove()) {
        Err(_) if chains => false,
        other => other?,
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
