//! The process that logs and runs commands. It never reads a packet, and does not believe the one
//! that does more than it must: what opens is a door of the configuration, for an address.
//!
//! If its watcher exits, it continues and starts another one.

mod begin;
mod end;
mod link;
mod reload;
mod settings;

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use portcullis_config::knockd::CommandLine;
use portcullis_core::knockd::Door as Recognised;
use portcullis_core::policy::{DoorId, may_have_grants};
use portcullis_core::time::Instant;
use portcullis_linux::capture::Interfaces;
use portcullis_linux::clock;
use portcullis_watcher::knockd::wanted::Wanted;
use portcullis_watcher::message::{Epoch, Message, Order};

use self::link::{Link, Word};
use super::doors::{Doors, Use};
use super::reporter::Reporter;
use crate::daemon::notify;
use crate::daemon::parts::{self, system};
use crate::door_commands::{Commands, Job, Opening};
use crate::exit::Failure;
pub use begin::run;
pub use settings::Settings;

/// Messages that are heard before everything else is looked at again.
const AT_ONCE: usize = 256;

/// How long after the end of a watcher another one is started: if it cannot live, it shall not keep
/// the machine busy dying.
const REST: Duration = Duration::from_millis(500);

/// The daemon, from when it is ready.
struct Keeper {
    settings: Settings,
    interfaces: Interfaces,
    signals: SignalFd,
    commands: Commands,
    reporter: Reporter,
    log_file: Option<PathBuf>,
    /// What the configuration in force says.
    doors: Doors,
    /// What the watcher has been given last, and has said that it follows.
    followed: (Epoch, Vec<Recognised>),
    /// What it has been given, and has not answered yet.
    ordered: Option<Ordered>,
    /// Something has changed since, and has to be ordered next.
    stale: bool,
    /// Somebody has asked to read the configuration again.
    reload: bool,
    link: Option<Link>,
    /// Whether that follows an order.
    listening: bool,
    /// When to start another watcher, if there is none.
    start_at: Option<Instant>,
}

/// An order without an answer.
struct Ordered {
    epoch: Epoch,
    recognised: Vec<Recognised>,
    /// The doors that come into force with it; `None` if these are the same with other sequences.
    doors: Option<Doors>,
}

impl Keeper {
    /// Until a signal ends it; which.
    fn serve(&mut self) -> Result<Signal, Failure> {
        loop {
            self.wait()?;
            while let Some(signal) = parts::take_signal(&self.signals)? {
                match signal {
                    Signal::SIGHUP => self.reload = true,
                    Signal::SIGCHLD => {}
                    signal => return Ok(signal),
                }
            }
            self.look_after_commands();
            self.listen();
            self.start_another_watcher();
            // One order at a time, to a watcher that is there to take it.
            if self.ordered.is_none() && self.link.is_some() {
                if std::mem::take(&mut self.reload) {
                    self.read_again();
                } else if std::mem::take(&mut self.stale) {
                    self.doors.refresh();
                    self.order(None);
                }
            }
            self.reporter.catch_up();
        }
    }

    /// Waits until there is something to do.
    fn wait(&self) -> Result<(), Failure> {
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.commands.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(self.link.as_ref().map(|link| PollFd::new(link.as_fd(), link.events())));
        fds.extend(self.reporter.names().map(|names| PollFd::new(names, PollFlags::POLLIN)));
        let due = [self.commands.poll_timeout(), self.reporter.poll_timeout(), self.start_at];
        let timeout = due.into_iter().flatten().min().map_or(PollTimeout::NONE, |due| {
            // Rounded up: what is looked at a moment early is not due.
            let left = due.since(clock()).saturating_add(Duration::from_millis(1));
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(system("wait", errno)),
        }
    }

    fn look_after_commands(&mut self) {
        self.commands.handle_children(clock());
        self.commands.handle_timeout(clock());
        self.tell_of_commands();
    }

    fn tell_of_commands(&mut self) {
        for line in self.commands.take_lines() {
            self.reporter.tell_of_command(line);
        }
    }

    /// Hears what the watcher has said; signals must not wait for a watcher that never ends.
    fn listen(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(link) = &mut self.link else { return };
            link.flush();
            match link.hear() {
                Word::Said(message) => self.handle_message(message),
                Word::Nothing => return,
                Word::Ended(how) => return self.lose_watcher(&how),
            }
        }
    }

