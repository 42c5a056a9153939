//! `portcullis remove`: the rules out of the kernel.

use std::io::Write;

use portcullis_firewall::ruleset::TABLE;

use crate::exit::{Exit, Outcome};
use crate::netlink::nftables::Gate;

/// Arguments of `remove`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args) -> Outcome {
    let said = if Gate::open()?.remove()? {
        "removed: guarded ports are open again"
    } else {
        "not there: nothing to remove"
    };
    // Nothing can be done when there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "table inet {TABLE} {said}");
    Ok(Exit::Done)
}
