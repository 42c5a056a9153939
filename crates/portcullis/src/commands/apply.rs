//! `portcullis apply`: the rules that a configuration means, into the kernel.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use portcullis_core::policy::Policy;

use super::apply_iptables;
use super::compile::ruleset;
use crate::config;
use crate::exit::{Exit, Failure, Outcome};
use crate::netlink::nftables::Gate;
use crate::netlink::route::Route;

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; `-` is standard input [default: /etc/portcullis/portcullis.toml]
    file: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let config::Loaded { policy, backend, .. } = config::load_for(args.file.as_deref())?;
    let start = Instant::now();
    interfaces_exist(&policy)?;
    if let Some(matcher) = backend.matcher() {
        return apply_iptables::run(&policy, matcher, start);
    }
    let ruleset = ruleset(&policy)?;
    let loaded = Gate::open()?.load(&ruleset)?;
    let carried = match loaded.grants {
        0 => String::new(),
        grants => format!(", {} still open", count(grants, "grant")),
    };
    // Nothing can be done when there is nobody to tell.
    let _ = writeln!(
        anstream::stderr(),
        "{} guarded by {} and {}{carried}; loaded and read back in {} ms",
        count(policy.doors.len(), "door"),
        count(loaded.rules, "rule"),
        count(loaded.elements, "element"),
        start.elapsed().as_millis(),
    );
    Ok(Exit::Done)
}

/// A gate on an interface that does not exist guards nothing: most likely the name is wrong.
fn interfaces_exist(policy: &Policy) -> Result<(), Failure> {
    let wanted = &policy.gate.interfaces;
    if wanted.is_empty() {
        return Ok(());
    }
    let found = Route::open()
        .and_then(|mut route| route.interfaces())
        .map_err(|error| Failure::could_not(format!("cannot list the interfaces: {error}")))?;
    for name in wanted {
        if !found.iter().any(|interface| interface.name == name.as_str()) {
            let names: Vec<&str> = found.iter().map(|interface| interface.name.as_str()).collect();
            let message = format!("there is no interface {}; nothing was changed", name.as_str());
            return Err(
                Failure::could_not(message).hint(format!("this host has {}", names.join(", ")))
            );
        }
    }
    Ok(())
}

/// "1 rule", "2 rules".
pub(super) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
