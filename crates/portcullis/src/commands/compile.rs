//! `portcullis compile`: the rules that a configuration means, as text.

use std::io::{self, Write};
use std::path::PathBuf;

use portcullis_core::policy::Policy;
use portcullis_firewall::compile::compile;
use portcullis_firewall::ruleset::Ruleset;

use crate::config;
use crate::exit::{Exit, Failure, Outcome};

/// Arguments of `compile`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; `-` is standard input [default: /etc/portcullis/portcullis.toml]
    file: Option<PathBuf>,
    /// In whose language
    #[arg(long, value_enum, default_value_t = Target::Nftables)]
    target: Target,
}

/// In whose language the rules are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// A script for `nft -f`, which replaces the table in one transaction
    Nftables,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let loaded = config::load_for(args.file.as_deref())?;
    let text = match args.target {
        Target::Nftables => ruleset(&loaded.policy)?.to_string(),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough, as `head` has.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::could_not(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(Exit::Done),
    }
}

/// The rules that a policy means.
pub(super) fn ruleset(policy: &Policy) -> Result<Ruleset, Failure> {
    // A configuration that was read without errors has none of these conflicts.
    compile(policy).map_err(|_| Failure::could_not("doors contradict each other"))
}
