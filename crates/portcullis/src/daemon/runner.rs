//! The process that runs what doors run, with all the privileges that the daemon was started with.
//!
//! It reads no packet and touches no firewall. It is told of openings in messages of one fixed size,
//! and looks up by itself what its configuration has for them: whoever takes the watcher over can have
//! commands run that are in the configuration, for addresses, and nothing else.
//!
//! What is to be closed is on disk before anything is opened ([`crate::door_commands`]). When the keeper ends,
//! in whichever way, everything is closed at once; when this process ends with it, by the next start.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use portcullis_config::duration;
use portcullis_core::limits::LINES_PER_SECOND;
use portcullis_core::policy::{Door, DoorId, Policy, Recogniser, may_have_grants};
use portcullis_core::text::plain;
use portcullis_linux::clock;
use portcullis_linux::sys::{process, spawn};
use portcullis_watcher::message::{Epoch, Message, Order, Told};
use portcullis_watcher::pace::Pace;

use super::parts::{self, system};
use crate::config;
use crate::door_commands::{AtExit, Command, Commands, Job, Line, Opening, Options, Which};
use crate::exit::{Exit, Failure, Outcome};
use crate::out::{line as say, warn};

/// Messages that are heard before everything else is looked at again.
const AT_ONCE: usize = 256;

/// How often to look at commands that no descriptor tells of, in kernels before 5.3.
const LOOK: Duration = Duration::from_secs(1);

/// Characters of a command that are shown.
const SHOWN: usize = 300;

/// Runs the process. Its standard input is the socket to its keeper.
///
/// # Errors
///
/// When it is not started by its keeper, cannot keep records, or is told what it never should be.
pub fn run(state_dir: &Path) -> Outcome {
    let cannot =
        |error| Failure::could_not(format!("the process that runs commands cannot start: {error}"));
    spawn::inherit_nothing().map_err(cannot)?;
    // The keeper ends this process, by ending itself: there is something to be done then.
    process::ignore_signals().map_err(cannot)?;
    let keeper = parts::keeper()?;
    let mut commands = Commands::new(Options::default())?;
    commands.keep_records(state_dir, clock())?;
    // If it has ended already, the first look at the socket tells.
    let _ = Message::Ready(0).send(keeper.as_fd(), true);
    let pace = Pace::new(LINES_PER_SECOND, LINES_PER_SECOND);
    let mut runner = Runner { keeper: Some(keeper), commands, current: None, pace };
    runner.tell();
    runner.serve()
}

struct Runner {
    /// Nothing once it has ended.
    keeper: Option<OwnedFd>,
    commands: Commands,
    /// What is in force.
    current: Option<(Epoch, Policy)>,
    pace: Pace,
}

impl Runner {
    /// Until the keeper has ended, and everything is closed.
    fn serve(&mut self) -> Outcome {
        let mut outcome = Ok(Exit::Done);
        while self.keeper.is_some() || !self.commands.is_done() {
            self.wait()?;
            match self.listen() {
                Ok(true) => {}
                Ok(false) => self.close_all(),
                Err(failure) => {
                    outcome = Err(failure);
                    self.close_all();
                }
            }
            self.commands.handle_children(clock());
            self.commands.handle_timeout(clock());
            self.tell();
        }
        outcome
    }

    /// Nobody is there to open anything any more.
    fn close_all(&mut self) {
        self.keeper = None;
        self.commands.shut_down(AtExit::RunStops, clock());
    }

