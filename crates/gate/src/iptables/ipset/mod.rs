//! The sets of ipset, over netlink: lists, adds and removes their members. The program `ipset` creates and
//! destroys the sets, together with the rules that use them.

mod message;

use std::net::IpAddr;

use nix::errno::Errno;
use portcullis_linux::netlink::socket::{self, Family, Socket};

pub use self::message::Member;
use self::message::{
    ADD, DEL, ERR_EXIST, ERR_HASH_FULL, EXCLUSIVE, LIST, members, of_member, of_set,
};
use crate::Error;

/// The sets of the network namespace of the thread that opens this.
#[derive(Debug)]
pub struct Sets {
    socket: Socket,
}

impl Sets {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// That no socket could be had.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(Family::Netfilter).map_err(refused("ipset"))? })
    }

    /// The members of a set. `None` if there is no such set.
    ///
    /// # Errors
    ///
    /// That the kernel could not be asked, or answered something unknown.
    pub fn members(&mut self, set: &str) -> Result<Option<Vec<Member>>, Error> {
        let found = self.socket.dump(
            LIST,
            |w| of_set(w, set),
            |all: &mut Vec<Option<Vec<Member>>>, message| all.push(members(message)),
        );
        let lists = match found {
            Err(socket::Error::Refused { errno: Errno::ENOENT, .. }) => return Ok(None),
            other => other.map_err(refused(set))?,
        };
        let lists: Option<Vec<_>> = lists.into_iter().collect();
        let lists = lists.ok_or_else(|| refused(set)(socket::Error::Malformed))?;
        Ok(Some(lists.concat()))
    }

    /// Puts an address into a set for this number of seconds from now on, whether or not it was in.
    ///
    /// # Errors
    ///
    /// [`Error::Full`], or what the kernel says.
    pub fn add(&mut self, set: &str, address: IpAddr, seconds: u32) -> Result<(), Error> {
        match self.socket.request(ADD, 0, |w| of_member(w, set, address, Some(seconds))) {
            Err(socket::Error::Refused { code: ERR_HASH_FULL, .. }) => {
                Err(Error::Full { list: set.to_owned() })
            }
            other => other.map_err(refused(set)),
        }
    }

    /// Takes an address out of a set; whether it was in.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn remove(&mut self, set: &str, address: IpAddr) -> Result<bool, Error> {
        match self.socket.request(DEL, EXCLUSIVE, |w| of_member(w, set, address, None)) {
            Err(socket::Error::Refused { code: ERR_EXIST, .. }) => Ok(false),
            other => other.map(|()| true).map_err(refused(set)),
        }
    }
}

fn refused(set: &str) -> impl Fn(socket::Error) -> Error {
    let set = set.to_owned();
    move |error| Error::Set { set: set.clone(), error }
}
