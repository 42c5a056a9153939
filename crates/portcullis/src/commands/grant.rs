//! `portcullis grant`: gives an address a grant, as if it had knocked.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_config::DEFAULT_PATH;
use portcullis_core::limits;
use portcullis_core::text::plain;
use portcullis_core::wire::is_of_one_link;
use portcullis_gate::{Gate, Granted};
use serde_json::json;

use super::live::{address, millis, shown, tell, time};
use crate::complete;
use crate::config;
use crate::exit::{Failure, Outcome};

/// How long a grant by hand may last.
pub const LENGTHS: RangeInclusive<Duration> = Duration::from_millis(1)..=limits::MAX_OPEN_FOR;

/// Arguments of `grant`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The name of the door
    #[arg(add = complete::doors())]
    door: String,
    /// Address of the grant: an IP address, or `me` for the address of this SSH session
    address: String,
    /// Length of the grant from now on, at most 24h [default: `open_for` of the door]. With
    /// `backend = "iptables"` only the default is possible
    #[arg(long = "for", value_name = "TIME")]
    length: Option<String>,
    /// Configuration to read `open_for` from, if the loaded rules do not hold it
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let address = address(&args.address)?;
    if is_of_one_link(address) {
        return Err(Failure::refused(format!(
            "{address} is a link-local address; each link can have another host with it"
        ))
        .hint(
            "use a global address of that host, or allow its interface: `allow = [\"iface:…\"]`",
        ));
    }
    let asked = args.length.as_deref();
    let asked = asked.map(|text| time("--for", text, LENGTHS)).transpose()?;
    let mut gate = Gate::open()?;
    // Before the configuration: what is not loaded cannot be opened, whatever that says.
    let usual = gate.open_for(&args.door)?;
    let length = match asked.or(usual) {
        Some(length) => length,
        None => open_for(&args.config, &args.door)?,
    };
    let Granted { length, renewed } = gate.grant(&args.door, address, length)?;
    let object = json!({
        "door": args.door,
        "address": address.to_string(),
        "length_ms": millis(Some(length)),
        "renewed": renewed,
    });
    let again = if renewed { ", counted from now on" } else { "" };
    let open_for = shown(Some(length));
    let said = format!("{address}: {}: open for {open_for}{again}", plain(&args.door));
    tell(args.json, &object, &said)
}

/// How long the door opens for whoever knocks.
fn open_for(path: &Path, door: &str) -> Result<Duration, Failure> {
    const HINT: &str = "give the time, as in `--for 30s`, or the configuration with `--config`";
    let policy = config::load(path).map_err(|error| match error {
        config::LoadError::Unreadable(failure) => failure.hint(HINT),
        config::LoadError::Invalid(report) => {
            let path = plain(report.path());
            Failure::could_not(format!("{path} has errors; run `portcullis check` to see them"))
                .hint(HINT)
        }
    })?;
    let found = policy.policy.doors.iter().find(|found| found.name.as_str() == door);
    found.map(|door| door.open_for).ok_or_else(|| {
        let (door, path) = (plain(door), plain(&path.to_string_lossy()));
        Failure::could_not(format!("door {door} is loaded, but {path} does not have it")).hint(HINT)
    })
}