    fn wait(&self) -> Result<(), Failure> {
        let mut fds = vec![PollFd::new(self.commands.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.keeper.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        let look = self.commands.running() > 0 || self.pace.holds();
        // Rounded up: what is looked at a moment early is not due.
        let due = self.commands.poll_timeout();
        let due = due.map(|due| due.since(clock()).saturating_add(Duration::from_millis(1)));
        let timeout = look.then_some(LOOK).into_iter().chain(due).min();
        let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
            PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(system("wait", errno)),
        }
    }

    /// Hears what the keeper has said; `false` when it has ended.
    fn listen(&mut self) -> Result<bool, Failure> {
        for _ in 0..AT_ONCE {
            let Some(keeper) = &self.keeper else { return Ok(true) };
            match Told::receive(keeper.as_fd()) {
                Ok(Some(Told::Order(order))) => self.obey(&order)?,
                Ok(Some(Told::Message(Message::Open { epoch, door, address, .. }))) => {
                    self.open(epoch, door, address)?;
                }
                Ok(None) => return Ok(false),
                Err(Errno::EAGAIN) => return Ok(true),
                Ok(Some(Told::Message(_))) | Err(Errno::EBADMSG) => return Err(never()),
                Err(errno) => return Err(system("receive from the main process", errno)),
            }
        }
        Ok(true)
    }

    /// Follows a configuration. What is open is closed as it was to be closed.
    fn obey(&mut self, order: &Order) -> Result<(), Failure> {
        // The keeper has read the same text.
        let loaded = config::parse_str("configuration", &order.text).map_err(|_| never())?;
        self.current = Some((order.epoch, loaded.policy));
        Ok(())
    }

    /// Somebody has knocked right, at a door that runs something.
    fn open(&mut self, epoch: Epoch, id: DoorId, address: IpAddr) -> Result<(), Failure> {
        let current = self.current.as_ref().filter(|(now, _)| *now == epoch);
        let door = current.and_then(|(_, policy)| policy.door(id));
        let seen = |door: &&Door| door.is_seen_by(Recogniser::Daemon) && may_have_grants(address);
        let door = door.filter(seen).ok_or_else(never)?;
        let hooks = door.hooks.as_ref().ok_or_else(never)?;
        let fill =
            |hook: &portcullis_core::policy::Hook| Command::Program(hook.fill(&door.name, address));
        let job = Job {
            door: door.name.as_str().into(),
            address,
            start: Some(fill(&hooks.on_open)),
            stop: hooks.on_close.as_ref().map(fill),
            open_for: door.open_for,
        };
        let opening = self.commands.open(job, clock());
        let name = &door.name;
        match opening {
            Opening::Refused(reason) if self.pace.admits(clock()) => {
                warn(format_args!("{address}: {name}: on_open is not run: {reason}"));
            }
            Opening::Extended { until: None } if self.pace.admits(clock()) => {
                say(format_args!("{address}: {name}: already open; on_open is still running"));
            }
            _ => {}
        }
        self.tell();
        Ok(())
    }

    /// Tells what has become of commands.
    fn tell(&mut self) {
        for line in self.commands.take_lines() {
            if !self.pace.admits(clock()) {
                continue;
            }
            match line {
                Line::Running { door, address, which, command } => {
                    let (door, hook, command) = (text(&door), hook(which), shown(&command));
                    say(format_args!("{address}: {door}: {hook}: {command}"));
                }
                Line::Status { door, address, which, code } => {
                    let (door, hook) = (text(&door), hook(which));
                    match code {
                        0 => warn(format_args!("{address}: {door}: {hook} was killed")),
                        _ => warn(format_args!(
                            "{address}: {door}: {hook} exited with status {code}"
                        )),
                    }
                }
                Line::NotBegun { door, address, which, error } => {
                    let (door, hook) = (text(&door), hook(which));
                    warn(format_args!("{address}: {door}: cannot run {hook}: {error}"));
                }
                Line::Extended { door, address, open_for } => {
                    let (door, time) = (text(&door), duration::format(open_for));
                    say(format_args!(
                        "{address}: {door}: already open; on_close now runs in {time}"
                    ));
                }
                // What is run is told.
                Line::Timeout { .. } => {}
                Line::Note(text) => say(format_args!("{text}")),
                Line::Trouble(text) => warn(format_args!("{text}")),
            }
        }
        let held = self.pace.take_held(clock());
        if held > 0 {
            say(format_args!("suppressed {held} lines about commands"));
        }
    }
}

const fn hook(which: Which) -> &'static str {
    match which {
        Which::Start => "on_open",
        Which::Stop => "on_close",
    }
}

fn text(door: &[u8]) -> String {
    plain(&String::from_utf8_lossy(door))
}

/// A command on one line, or the beginning of one.
fn shown(command: &Command) -> String {
    let text = plain(&command.display().to_string());
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{} ...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

fn never() -> Failure {
    Failure::could_not("invalid message from the main process")
        .hint("all `on_close` commands run and the daemon stops; please report this bug")
}
