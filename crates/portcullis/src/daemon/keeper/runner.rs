//! The keeper's view of the process that runs what doors run.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use super::LAST_MOMENTS;
use crate::daemon::message::{self, Message, Order};
use crate::daemon::notify;
use crate::daemon::parts::{self, system};
use crate::exit::Failure;
use crate::runner::records;
use crate::sys::shell;

/// The process, and the socket to it.
pub(super) struct Runner {
    child: Child,
    socket: OwnedFd,
}

/// Whether there is anything for it to do: commands in the configuration, or what an earlier one has
/// left open, whatever the configuration is now.
pub(super) fn is_needed(has_hooks: bool, state_dir: &Path) -> bool {
    has_hooks || records::has_any(state_dir)
}

impl Runner {
    /// Starts it. It has taken over what an earlier one has left open when this returns.
    pub(super) fn start(state_dir: &Path) -> Result<Self, Failure> {
        let (child, socket) = parts::runner(state_dir)?;
        let mut runner = Self { child, socket };
        match Message::receive(runner.socket.as_fd(), true) {
            Ok(Some(Message::Ready(_))) => Ok(runner),
            // It has said why.
            Ok(None) => match runner.child.wait() {
                Ok(_) => Err(Failure::could_not("what doors run could not be run")),
                Err(error) => Err(Failure::could_not(format!("cannot wait: {error}"))),
            },
            Ok(Some(_)) | Err(Errno::EBADMSG) => {
                Err(Failure::could_not("the process that runs commands says what it never should"))
            }
            Err(errno) => Err(system("hear the process that runs commands", errno)),
        }
    }

    /// Gives it the configuration that is in force from now on.
    pub(super) fn order(&mut self, order: &Order) -> Result<(), Failure> {
        let doing = "give the runner its configuration";
        let packets = order.packets().map_err(|errno| system(doing, errno))?;
        for packet in packets {
            match message::send(self.socket.as_fd(), &packet, true) {
                Ok(()) => {}
                Err(Errno::EPIPE) => return Err(self.ended()),
                Err(errno) => return Err(system(doing, errno)),
            }
        }
        Ok(())
    }

    /// Tells it of an opening; `false` when it is too far behind to hear of it. Grants must not wait
    /// for commands.
    pub(super) fn open(&mut self, opening: &Message) -> Result<bool, Failure> {
        match opening.send(self.socket.as_fd(), false) {
            Ok(()) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(Errno::EPIPE) => Err(self.ended()),
            Err(errno) => Err(system("tell the runner of an opening", errno)),
        }
    }

    /// An error if it has ended.
    pub(super) fn look_after(&mut self) -> Result<(), Failure> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(self.ended()),
        }
    }

    /// It has ended, or has closed its socket, which comes to the same.
    fn ended(&mut self) -> Failure {
        let how = match self.status_soon() {
            Some(status) => format!(" ({status})"),
            None => String::new(),
        };
        Failure::could_not(format!("the process that runs commands has ended{how}")).hint(
            "start `portcullis run` again: it runs every `on_close` that is still to come at once",
        )
    }

    fn status_soon(&mut self) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        // The end of the socket comes a moment before that of the process.
        if let Ok(end) = shell::pidfd(self.child.id()) {
            let mut fds = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::from(LAST_MOMENTS));
        }
        self.child.try_wait().ok().flatten()
    }

    /// Lets it close everything, and waits for that; another signal ends the waiting, and what is still
    /// to be closed then goes on being closed.
    pub(super) fn end(self, signals: &SignalFd, watchdog: Option<Duration>) {
        let Self { mut child, socket } = self;
        drop(socket);
        let timeout = watchdog.map_or(PollTimeout::NONE, |timeout| {
            PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)
        });
        while let Ok(None) = child.try_wait() {
            let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            if let Err(errno) = poll(&mut fds, timeout)
                && errno != Errno::EINTR
            {
                return;
            }
            while let Ok(Some(signal)) = parts::take_signal(signals) {
                if matches!(signal, Signal::SIGINT | Signal::SIGTERM) {
                    return;
                }
            }
            if watchdog.is_some() {
                notify::alive();
            }
        }
    }
}
