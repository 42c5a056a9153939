//! `portcullis compile`: prints the rules of a configuration.

use std::path::PathBuf;

use portcullis_config::Backend;
use portcullis_core::policy::Policy;
use portcullis_firewall::compile::compile;
use portcullis_firewall::iptables::compile::{Generation, compile as compile_iptables};
use portcullis_firewall::iptables::text::sets;
use portcullis_firewall::iptables::{AddressStore, Family};
use portcullis_firewall::ruleset::Ruleset;

use crate::config;
use crate::exit::{Exit, Failure, Outcome};
use crate::out::print;

/// Arguments of `compile`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; `-` is standard input [default: /etc/portcullis/portcullis.toml]
    file: Option<PathBuf>,
    /// Output format [default: nftables; the other back ends need this option]
    #[arg(long, value_enum)]
    target: Option<Target>,
}

/// The format in which the rules are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// A script for `nft -f`, which replaces the table in one transaction
    Nftables,
    /// A file for `iptables-restore --noflush`; uses `recent`, or ipset if that is the `backend`
    Iptables,
    /// A file for `ip6tables-restore --noflush`; otherwise the same
    Ip6tables,
    /// The sets that these files need with `backend = "ipset"`, for `ipset restore`
    Ipset,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    print(&text(args)?).map(|()| Exit::Done)
}

fn text(args: &Args) -> Result<String, Failure> {
    let file = args.file.as_deref();
    let loaded = match args.target {
        None => config::load_for(file)?,
        Some(Target::Nftables) => config::load_for_backend(file, |_| Backend::Nftables)?,
        Some(_) => config::load_for_backend(file, |named| match named {
            Backend::Nftables if args.target == Some(Target::Ipset) => Backend::Ipset,
            Backend::Nftables => Backend::Iptables,
            other => other,
        })?,
    };
    let policy = &loaded.policy;
    let Some(store) = config::store(loaded.backend) else {
        return Ok(ruleset(policy)?.to_string());
    };
    let filter = |family| {
        compile_iptables(policy, store, family, Generation::default()).map_err(|_| {
            Failure::could_not("the doors of this configuration contradict each other")
        })
    };
    match args.target {
        Some(Target::Iptables) => Ok(filter(Family::V4)?.to_string()),
        Some(Target::Ip6tables) => Ok(filter(Family::V6)?.to_string()),
        Some(Target::Ipset) if store == AddressStore::Ipset => Ok(Family::BOTH
            .into_iter()
            .map(|family| Ok(sets(family, filter(family)?.sets.iter())))
            .collect::<Result<String, Failure>>()?),
        Some(Target::Ipset) => Err(Failure::wrong_use("this configuration needs no sets")
            .hint("write `backend = \"ipset\"` below `[gate]`")),
        _ => {
            let message = format!(
                "back end `{}` has one file for IPv4 and one for IPv6",
                loaded.backend.word()
            );
            let targets = match store {
                AddressStore::Recent => "`--target iptables` and `--target ip6tables`",
                AddressStore::Ipset => {
                    "`--target ipset`, then `--target iptables` and `--target ip6tables`"
                }
            };
            Err(Failure::wrong_use(message).hint(format!("use {targets}")))
        }
    }
}

/// The rules that a policy means.
pub(super) fn ruleset(policy: &Policy) -> Result<Ruleset, Failure> {
    // A configuration that was read without errors has none of these conflicts.
    compile(policy)
        .map_err(|_| Failure::could_not("the doors of this configuration contradict each other"))
}
