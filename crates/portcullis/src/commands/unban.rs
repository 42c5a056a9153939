//! `portcullis unban`: ends bans, and clears their strikes.

use std::time::SystemTime;

use portcullis_gate::Gate;
use serde_json::{Value, json};

use super::bans::object;
use super::live::{count, sources, within};
use crate::complete;
use crate::exit::{Exit, Outcome};
use crate::out::{print, say};

/// Arguments of `unban`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Source: an IP address (IPv6: its /64), a network (all bans inside it), or `me` for the
    /// address of this SSH session
    #[arg(required_unless_present = "all", conflicts_with = "all", add = complete::banned())]
    source: Option<String>,
    /// End all bans
    #[arg(long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command. Where no active bans, the answer is no.
pub fn run(args: &Args) -> Outcome {
    let network = args.source.as_deref().map(sources).transpose()?.map(within);
    let ended = Gate::open()?.unban(network)?;
    if args.json {
        let now = SystemTime::now();
        let bans: Vec<Value> = ended.bans.iter().map(|ban| object(ban, now)).collect();
        let object = json!({ "unbanned": bans, "strikes_forgotten": ended.strikes });
        print(&format!("{object:#}\n"))?;
    } else {
        for ban in &ended.bans {
            say(&format!("{}: ban ended", ban.source()));
        }
        match network {
            Some(network) if ended.bans.is_empty() => say(&format!("{network}: no ban")),
            None if ended.bans.is_empty() => say("no active bans"),
            _ => {}
        }
        if ended.strikes > 0 {
            say(&format!("strikes of {} cleared", count(ended.strikes, "source")));
        }
    }
    Ok(if ended.bans.is_empty() && !args.all { Exit::No } else { Exit::Done })
}
