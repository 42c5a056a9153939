//! The process that changes the firewall. It never reads a packet, and does not trust the process that does:
//! it checks every request against the configuration that it has read itself.
//!
//! Its life has two parts. First it starts the watcher, which needs privileges in order to give them up. Then
//! it gives up all its own privileges except `CAP_NET_ADMIN` forever, before it reads the watcher's first
//! message. So a new configuration goes to the same watcher. The same holds for the runner, which exists only
//! if there are commands at the start.

mod configuration;
mod hearsay;
mod interfaces;
mod resolver_link;
mod runner_link;
mod start;

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use portcullis_config::duration;
use portcullis_config::host::Refuse;
use portcullis_core::limits::{CLOSING_PATIENCE, LINES_PER_SECOND};
use portcullis_core::policy::{DoorId, InterfaceName, Recogniser, may_have_grants};
use portcullis_core::wire::is_of_one_link;
use portcullis_linux::clock;
use portcullis_linux::privileges::{self, KEEPER};
use portcullis_watcher::message::{Epoch, Message, Order};
use portcullis_watcher::pace::Pace;

use self::hearsay::Hearsay;
use self::interfaces::Interfaces;
use self::resolver_link::ResolverLink;
use self::runner_link::{Begun, RunnerLink};
use super::gate::KeeperGate;
use super::notify;
use super::outbox::Outbox;
use super::parts::{self, system};
use crate::exit::{Exit, Failure, Outcome};
use crate::out::{line as say, warn};
pub use configuration::{Configuration, Settings};

/// Whether a `portcullis run` keeps the network namespace of this thread.
///
/// # Errors
///
/// The system does not say.
pub fn is_running() -> Result<bool, Failure> {
    start::is_running()
}

/// Messages that are heard before everything else is looked at again.
const AT_ONCE: usize = 256;

const TELL: &str = "send the configuration to the process that reads packets";

/// Gives up everything but changing the firewall. Only after the watcher has been started: it could
/// not be given what this process no longer has.
fn give_up_all_but_the_firewall() -> Result<(), Failure> {
    privileges::give_up_all_but(&KEEPER).map_err(|error| {
        Failure::could_not(format!("the daemon cannot drop its privileges: {error}"))
    })
}

/// Runs the daemon until it is told to end.
///
/// # Errors
///
/// When it cannot begin, or when one of its two processes ends.
pub fn run(settings: Settings) -> Outcome {
    let mut interfaces = Interfaces::open()?;
    let configuration = Configuration::read(&settings, interfaces.now(), Refuse::All)?;
    start::need_privileges()?;
    let lock = start::lock()?;
    let signals = parts::signals()?;
    let needed = runner_link::is_needed(configuration.policy.has_hooks(), &settings.state_dir);
    let runner = if needed {
        match RunnerLink::start(&settings.state_dir, &signals)? {
            Begun::Ready(runner) => Some(runner),
            Begun::Signalled(runner, signal) => {
                notify::stopping();
                runner.end(&signals, notify::watchdog(), CLOSING_PATIENCE);
                return Ok(end(signal));
            }
        }
    } else {
        None
    };
    let (watcher, socket) = parts::watcher(&["run-process", "watcher"], false)?;
    let resolver = ResolverLink::start(&configuration.policy)?;
    give_up_all_but_the_firewall()?;

    let mut keeper = Keeper {
        gate: KeeperGate::open()?,
        settings,
        signals,
        watcher,
        socket,
        unsent: Outbox::default(),
        runner,
        resolver,
        interfaces,
        current: None,
        pending: None,
        epoch: 0,
        hearsay: Hearsay::new(),
        reload_again: false,
        pace: Pace::new(LINES_PER_SECOND, LINES_PER_SECOND),
        watchdog: notify::watchdog(),
    };
    let outcome = keeper.order(configuration).and_then(|()| keeper.serve());
    notify::stopping();
    if let Some(runner) = keeper.runner.take() {
        runner.end(&keeper.signals, keeper.watchdog, CLOSING_PATIENCE);
    }
    // Until here nobody else may run.
    drop(lock);
    outcome
}

struct Keeper {
    settings: Settings,
    gate: KeeperGate,
    signals: SignalFd,
    watcher: Child,
    socket: OwnedFd,
    /// What of an order the watcher has had no room for yet: one order at most.
    unsent: Outbox,
    /// Nothing when no door runs anything.
    runner: Option<RunnerLink>,
    /// Who looks names up, if there was a name at the start.
    resolver: Option<ResolverLink>,
    interfaces: Interfaces,
    /// What is in force.
    current: Option<(Epoch, Configuration)>,
    /// What the watcher has been given, and has not answered yet.
    pending: Option<(Epoch, Configuration)>,
    epoch: Epoch,
    /// What the watcher says that only people hear.
    hearsay: Hearsay,
    /// Somebody asked for another reload while one was pending.
    reload_again: bool,
    /// Lines about doors that open and names that are found.
    pace: Pace,
    watchdog: Option<Duration>,
}

