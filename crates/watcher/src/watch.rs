//! The process that reads packets. It knows the doors and their sequences, and can ask for grants;
//! it cannot make any.
//!
//! Everything that a stranger can send arrives here, so this process can do as little as possible. Before
//! it reads any packet, it becomes the user nobody and gives up all capabilities except the one to open
//! packet sockets. It starts no program, opens no file, and dies with its keeper. It asks the keeper in
//! messages of one fixed size ([`message`]).
//!
//! A [`WatcherTask`] decides what a knock is: [`native`](super::native) for `portcullis run`, and that of
//! [`knockd`](super::knockd).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use portcullis_core::engine::Frame;
use portcullis_core::policy::InterfaceName;
use portcullis_core::time::Instant;
use portcullis_linux::capture::{Change, Unwatchable};
use portcullis_linux::netlink;
use portcullis_linux::privileges::{self, WATCHER};

use super::message::{self, Message, Order};
use super::pace::Pace;
use super::reader::{Handler, Reader, Sources};

/// What a watcher does with packets.
pub trait WatcherTask: Sized {
    /// How many optional messages it may send: at once, and then in each second.
    const PACE: (u32, u32);

    /// Follows an order: replaces or changes the current recogniser.
    ///
    /// # Errors
    ///
    /// The order cannot be followed. Then the current recogniser stays.
    fn obey(
        order: &Order,
        sources: &mut Sources,
        in_force: &mut Option<Self>,
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

/// Tells the keeper.
pub struct Teller<'a> {
    keeper: BorrowedFd<'a>,
    pace: &'a mut Pace,
    result: Result<(), Errno>,
}

impl Teller<'_> {
    /// Sends a message that must arrive. Waits while the keeper is behind; meanwhile the ring holds the
    /// packets.
    pub fn must(&mut self, message: &Message) {
        self.result = self.result.and_then(|()| message.send(self.keeper, true));
    }

    /// Sends a message that should arrive, unless too many were sent already. Waits while the keeper is
    /// behind, which does not take long.
    pub fn should(&mut self, message: &Message, now: Instant) {
        if self.pace.admits(now) {
            self.must(message);
        }
    }

    /// Sends an optional message, unless too many were sent already. Skips it while the keeper is behind.
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
/// If its keeper did not start it, or if it cannot give up its privileges.
pub fn run<R: WatcherTask>() -> Result<(), Error> {
    privileges::give_up_all_but(&WATCHER).map_err(Error::Privileges)?;
    let keeper = message::keeper().ok_or(Error::NoKeeper)?;
    let errno = |error: netlink::Error| error.errno().unwrap_or(Errno::EPROTO);
    let mut reader = Reader::open().map_err(|error| Error::System(errno(error)))?;
    match reader.run(&mut Watcher::<R>::new(keeper)) {
        Stop::KeeperEnded => Ok(()),
        Stop::System(errno) => Err(Error::System(errno)),
    }
}

/// Why a watcher cannot watch.
#[derive(Debug)]
pub enum Error {
    /// It cannot give up its privileges.
    Privileges(io::Error),
    /// It was not started by a keeper.
    NoKeeper,
    /// The kernel refuses what cannot be done without.
    System(Errno),
}

/// The handler of packets that has a keeper.
struct Watcher<R> {
    keeper: OwnedFd,
    /// Nothing until the keeper has sent a configuration.
    task: Option<R>,
    pace: Pace,
    /// The result of the messages about the packets of a batch.
    told: Result<(), Errno>,
}

/// Why the process ends.
enum Stop {
    /// The keeper has exited.
    KeeperEnded,
    /// The kernel refuses what cannot be done without.
    System(Errno),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        if errno == Errno::EPIPE { Self::KeeperEnded } else { Self::System(errno) }
    }
}

impl<R: WatcherTask> Watcher<R> {
    fn new(keeper: OwnedFd) -> Self {
        let (burst, per_second) = R::PACE;
        let pace = Pace::new(burst, per_second);
        Self { keeper, task: None, pace, told: Ok(()) }
    }

    fn tell(&self, message: &Message) -> Result<(), Stop> {
        Ok(message.send(self.keeper.as_fd(), true)?)
    }

    /// Lets the task do something, which it may tell of.
    fn with(&mut self, act: impl FnOnce(&mut R, &mut Teller<'_>)) {
        let Some(task) = &mut self.task else { return };
        let keeper = self.keeper.as_fd();
        let mut teller = Teller { keeper, pace: &mut self.pace, result: self.told };
        act(task, &mut teller);
        self.told = teller.result;
    }
}

impl<R: WatcherTask> Handler for Watcher<R> {
    type Stop = Stop;

    fn also(&self) -> BorrowedFd<'_> {
        self.keeper.as_fd()
    }

    /// Takes a new configuration; if it cannot be followed, the one in force stays.
    fn woken(&mut self, sources: &mut Sources) -> Result<(), Stop> {
        let order = Order::receive(self.keeper.as_fd())?.ok_or(Stop::KeeperEnded)?;
        let epoch = order.epoch;
        let answer = match R::obey(&order, sources, &mut self.task) {
            Ok(()) => {
                for name in sources.names() {
                    self.tell(&Message::Watching(name.clone()))?;
                }
                Message::Ready(epoch)
            }
            Err(Unwatchable::Missing(name)) => Message::Missing(epoch, name),
            Err(Unwatchable::System(errno)) => Message::Failed(epoch, errno as i32),
        };
        self.tell(&answer)
    }

    fn take(&mut self, frame: Frame<'_>, now: Instant) {
        self.with(|task, teller| task.take(frame, now, teller));
    }

    fn taken(&mut self) -> Result<(), Stop> {
        Ok(self.told?)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.task.as_ref().and_then(WatcherTask::poll_timeout)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Stop> {
        self.with(|task, teller| task.handle_timeout(now, teller));
        Ok(self.told?)
    }

    fn set_local_addresses(&mut self, addresses: &[IpAddr]) {
        if let Some(task) = &mut self.task {
            task.set_local_addresses(addresses);
        }
    }

    fn changed(&mut self, change: Change) -> Result<(), Stop> {
        self.tell(&match change {
            Change::Watched(name) => Message::Watching(name),
            Change::Gone(name) => Message::Unwatched(name),
        })
    }

    fn holds(&self) -> bool {
        self.pace.holds()
    }

    fn settle(&mut self, now: Instant) -> Result<(), Stop> {
        let held = self.pace.take_held(now);
        if held > 0 {
            hint(self.keeper.as_fd(), &Message::Suppressed(held))?;
        }
        Ok(())
    }

    fn lost(&mut self, interface: InterfaceName, count: u32) -> Result<(), Stop> {
        Ok(hint(self.keeper.as_fd(), &Message::Lost(interface, count))?)
    }
}

/// Sends an optional message: skips it while the keeper is behind.
fn hint(keeper: BorrowedFd<'_>, message: &Message) -> Result<(), Errno> {
    match message.send(keeper, false) {
        Err(Errno::EAGAIN) => Ok(()),
        result => result,
    }
}
