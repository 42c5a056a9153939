//! What a configuration means for one host.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use portcullis_core::policy::{Allowed, Place, Port, Refuse as Refused, Severity, Stance};

use super::conntrack::{self, Tracking};
use super::locate;
use super::meaning::Meaning;
use super::report::{Diagnostic, error};
use super::topology::{Interface, Topology};

/// What there is on a host. `None` is what could not be found out, of which nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Ports at which a program answers others than the host itself.
    pub listening: Option<BTreeSet<Port>>,
    /// Its interfaces.
    pub interfaces: Option<Vec<Interface>>,
    /// How much room its table of connections has.
    pub tracking: Option<Tracking>,
    /// What is an error.
    pub refuse: Refuse,
}

/// When a configuration is refused because the gate stands where no packet arrives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Refuse {
    /// If that is so on any interface that it names.
    #[default]
    Any,
    /// If that is so on all of them. Who starts at boot must not leave doors shut on the others.
    All,
}

/// Adds what is odd about the configuration on this host. Most of it is a warning: services and
/// interfaces come and go. A gate on interfaces where certainly no packet arrives is an error.
pub fn check(meaning: &Meaning, host: &Host, found: &mut Vec<Diagnostic>) {
    if let Some(listening) = &host.listening {
        answered_knocks(meaning, listening, found);
    }
    if let Some(interfaces) = &host.interfaces {
        let topology = Topology::new(&meaning.policy.gate, interfaces);
        let told = blind_interfaces(meaning, topology, host.refuse, found);
        superfluous_interfaces(meaning, topology, found);
        interfaces_beside(meaning, topology, found);
        bare_interfaces(meaning, interfaces, &told, found);
    }
    if let Some(tracking) = host.tracking {
        found.extend(conntrack::warnings(tracking));
    }
}

/// In the stance `closed` a service at a knock is refused, but by the firewall, which differs from the network stack
/// where both could refuse alike.
fn answered_knocks(meaning: &Meaning, listening: &BTreeSet<Port>, found: &mut Vec<Diagnostic>) {
    let gate = &meaning.policy.gate;
    let (what, so) = match (gate.stance, gate.refuse) {
        (Stance::Guard, _) => {
            ("answers at the port of knock", "so its clients make this knock too")
        }
        (Stance::Closed, Refused::LikeClosed) => (
            "listens on the port of knock",
            "so this port refuses packets differently from all others",
        ),
        (Stance::Closed, _) => return,
    };
    for (id, door) in meaning.policy.doors() {
        for (index, port) in door.sequence.iter().enumerate() {
            // What is guarded or public is an error already.
            let taken = meaning.policy.gate.public.contains(port)
                || meaning.policy.doors.iter().any(|door| door.guards.contains(port));
            if taken || !listening.contains(port) {
                continue;
            }
            // The port is not named, nor its line shown: the configuration is good, and its knocks are
            // secret.
            let message = format!(
                "a service of this host {what} {} of door `{}`, {so}",
                index.saturating_add(1),
                door.name
            );
            let place = Place::Door(id);
            let hint = "use a closed port";
            found.push(warning("knock-answered", meaning, place, message).hint(hint));
        }
    }
}

/// Names interfaces on which no packet arrives; and those on which they do instead.
fn blind_interfaces(
    meaning: &Meaning,
    topology: Topology<'_>,
    refuse: Refuse,
    found: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let refused = refuse == Refuse::Any || !topology.may_see();
    let mut told = Vec::new();
    for blind in topology.blind() {
        let severity = match blind.is_certain() && refused {
            true => Severity::Error,
            false => Severity::Warning,
        };
        let place = Place::Interface(blind.place);
        let at = warning(blind.why.code(), meaning, place, blind.message()).hint(blind.hint());
        found.push(Diagnostic { severity, ..at });
        told.extend(blind.instead);
    }
    told
}

fn superfluous_interfaces(meaning: &Meaning, topology: Topology<'_>, found: &mut Vec<Diagnostic>) {
    for (index, master) in topology.superfluous() {
        let message = format!(
            "packets of this interface arrive on `{master}`, which is listed too, so the daemon \
             sees each packet twice"
        );
        let place = Place::Interface(index);
        let hint = "remove it from `interfaces`";
        found.push(warning("interface-with-master", meaning, place, message).hint(hint));
    }
}

fn interfaces_beside(meaning: &Meaning, topology: Topology<'_>, found: &mut Vec<Diagnostic>) {
    for beside in topology.beside().into_iter().filter(|beside| !is_public(beside.address)) {
        let (name, top, address) = (beside.name, beside.top, beside.address);
        let message = format!(
            "the gate is not active on `{top}`, which is on top of `{name}` and has the address \
             {address}; guarded ports are open there"
        );
        let hint =
            format!("add \"{top}\" to `interfaces`, unless guarded ports should be open there");
        let place = Place::Interface(beside.place);
        found.push(warning("interface-on-top", meaning, place, message).hint(hint));
    }
}