impl Keeper {
    /// Until a signal, or an error, ends it.
    fn serve(&mut self) -> Outcome {
        loop {
            let (signalled, spoken, found, changed) = self.wait()?;
            if signalled {
                while let Some(signal) = parts::take_signal(&self.signals)? {
                    match signal {
                        Signal::SIGHUP => self.reload()?,
                        Signal::SIGCHLD => self.look_after_children()?,
                        signal => return Ok(end(signal)),
                    }
                }
            }
            if spoken {
                self.listen()?;
            }
            if found {
                self.take_hosts()?;
            }
            if changed || self.interfaces.is_behind() {
                self.follow_interfaces();
            }
            self.send()?;
            let held = self.pace.take_held(clock());
            let held = held.saturating_add(self.hearsay.take_held(clock()));
            if held > 0 {
                say(format_args!("suppressed {held} lines"));
            }
            if self.watchdog.is_some() {
                notify::alive();
            }
        }
    }

    /// Waits for signals, for words of the watcher, for answers of the resolver and for changes of
    /// interfaces; which of them there are. Room for what is still to be sent ends the waiting too.
    fn wait(&self) -> Result<(bool, bool, bool, bool), Failure> {
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.socket.as_fd(), self.unsent.events()),
            PollFd::new(self.interfaces.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(self.resolver.iter().map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN)));
        let (changed, found) = (2, 3);
        let behind = self.runner.iter().filter(|runner| runner.is_behind());
        fds.extend(behind.map(|runner| PollFd::new(runner.as_fd(), PollFlags::POLLOUT)));
        let held = self.pace.holds() || self.hearsay.holds() || self.interfaces.is_behind();
        let held = held.then_some(Duration::from_secs(1));
        let timeout = held.into_iter().chain(self.watchdog).min();
        let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
            PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(system("wait", errno)),
        }
        let is_ready = |at: usize| fds.get(at).is_some_and(|fd| fd.any().unwrap_or(true));
        let found = self.resolver.is_some() && is_ready(found);
        Ok((is_ready(0), is_ready(1), found, is_ready(changed)))
    }

    /// Hears what the watcher has said; signals must not wait for a watcher that never ends.
    fn listen(&mut self) -> Result<(), Failure> {
        for _ in 0..AT_ONCE {
            match Message::receive(self.socket.as_fd(), false) {
                Ok(Some(message)) => self.hear(message)?,
                Ok(None) => return Err(self.watcher_ended()),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EBADMSG) => return Err(what_it_never_should()),
                Err(errno) => {
                    return Err(system("receive from the process that reads packets", errno));
                }
            }
        }
        Ok(())
    }

    fn hear(&mut self, message: Message) -> Result<(), Failure> {
        match message {
            Message::Open { epoch, door, address, open_for } => {
                self.open(epoch, door, address, open_for)?;
            }
            Message::Stage { epoch, door, address, stage } => {
                if self.hearsay.admits_stage(clock())
                    && let Some(name) = self.door_name(epoch, door)
                {
                    say(format_args!("{address}: {name}: stage {stage}"));
                }
            }
            // The watcher of native doors does not tell of this.
            Message::TimedOut { .. } => return Err(what_it_never_should()),
            Message::Suppressed(count) => self.hearsay.hold_stages(count, clock()),
            Message::Lost(name, count) => {
                if self.hearsay.admits_interface(clock()) {
                    warn(format_args!(
                        "interface {name}: {count} packets lost, they arrived faster than the \
                         daemon reads; only the kernel saw knocks among them"
                    ));
                }
            }
            Message::Watching(name) => {
                if self.pending.is_none() && self.hearsay.admits_interface(clock()) {
                    say(format_args!("interface {name} appeared; watching it"));
                }
                self.hearsay.add(name);
            }
            Message::Unwatched(name) => {
                self.hearsay.remove(&name);
                if self.hearsay.admits_interface(clock()) {
                    warn(format_args!("interface {name} disappeared; no longer watching it"));
                }
            }
            // Nobody can answer an order of which he has not heard the end.
            message if message.is_answer() && !self.unsent.is_empty() => {
                return Err(what_it_never_should());
            }
            Message::Ready(epoch) => self.settle(epoch)?,
            Message::Missing(epoch, name) => {
                self.refuse(
                    epoch,
                    Failure::could_not(format!("this host has no interface `{name}`"))
                        .hint("create the interface first, or remove it from `interfaces`"),
                )?;
            }
            Message::Failed(epoch, errno) => {
                self.refuse(epoch, start::cannot_capture(Errno::from_raw(errno)))?;
            }
        }
        Ok(())
    }

    /// A request for a grant. One that the configuration does not allow is never made by the watcher
    /// that we have written: whoever makes it has taken its place.
    fn open(
        &mut self,
        epoch: Epoch,
        id: DoorId,
        address: IpAddr,
        open_for: Duration,
    ) -> Result<(), Failure> {
        let Some((_, configuration)) = self.current.as_ref().filter(|(now, _)| *now == epoch)
        else {
            return Ok(());
        };
        let door = configuration.policy.door(id).filter(|door| {
            let length = !open_for.is_zero() && open_for <= door.open_for;
            let one = may_have_grants(address) && !is_of_one_link(address);
            door.is_seen_by(Recogniser::Daemon) && length && one
        });
        let Some(door) = door else {
            return Err(Failure::could_not(
                "the process that reads packets asked for a grant that the configuration does not \
                 allow",
            )
            .hint("the daemon stops; please report this bug"));
        };
        let guards = !door.guards.is_empty();
        let result = if guards { self.gate.grant(&door.name, address, open_for) } else { Ok(()) };
        // What the kernel does not let in, no command shall let in.
        let told = match &mut self.runner {
            Some(runner) if door.hooks.is_some() && result.is_ok() => {
                runner.open(&Message::Open { epoch, door: id, address, open_for })?
            }
            _ => true,
        };
        if self.pace.admits(clock()) {
            let name = &door.name;
            match result {
                Ok(()) if guards => {
                    say(format_args!("{address}: {name}: open for {}", duration::format(open_for)))
                }
                Ok(()) => say(format_args!("{address}: {name}: sequence complete")),
                Err(failure) => {
                    let reason = failure.message;
                    warn(format_args!(
                        "{address}: {name}: sequence complete, but the grant failed: {reason}"
                    ));
                }
            }
            if !told {
                warn(format_args!(
                    "{address}: {name}: on_open is not run: too many `on_open` commands are waiting"
                ));
            }
        }
        Ok(())
    }

    fn door_name(&self, epoch: Epoch, id: DoorId) -> Option<&str> {
        let (_, configuration) = self.current.as_ref().filter(|(now, _)| *now == epoch)?;
        Some(configuration.policy.door(id)?.name.as_str())
    }

    /// Gives the watcher a configuration; it answers later.
    fn order(&mut self, configuration: Configuration) -> Result<(), Failure> {
        self.epoch = self.epoch.wrapping_add(1);
        let (epoch, verbose) = (self.epoch, self.settings.verbose);
        self.hearsay.begin_again();
        let order = Order { epoch, verbose, text: configuration.text.clone() };
        self.pending = Some((epoch, configuration));
        self.unsent.extend(order.packets().map_err(|errno| system(TELL, errno))?);
        self.send()
    }

    /// Sends what there is room for: to the watcher, and to the runner. It never waits, for it must not
    /// be deaf, to neither signals nor the watcher, which may itself wait for room.
    fn send(&mut self) -> Result<(), Failure> {
        match self.unsent.flush(self.socket.as_fd()) {
            Ok(()) => {}
            Err(Errno::EPIPE) => return Err(self.watcher_ended()),
            Err(errno) => return Err(system(TELL, errno)),
        }
        let Some(runner) = self.runner.as_mut().filter(|runner| runner.is_behind()) else {
            return Ok(());
        };
        runner.flush()?;
        if runner.is_behind() { Ok(()) } else { self.reload_if_asked() }
    }

    /// The watcher follows a configuration: now the kernel does too.
    fn settle(&mut self, epoch: Epoch) -> Result<(), Failure> {
        let Some((_, configuration)) = self.pending.take_if(|(pending, _)| *pending == epoch)
        else {
            return Ok(());
        };
        let found = self.resolver.as_ref().map(ResolverLink::found).unwrap_or_default();
        match self.gate.establish(&configuration.policy, found) {
            Ok(established) => say(format_args!("{established}")),
            Err(failure) => {
                // The watcher goes back to what the kernel still has.
                let Some((_, before)) = self.current.take() else { return Err(failure) };
                warn(format_args!("cannot load the new rules; the old ones stay: {failure}"));
                return self.order(before);
            }
        }
        if let Some(runner) = &mut self.runner {
            let text = configuration.text.clone();
            runner.order(&Order { epoch, verbose: self.settings.verbose, text })?;
        }
        if let Some(resolver) = &mut self.resolver {
            resolver.ask(epoch, &configuration.policy)?;
        }
        let status = self.status(&configuration);
        self.interfaces.begin(&configuration.policy.gate);
        self.current = Some((epoch, configuration));
        say(format_args!("ready: {status}"));
        notify::ready(&status);
        self.reload_if_asked()
    }

    /// The watcher cannot follow a configuration.
    fn refuse(&mut self, epoch: Epoch, failure: Failure) -> Result<(), Failure> {
        if self.pending.take_if(|(pending, _)| *pending == epoch).is_none() {
            return Ok(());
        }
        let Some((_, configuration)) = &self.current else { return Err(failure) };
        warn(format_args!("cannot use the new configuration; the old one stays: {failure}"));
        notify::ready(&self.status(configuration));
        self.reload_if_asked()
    }

    fn status(&self, configuration: &Configuration) -> String {
        let names: Vec<&str> = self.hearsay.watching().iter().map(InterfaceName::as_str).collect();
        let mut doors = configuration.policy.doors_seen_by(Recogniser::Daemon);
        match (doors.next(), names.as_slice()) {
            (None, _) => {
                "nothing to watch, the kernel recognises the knocks of all doors".to_owned()
            }
            (_, []) => "no interface to watch yet".to_owned(),
            (_, names) => format!("watching {}", names.join(", ")),
        }
    }

    /// Reads the configuration again. A bad one changes nothing.
    fn reload(&mut self) -> Result<(), Failure> {
        // One order at a time, so that what is to be sent has a bound.
        if self.pending.is_some() || self.runner.as_ref().is_some_and(RunnerLink::is_behind) {
            self.reload_again = true;
            return Ok(());
        }
        notify::reloading();
        let now = self.interfaces.now();
        let read =
            Configuration::read(&self.settings, now, Refuse::Any).and_then(|configuration| {
                let can = self.runner.is_some() || !configuration.policy.has_hooks();
                let configuration = self.can_look_up(configuration)?;
                can.then_some(configuration).ok_or_else(|| {
                    Failure::could_not(
                        "a door now has `on_open` or `on_close`, but the daemon was started \
                         without commands to run",
                    )
                    .hint("systemctl restart portcullis-run")
                })
            });
        match read {
            Ok(configuration) => self.order(configuration),
            Err(failure) => {
                let reason =
                    if failure.message.is_empty() { String::new() } else { format!(": {failure}") };
                warn(format_args!("cannot use the new configuration; the old one stays{reason}"));
                if let Some((_, configuration)) = &self.current {
                    notify::ready(&self.status(configuration));
                }
                Ok(())
            }
        }
    }

    /// Says where the gate no longer stands, or stands again.
    fn follow_interfaces(&mut self) {
        let gate = self.current.as_ref().map(|(_, configuration)| &configuration.policy.gate);
        self.interfaces.follow(gate);
    }

    fn reload_if_asked(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.reload_again) { self.reload() } else { Ok(()) }
    }

    /// A child has changed its state; if it has ended, so does the keeper.
    fn look_after_children(&mut self) -> Result<(), Failure> {
        if let Some(runner) = &mut self.runner {
            runner.look_after()?;
        }
        if let Some(resolver) = &mut self.resolver {
            resolver.must_live()?;
        }
        match self.watcher.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(self.watcher_ended()),
        }
    }

    /// The watcher has ended, or has closed its socket, which comes to the same.
    fn watcher_ended(&mut self) -> Failure {
        let mut fds = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let status = match self.watcher.try_wait() {
            Ok(None) => {
                // Whether it comes to an end or not, ours makes sure of it: see `confine`.
                let _ = poll(&mut fds, parts::LAST_MOMENTS);
                self.watcher.try_wait()
            }
            other => other,
        };
        let how = match status {
            Ok(Some(status)) => format!(" ({status})"),
            _ => String::new(),
        };
        Failure::could_not(format!("the process that reads packets exited{how}")).hint(
            "the rules stay loaded and guarded ports stay guarded; start the daemon again: \
             systemctl restart portcullis-run",
        )
    }
}

fn what_it_never_should() -> Failure {
    Failure::could_not("invalid message from the process that reads packets")
        .hint("the daemon stops; please report this bug")
}

fn end(signal: Signal) -> Exit {
    say(format_args!(
        "stopped by {signal}; the rules stay loaded and guarded ports stay guarded (`portcullis \
         remove` opens them)"
    ));
    Exit::Done
}
