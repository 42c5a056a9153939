//! The process that reads packets. It knows the doors and their sequences, and can ask for grants;
//! it cannot make any.
//!
//! All that a stranger can send arrives here, so this process can do as little as possible: before
//! it reads anything at all it is nobody, has no capability but that to open packet sockets, starts
//! no program, opens no file, and dies with its keeper. What it wants it says in messages of one
//! fixed size ([`message`]).
//!
//! What a knock is, a [`Recogniser`] says: [`native`](super::native) for `portcullis run`, and that of
//! [`knockd`](super::knockd).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use portcullis_core::engine::Frame;
use portcullis_core::time::Instant;
use portcullis_linux::capture::{self, Capture, Change, Unwatchable};
use portcullis_linux::netlink::route::{AddressMonitor, Route};
use portcullis_linux::privileges::{self, WATCHER};
use portcullis_linux::{clock, netlink};

use super::message::{self, Epoch, Message, Order};
use super::pace::Pace;

/// Packets that are taken before everything else is looked at again.
const BATCH: usize = 4096;

/// Packets for which one look at the clock is enough.
const SAME_TIME: u32 = 64;

/// What a watcher does with packets.
pub trait Recogniser: Sized {
    /// How much it may tell that nobody has to hear: so much at once, and so much in each second.
    const PACE: (u32, u32);

    /// Follows an order: puts what it asks for in place of what is in force, or changes that.
    ///
    /// # Errors
    ///
    /// It cannot be followed. Then what is in force stays so.
    fn obey(
        order: &Order,
        route: &mut Route,
        watch: &mut Option<Watch<Self>>,
    ) -> Result<(), Unwatchable>;

    /// The addresses of this host have changed.
    fn set_local_addresses(&mut self, addresses: &[IpAddr]);

    /// Takes a packet.
    fn take(&mut self, frame: Frame<'_>, now: Instant, teller: &mut Teller<'_>);

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if at all.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Does what is due by now.
    fn handle_timeout(&mut self, _now: Instant, _teller: &mut Teller<'_>) {}
}

/// What is in force.
pub struct Watch<R> {
    /// The order's number.
    pub epoch: Epoch,
    /// Where packets come from.
    pub capture: Capture,
    /// Who looks at them.
    pub recogniser: R,
}

/// Tells the keeper.
pub struct Teller<'a> {
    keeper: BorrowedFd<'a>,
    pace: &'a mut Pace,
    result: Result<(), Errno>,
}

impl Teller<'_> {
    /// Says what must be heard. Waits while the keeper is behind: the ring holds what comes
    /// meanwhile.
    pub fn must(&mut self, message: &Message) {
        self.result = self.result.and_then(|()| message.send(self.keeper, true));
    }

    /// Says what somebody should hear, if not too much has been said already. Waits while the keeper
    /// is behind, which is not for long.
    pub fn should(&mut self, message: &Message, now: Instant) {
        if self.pace.admits(now) {
            self.must(message);
        }
    }

    /// Says what nobody has to hear, if not too much of it has been said already. It is left out
    /// while the keeper is behind.
    pub fn may(&mut self, message: &Message, now: Instant) {
        if self.pace.admits(now) {
            self.result = self.result.and_then(|()| hint(self.keeper, message));
        }
    }
}

/// Runs the process. Its standard input is the socket to its keeper.
///
/// # Errors
///
/// When it is not started by its keeper, or cannot give up what it must not have.
pub fn run<R: Recogniser>() -> Result<(), Error> {
    privileges::give_up_all_but(&WATCHER).map_err(Error::Privileges)?;
    let keeper = message::keeper().ok_or(Error::NoKeeper)?;
    match Watcher::<R>::new(keeper).map_err(Error::System)?.watch() {
        Ok(()) | Err(Stop::KeeperEnded) => Ok(()),
        Err(Stop::System(errno)) => Err(Error::System(errno)),
    }
}

/// Why a watcher cannot watch.
#[derive(Debug)]
pub enum Error {
    /// It cannot give up what it must not have.
    Privileges(io::Error),
    /// It was not started by a keeper.
    NoKeeper,
    /// The kernel refuses what cannot be done without.
    System(Errno),
}

struct Watcher<R> {
    keeper: OwnedFd,
    route: Route,
    monitor: AddressMonitor,
    /// Nothing until the keeper has sent a configuration.
    watch: Option<Watch<R>>,
    pace: Pace,
    /// Packets have come since it was asked how many were lost.
    busy: bool,
    accounted: Instant,
    /// Interfaces and addresses have changed, and could not be read at once.
    stale: bool,
}

/// Why the process ends.
enum Stop {
    /// The keeper is gone.
    KeeperEnded,
    /// The kernel refuses what cannot be done without.
    System(Errno),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        if errno == Errno::EPIPE { Self::KeeperEnded } else { Self::System(errno) }
    }
}

/// What there is to do.
struct Woken {
    keeper: bool,
    monitor: bool,
}

impl<R: Recogniser> Watcher<R> {
    fn new(keeper: OwnedFd) -> Result<Self, Errno> {
        let errno = |error: netlink::Error| error.errno().unwrap_or(Errno::EPROTO);
        // The monitor first: no change between the first look and the first event is missed.
        let monitor = AddressMonitor::open().map_err(errno)?;
        let route = Route::open().map_err(errno)?;
        let (burst, per_second) = R::PACE;
        let pace = Pace::new(burst, per_second);
        Ok(Self {
            keeper,
            route,
            monitor,
            watch: None,
            pace,
            busy: false,
            accounted: Instant::ORIGIN,
            stale: false,
        })
    }

