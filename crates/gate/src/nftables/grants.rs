//! Active grants and attempts: elements of the table.

use std::net::IpAddr;
use std::time::Duration;

use nix::errno::Errno;
use portcullis_firewall::compile::{ATTEMPTS, GRANTS, LATE_ATTEMPTS};

use super::batch::{Batch, NLM_F_CREATE};
use super::elements::{address_and_rest, number, write_timed};
use super::error::Object;
use super::{Error, TABLE, Table, kind, milliseconds};

/// The time of an element that is deleted in the transaction that makes it.
const PASSING: Duration = Duration::from_secs(60);

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The number of the door in the loaded table ([`Table::door_names`]).
    pub class: u32,
    /// Who.
    pub address: IpAddr,
    /// Remaining time; `None` means no end, and only a person with `nft` can have set that.
    pub expires: Option<Duration>,
    /// Its whole time.
    pub timeout: Option<Duration>,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Who.
    pub address: IpAddr,
    /// The state of the automaton that was reached; not 0.
    pub state: u32,
    /// Time left for the next knock.
    pub expires: Option<Duration>,
}

/// In which set a grant is, and its key there. An IPv4 address in IPv6 clothes is an IPv4 address.
pub fn place(address: IpAddr, class: u32) -> (&'static str, Vec<u8>) {
    let [grant4, grant6] = GRANTS;
    let (set, mut key) = match address.to_canonical() {
        IpAddr::V4(address) => (grant4, address.octets().to_vec()),
        IpAddr::V6(address) => (grant6, address.octets().to_vec()),
    };
    key.extend_from_slice(&class.to_ne_bytes());
    (set, key)
}

/// An element of a dynamic set, for this time from now on, whether or not it exists.
///
/// To add an element that exists changes its time only since Linux 6.12, and to delete one that does
/// not is an error; so it is added, deleted and added, in one transaction. Nothing is seen of that by
/// packets.
pub fn push_renewed(batch: &mut Batch, set: &str, key: &[u8], time: Duration) {
    push_removed(batch, set, key);
    push_added(batch, set, key, time);
}

/// No such element of a dynamic set, whether or not it is there.
pub fn push_removed(batch: &mut Batch, set: &str, key: &[u8]) {
    push_added(batch, set, key, PASSING);
    let about = Object::Elements(set.to_owned());
    batch.push(about, kind::DELSETELEM, 0, |w| write_timed(w, TABLE, set, key, None));
}

fn push_added(batch: &mut Batch, set: &str, key: &[u8], time: Duration) {
    let about = Object::Elements(set.to_owned());
    let timeout = Some(milliseconds(time));
    batch.push(about, kind::NEWSETELEM, NLM_F_CREATE, |w| {
        write_timed(w, TABLE, set, key, timeout);
    });
}

impl Table {
    /// Opens the door with the number `class` for an address, for `open_for` from now on (at least
    /// 20 ms), whether or not it was open for it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the set is full, or there is no table.
    pub fn grant(&mut self, class: u32, address: IpAddr, open_for: Duration) -> Result<(), Error> {
        let (set, key) = place(address, class);
        let mut batch = Batch::new(&mut self.socket, None);
        push_renewed(&mut batch, set, &key, open_for);
        batch.commit(&mut self.socket)
    }

    /// Closes a door for an address. Returns whether it was open for the address. Established connections stay.
    ///
    /// # Errors
    ///
    /// That the kernel could not be asked.
    pub fn revoke(&mut self, class: u32, address: IpAddr) -> Result<bool, Error> {
        let (set, key) = place(address, class);
        let mut batch = Batch::new(&mut self.socket, None);
        let about = Object::Elements(set.to_owned());
        batch.push(about, kind::DELSETELEM, 0, |w| write_timed(w, TABLE, set, &key, None));
        match batch.commit(&mut self.socket) {
            Err(Error::Refused { errno: Errno::ENOENT, .. }) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// All active grants, in the order of the doors and addresses. None if there is no table.
    ///
    /// In the few milliseconds in which the kernel gives a growing set a larger table, a list may
    /// lack some of them.
    ///
    /// # Errors
    ///
    /// That the kernel could not be asked.
    pub fn grants(&mut self) -> Result<Vec<Grant>, Error> {
        let mut all = Vec::new();
        for (version, set) in GRANTS.into_iter().enumerate() {
            all.extend(self.elements(set, |element| {
                let (address, class) = address_and_rest(element.key()?, version)?;
                Some(Grant {
                    class: number(class)?,
                    address,
                    expires: element.expires().map(Duration::from_millis),
                    timeout: element.timeout().map(Duration::from_millis),
                })
            })?);
        }
        // In those milliseconds some are listed twice, too.
        all.sort_unstable_by_key(|grant: &Grant| (grant.class, grant.address));
        all.dedup_by_key(|grant| (grant.class, grant.address));
        Ok(all)
    }

    /// All attempts that the kernel sees. None if there is no table, or if the kernel recognises no door.
    ///
    /// # Errors
    ///
    /// That the kernel could not be asked.
    pub fn attempts(&mut self) -> Result<Vec<Attempt>, Error> {
        let mut all = Vec::new();
        for sets in [ATTEMPTS, LATE_ATTEMPTS] {
            for (version, set) in sets.into_iter().enumerate() {
                all.extend(self.elements(set, |element| {
                    let (address, _) = address_and_rest(element.key()?, version)?;
                    Some(Attempt {
                        address,
                        state: number(element.data()?)?,
                        expires: element.expires().map(Duration::from_millis),
                    })
                })?);
            }
        }
        // A set that grows while it is listed may list one twice.
        all.sort_by_key(|attempt: &Attempt| attempt.address);
        all.dedup_by_key(|attempt| attempt.address);
        Ok(all)
    }
}
