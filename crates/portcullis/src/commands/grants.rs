//! `portcullis grants`: lists active grants and their remaining time. The names of the doors are in the kernel
//! too, so no configuration is needed.

use portcullis_gate::Gate;
use portcullis_gate::nftables::{Grant, View};
use serde_json::{Value, json};

use super::live::{millis, name, shown, table};
use crate::exit::{Exit, Outcome};
use crate::out::{print, say};

/// Arguments of `grants`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let found = Gate::open()?.view()?;
    if found.is_none() {
        say("the gate is not loaded; guarded ports are open without a grant");
    }
    let loaded = found.is_some();
    let view = found.unwrap_or_default();
    let mut grants: Vec<&Grant> = view.grants.iter().collect();
    grants.sort_by_key(|grant| (view.name(grant.class), grant.class, grant.address));
    if args.json {
        let grants: Vec<Value> = grants.iter().map(|grant| object(&view, grant)).collect();
        print(&format!("{:#}\n", json!({ "grants": grants })))?;
    } else if !grants.is_empty() {
        let rows: Vec<_> = grants
            .iter()
            .map(|grant| {
                let door = name(view.name(grant.class), grant.class);
                [door, grant.address.to_string(), shown(grant.expires), length(grant)]
            })
            .collect();
        print(&table(["DOOR", "ADDRESS", "REMAINING", "OF"], &rows))?;
    } else if loaded {
        say("no active grants");
    }
    Ok(Exit::Done)
}

/// For how long it was given. ipset keeps only what is left.
fn length(grant: &Grant) -> String {
    match (grant.timeout, grant.expires) {
        (None, Some(_)) => "unknown".to_owned(),
        (length, _) => shown(length),
    }
}

/// A grant as it stands in JSON.
pub fn object(view: &View, grant: &Grant) -> Value {
    json!({
        "door": view.name(grant.class),
        "address": grant.address.to_string(),
        "remaining_ms": millis(grant.expires),
        "length_ms": millis(grant.timeout),
    })
}
