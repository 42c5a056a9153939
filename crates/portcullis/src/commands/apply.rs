//! `portcullis apply`: loads the rules of a configuration into the kernel.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use portcullis_config::{Host, duration};
use portcullis_core::limits;
use portcullis_core::policy::{Allowed, Policy};
use portcullis_firewall::compile::{Hosts, admit};
use portcullis_firewall::iptables::AddressStore;
use portcullis_gate::{Gate, Look, Rules};
use portcullis_linux::netlink::route::Route;

use super::live::{count, of_daemon, time_of_option, warn_of_deaf_doors};
use super::state_dir::StateDir;
use crate::apply::{self, Configured, Loaded};
use crate::config;
use crate::daemon::keeper;
use crate::daemon::resolver::look_up;
use crate::exit::{Exit, Failure, Outcome};
use crate::look;
use crate::out::say;

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; `-` is standard input [default: /etc/portcullis/portcullis.toml]
    file: Option<PathBuf>,
    /// Load the rules on trial: roll back after this time (1s to 24h) unless `portcullis confirm`
    /// is run over a new SSH session [default: no trial]
    #[arg(long, value_name = "DURATION", value_parser = within)]
    confirm_within: Option<Duration>,
    /// Apply even if it would lock out this SSH session
    #[arg(long)]
    allow_lockout: bool,
    #[command(flatten)]
    state_dir: StateDir,
}

/// Shortest and longest time of a trial.
const WITHIN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let interfaces = Route::open().and_then(|mut route| look::interfaces(&mut route)).ok();
    let host = Host { interfaces, ..Host::default() };
    let loaded = config::load_for_host(args.file.as_deref(), &host)?;
    interfaces_exist(&loaded.policy)?;
    allowed_interfaces_exist(&loaded.policy);
    let mut configured = Configured::new(loaded)?;
    if let Rules::Table(ruleset) = &mut configured.rules {
        let found = look_up_all(&configured.policy);
        let mut gate = Gate::looking(Look::Never)?;
        let hosts = gate.table().known_hosts(&configured.policy, found)?;
        tell_of_names(&configured.policy, &hosts);
        admit(ruleset, &hosts);
    }
    let doors = doors(&configured.policy);
    let has_hooks = configured.policy.has_hooks();
    let deaf = of_daemon(&configured.policy);
    let loaded =
        apply::apply(&args.state_dir.path, configured, args.confirm_within, args.allow_lockout)?;
    say(&active(&doors, &loaded));
    if let Some(within) = args.confirm_within {
        say(&format!(
            "TRIAL: undone in {}. Knock, open a new SSH session, and run `portcullis confirm` in it",
            duration::format(within)
        ));
    } else {
        remind_daemon();
    }
    let daemon = keeper::is_running().unwrap_or(false);
    if has_hooks && !daemon {
        say("note: `on_open` and `on_close` need `portcullis run`");
    }
    if !daemon {
        warn_of_deaf_doors(deaf);
    }
    Ok(Exit::Done)
}

/// Says that rules are loaded, and which.
pub(super) fn active(doors: &str, loaded: &Loaded) -> String {
    let rules = match loaded {
        Loaded::Table(loaded) => {
            let kept = match loaded.grants {
                0 => String::new(),
                grants => format!(", {} kept", count(grants, "grant")),
            };
            format!("{}{kept}", count(loaded.rules, "rule"))
        }
        Loaded::Chains(loaded, store) => {
            let sets = match store {
                AddressStore::Recent => "`recent` lists".to_owned(),
                AddressStore::Ipset => count(loaded.sets, "set"),
            };
            format!("{} of iptables and ip6tables, {sets}", count(loaded.rules, "rule"))
        }
    };
    format!("Gate active: {doors}, {rules}, verified")
}

/// The doors that guard ports, with their names and ports while these fit on a line.
pub(super) fn doors(policy: &Policy) -> String {
    const NAMED: usize = 3;
    let doors: Vec<_> = policy.doors.iter().filter(|door| !door.guards.is_empty()).collect();
    let number = count(doors.len(), "door");
    if doors.is_empty() || doors.len() > NAMED {
        return number;
    }
    let named = doors.iter().map(|door| {
        let ports: Vec<String> = door.guards.iter().take(NAMED).map(ToString::to_string).collect();
        let more = if door.guards.len() > NAMED { ", …" } else { "" };
        format!("{}: {}{more}", door.name, ports.join(", "))
    });
    format!("{number} ({})", named.collect::<Vec<_>>().join("; "))
}

/// The daemon goes on with the doors that it has read, until it is told to read again.
pub(super) fn remind_daemon() {
    if keeper::is_running().unwrap_or(false) {
        say(
            "The daemon still uses its old configuration. Run `systemctl reload portcullis-run` (or send \
             SIGHUP)",
        );
    }
}

fn within(text: &str) -> Result<Duration, String> {
    time_of_option(text, WITHIN)
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
        warn(&format!("{name} could not be resolved; it allows nobody until it resolves"));
    }
    if !names.is_empty() {
        warn("names are looked up again only while `portcullis run` is active");
    }
}

fn warn(text: &str) {
    say(&format!("warning: {text}"));
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
            let message =
                format!("this host has no interface {}; nothing was changed", name.as_str());
            return Err(Failure::could_not(message)
                .hint(format!("interfaces of this host: {}", names.join(", "))));
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
            warn(&format!("no interface {name} yet; it allows nobody until it appears"));
        }
    }
}
