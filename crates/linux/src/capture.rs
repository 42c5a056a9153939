//! The packets of the watched interfaces, in the order of their arrival.
//!
//! One socket for each interface, never one for all: a socket that is bound to none sees a packet
//! once for every device that it crosses (a bridge and its port, a VLAN and its trunk), and to a
//! strict recogniser a packet that comes twice is a wrong one.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use portcullis_core::engine::{Direction, Frame};
use portcullis_core::limits::MAX_WATCHED;
use portcullis_core::policy::InterfaceName;
use portcullis_core::wire::{Captured, Checksum, Link};

use crate::netlink;
use crate::netlink::route::{Interface, Route};
use crate::sys::packet::{Instruction, Ring};

/// The first interfaces have 4 MiB for 8,192 packets each: 8 milliseconds of a million a second.
const LARGE: u32 = 64;
/// How many have that much.
const LARGE_RINGS: usize = 8;
/// The others (containers, mostly) have 256 KiB for 512 packets.
const SMALL: u32 = 4;

/// Why packets cannot be read.
#[derive(Debug)]
pub enum Unwatchable {
    /// There is no such interface.
    Missing(InterfaceName),
    /// The kernel refuses.
    System(Errno),
}

/// What happened to an interface.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// It is watched now.
    Watched(InterfaceName),
    /// It is gone.
    Gone(InterfaceName),
}

struct Watched {
    index: u32,
    name: InterfaceName,
    ring: Ring,
}

/// Which interfaces to read from, as they come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interfaces {
    /// All but loopback.
    AllButLoopback,
    /// All, loopback too.
    All,
    /// These.
    Named(Vec<InterfaceName>),
}

/// The sockets of all watched interfaces.
pub struct Capture {
    interfaces: Interfaces,
    filter: Vec<Instruction>,
    watched: Vec<Watched>,
}

impl Capture {
    /// Begins to read what `filter` lets through.
    ///
    /// # Errors
    ///
    /// A named interface does not exist, or the kernel refuses. Nothing is left open then.
    pub fn open(
        interfaces: Interfaces,
        filter: Vec<Instruction>,
        route: &mut Route,
    ) -> Result<Self, Unwatchable> {
        let existing = existing(route)?;
        let missing = |name: &&InterfaceName| existing.iter().all(|i| i.name != name.as_str());
        if let Interfaces::Named(names) = &interfaces
            && let Some(name) = names.iter().find(missing)
        {
            return Err(Unwatchable::Missing(name.clone()));
        }
        Self::of(interfaces, filter, &existing)
    }

    /// The same, but a named interface may come later.
    ///
    /// # Errors
    ///
    /// The kernel refuses. Nothing is left open then.
    pub fn open_what_is_there(
        interfaces: Interfaces,
        filter: Vec<Instruction>,
        route: &mut Route,
    ) -> Result<Self, Unwatchable> {
        Self::of(interfaces, filter, &existing(route)?)
    }

    fn of(
        interfaces: Interfaces,
        filter: Vec<Instruction>,
        existing: &[Interface],
    ) -> Result<Self, Unwatchable> {
        let mut capture = Self { interfaces, filter, watched: Vec::new() };
        for interface in existing {
            if capture.wants(interface) {
                capture.watch(interface).map_err(Unwatchable::System)?;
            }
        }
        Ok(capture)
    }

    /// Reads nothing, ever.
    pub const fn nothing() -> Self {
        let interfaces = Interfaces::Named(Vec::new());
        Self { interfaces, filter: Vec::new(), watched: Vec::new() }
    }

    /// Reads what another filter lets through from now on. No packet is lost or seen by both.
    ///
    /// # Errors
    ///
    /// The kernel refuses; some interfaces may then have the one, others the other.
    pub fn set_filter(&mut self, filter: Vec<Instruction>) -> Result<(), Errno> {
        for watched in &self.watched {
            watched.ring.set_filter(&filter).map_err(|error| raw(&error))?;
        }
        self.filter = filter;
        Ok(())
    }