    fn watch(&mut self) -> Result<(), Stop> {
        loop {
            let woken = self.wait()?;
            if woken.keeper {
                let order = Order::receive(self.keeper.as_fd())?.ok_or(Stop::KeeperEnded)?;
                self.obey(&order)?;
            }
            if woken.monitor && self.monitor.drain() {
                self.follow()?;
            }
            self.take_packets()?;
            self.take_time()?;
            self.account()?;
        }
    }

    fn wait(&self) -> Result<Woken, Errno> {
        let sockets = self.watch.iter().flat_map(|watch| watch.capture.sockets());
        let mut fds: Vec<PollFd<'_>> = [self.keeper.as_fd(), self.monitor.as_fd()]
            .into_iter()
            .chain(sockets)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        // Losses and held back stages are told a second later, and what failed is tried again.
        let pending = self.busy || self.pace.holds() || self.stale;
        let pending = pending.then_some(Duration::from_secs(1));
        let due = self.watch.as_ref().and_then(|watch| watch.recogniser.poll_timeout());
        // Rounded up: what is looked at a moment early is not due.
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
        let woken = Woken { keeper: any(), monitor: any() };
        if events.any(|events| events.contains(PollFlags::POLLERR)) {
            self.watch.iter().for_each(|watch| watch.capture.take_errors());
        }
        Ok(woken)
    }

    /// Takes a new configuration; if it cannot be followed, the one in force stays.
    fn obey(&mut self, order: &Order) -> Result<(), Stop> {
        let epoch = order.epoch;
        let answer = match R::obey(order, &mut self.route, &mut self.watch) {
            Ok(()) => {
                for name in self.watch.iter().flat_map(|watch| watch.capture.names()) {
                    self.tell(&Message::Watching(name.clone()))?;
                }
                Message::Ready(epoch)
            }
            Err(Unwatchable::Missing(name)) => Message::Missing(epoch, name),
            Err(Unwatchable::System(errno)) => Message::Failed(epoch, errno as i32),
        };
        self.tell(&answer)
    }

    /// Follows interfaces and addresses that have come and gone. While they change too fast to be
    /// read, what was known before stays.
    fn follow(&mut self) -> Result<(), Stop> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let Ok(addresses) = capture::addresses(&mut self.route) else {
            self.stale = true;
            return Ok(());
        };
        let Ok(changes) = watch.capture.refresh(&mut self.route) else {
            self.stale = true;
            return Ok(());
        };
        watch.recogniser.set_local_addresses(&addresses);
        for change in changes {
            let message = match change {
                Change::Watched(name) => Message::Watching(name),
                Change::Gone(name) => Message::Unwatched(name),
            };
            message.send(self.keeper.as_fd(), true)?;
        }
        Ok(())
    }

    fn take_packets(&mut self) -> Result<(), Stop> {
        let Some(Watch { capture, recogniser, .. }) = &mut self.watch else { return Ok(()) };
        let (keeper, busy) = (self.keeper.as_fd(), &mut self.busy);
        let mut teller = Teller { keeper, pace: &mut self.pace, result: Ok(()) };
        let (mut now, mut age) = (clock(), 0);
        capture.drain(BATCH, |frame| {
            if age == SAME_TIME {
                (now, age) = (clock(), 0);
            }
            age += 1;
            *busy = true;
            recogniser.take(frame, now, &mut teller);
        });
        Ok(teller.result?)
    }

    fn take_time(&mut self) -> Result<(), Stop> {
        let Some(Watch { recogniser, .. }) = &mut self.watch else { return Ok(()) };
        let keeper = self.keeper.as_fd();
        let mut teller = Teller { keeper, pace: &mut self.pace, result: Ok(()) };
        let now = clock();
        if recogniser.poll_timeout().is_some_and(|due| due <= now) {
            recogniser.handle_timeout(now, &mut teller);
        }
        Ok(teller.result?)
    }

    /// Does once in a second what could not be done before: tells what was held back or lost.
    fn account(&mut self) -> Result<(), Stop> {
        let now = clock();
        if now.since(self.accounted) < Duration::from_secs(1) {
            return Ok(());
        }
        self.accounted = now;
        if std::mem::take(&mut self.stale) {
            self.follow()?;
        }
        let held = self.pace.take_held(now);
        if held > 0 {
            hint(self.keeper.as_fd(), &Message::Suppressed(held))?;
        }
        if std::mem::take(&mut self.busy) {
            for (name, count) in self.watch.iter().flat_map(|watch| watch.capture.take_lost()) {
                hint(self.keeper.as_fd(), &Message::Lost(name, count))?;
            }
        }
        Ok(())
    }

    fn tell(&self, message: &Message) -> Result<(), Stop> {
        Ok(message.send(self.keeper.as_fd(), true)?)
    }
}

/// Says what nobody has to hear: it is left out while the keeper is behind.
fn hint(keeper: BorrowedFd<'_>, message: &Message) -> Result<(), Errno> {
    match message.send(keeper, false) {
        Err(Errno::EAGAIN) => Ok(()),
        result => result,
    }
}
