//! The one loop that reads packets. A [`Handler`] decides what to do with packets and other events:
//! [`watch`](super::watch) for the daemons, [`follow`](super::follow) for `portcullis trace`.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use portcullis_core::engine::Frame;
use portcullis_core::policy::InterfaceName;
use portcullis_core::time::Instant;
use portcullis_linux::capture::{self, Capture, Change};
use portcullis_linux::clock;
use portcullis_linux::netlink::Error;
use portcullis_linux::netlink::route::{AddressMonitor, Route};

/// The loop reads this many packets before it looks at other events again.
const BATCH: usize = 4096;

/// This many packets get their time from one reading of the clock.
const SAME_TIME: u32 = 64;

/// How long things wait that are not urgent: losses, suppressed messages, and unreadable packets.
const SECOND: Duration = Duration::from_secs(1);

/// Where packets come from, and what is known of this host.
pub struct Sources {
    /// Asks the kernel for interfaces and addresses.
    pub route: Route,
    /// Nothing until there is something to watch.
    pub capture: Option<Capture>,
}

impl Sources {
    /// The names of the watched interfaces.
    pub fn names(&self) -> impl Iterator<Item = &InterfaceName> {
        self.capture.iter().flat_map(Capture::names)
    }

    /// How many packets were lost since the last call, for each interface that lost any.
    pub fn take_lost(&self) -> impl Iterator<Item = (InterfaceName, u32)> {
        self.capture.iter().flat_map(Capture::take_lost)
    }
}

/// Handles packets and other events. An error ends the loop.
pub trait Handler {
    /// Why the loop ends.
    type Stop: From<Errno>;

    /// The descriptor to wait for, in addition to packets.
    fn also(&self) -> BorrowedFd<'_>;

    /// That descriptor has something to read.
    ///
    /// # Errors
    /// The loop shall end.
    fn woken(&mut self, sources: &mut Sources) -> Result<(), Self::Stop>;

    /// Takes a packet.
    fn take(&mut self, frame: Frame<'_>, now: Instant);

    /// All packets that have arrived are handled.
    ///
    /// # Errors
    /// The loop shall end.
    fn taken(&mut self) -> Result<(), Self::Stop>;

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if at all.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Does what is due by now.
    ///
    /// # Errors
    /// The loop shall end.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Self::Stop>;

    /// The addresses of this host have changed.
    fn set_local_addresses(&mut self, addresses: &[IpAddr]);

    /// An interface has appeared or disappeared.
    ///
    /// # Errors
    /// The loop shall end.
    fn changed(&mut self, change: Change) -> Result<(), Self::Stop>;

    /// Whether [`settle`](Self::settle) has something to do.
    fn holds(&self) -> bool;

    /// Reports what it holds, at least a second later.
    ///
    /// # Errors
    /// The loop shall end.
    fn settle(&mut self, now: Instant) -> Result<(), Self::Stop>;

    /// This number of packets of an interface was lost.
    ///
    /// # Errors
    /// The loop shall end.
    fn lost(&mut self, interface: InterfaceName, count: u32) -> Result<(), Self::Stop>;
}

/// The loop, and what it has open.
pub struct Reader {
    /// Where packets come from.
    pub sources: Sources,
    monitor: AddressMonitor,
    /// Packets have come since it was asked how many were lost.
    busy: bool,
    settled: Instant,
    /// Interfaces and addresses have changed, and could not be read at once.
    stale: bool,
}

impl Reader {
    /// Reads nothing yet.
    ///
    /// # Errors
    /// The kernel refuses to say which interfaces and addresses there are.
    pub fn open() -> Result<Self, Error> {
        // The monitor first: no change between the first look and the first event is missed.
        let monitor = AddressMonitor::open()?;
        let sources = Sources { route: Route::open()?, capture: None };
        Ok(Self { sources, monitor, busy: false, settled: Instant::ORIGIN, stale: false })
    }

    /// Reads until the handler ends it; why it does.
    pub fn run<H: Handler>(&mut self, handler: &mut H) -> H::Stop {
        loop {
            if let Err(stop) = self.turn(handler) {
                return stop;
            }
        }
    }

    fn turn<H: Handler>(&mut self, handler: &mut H) -> Result<(), H::Stop> {
        let woken = self.wait(handler)?;
        if woken.handler {
            handler.woken(&mut self.sources)?;
        }
        if woken.monitor && self.monitor.drain() {
            self.follow(handler)?;
        }
        self.take_packets(handler)?;
        let now = clock();
        if handler.poll_timeout().is_some_and(|due| due <= now) {
            handler.handle_timeout(now)?;
        }
        self.settle(handler, now)
    }

    fn wait<H: Handler>(&self, handler: &H) -> Result<Woken, Errno> {
        let sockets = self.sources.capture.iter().flat_map(Capture::sockets);
        let mut fds: Vec<PollFd<'_>> = [handler.also(), self.monitor.as_fd()]
            .into_iter()
            .chain(sockets)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        let pending = (self.busy || self.stale || handler.holds()).then_some(SECOND);
        // Rounded up: what is looked at a moment early is not due.
        let due = handler.poll_timeout();
        let due = due.map(|due| due.since(clock()).saturating_add(Duration::from_millis(1)));
        let timeout = pending.into_iter().chain(due).min().map_or(PollTimeout::NONE, |timeout| {
            PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let mut events = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let mut any = || events.next().is_some_and(|events| !events.is_empty());
        let woken = Woken { handler: any(), monitor: any() };
        if events.any(|events| events.contains(PollFlags::POLLERR)) {
            self.sources.capture.iter().for_each(Capture::take_errors);
        }
        Ok(woken)
    }

    /// Follows interfaces and addresses that have come and gone. While they change too fast to be
    /// read, what was known before stays.
    fn follow<H: Handler>(&mut self, handler: &mut H) -> Result<(), H::Stop> {
        let Sources { route, capture: Some(capture) } = &mut self.sources else { return Ok(()) };
        let Ok(addresses) = capture::addresses(route) else {
            self.stale = true;
            return Ok(());
        };
        let Ok(changes) = capture.refresh(route) else {
            self.stale = true;
            return Ok(());
        };
        handler.set_local_addresses(&addresses);
        changes.into_iter().try_for_each(|change| handler.changed(change))
    }

    fn take_packets<H: Handler>(&mut self, handler: &mut H) -> Result<(), H::Stop> {
        let Some(capture) = &mut self.sources.capture else { return Ok(()) };
        let busy = &mut self.busy;
        let (mut now, mut age) = (clock(), 0);
        capture.drain(BATCH, |frame| {
            if age == SAME_TIME {
                (now, age) = (clock(), 0);
            }
            age += 1;
            *busy = true;
            handler.take(frame, now);
        });
        handler.taken()
    }

    /// Does once in a second what could not be done before: tells what was held back or lost.
    fn settle<H: Handler>(&mut self, handler: &mut H, now: Instant) -> Result<(), H::Stop> {
        if now.since(self.settled) < SECOND {
            return Ok(());
        }
        self.settled = now;
        if std::mem::take(&mut self.stale) {
            self.follow(handler)?;
        }
        handler.settle(now)?;
        if std::mem::take(&mut self.busy) {
            self.sources.take_lost().try_for_each(|(name, count)| handler.lost(name, count))?;
        }
        Ok(())
    }
}

/// What there is to do.
struct Woken {
    handler: bool,
    monitor: bool,
}