    /// Follows the interfaces that have come and gone, and tells which.
    ///
    /// # Errors
    ///
    /// What the kernel answers when it is asked for its interfaces.
    pub fn refresh(&mut self, route: &mut Route) -> Result<Vec<Change>, Errno> {
        let existing = route.interfaces().map_err(|error| errno(&error))?;
        let mut changes = Vec::new();
        self.watched.retain(|watched| {
            let there = existing.iter().any(|interface| {
                interface.index == watched.index && name(interface).as_ref() == Some(&watched.name)
            });
            if !there {
                changes.push(Change::Gone(watched.name.clone()));
            }
            there
        });
        for interface in &existing {
            let known = self.watched.iter().any(|watched| watched.index == interface.index);
            // An interface that vanishes between the answer and here is no error.
            if !known && self.wants(interface) && self.watch(interface).is_ok() {
                changes.extend(name(interface).map(Change::Watched));
            }
        }
        Ok(changes)
    }

    /// The names of the watched interfaces.
    pub fn names(&self) -> impl Iterator<Item = &InterfaceName> {
        self.watched.iter().map(|watched| &watched.name)
    }

    /// What to wait for.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.watched.iter().map(|watched| watched.ring.as_fd())
    }

    /// Hands the packets that have arrived, at most `limit` of them, to `take`; whether there were
    /// fewer.
    pub fn drain(&mut self, limit: usize, mut take: impl FnMut(Frame<'_>)) -> bool {
        for _ in 0..limit {
            let earliest = self
                .watched
                .iter_mut()
                .filter_map(|watched| Some((watched.ring.arrival()?, &mut watched.ring)))
                .min_by_key(|(arrival, _)| *arrival);
            let Some(frame) = earliest.and_then(|(_, ring)| ring.take()) else { return true };
            let checksum = if frame.checksum_is_right { Checksum::Trust } else { Checksum::Verify };
            let (bytes, length) = (frame.bytes, frame.length);
            let captured = Captured { link: Link::Raw, bytes, length, checksum };
            take(Frame { direction: direction(frame.kind), captured });
        }
        false
    }

    /// How many packets found no room since this was asked last, where there were any.
    pub fn take_lost(&self) -> impl Iterator<Item = (InterfaceName, u32)> {
        self.watched.iter().filter_map(|watched| {
            let lost = watched.ring.take_lost().unwrap_or(0);
            (lost > 0).then(|| (watched.name.clone(), lost))
        })
    }

    /// Takes the errors that wait at the sockets, which would wake us again and again: an interface
    /// went down or away. If down, its socket goes on when it comes up; if away, a [`refresh`] finds
    /// out.
    ///
    /// [`refresh`]: Self::refresh
    pub fn take_errors(&self) {
        for watched in &self.watched {
            // The error says nothing that is not known.
            let _ = watched.ring.take_error();
        }
    }

    fn wants(&self, interface: &Interface) -> bool {
        let room = self.watched.len() < MAX_WATCHED;
        match &self.interfaces {
            Interfaces::AllButLoopback => room && !interface.loopback,
            Interfaces::All => room,
            Interfaces::Named(names) => names.iter().any(|name| name.as_str() == interface.name),
        }
    }

    fn watch(&mut self, interface: &Interface) -> Result<(), Errno> {
        let blocks = if self.watched.len() < LARGE_RINGS { LARGE } else { SMALL };
        let name = name(interface).ok_or(Errno::EINVAL)?;
        let ring =
            Ring::open(interface.index, &self.filter, blocks).map_err(|error| raw(&error))?;
        self.watched.push(Watched { index: interface.index, name, ring });
        Ok(())
    }
}

/// The addresses of this host.
///
/// # Errors
///
/// What the kernel answers.
pub fn addresses(route: &mut Route) -> Result<Vec<IpAddr>, Errno> {
    let addresses = route.addresses().map_err(|error| errno(&error))?;
    Ok(addresses.into_iter().map(|(_, address)| address).collect())
}

fn existing(route: &mut Route) -> Result<Vec<Interface>, Unwatchable> {
    route.interfaces().map_err(|error| Unwatchable::System(errno(&error)))
}

fn errno(error: &netlink::Error) -> Errno {
    error.errno().unwrap_or(Errno::EPROTO)
}

fn raw(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

/// The name, or its number where the name is one that no configuration could hold.
fn name(interface: &Interface) -> Option<InterfaceName> {
    let by_number = || InterfaceName::new(&format!("if{}", interface.index));
    InterfaceName::new(&interface.name).or_else(|_| by_number()).ok()
}

const fn direction(kind: u8) -> Direction {
    match kind {
        libc::PACKET_HOST => Direction::ToHost,
        libc::PACKET_OUTGOING => Direction::FromHost,
        _ => Direction::Elsewhere,
    }
}
