//! `portcullis revoke`: ends grants.

use std::net::IpAddr;

use portcullis_core::text::plain;
use portcullis_gate::cut::{Cut, cut};
use portcullis_gate::nftables::View;
use portcullis_gate::{Error, Gate};
use serde_json::{Value, json};

use super::grants::object;
use super::live::{address, name, said_cut};
use crate::complete;
use crate::exit::{Exit, Outcome};
use crate::out::{print, say};

/// Arguments of `revoke`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The name of the door
    #[arg(required_unless_present = "all", add = complete::doors())]
    door: Option<String>,
    /// Address of the grant: an IP address, or `me` for the address of this SSH session
    #[arg(required_unless_present = "all", conflicts_with = "all", add = complete::grantees())]
    address: Option<String>,
    /// Revoke all grants, or all grants of the named door
    #[arg(long)]
    all: bool,
    /// Also close the connections of the address to the ports of the door
    #[arg(long, conflicts_with = "all")]
    cut: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command. Where nothing was open, and nothing to cut, the answer is no.
pub fn run(args: &Args) -> Outcome {
    let address = args.address.as_deref().map(address).transpose()?;
    let ended = Gate::open()?.revoke(args.door.as_deref(), address)?;
    let cut = match (args.cut, &args.door, address) {
        (true, Some(door), Some(address)) => {
            Some(cut(address, &ended.door(door).map_err(Error::from)?.guards)?)
        }
        _ => None,
    };
    if args.json {
        let revoked: Vec<Value> = ended.grants.iter().map(|grant| object(&ended, grant)).collect();
        let cut = cut.map(|cut| json!({ "tcp": cut.tcp, "udp": cut.udp }));
        print(&format!("{:#}\n", json!({ "revoked": revoked, "cut": cut })))?;
    } else {
        said(args.door.as_deref(), address, &ended, cut);
    }
    let something = !ended.grants.is_empty() || cut.unwrap_or_default() != Cut::default();
    Ok(if something || args.all { Exit::Done } else { Exit::No })
}

fn said(door: Option<&str>, address: Option<IpAddr>, ended: &View, cut: Option<Cut>) {
    for grant in &ended.grants {
        say(&format!(
            "{}: {}: grant revoked",
            grant.address,
            name(ended.name(grant.class), grant.class)
        ));
    }
    if ended.grants.is_empty() {
        match (door, address) {
            (Some(door), Some(address)) => {
                say(&format!("{address}: {}: no grant", plain(door)));
            }
            _ => say("no active grants"),
        }
    }
    if let Some(cut) = cut {
        said_cut(cut);
    }
}
