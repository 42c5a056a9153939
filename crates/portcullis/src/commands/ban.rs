//! `portcullis ban`: for a while, an address cannot start connections, as after too many strikes.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portcullis_core::limits;
use portcullis_core::policy::Network;
use portcullis_gate::Gate;
use portcullis_gate::cut::cut_all;
use portcullis_gate::nftables::{Banning, MOST_AT_ONCE, bans_of};
use portcullis_linux::netlink::route::Route;
use serde_json::json;

use super::live::{ME, count, millis, name, said_cut, shown, sources, tell, time, within};
use crate::apply::session::Session;
use crate::exit::{Failure, Outcome};
use crate::out::say;

/// Arguments of `ban`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Source: an IP address (IPv6: bans its /64), or a network of up to an IPv4 /24 or an IPv6 /56
    source: String,
    /// Length of the ban from now on, 1s to 720h [default: `for` of the loaded `[ban]`]
    #[arg(long = "for", value_name = "TIME")]
    length: Option<String>,
    /// Also close all its connections with this host
    #[arg(long)]
    cut: bool,
    /// Ban even the address of your own SSH session
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    if let Ok(address) = args.source.parse::<IpAddr>() {
        must_be_a_source(address, None)?;
    }
    let asked = sources(&args.source)?;
    let network = banned(asked)?;
    let length = args.length.as_deref();
    let length = length.map(|text| time("--for", text, limits::BAN_TIME)).transpose()?;
    if !args.force {
        spare_own_session(args.source == ME, asked, network)?;
    }
    let own = own_addresses()?;
    spare_this_host(asked, &own)?;
    let mut gate = Gate::open()?;
    let view = gate.view()?.unwrap_or_default();
    let banning = gate.ban(network, asked, length)?;
    let Banning::Done { time, bans, renewed, allowed } = banning else {
        let message = format!("{asked} is in the allow-list; a ban would have no effect");
        return Err(
            Failure::refused(message).hint("remove it from `allow`, then run `portcullis apply`")
        );
    };
    let grants = view.grants.iter().filter(|grant| network.contains(grant.address));
    let open: BTreeSet<String> =
        grants.map(|grant| name(view.name(grant.class), grant.class)).collect();
    let cut = if args.cut { Some(cut_all(network)?) } else { None };
    let object = json!({
        "source": network.to_string(),
        "length_ms": millis(Some(time)),
        "bans": bans,
        "renewed": renewed,
        "open_doors": open,
        "cut": cut.map(|cut| json!({ "tcp": cut.tcp, "udp": cut.udp })),
    });
    let again = if renewed > 0 { ", counted from now on" } else { "" };
    if allowed {
        say(&format!(
            "note: the allow-list has addresses of {network}; the ban does not refuse these"
        ));
    }
    if let Some(own) = own.iter().find(|own| network.contains(**own)) {
        say(&format!(
            "note: {own}, an address of this host, is in {network} too; so may be its router"
        ));
    }
    for door in &open {
        say(&format!(
            "note: a grant of door {door} still lets it in; `portcullis revoke` ends the grant"
        ));
    }
    let many = if bans > 1 { format!(" ({})", count(bans, "ban")) } else { String::new() };
    let said = format!("{network}: banned for {}{again}{many}", shown(Some(time)));
    let outcome = tell(args.json, &object, &said);
    if let (Some(cut), false) = (cut, args.json) {
        said_cut(cut);
    }
    outcome
}

/// What of it can be banned, which is all of it: not too much, not too little.
fn banned(asked: Network) -> Result<Network, Failure> {
    let network = within(asked);
    if asked.first().is_loopback() && asked.last().is_loopback() {
        must_be_a_source(asked.first(), Some(asked))?;
    }
    // Somebody who writes a network means that, and nothing around it.
    if network != asked && !asked.is_one() {
        let message = format!("{asked} is too small: an IPv6 ban covers a /64");
        return Err(Failure::wrong_use(message).hint(format!("portcullis ban {network}")));
    }
    if bans_of(network).is_none() {
        let message = format!("{asked} is too large: it takes more than {MOST_AT_ONCE} bans");
        return Err(Failure::wrong_use(message).hint(
            "ban at most an IPv4 /24 or an IPv6 /56; refuse larger networks with a rule of your own",
        ));
    }
    for address in [network.first(), network.last(), Ipv6Addr::LOCALHOST.into()] {
        if network.contains(address) {
            must_be_a_source(address, Some(network).filter(|network| !network.is_one()))?;
        }
    }
    Ok(network)
}

/// That packets can come from an address over the network: a ban of another one does nothing but take
/// room, and whoever asks for it means something else. `within` is the network that it was found in.
fn must_be_a_source(address: IpAddr, within: Option<Network>) -> Result<(), Failure> {
    let what = match address {
        IpAddr::V4(Ipv4Addr::BROADCAST) => "the broadcast address",
        address if address.is_unspecified() => "the unspecified address",
        address if address.is_multicast() => "a multicast address",
        address if address.is_loopback() => "a loopback address (this host)",
        _ => return Ok(()),
    };
    let message = match within {
        Some(network) => format!("cannot ban {network}: it contains {address}, {what}"),
        None => format!("cannot ban {address}: it is {what}"),
    };
    Err(Failure::refused(message).hint("ban an address that other hosts send from"))
}

/// Nobody means to ban the host that the gate is on: its own packets do not come by the gate, so whoever
/// bans one of its addresses has mixed up who is who, and a network around it has its router in it.
fn spare_this_host(asked: Network, own: &[IpAddr]) -> Result<(), Failure> {
    let Some(own) = own.iter().find(|own| asked.contains(**own)) else { return Ok(()) };
    let (message, hint) = if asked.is_one() {
        (
            format!("cannot ban {own}: it is an address of this host"),
            "ban the address of another host",
        )
    } else {
        let message = format!("cannot ban {asked}: it contains {own}, an address of this host");
        (message, "ban single addresses, or smaller networks that do not contain it")
    };
    Err(Failure::refused(message).hint(hint))
}

/// The addresses of this host, in ascending order.
fn own_addresses() -> Result<Vec<IpAddr>, Failure> {
    let found = Route::open().and_then(|mut route| route.addresses());
    let found = found.map_err(|error| {
        Failure::could_not(format!("cannot list the addresses of this host: {error}"))
    })?;
    let mut own: Vec<IpAddr> = found.into_iter().map(|(_, address)| address).collect();
    own.sort_unstable();
    Ok(own)
}

/// A ban leaves the session alone, but no further one could begin. `me` is the session's address wherever
/// that session ends, which may be another network namespace.
fn spare_own_session(me: bool, asked: Network, network: Network) -> Result<(), Failure> {
    let session = Session::current().map(|session| session.client);
    let client = if me { Some(asked.first()) } else { session };
    let Some(client) = client.filter(|client| network.contains(*client)) else { return Ok(()) };
    let message = format!(
        "this would ban {client}, the address of your own SSH session; nothing was changed"
    );
    Err(Failure::refused(message).hint("to ban it anyway, use `--force`"))
}
