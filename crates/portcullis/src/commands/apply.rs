//! `portcullis apply`: the rules that a configuration means, into the kernel.

use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use portcullis_core::limits;
use portcullis_core::policy::{Allowed, Policy};
use portcullis_firewall::compile::{Hosts, admit};

use super::compile::ruleset;
use crate::config;
use crate::daemon::hosts::look_up;
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
    let policy = config::load_for(args.file.as_deref())?.policy;
    let start = Instant::now();
    interfaces_exist(&policy)?;
    allowed_interfaces_exist(&policy);
    let mut ruleset = ruleset(&policy)?;
    let mut gate = Gate::open()?;
    let found = look_up_all(&policy);
    let hosts = gate.known_hosts(&policy, found)?;
    tell_of_names(&policy, &hosts);
    admit(&mut ruleset, &hosts);
    let loaded = gate.load(&ruleset)?;
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

/// Looks up all names that are allowed, at the same time, and waits for them no longer than
/// [`HOST_PATIENCE`](limits::HOST_PATIENCE).
fn look_up_all(policy: &Policy) -> Hosts {
    let (sender, answers) = mpsc::channel();
    for name in policy.allowed_hosts() {
        let (name, sender) = (name.clone(), sender.clone());
        // Without a thread there is no answer, which is one that may come from every name.
        let _ = thread::Builder::new().spawn(move || {
            let found = look_up(&name);
            let _ = sender.send((name, found));
        });
    }
    drop(sender);
    let deadline = Instant::now() + limits::HOST_PATIENCE;
    let mut hosts = Hosts::new();
    let left = || deadline.saturating_duration_since(Instant::now());
    while let Ok((name, found)) = answers.recv_timeout(left()) {
        if let Ok(addresses) = found {
            hosts.insert(name, addresses);
        }
    }
    hosts
}

/// Says what a person should know who allows names.
fn tell_of_names(policy: &Policy, hosts: &Hosts) {
    let names = policy.allowed_hosts();
    for name in names.iter().filter(|name| !hosts.contains_key(**name)) {
        warn(&format!("{name} has no address that could be found: nobody is allowed by it yet"));
    }
    if !names.is_empty() {
        warn("names are looked up again only while `portcullis run` runs");
    }
}

fn warn(text: &str) {
    let _ = writeln!(anstream::stderr(), "warning: {text}");
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

/// An interface in the allow-list may come later, as those of tunnels do; or its name is wrong.
fn allowed_interfaces_exist(policy: &Policy) {
    for allowed in &policy.gate.allow {
        if let Allowed::Interface(name) = allowed
            && Route::open()
                .is_ok_and(|mut it| matches!(it.interface_index(name.as_str()), Ok(None)))
        {
            warn(&format!("there is no interface {name} yet: nobody is allowed by it"));
        }
    }
}

/// "1 rule", "2 rules".
fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
