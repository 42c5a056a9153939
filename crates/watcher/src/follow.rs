//! Packets for somebody who looks on: everything is opened first, and then given up.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use portcullis_core::engine::{Direction, Frame};
use portcullis_core::policy::{InterfaceName, Policy};
use portcullis_core::time::Instant;
use portcullis_core::wire::Packet;
use portcullis_linux::capture::{self, Capture, Interfaces, Unwatchable};
use portcullis_linux::clock;
use portcullis_linux::netlink::route::{AddressMonitor, Route};
use portcullis_linux::privileges::{self, TRACE};

use super::filter;

/// Packets that are taken before anything else is looked at.
const BATCH: usize = 4_096;

/// Why nobody can look on.
#[derive(Debug)]
pub enum Error {
    /// The kernel does not say which addresses this host has, for this reason.
    Addresses(String),
    /// Packets cannot be read.
    Packets(Unwatchable),
    /// What is not needed any more cannot be given up.
    Privileges(io::Error),
}

/// Reads packets, and can do nothing else.
pub struct Follow {
    capture: Capture,
    route: Route,
    monitor: AddressMonitor,
    /// This host's addresses.
    addresses: Vec<IpAddr>,
}

impl Follow {
    /// Opens everything, then gives up what that took. The process can do nothing more then.
    ///
    /// # Errors
    /// It cannot be opened, or not be given up.
    pub fn open(policy: &Policy, interfaces: Interfaces) -> Result<Self, Error> {
        let monitor =
            AddressMonitor::open().map_err(|error| Error::Addresses(error.to_string()))?;
        let mut route = Route::open().map_err(|error| Error::Addresses(error.to_string()))?;
        let addresses = capture::addresses(&mut route)
            .map_err(|errno| Error::Addresses(errno.desc().to_owned()))?;
        // What comes to guarded and public ports is told too, so the filter must let it through.
        let mut all = policy.clone();
        all.gate.public.clear();
        all.doors.iter_mut().for_each(|door| door.guards.clear());
        let capture = Capture::open(interfaces, filter::program(&all), &mut route);
        let capture = capture.map_err(Error::Packets)?;
        // All sockets are open: from here on nothing more is needed.
        privileges::give_up_all_but(&TRACE).map_err(Error::Privileges)?;
        Ok(Self { capture, route, monitor, addresses })
    }

    /// The names of the watched interfaces.
    pub fn names(&self) -> impl Iterator<Item = &InterfaceName> {
        self.capture.names()
    }

    /// Waits for packets, or for `also`, for so long at most.
    ///
    /// # Errors
    /// None that the kernel documents.
    pub fn wait(&self, also: BorrowedFd<'_>, longest: Duration) -> Result<(), Errno> {
        let mut fds: Vec<PollFd<'_>> = [also, self.monitor.as_fd()]
            .into_iter()
            .chain(self.capture.sockets())
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        let longest = longest.saturating_add(Duration::from_millis(1));
        match poll(&mut fds, PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let failing = |fd: &PollFd<'_>| {
            fd.revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
        };
        if fds.iter().any(failing) {
            self.capture.take_errors();
        }
        Ok(())
    }

    /// Hands the packets that have come to `take`; how many found no room since this was asked last.
    pub fn take(&mut self, mut take: impl FnMut(&Packet, Direction, Instant)) -> u64 {
        let addresses = &self.addresses;
        self.capture.drain(BATCH, |Frame { direction, captured }| {
            let Ok(packet) = captured.parse() else { return };
            // What goes through to another host is none of the gate's business.
            let ours = direction != Direction::ToHost || addresses.contains(&packet.destination);
            let direction = if ours { direction } else { Direction::Elsewhere };
            take(&packet, direction, clock());
        });
        self.capture.take_lost().map(|(_, lost)| u64::from(lost)).sum()
    }

    /// Follows addresses of this host that have come and gone.
    pub fn refresh(&mut self) {
        if self.monitor.drain()
            && let Ok(addresses) = capture::addresses(&mut self.route)
        {
            self.addresses = addresses;
        }
    }
}
