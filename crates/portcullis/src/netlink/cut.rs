//! Ends what one source has with some ports of this host.
//!
//! To make the firewall forget a connection is not enough. Its next segment would be the first of a
//! new one to connection tracking, which takes up a connection in the middle, and the gate lets pass
//! a segment that starts none (docs/threat-model.md); and whatever the host itself still sends makes
//! the connection known again. So the host's own end of it is ended first: then there is nothing
//! that could go on, and the other side is told by a reset. What the firewall knows is forgotten
//! after that, so that the next packet meets the gate as a stranger's.
//!
//! UDP has no connections that could be ended, but for sockets that chose one far end. There it is
//! the firewall's forgetting that shuts out what comes in; a service that sends to the source of its
//! own accord lets it in again, as whoever is spoken to may answer.

use std::net::IpAddr;

use nix::errno::Errno;
use portcullis_core::policy::{Port, Protocol};

use super::conntrack::{Connection, Conntrack};
use super::route::Route;
use super::socket::Error;
use super::sockets::Sockets;
use crate::exit::Failure;

/// A connection may come to be while others are ended, if its first packet had passed the gate just
/// before that was shut. Each further round finds those.
const ROUNDS: usize = 10;

/// What has been ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// TCP connections of this host.
    pub tcp: usize,
    /// UDP conversations.
    pub udp: usize,
}

/// Ends what `source` has with these ports of the host. The gate must be shut for it already.
///
/// # Errors
///
/// The kernel cannot: `CONFIG_INET_DIAG_DESTROY` or `CONFIG_NF_CT_NETLINK` is missing.
pub fn cut(source: IpAddr, ports: &[Port]) -> Result<Cut, Failure> {
    let mut cut = Cut::default();
    for _ in 0..ROUNDS {
        let ended = end_sockets(source, ports).map_err(cannot_end)?;
        cut.tcp += ended.tcp;
        cut.udp += ended.udp;
        if ended == Cut::default() {
            break;
        }
    }
    // The conversation of a connected socket is one that the firewall knows.
    cut.udp = cut.udp.max(forget(source, ports).map_err(cannot_forget)?);
    forget(source, ports).map_err(cannot_forget)?;
    Ok(cut)
}

fn end_sockets(source: IpAddr, ports: &[Port]) -> Result<Cut, Error> {
    let mut sockets = Sockets::open()?;
    let mut cut = Cut::default();
    for &port in ports {
        for socket in sockets.connected(port)? {
            if socket.remote.ip() == source && sockets.end(&socket)? {
                match port.protocol {
                    Protocol::Tcp => cut.tcp += 1,
                    Protocol::Udp => cut.udp += 1,
                }
            }
        }
    }
    Ok(cut)
}

/// How many conversations of UDP were among what was forgotten. Those of TCP say nothing: they are
/// remembered for a while after their end.
fn forget(source: IpAddr, ports: &[Port]) -> Result<usize, Error> {
    let mut conntrack = Conntrack::open()?;
    let mut route = Route::open()?;
    let found = conntrack
        .connections(source, |connection| guarded_end(connection, source, ports).is_some())?;
    let mut udp = 0;
    for connection in found {
        let Some(end) = guarded_end(&connection, source, ports) else { continue };
        // What this host only forwards never meets the gate.
        if route.is_local(end)? && conntrack.forget(&connection)? {
            udp += usize::from(connection.original.protocol == Protocol::Udp.number());
        }
    }
    Ok(udp)
}

/// The address at which the guarded port is, if the connection is one of `source` with it. Which of
/// the two spoke first does not matter: a connection that was taken up in the middle may stand the
/// wrong way round.
fn guarded_end(connection: &Connection, source: IpAddr, ports: &[Port]) -> Option<IpAddr> {
    let guarded = |protocol, number| {
        ports.iter().any(|port| port.protocol.number() == protocol && port.number.get() == number)
    };
    let (original, reply) = (connection.original, connection.reply);
    if original.source == source && guarded(reply.protocol, reply.source_port) {
        return Some(reply.source);
    }
    let spoken_to = original.destination == source || reply.source == source;
    (spoken_to && guarded(original.protocol, original.source_port)).then_some(original.source)
}

fn cannot_end(error: Error) -> Failure {
    let failure = Failure::could_not(format!("the door is shut, but connections live on: {error}"));
    match error.errno() {
        Some(Errno::EOPNOTSUPP | Errno::ENOENT | Errno::EPROTONOSUPPORT) => failure.hint(
            "this kernel cannot end connections (CONFIG_INET_DIAG and CONFIG_INET_DIAG_DESTROY); \
             end the program that serves them",
        ),
        _ => failure,
    }
}

fn cannot_forget(error: Error) -> Failure {
    let failure = Failure::could_not(format!(
        "the door is shut and connections are ended, but the firewall still knows them: {error}"
    ));
    match error.errno() {
        Some(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOENT) => {
            failure.hint("the kernel has no CONFIG_NF_CT_NETLINK; what it knows ends with time")
        }
        _ => failure,
    }
}
