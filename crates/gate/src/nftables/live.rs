//! Grants, attempts and bans in the table, by the names of doors: people do not know the numbers.
//!
//! The numbers of doors belong to one loaded configuration; the next may give them to others. So
//! names and elements are only believed to belong together when they were read in the same state of
//! the firewall, and a change is only made in the state that it was thought out for.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::policy::{Port, Protocol};
use portcullis_core::text::plain;
use portcullis_firewall::compile::{FORGIVE, GUARDS, IN_TIME, LATE_IN_TIME, OPENS};
use portcullis_linux::netlink::socket;

use super::batch::Batch;
use super::elements::{Listed, address_and_rest, number};
use super::grants::{place, push_removed, push_renewed};
use super::{Error, Grant, Table};

/// How often a list is read again because it has changed meanwhile.
const ATTEMPTS: usize = 50;
/// Names of doors that a message tells at most.
const NAMES_TOLD: usize = 10;

/// A door of the loaded table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedDoor {
    /// Its number there.
    pub class: u32,
    /// Its name. Where somebody else has written the table, what a terminal could be harmed by is
    /// escaped.
    pub name: String,
    /// The ports that it guards, in order.
    pub guards: Vec<Port>,
}

/// What is alive in the table, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// The doors, in the order of their numbers.
    pub doors: Vec<LoadedDoor>,
    /// The grants, in the order of the doors and addresses.
    pub grants: Vec<Grant>,
}

impl View {
    /// The name of a door by its number. A table that somebody has changed may lack some.
    pub fn name(&self, class: u32) -> Option<&str> {
        let at = self.doors.binary_search_by_key(&class, |door| door.class).ok()?;
        self.doors.get(at).map(|door| door.name.as_str())
    }

    /// How many may pass each door.
    pub fn grants_by_door(&self) -> HashMap<&str, usize> {
        let mut counts: HashMap<&str, usize> =
            self.doors.iter().map(|door| (door.name.as_str(), 0)).collect();
        for grant in &self.grants {
            if let Some(count) = self.name(grant.class).and_then(|name| counts.get_mut(name)) {
                *count += 1;
            }
        }
        counts
    }

    /// The door of this name.
    ///
    /// # Errors
    ///
    /// [`Error::NoDoor`].
    pub fn door(&self, name: &str) -> Result<&LoadedDoor, Error> {
        self.doors.iter().find(|door| door.name == name).ok_or_else(|| Error::NoDoor {
            name: name.to_owned(),
            known: self.doors.iter().take(NAMES_TOLD).map(|door| door.name.clone()).collect(),
        })
    }
}

/// The numbers of the doors, as of one state of the firewall.
#[derive(Debug, Default)]
pub struct Numbers {
    generation: Option<u32>,
    by_name: HashMap<String, u32>,
}

impl Table {
    /// Opens the door of this name for an address, as [`open_door`](Self::open_door) does, but without
    /// reading more than has changed: `numbers` are what was read before. For the daemon, behind whose
    /// back somebody may load a table in which the doors have other numbers.
    ///
    /// # Errors
    ///
    /// [`Error::NoDoor`], if there is no table too, or [`Error::Refused`] if the set is full. Nothing
    /// has changed then.
    pub fn grant_by_name(
        &mut self,
        numbers: &mut Numbers,
        door: &str,
        address: IpAddr,
        open_for: Duration,
    ) -> Result<(), Error> {
        let now = self.transact(|gate, generation| {
            if generation.is_none() || generation != numbers.generation {
                let names = gate.door_names()?;
                numbers.by_name = names.into_iter().map(|(class, name)| (name, class)).collect();
                numbers.generation = generation;
            }
            let class = numbers.by_name.get(door).copied().ok_or_else(|| Error::NoDoor {
                name: door.to_owned(),
                known: numbers.by_name.keys().take(NAMES_TOLD).cloned().collect(),
            })?;
            let (set, key) = place(address, class);
            let mut batch = Batch::new(&mut gate.socket, generation);
            push_renewed(&mut batch, set, &key, open_for);
            Ok((batch, generation))
        })?;
        // What is committed in one state makes the next, which is never 0 (`nf_tables_commit`).
        numbers.generation = now.map(|now| now.checked_add(1).unwrap_or(1));
        Ok(())
    }

    /// Doors and grants, if there is a table.
    ///
    /// # Errors
    ///
    /// That the kernel could not be asked.
    pub fn view(&mut self) -> Result<Option<View>, Error> {
        for _ in 0..ATTEMPTS {
            let generation = self.generation()?;
            let view = match self.state()? {
                None => None,
                Some(_) => Some(self.read_view()?),
            };
            if self.generation()? == generation {
                return Ok(view);
            }
        }
        Err(Error::Netlink(socket::Error::KeepsChanging))
    }

