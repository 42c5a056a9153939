//! Whether rules would lock out the user who loads them.
//!
//! The simulator runs the rules themselves with a SYN from the client of the session to the port of its
//! connection. So the allow-list and every other rule count here, too.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::policy::{DoorId, Policy, Protocol};
use portcullis_core::time::Instant;
use portcullis_firewall::compile::{GRANTS, class_of};
use portcullis_firewall::ruleset::{Ruleset, Value};
use portcullis_firewall::simulator::{Fate, Packet, Payload, Simulator, Socket};
use portcullis_gate::nftables::{Grant, View};
use portcullis_gate::{Backend, Gate};
use portcullis_linux::netlink::route::Route;

use super::session::Session;
use crate::exit::Failure;

/// TCP flag SYN (RFC 9293, section 3.1).
const SYN: u8 = 2;

/// Makes sure that this session could be opened anew under these rules. `ruleset` is what they mean as a
/// table of nftables, whichever back end they are for: all mean the same.
///
/// # Errors
///
/// With [`Exit::No`](crate::exit::Exit::No) when it could not; and that the kernel could not be asked.
pub fn check(
    policy: &Policy,
    ruleset: &Ruleset,
    backend: Backend,
    session: &Session,
    gate: &mut Gate,
) -> Result<(), Failure> {
    let interface = interface(policy, session)?;
    // Grants are not carried from one back end to another.
    let stay = gate.backend()? == Some(backend);
    let view = gate.view()?.unwrap_or_default();
    let grants = view.grants.iter().filter(|_| stay);
    let carried = grants.filter_map(|grant| carried(policy, &view, grant));
    if may_start(ruleset, session, &interface, carried) {
        return Ok(());
    }
    Err(locked_out(policy, session, |name| stay && view.door(name).is_ok()))
}

/// `is_known` says whether a door of this name is in force.
fn locked_out(policy: &Policy, session: &Session, is_known: impl Fn(&str) -> bool) -> Failure {
    let port = session.port;
    let door = policy.doors.iter().find(|door| {
        let guards = |p: &portcullis_core::policy::Port| {
            p.protocol == Protocol::Tcp && p.number.get() == port
        };
        door.guards.iter().any(guards)
    });
    let (client, name) = (session.client, door.map(|door| door.name.as_str()));
    let message = match name {
        Some(name) => format!(
            "this would lock you out: your SSH session uses tcp/{port}, and door {name} guards \
             that port but has no grant for {client}; nothing was changed"
        ),
        None => format!(
            "this would lock you out: your SSH session uses tcp/{port}, and these rules refuse new \
             connections from {client} to it; nothing was changed"
        ),
    };
    // A door that is in force can be knocked at now; a new one cannot.
    let known = name.is_some_and(is_known);
    let hint = if known {
        "knock from that address, then apply again while the door is open; or use `--allow-lockout`"
    } else {
        "this door is new, so nobody can have knocked at it yet; load it on trial with \
         `--allow-lockout --confirm-within 60s`, then knock and confirm over a new SSH session"
    };
    Failure::refused(message).hint(hint)
}

/// A living grant as the new rules would have it: its address, and the door of the same name.
fn carried(policy: &Policy, view: &View, grant: &Grant) -> Option<(IpAddr, DoorId)> {
    let name = view.name(grant.class)?;
    let (door, _) = policy.doors().find(|(_, door)| door.name.as_str() == name)?;
    Some((grant.address, door))
}

/// Whether the client of a session could start it anew.
fn may_start(
    ruleset: &Ruleset,
    session: &Session,
    interface: &str,
    grants: impl Iterator<Item = (IpAddr, DoorId)>,
) -> bool {
    let now = Instant::ORIGIN;
    let mut simulator = Simulator::new(ruleset);
    let [grant4, grant6] = GRANTS;
    for (address, door) in grants {
        let (set, address) = match address {
            IpAddr::V4(address) => (grant4, Value::Ipv4(address)),
            IpAddr::V6(address) => (grant6, Value::Ipv6(address)),
        };
        let until = now.after(Duration::from_secs(1));
        simulator.add(set, &[address, Value::Class(class_of(door))], None, until);
    }
    let payload = Payload::Tcp { source_port: 50_000, destination_port: session.port, flags: SYN };
    let packet = Packet {
        interface: interface.to_owned(),
        socket: Socket::Listener,
        ..Packet::new(session.client, session.server, payload)
    };
    simulator.receive(&packet, now).fate == Fate::Passed
}

/// The interface that a session most likely comes in by: the one that has the address it is
/// connected to. Where no interface has it, one that the gate stands on.
fn interface(policy: &Policy, session: &Session) -> Result<String, Failure> {
    let failed = |error| Failure::could_not(format!("cannot list the interfaces: {error}"));
    let mut route = Route::open().map_err(failed)?;
    let addresses = route.addresses().map_err(failed)?;
    let owner = |wanted| addresses.iter().find(|(_, address)| *address == wanted);
    let interfaces = route.interfaces().map_err(failed)?;
    // Who is connected from an address of the host's own comes over loopback.
    let lo = interfaces.iter().find(|interface| interface.loopback);
    let index = match owner(session.client) {
        Some(_) => lo.map(|lo| lo.index),
        None => owner(session.server).map(|(index, _)| *index),
    };
    let found = index.and_then(|index| interfaces.iter().find(|one| one.index == index));
    Ok(match (found, policy.gate.interfaces.first()) {
        (Some(found), _) => found.name.clone(),
        (None, Some(name)) => name.as_str().to_owned(),
        (None, None) => "eth0".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use portcullis_firewall::compile::compile;

    use super::*;
    use crate::config::parse_str;

    const TEXT: &str = "[door.ssh]\nguards = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n";

    fn session(client: &str, port: u16) -> Session {
        Session {
            connection: String::new(),
            client: client.parse().unwrap(),
            server: "203.0.113.1".parse().unwrap(),
            port,
            began: None,
        }
    }

    fn may(text: &str, session: &Session, interface: &str, grants: &[(&str, u32)]) -> bool {
        let policy = parse_str("t", text).unwrap().policy;
        let grants = grants.iter().map(|(a, door)| (a.parse().unwrap(), DoorId(*door)));
        may_start(&compile(&policy).unwrap(), session, interface, grants)
    }

    #[test]
    fn a_guarded_port_needs_a_grant_of_its_own_door() {
        for (client, other) in [("198.51.100.7", "198.51.100.8"), ("2001:db8::7", "2001:db8::8")] {
            let here = session(client, 22);
            assert!(!may(TEXT, &here, "eth0", &[]));
            assert!(may(TEXT, &here, "eth0", &[(client, 0)]));
            assert!(!may(TEXT, &here, "eth0", &[(other, 0)]));
            assert!(!may(TEXT, &here, "eth0", &[(client, 1)]));
            assert!(may(TEXT, &session(client, 2222), "eth0", &[]));
            assert!(may(TEXT, &here, "lo", &[]));
            let elsewhere = format!("[gate]\ninterfaces = [\"eth1\"]\n{TEXT}");
            assert!(may(&elsewhere, &here, "eth0", &[]));
            assert!(!may(&elsewhere, &here, "eth1", &[]));
            // A port that a knock goes to is nobody's door.
            assert!(may(TEXT, &session(client, 7431), "eth0", &[]));
        }
    }
}
