//! Ends what one source has with some ports of this host, or with all of it.
//!
//! It is not enough that the firewall forgets a connection. Connection tracking picks up connections in
//! the middle, so it would take the next segment as the first of a new connection. The gate accepts a
//! segment that starts no connection (docs/threat-model.md). And every packet that the host still sends makes
//! the connection known again. So we first close the socket of the host: then nothing can continue, and a
//! reset informs the other side. After that the firewall forgets the connection, so the next packet comes
//! from a stranger.
//!
//! UDP has no connections to close, except for sockets that chose one peer. For UDP, the firewall refuses
//! incoming packets because it has forgotten the flow. A service that sends to the source first lets it in
//! again, because answers are allowed.

use std::net::IpAddr;
use std::str::FromStr;

use nix::errno::Errno;
use portcullis_core::policy::{Network, Port, Protocol};
use portcullis_linux::netlink::conntrack::{Connection, Conntrack};
use portcullis_linux::netlink::route::Route;
use portcullis_linux::netlink::socket;
use portcullis_linux::netlink::sockets::Sockets;

use crate::Failed;

/// A connection can start while others are closed, if its first packet passed the gate just before. Each
/// further round finds these connections.
const ROUNDS: usize = 10;

/// What has been ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// TCP connections of this host.
    pub tcp: usize,
    /// UDP flows.
    pub udp: usize,
}

/// Whose connections are meant, and which of them.
#[derive(Debug, Clone, Copy)]
struct Which<'a> {
    source: Network,
    /// With these ports of the host; `None` for all connections, in both directions.
    ports: Option<&'a [Port]>,
}

impl Which<'_> {
    fn is_port(self, protocol: u8, number: u16) -> bool {
        match self.ports {
            Some(ports) => ports
                .iter()
                .any(|port| port.protocol.number() == protocol && port.number.get() == number),
            None => PROTOCOLS.iter().any(|known| known.number() == protocol),
        }
    }
}

const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// Ends what `source` has with these ports of the host. The gate must be shut for it already.
///
/// # Errors
///
/// The kernel cannot: `CONFIG_INET_DIAG_DESTROY` or `CONFIG_NF_CT_NETLINK` is missing.
pub fn cut(source: IpAddr, ports: &[Port]) -> Result<Cut, Failed> {
    let source = Network::from_str(&source.to_string())
        .map_err(|error| Failed::new(format!("{source}: {error}")))?;
    cut_which(Which { source, ports: Some(ports) }, "the grant is revoked")
}

/// Closes all connections between a network and this host, in both directions. The network must be banned
/// already.
///
/// # Errors
///
/// As [`cut`].
pub fn cut_all(source: Network) -> Result<Cut, Failed> {
    cut_which(Which { source, ports: None }, "the ban is active")
}

/// `done` is what has been done already, if this cannot be.
fn cut_which(which: Which<'_>, done: &str) -> Result<Cut, Failed> {
    let mut cut = Cut::default();
    for _ in 0..ROUNDS {
        let ended = end_sockets(which).map_err(|error| cannot_end(done, error))?;
        cut.tcp += ended.tcp;
        cut.udp += ended.udp;
        if ended == Cut::default() {
            break;
        }
    }
    // The conversation of a connected socket is one that the firewall knows.
    cut.udp = cut.udp.max(forget(which).map_err(|error| cannot_forget(done, error))?);
    forget(which).map_err(|error| cannot_forget(done, error))?;
    Ok(cut)
}

fn end_sockets(which: Which<'_>) -> Result<Cut, socket::Error> {
    let mut sockets = Sockets::open()?;
    let mut cut = Cut::default();
    let asked: Vec<_> = match which.ports {
        Some(ports) => ports.iter().map(|port| (port.protocol, Some(port.number))).collect(),
        None => PROTOCOLS.map(|protocol| (protocol, None)).into(),
    };
    for (protocol, port) in asked {
        for socket in sockets.connected(protocol, port)? {
            if which.source.contains(socket.remote.ip()) && sockets.end(&socket)? {
                match protocol {
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
fn forget(which: Which<'_>) -> Result<usize, socket::Error> {
    let mut conntrack = Conntrack::open()?;
    let mut route = Route::open()?;
    let found = conntrack
        .connections(which.source.first(), |connection| own_end(connection, which).is_some())?;
    let mut udp = 0;
    for connection in found {
        let Some(end) = own_end(&connection, which) else { continue };
        // What this host only forwards never meets the gate.
        if route.is_local(end)? && conntrack.forget(&connection)? {
            udp += usize::from(connection.original.protocol == Protocol::Udp.number());
        }
    }
    Ok(udp)
}

/// The address of this host, or of whoever it forwards to, at which such a port is, if the connection is
/// one of the source with it. Which of the two spoke first does not matter: a connection that was taken
/// up in the middle may stand the wrong way round.
fn own_end(connection: &Connection, which: Which<'_>) -> Option<IpAddr> {
    let (original, reply) = (connection.original, connection.reply);
    let is_source = |address| which.source.contains(address);
    if is_source(original.source) && which.is_port(reply.protocol, reply.source_port) {
        return Some(reply.source);
    }
    let spoken_to = is_source(original.destination) || is_source(reply.source);
    (spoken_to && which.is_port(original.protocol, original.source_port)).then_some(original.source)
}

fn cannot_end(done: &str, error: socket::Error) -> Failed {
    let failure = Failed::new(format!("{done}, but its connections stay open: {error}"));
    match error.errno() {
        Some(Errno::EOPNOTSUPP | Errno::ENOENT | Errno::EPROTONOSUPPORT) => failure.hint(
            "this kernel cannot close connections (CONFIG_INET_DIAG and CONFIG_INET_DIAG_DESTROY \
             are missing); stop the service instead",
        ),
        _ => failure,
    }
}

fn cannot_forget(done: &str, error: socket::Error) -> Failed {
    let failure = Failed::new(format!(
        "{done} and its connections are closed, but connection tracking still has them: {error}"
    ));
    match error.errno() {
        Some(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOENT) => {
            failure.hint("the kernel has no CONFIG_NF_CT_NETLINK; the entries expire by themselves")
        }
        _ => failure,
    }
}
