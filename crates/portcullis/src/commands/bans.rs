//! `portcullis bans`: lists active bans and their remaining time.

use std::time::SystemTime;

use portcullis_gate::nftables::{self, Banned};
use portcullis_gate::{Error, Gate};
use serde_json::{Value, json};

use super::live::{millis, shown, table};
use crate::exit::{Exit, Outcome};
use crate::out::{print, say};

/// Arguments of `bans`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let mut gate = Gate::open()?;
    let known = match gate.must_know_bans() {
        Ok(()) => true,
        Err(
            error
            @ (Error::NotLoaded | Error::NoBans(_) | Error::Nftables(nftables::Error::NoBans)),
        ) => {
            say(&format!("{error}; nobody is banned"));
            false
        }
        Err(error) => return Err(error.into()),
    };
    let bans = gate.bans()?;
    if args.json {
        let now = SystemTime::now();
        let bans: Vec<Value> = bans.iter().map(|ban| object(ban, now)).collect();
        print(&format!("{:#}\n", json!({ "bans": bans })))?;
    } else if !bans.is_empty() {
        let rows: Vec<_> =
            bans.iter().map(|ban| [ban.source(), shown(ban.expires), shown(ban.timeout)]).collect();
        print(&table(["SOURCE", "REMAINING", "OF"], &rows))?;
    } else if known {
        say("no active bans");
    }
    Ok(Exit::Done)
}

/// A ban as it stands in JSON.
pub fn object(ban: &Banned, now: SystemTime) -> Value {
    let ends = ban.expires.and_then(|left| now.checked_add(left));
    let ends = ends.and_then(|ends| ends.duration_since(SystemTime::UNIX_EPOCH).ok());
    json!({
        "source": ban.source(),
        "remaining_ms": millis(ban.expires),
        "length_ms": millis(ban.timeout),
        // Seconds since 1970, in UTC.
        "ends_at": ends.map(|ends| ends.as_secs()),
    })
}
