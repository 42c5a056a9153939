//! The sockets of this network namespace (`include/uapi/linux/inet_diag.h`, `sock_diag.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use nix::errno::Errno;
use nix::sys::socket::AddressFamily;
use portcullis_core::policy::{Port, Protocol};

use super::message::Message;
use super::socket::{Error, Family, Socket};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;

/// `TCP_TIME_WAIT`, `TCP_CLOSE` and `TCP_LISTEN` (`include/net/tcp_states.h`): no connection, or none
/// any more. A UDP socket with a far end is in the state of an established connection.
const NOT_CONNECTED: [u32; 3] = [6, 7, 10];

/// `TCP_CLOSE`: a UDP socket without a far end, which takes datagrams of anybody.
const CLOSE: u32 = 7;
/// `TCP_LISTEN`.
const LISTEN: u32 = 10;

/// Where `struct inet_diag_sockid` begins in `struct inet_diag_msg`.
const ID: usize = 4;
/// Bytes of `struct inet_diag_sockid`: ports, addresses, interface, cookie.
const ID_LENGTH: usize = 48;

/// A socket that is connected to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    family: u8,
    protocol: Protocol,
    /// As the kernel names it, with the cookie by which no later socket can be taken for it.
    id: [u8; ID_LENGTH],
    /// The far end. An IPv4 address in IPv6 clothes is an IPv4 address.
    pub remote: SocketAddr,
}

/// The way to the sockets of the namespace of the thread that opens it.
#[derive(Debug)]
pub struct Sockets {
    socket: Socket,
}

impl Sockets {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// The kernel has no `NETLINK_SOCK_DIAG`.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(Family::SocketDiagnosis)? })
    }

    /// The sockets of this protocol that are connected to somebody: those on one port of the host, or
    /// all of them.
    ///
    /// # Errors
    ///
    /// The kernel cannot list them: `ENOENT` without `CONFIG_INET_DIAG`.
    pub fn connected(
        &mut self,
        protocol: Protocol,
        port: Option<NonZeroU16>,
    ) -> Result<Vec<Connected>, Error> {
        let mut all = Vec::new();
        // A socket of IPv6 may speak IPv4.
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let family = family as u8;
            let mut id = [0; ID_LENGTH];
            // Port 0 is any.
            if let Some(place) = id.first_chunk_mut() {
                *place = port.map_or(0, NonZeroU16::get).to_be_bytes();
            }
            let states =
                NOT_CONNECTED.iter().fold(u32::MAX, |states, state| states & !(1 << state));
            let request = request(family, protocol, states, &id);
            all.extend(self.socket.dump(
                SOCK_DIAG_BY_FAMILY,
                |w| w.raw(&request),
                |all: &mut Vec<_>, message| all.extend(read(message, protocol, port)),
            )?);
        }
        Ok(all)
    }

    /// The ports at which a program of this host answers everybody, each with the address that it is
    /// bound to, which may be the unspecified one.
    ///
    /// # Errors
    ///
    /// As [`connected`](Self::connected).
    pub fn listening(&mut self) -> Result<Vec<(Port, IpAddr)>, Error> {
        let mut all = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            for (protocol, state) in [(Protocol::Tcp, LISTEN), (Protocol::Udp, CLOSE)] {
                let request = request(family as u8, protocol, 1 << state, &[0; ID_LENGTH]);
                all.extend(self.socket.dump(
                    SOCK_DIAG_BY_FAMILY,
                    |w| w.raw(&request),
                    |all: &mut Vec<_>, message| all.extend(bound(message, protocol)),
                )?);
            }
        }
        Ok(all)
    }

    /// Ends a connection, as if it had been reset; whether it was still there. The program that has
    /// it is told with its next call (`ECONNABORTED`), and so is the far end of a TCP connection.
    ///
    /// # Errors
    ///
    /// `EPERM`, or `EOPNOTSUPP` without `CONFIG_INET_DIAG_DESTROY`.
    pub fn end(&mut self, which: &Connected) -> Result<bool, Error> {
        let request = request(which.family, which.protocol, u32::MAX, &which.id);
        match self.socket.request(SOCK_DESTROY, 0, |w| w.raw(&request)) {
            // ESTALE: another one has its addresses now.
            Err(Error::Refused { errno: Errno::ENOENT | Errno::ESTALE, .. }) => Ok(false),
            other => other.map(|()| true),
        }
    }
}

/// `struct inet_diag_req_v2`.
fn request(family: u8, protocol: Protocol, states: u32, id: &[u8; ID_LENGTH]) -> Vec<u8> {
    let mut bytes = vec![family, protocol.number(), 0, 0];
    bytes.extend_from_slice(&states.to_ne_bytes());
    bytes.extend_from_slice(id);
    bytes
}

/// Where the socket of a `struct inet_diag_msg` is bound.
fn bound(message: &Message<'_>, protocol: Protocol) -> Option<(Port, IpAddr)> {
    if message.kind != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let family = *message.body.first()?;
    let id = message.body.get(ID..)?;
    let (&local, rest) = id.split_first_chunk::<2>()?;
    let (_, rest) = rest.split_first_chunk::<2>()?;
    Some((Port::new(protocol, u16::from_be_bytes(local))?, ip_address(family, rest)?))
}

/// An address at the beginning of these bytes. An IPv4 address in IPv6 clothes is an IPv4 address.
fn ip_address(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    Some(if i32::from(family) == AddressFamily::Inet as i32 {
        IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk()?))
    } else {
        IpAddr::V6(Ipv6Addr::from(*bytes.first_chunk()?)).to_canonical()
    })
}

/// A `struct inet_diag_msg`; `None` if it is of another port.
fn read(message: &Message<'_>, protocol: Protocol, port: Option<NonZeroU16>) -> Option<Connected> {
    if message.kind != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let family = *message.body.first()?;
    let id: [u8; ID_LENGTH] = *message.body.get(ID..)?.first_chunk()?;
    let (&local, rest) = id.split_first_chunk::<2>()?;
    let (&remote, rest) = rest.split_first_chunk::<2>()?;
    let (_, rest) = rest.split_first_chunk::<16>()?;
    let remote = SocketAddr::new(ip_address(family, rest)?, u16::from_be_bytes(remote));
    let ours = port.is_none_or(|port| u16::from_be_bytes(local) == port.get());
    ours.then_some(Connected { family, protocol, id, remote })
}