/// Interfaces that the gate does not stand on, although the internet comes in there: often a tunnel
/// that brings IPv6.
fn bare_interfaces(
    meaning: &Meaning,
    interfaces: &[Interface],
    told: &[String],
    found: &mut Vec<Diagnostic>,
) {
    let gate = &meaning.policy.gate;
    if gate.interfaces.is_empty() {
        return;
    }
    let named = |interface: &&Interface| {
        let named = |name: &str| name == interface.name;
        if told.contains(&interface.name) {
            return true;
        }
        gate.interfaces.iter().any(|name| named(name.as_str()))
            || gate
                .allow
                .iter()
                .any(|allowed| matches!(allowed, Allowed::Interface(name) if named(name.as_str())))
    };
    for interface in interfaces.iter().filter(|interface| interface.up && !named(interface)) {
        let Some(address) = interface.addresses.iter().find(|address| is_public(**address)) else {
            continue;
        };
        let message = format!(
            "the gate is not active on `{}`, which has the address {address}; guarded ports are \
             open to the internet there",
            interface.name
        );
        let span = meaning.interfaces.key.clone().unwrap_or(0..0);
        let hint = format!(
            "add \"{}\" to `interfaces`, or remove `interfaces` to activate the gate on all \
             interfaces except loopback",
            interface.name
        );
        let found_here = error("interface-without-gate", span, message).hint(hint);
        found.push(Diagnostic { severity: Severity::Warning, ..found_here });
    }
}

/// Whether the internet may come to this address: it is in none of the blocks for private use
/// (RFC 1918, 6598, 3927), and of IPv6 in that of global addresses (RFC 4291).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let shared = first == 100 && (second & 0xc0) == 64;
            !(address.is_private()
                || shared
                || address.is_link_local()
                || address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast())
        }
        IpAddr::V6(address) => is_global(address),
    }
}

fn is_global(address: Ipv6Addr) -> bool {
    address.segments().first().is_some_and(|first| first & 0xe000 == 0x2000)
}

fn warning(code: &'static str, meaning: &Meaning, place: Place, message: String) -> Diagnostic {
    let span = locate::span(meaning, place).unwrap_or(0..0);
    Diagnostic { severity: Severity::Warning, ..error(code, span, message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Context, parse};

    const TEXT: &str = "[gate]\ninterfaces = [\"eth0\", \"eth7\"]\npublic = [\"tcp/80\"]\n\
        [door.ssh]\nguards = [\"tcp/22\"]\n\
        sequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n";

    fn host(listening: &[&str], interfaces: &[(&str, bool, &[&str])]) -> Host {
        let interfaces = interfaces.iter().map(|(name, up, addresses)| Interface {
            name: (*name).into(),
            up: *up,
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            ..Interface::default()
        });
        Host {
            listening: Some(listening.iter().map(|port| port.parse().unwrap()).collect()),
            interfaces: Some(interfaces.collect()),
            ..Host::default()
        }
    }

    fn found(host: &Host, text: &str) -> Vec<(&'static str, String)> {
        let report = match parse("a.toml", text, Context { host: Some(host), ..Context::default() })
        {
            Ok(loaded) => loaded.warnings,
            Err(report) => report,
        };
        let place = |at: &Diagnostic| text.get(at.span.clone().unwrap()).unwrap().to_owned();
        report.findings().iter().map(|at| (at.code, place(at))).collect()
    }

    #[test]
    fn a_service_at_a_knock_is_odd() {
        let eth = [("eth0", true, &[][..]), ("eth7", true, &[])];
        // At a guarded or a public port there is to be one.
        let host = host(&["tcp/22", "tcp/80", "udp/7431", "udp/29117", "tcp/9"], &eth);
        let expected = [("knock-answered", "ssh".to_owned())];
        assert_eq!(found(&host, TEXT), expected);
        let closed = TEXT.replace("[gate]", "[gate]\nstance = \"closed\"");
        assert_eq!(found(&host, closed.as_str()), []);
        let like_closed = closed.replace("[gate]", "[gate]\nrefuse = \"like-closed\"");
        assert_eq!(found(&host, like_closed.as_str()), expected);
        assert_eq!(found(&Host::default(), TEXT), []);
    }

    #[test]
    fn interfaces_without_a_gate_are_named_where_the_internet_comes_in() {
        let others: &[(&str, bool, &[&str])] = &[
            ("eth0", true, &["203.0.113.7", "2001:db8::7"]),
            (
                "lan",
                true,
                &["192.168.1.1", "10.0.0.1", "172.16.0.1", "100.64.0.1", "fe80::1", "fd00::1"],
            ),
            ("lo", true, &["127.0.0.1", "::1"]),
            ("down0", false, &["2001:db8:2::1"]),
        ];
        let missing = ("interface-missing", "\"eth7\"".to_owned());
        assert_eq!(found(&host(&[], others), TEXT), std::slice::from_ref(&missing));
        let mut with_tunnel = others.to_vec();
        with_tunnel.push(("he-ipv6", true, &["fe80::2", "2001:db8:3::2"]));
        let bare = ("interface-without-gate", "[\"eth0\", \"eth7\"]".to_owned());
        assert_eq!(found(&host(&[], &with_tunnel), TEXT), [bare, missing.clone()]);
        // Who allows all that comes in there has said so.
        let allowed = TEXT.replace("public", "allow = [\"iface:he-ipv6\"]\npublic");
        let elsewhere = ("allowed-elsewhere", "\"iface:he-ipv6\"".to_owned());
        assert_eq!(found(&host(&[], &with_tunnel), &allowed), [missing, elsewhere]);
        // Named or not, the gate stands on all.
        let all = TEXT.replace("interfaces = [\"eth0\", \"eth7\"]\n", "");
        assert_eq!(found(&host(&[], &with_tunnel), &all), []);
    }
}
