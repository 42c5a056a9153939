//! nf_tables: a [`Ruleset`](portcullis_firewall::ruleset::Ruleset) put into the kernel and read
//! back, and the living elements of its sets.
//!
//! | module | what it does |
//! |---|---|
//! | `expression`, `lower` | rules as the kernel computes them |
//! | `object`, `elements` | tables, chains, sets and elements as attributes |
//! | `batch` | transactions |
//! | `place` | the place of our chain among those of other programs, and why it moves |
//! | `load` | all of it in one transaction, or all of it gone |
//! | `verify`, `compare` | whether the kernel holds exactly that |
//! | `bans` | active bans, and bans by hand |
//! | `grants` | active grants and attempts |
//! | `live` | the same by the names of doors, whatever a reload does meanwhile |
//! | `allowed_names` | the addresses of names in the allow-list |
//!
//! The numbers are those of `include/uapi/linux/netfilter/nf_tables.h` and `nfnetlink.h`.

mod allowed_names;
mod bans;
mod batch;
mod carry;
mod compare;
mod elements;
mod error;
mod expression;
mod grants;
mod live;
mod load;
mod lower;
mod object;
mod place;
mod verify;

use std::time::Duration;

use portcullis_firewall::ruleset::TABLE;
use portcullis_linux::netlink::message::{Attributes, Writer};
use portcullis_linux::netlink::socket::{self, Family, Socket};

pub use bans::{Banned, Banning, MOST_AT_ONCE, Unbanned, banned_with, bans_of};
pub use error::{Error, Mismatch};
pub use grants::{Attempt, Grant};
pub use live::{LoadedDoor, Numbers, View};
pub use load::Loaded;

/// Bytes of `struct nfgenmsg`.
const FAMILY_HEADER: usize = 4;
const NFPROTO_INET: u8 = 1;
/// `NFTA_DYNSET_TIMEOUT`
const DYNSET_TIMEOUT: u16 = 6;

/// The kinds of message, with the number of the subsystem (10) in the upper byte.
mod kind {
    pub const NEWTABLE: u16 = 0x0a00;
    pub const GETTABLE: u16 = 0x0a01;
    pub const DELTABLE: u16 = 0x0a02;
    pub const NEWCHAIN: u16 = 0x0a03;
    pub const GETCHAIN: u16 = 0x0a04;
    pub const NEWRULE: u16 = 0x0a06;
    pub const GETRULE: u16 = 0x0a07;
    pub const NEWSET: u16 = 0x0a09;
    pub const GETSET: u16 = 0x0a0a;
    pub const NEWSETELEM: u16 = 0x0a0c;
    pub const GETSETELEM: u16 = 0x0a0d;
    pub const DELSETELEM: u16 = 0x0a0e;
    pub const GETGEN: u16 = 0x0a10;
    pub const NEWOBJ: u16 = 0x0a12;
    pub const GETOBJ: u16 = 0x0a13;
}

/// The shortest time, in milliseconds, that nf_tables takes. A shorter one the kernel might round
/// down to nothing, which it would read as "for ever": its clock ticks at least every 10 ms.
const SHORTEST: u64 = 20;

/// A time as nf_tables takes it.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(SHORTEST)
}

/// `struct nfgenmsg`: whose objects are meant.
fn family(w: &mut Writer) {
    w.raw(&[NFPROTO_INET, 0, 0, 0]);
}

/// The table `inet portcullis` of one network namespace, that of the thread that opens it.
#[derive(Debug)]
pub struct Table {
    socket: Socket,
}

/// What the kernel says about our table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// The number of the socket that holds the table, if one does. Then nobody else can change it,
    /// and it goes when the socket is closed.
    pub owner: Option<u32>,
}

impl Table {
    /// Opens it. The table need not exist.
    ///
    /// # Errors
    ///
    /// [`Error::NoNfTables`], or that no socket could be had.
    pub fn open() -> Result<Self, Error> {
        let socket = Socket::open(Family::Netfilter)?;
        Ok(Self { socket })
    }

    /// The table, if it exists.
    ///
    /// # Errors
    ///
    /// That the kernel could not be asked, or has no nf_tables.
    pub fn state(&mut self) -> Result<Option<TableState>, Error> {
        let found = self.socket.get(
            kind::GETTABLE,
            |w| {
                family(w);
                object::table_name(w);
            },
            |message| {
                let attributes = message.attributes(FAMILY_HEADER);
                Some(TableState { owner: attributes.be32(object::TABLE_OWNER) })
            },
        );
        Ok(absent_is_none(found)?.flatten())
    }

    /// The names of the doors in the loaded table, with their numbers there, in the order of the
    /// numbers. Empty if there is no table.
    ///
    /// # Errors
    ///
    /// That the kernel could not be asked.
    pub fn door_names(&mut self) -> Result<Vec<(u32, String)>, Error> {
        let mut doors = self.elements(portcullis_firewall::compile::GUARDS, |element| {
            let class = elements::number(element.data()?)?;
            Some((class, element.comment()?.to_owned()))
        })?;
        doors.sort();
        doors.dedup();
        Ok(doors)
    }

    /// The elements of a set of our table; none if there is no such set.
    fn elements<T>(
        &mut self,
        set: &str,
        read: impl Fn(elements::Listed<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let found = self.socket.dump(
            kind::GETSETELEM,
            |w| {
                family(w);
                elements::write_set(w, TABLE, set);
            },
            |all: &mut Vec<T>, message| {
                all.extend(elements::Listed::all(message).filter_map(&read))
            },
        );
        Ok(absent_is_none(found)?.unwrap_or_default())
    }

    /// The number of the state of all tables of this namespace; each transaction has the next.
    fn generation(&mut self) -> Result<Option<u32>, Error> {
        const GEN_ID: u16 = 1;
        let found = self.socket.get(
            kind::GETGEN,
            |w| w.raw(&[0; FAMILY_HEADER]),
            |message| Attributes::be32(message.attributes(FAMILY_HEADER), GEN_ID),
        );
        Ok(found?)
    }
}

/// That what was asked for does not exist is an answer too.
fn absent_is_none<T>(answer: Result<T, socket::Error>) -> Result<Option<T>, Error> {
    match answer {
        Err(socket::Error::Refused { errno: nix::errno::Errno::ENOENT, .. }) => Ok(None),
        other => Ok(other.map(Some)?),
    }
}
