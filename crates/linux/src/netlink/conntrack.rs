//! The connections that the firewall knows (`include/uapi/linux/netfilter/nfnetlink_conntrack.h`).

use std::net::IpAddr;

use nix::errno::Errno;
use nix::sys::socket::AddressFamily;

use super::message::{Attributes, Message, Writer};
use super::socket::{Error, Family, Socket};

// The kinds of message, with the number of the subsystem (1) in the upper byte.
const NEW: u16 = 0x0100;
const GET: u16 = 0x0101;
const DELETE: u16 = 0x0102;

const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP_V4_SRC: u16 = 1;
const IP_V4_DST: u16 = 2;
const IP_V6_SRC: u16 = 3;
const IP_V6_DST: u16 = 4;
const PROTO_NUM: u16 = 1;
const PROTO_SRC_PORT: u16 = 2;
const PROTO_DST_PORT: u16 = 3;

/// Bytes of `struct nfgenmsg`.
const FAMILY_HEADER: usize = 4;

/// One direction of a connection: who speaks, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// The number of the protocol above IP.
    pub protocol: u8,
    /// The sender.
    pub source: IpAddr,
    /// The port of the sender; 0 if the protocol has none.
    pub source_port: u16,
    /// The receiver.
    pub destination: IpAddr,
    /// The port of the receiver; 0 if the protocol has none.
    pub destination_port: u16,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// As its first packet came in, before any translation of addresses.
    pub original: Tuple,
    /// As the answers go, before they are translated back.
    pub reply: Tuple,
    /// What names it to the kernel, and no later one.
    name: Vec<u8>,
}

/// The connections of one network namespace, that of the thread that opens it.
#[derive(Debug)]
pub struct Conntrack {
    socket: Socket,
}

impl Conntrack {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// No socket could be had.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(Family::Netfilter)? })
    }

    /// All connections of the family of `like`, for which `wanted` is true.
    ///
    /// # Errors
    ///
    /// `EINVAL` without `CONFIG_NF_CT_NETLINK`; `EPERM`.
    pub fn connections(
        &mut self,
        like: IpAddr,
        wanted: impl Fn(&Connection) -> bool,
    ) -> Result<Vec<Connection>, Error> {
        self.socket.dump(
            GET,
            |w| w.raw(&family(like)),
            |all: &mut Vec<_>, message| all.extend(read(message).filter(&wanted)),
        )
    }

    /// Forgets a connection; whether it was still known. Its next packet is the first of a new one.
    ///
    /// # Errors
    ///
    /// As [`Self::connections`].
    pub fn forget(&mut self, which: &Connection) -> Result<bool, Error> {
        let forgotten = self.socket.request(DELETE, 0, |w| {
            w.raw(&family(which.original.source));
            w.raw(&which.name);
        });
        match forgotten {
            Err(Error::Refused { errno: Errno::ENOENT, .. }) => Ok(false),
            other => other.map(|()| true),
        }
    }
}

/// `struct nfgenmsg`.
const fn family(like: IpAddr) -> [u8; FAMILY_HEADER] {
    let family = match like {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    [family as u8, 0, 0, 0]
}

fn read(message: &Message<'_>) -> Option<Connection> {
    if message.kind != NEW {
        return None;
    }
    let attributes = message.attributes(FAMILY_HEADER);
    let mut name = Writer::new();
    // The zone is part of the name: the same addresses may stand in several.
    for kind in [TUPLE_ORIG, ZONE, ID] {
        if let Some(value) = attributes.get(kind) {
            let nested = if kind == TUPLE_ORIG { super::message::NESTED } else { 0 };
            name.bytes(kind | nested, value);
        }
    }
    Some(Connection {
        original: tuple(attributes.within(TUPLE_ORIG))?,
        reply: tuple(attributes.within(TUPLE_REPLY))?,
        name: name.finish()?,
    })
}

fn tuple(tuple: Attributes<'_>) -> Option<Tuple> {
    let (ip, proto) = (tuple.within(TUPLE_IP), tuple.within(TUPLE_PROTO));
    let address = |four: u16, six: u16| match ip.get(four) {
        Some(bytes) => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        None => Some(IpAddr::from(<[u8; 16]>::try_from(ip.get(six)?).ok()?)),
    };
    let port = |kind| {
        let bytes = proto.get(kind).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |&bytes| u16::from_be_bytes(bytes))
    };
    Some(Tuple {
        protocol: *proto.get(PROTO_NUM)?.first()?,
        source: address(IP_V4_SRC, IP_V6_SRC)?,
        source_port: port(PROTO_SRC_PORT),
        destination: address(IP_V4_DST, IP_V6_DST)?,
        destination_port: port(PROTO_DST_PORT),
    })
}