    fn handle_message(&mut self, message: Message) {
        let (now_in_force, _) = self.followed;
        match message {
            Message::Stage { epoch, door, address, stage } if epoch == now_in_force => {
                if self.reporter.admits_stage() {
                    self.tell_of(door, address, &format!("Stage {stage}"));
                }
            }
            Message::TimedOut { epoch, door, address, stage } if epoch == now_in_force => {
                if self.reporter.admits_stage() {
                    self.tell_of(door, address, &format!("sequence timeout (stage {stage})\n"));
                }
            }
            Message::Open { epoch, door, address, .. } if epoch == now_in_force => {
                self.open(door, address);
            }
            Message::Ready(epoch) => self.settle(epoch),
            Message::Failed(epoch, errno) => {
                let reason = Errno::from_raw(errno).desc();
                self.refuse(epoch, &format!("cannot read packets: {reason}"));
            }
            Message::Missing(epoch, name) => {
                self.refuse(epoch, &format!("this host has no interface {name}"));
            }
            Message::Suppressed(count) => self.reporter.hold(count),
            Message::Lost(name, count) => {
                self.tell_of_interface(format!(
                    "interface {name}: {count} packets lost, they arrived faster than knockd reads"
                ));
            }
            // With each answer to an order comes what is watched: nothing new.
            Message::Watching(name) if self.ordered.is_none() => {
                self.tell_of_interface(format!("interface {name} appeared; listening on it"));
            }
            Message::Unwatched(name) => {
                self.tell_of_interface(format!(
                    "interface {name} disappeared; no longer listening on it"
                ));
            }
            // Of what was in force before.
            Message::Stage { .. }
            | Message::TimedOut { .. }
            | Message::Open { .. }
            | Message::Watching(_) => {}
        }
    }

    fn tell_of_interface(&mut self, text: String) {
        if self.reporter.admits_interface() {
            self.reporter.tell(text);
        }
    }

    fn tell_of(&mut self, door: DoorId, address: IpAddr, what: &str) {
        let Some(door) = self.doors.get(number(door)) else { return };
        let text = [b": ", door.name.as_bytes(), b": ", what.as_bytes()].concat();
        self.reporter.tell_of(address, text);
    }

    /// Somebody has knocked right.
    fn open(&mut self, id: DoorId, address: IpAddr) {
        let (_, followed) = &self.followed;
        let Some(recognised) = followed.get(number(id)) else { return };
        if !may_have_grants(address) {
            return;
        }
        let used = self.doors.use_up(number(id), &recognised.sequence);
        self.stale |= used != Use::Reusable;
        let Some(door) = self.doors.get(number(id)).cloned() else { return };
        let name = door.name.as_bytes();
        let admitted = self.reporter.admits();
        match used {
            Use::Reusable | Use::Once { .. } => {}
            Use::Again | Use::Unknown(_) if !admitted => return,
            Use::Again => {
                return self.tell_of(id, address, "this one-time sequence was already used");
            }
            Use::Unknown(failure) => {
                let error = b"error while disabling used one time sequence for door ";
                self.reporter.tell([error, name, b" --> disabling the door\n"].concat());
                return self.reporter.tell(one_line(&failure));
            }
        }
        if admitted {
            self.tell_of(id, address, "OPEN SESAME");
        }
        let expand = |command: &CommandLine| command.expand(address).into();
        let job = Job {
            door: name.to_vec(),
            address,
            start: door.start_command(address).map(expand),
            stop: door.stop_command(address).map(expand),
            open_for: door.cmd_timeout,
        };
        let opening = self.commands.open(job, clock());
        if admitted && let Opening::Refused(reason) = opening {
            self.tell_of(id, address, &format!("not opened: {reason}"));
        }
        self.tell_of_commands();
        if used == (Use::Once { more: false }) {
            self.tell_of_exhausted(name);
        }
    }