    /// The door of this name.
    ///
    /// # Errors
    ///
    /// [`Error::NoTable`] or [`Error::NoDoor`].
    pub fn loaded_door(&mut self, name: &str) -> Result<LoadedDoor, Error> {
        self.view()?.ok_or(Error::NoTable)?.door(name).cloned()
    }

    /// Opens the door of this name for an address, for `open_for` from now on, whether or not it was
    /// open for it; whether it was.
    ///
    /// # Errors
    ///
    /// [`Error::NoTable`], [`Error::NoDoor`], [`Error::Held`], or [`Error::Refused`] if the set is
    /// full. Nothing has changed then.
    pub fn open_door(
        &mut self,
        door: &str,
        address: IpAddr,
        open_for: Duration,
    ) -> Result<bool, Error> {
        self.transact(|gate, generation| {
            let view = gate.view_to_change()?;
            let class = view.door(door)?.class;
            let was_open =
                view.grants.iter().any(|grant| grant.class == class && grant.address == address);
            let (set, key) = place(address, class);
            let mut batch = Batch::new(&mut gate.socket, generation);
            push_renewed(&mut batch, set, &key, open_for);
            Ok((batch, was_open))
        })
    }

    /// Closes the door of this name, or every door, for an address, or for everyone, in one
    /// transaction; the grants that ended. Connections that stand are not cut.
    ///
    /// # Errors
    ///
    /// [`Error::NoTable`], [`Error::NoDoor`] or [`Error::Held`]. Nothing has changed then.
    pub fn close_doors(
        &mut self,
        door: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<View, Error> {
        self.transact(|gate, generation| {
            let mut view = gate.view_to_change()?;
            let class = door.map(|name| view.door(name).map(|door| door.class)).transpose()?;
            view.grants.retain(|grant| {
                class.is_none_or(|class| grant.class == class)
                    && address.is_none_or(|address| grant.address == address)
            });
            let mut batch = Batch::new(&mut gate.socket, generation);
            for grant in &view.grants {
                let (set, key) = place(grant.address, grant.class);
                push_removed(&mut batch, set, &key);
            }
            Ok((batch, view))
        })
    }

    fn view_to_change(&mut self) -> Result<View, Error> {
        self.must_not_be_held()?;
        self.view()?.ok_or(Error::NoTable)
    }

    /// How many sources are in the middle of a knock, as the kernel sees it. Who has just come to the
    /// end of a sequence is not.
    ///
    /// # Errors
    ///
    /// That the kernel could not be asked.
    pub fn knocking(&mut self) -> Result<usize, Error> {
        let mut numbers = |set| {
            Ok::<HashSet<u32>, Error>(
                self.elements(set, |element| number(element.key()?))?.into_iter().collect(),
            )
        };
        let ends = numbers(OPENS)?;
        // Where wrong ports are forgiven, states outlive the time for the next knock.
        let forgives = !numbers(FORGIVE)?.is_empty();
        let mut in_time = HashSet::new();
        for (version, set) in [IN_TIME, LATE_IN_TIME].into_iter().flat_map(|it| (0..).zip(it)) {
            let address = |element: Listed<'_>| Some(address_and_rest(element.key()?, version)?.0);
            in_time.extend(self.elements(set, address)?);
        }
        let attempts = self.attempts()?.into_iter();
        Ok(attempts
            .filter(|attempt| !ends.contains(&attempt.state))
            .filter(|attempt| !forgives || in_time.contains(&attempt.address))
            .count())
    }

    fn read_view(&mut self) -> Result<View, Error> {
        Ok(View { doors: self.doors()?, grants: self.grants()? })
    }

    /// The doors of the loaded table.
    fn doors(&mut self) -> Result<Vec<LoadedDoor>, Error> {
        let mut guards = self.elements(GUARDS, |element| {
            let class = number(element.data()?)?;
            Some((class, guard(element.key()?)?, plain(element.comment()?)))
        })?;
        guards.sort_unstable();
        guards.dedup();
        let mut doors: Vec<LoadedDoor> = Vec::new();
        for (class, port, name) in guards {
            match doors.last_mut() {
                Some(door) if door.class == class => door.guards.push(port),
                _ => doors.push(LoadedDoor { class, name, guards: vec![port] }),
            }
        }
        Ok(doors)
    }
}

/// A key of the map of guarded ports: a protocol and a port, each padded to four bytes.
fn guard(key: &[u8]) -> Option<Port> {
    let (&[protocol, ..], rest) = key.split_first_chunk::<4>()?;
    let number = u16::from_be_bytes(*rest.first_chunk()?);
    let protocol = [Protocol::Tcp, Protocol::Udp].into_iter().find(|p| p.number() == protocol)?;
    Port::new(protocol, number)
}