    fn tell_of_exhausted(&mut self, door: &[u8]) {
        let text = b"no more sequences left in the one time sequences file for door ";
        self.reporter.tell([text, door, b" --> disabling the door\n"].concat());
    }

    /// Orders the watcher to follow these doors, or those in force as they are now. It answers later.
    fn order(&mut self, doors: Option<Doors>) {
        // The next watcher is ordered all of it.
        let Some(link) = &mut self.link else { return };
        let (epoch, _) = self.followed;
        let epoch = epoch.wrapping_add(1);
        let recognised = doors.as_ref().unwrap_or(&self.doors).to_recognise();
        let order = order(&self.settings, epoch, self.interfaces.clone(), &recognised, true);
        match link.send(&order) {
            Ok(()) => self.ordered = Some(Ordered { epoch, recognised, doors }),
            Err(failure) => {
                self.reporter.tell(format!("cannot change the doors: {}", failure.message))
            }
        }
    }

    /// The watcher follows an order: now the keeper does too.
    fn settle(&mut self, epoch: Epoch) {
        let Some(ordered) = self.ordered.take_if(|ordered| ordered.epoch == epoch) else { return };
        self.followed = (epoch, ordered.recognised);
        self.listening = true;
        let Some(doors) = ordered.doors else { return };
        self.doors = doors;
        // A sequence may have been used since its file was read.
        self.stale = true;
        self.tell_of_all_exhausted();
        self.tell_systemd();
    }

    fn tell_of_all_exhausted(&mut self) {
        let names: Vec<_> = self.doors.exhausted().map(|door| door.name.clone()).collect();
        for name in names {
            self.tell_of_exhausted(name.as_bytes());
        }
    }

    fn tell_systemd(&self) {
        notify::ready("listening");
    }

    /// The watcher cannot follow an order. What was in force stays so; if nothing was, another watcher
    /// may have more luck.
    fn refuse(&mut self, epoch: Epoch, reason: &str) {
        if !self.listening {
            return self.lose_watcher(&format!("cannot listen ({reason})"));
        }
        if self.ordered.take_if(|ordered| ordered.epoch == epoch).is_some() {
            self.reporter
                .tell(format!("cannot use the new configuration; the old one stays: {reason}"));
            self.tell_systemd();
        }
    }

    fn lose_watcher(&mut self, how: &str) {
        self.reporter.tell(format!("the process that reads packets {how}; starting another"));
        self.link = None;
        self.listening = false;
        // Attempts are lost with it. A reload that it has not answered is read again.
        let ordered = self.ordered.take();
        self.reload |= ordered.is_some_and(|ordered| ordered.doors.is_some());
        self.start_at = Some(clock().after(REST));
    }

    fn start_another_watcher(&mut self) {
        let now = clock();
        if self.start_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        match Link::start(self.settings.background) {
            Ok(link) => {
                self.link = Some(link);
                self.doors.refresh();
                self.order(None);
            }
            Err(failure) => {
                self.reporter.tell(one_line(&failure));
                self.start_at = Some(now.after(REST));
            }
        }
    }
}

/// An order to follow these doors.
fn order(
    settings: &Settings,
    epoch: Epoch,
    interfaces: Interfaces,
    doors: &[Recognised],
    may_come_later: bool,
) -> Order {
    let only_v4 = settings.only_v4;
    let wanted = Wanted { interfaces, may_come_later, only_v4, doors: doors.to_vec() };
    Order { epoch, verbose: settings.debug, text: wanted.to_text() }
}

/// The number of a door in the file.
fn number(door: DoorId) -> usize {
    usize::try_from(door.0).unwrap_or(usize::MAX)
}

/// As one line of the log.
fn one_line(failure: &Failure) -> String {
    match &failure.hint {
        Some(hint) => format!("{} ({hint})", failure.message),
        None => failure.message.clone(),
    }
}
