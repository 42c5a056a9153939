//! The keeper's link to the process that runs the commands of doors.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use portcullis_core::limits::MAX_WAITING_OPENINGS;
use portcullis_linux::sys::spawn;
use portcullis_watcher::message::{Message, Order};

use crate::daemon::notify;
use crate::daemon::outbox::Outbox;
use crate::daemon::parts::LAST_MOMENTS;
use crate::daemon::parts::{self, system};
use crate::door_commands::records;
use crate::exit::Failure;
use crate::out::warn;

/// The process, and the socket to it.
pub(super) struct RunnerLink {
    child: Child,
    socket: OwnedFd,
    /// An order that it has had no room for yet, and openings behind it.
    unsent: Outbox,
}

/// How its start has gone.
pub(super) enum Begun {
    /// It has taken over what an earlier one has left open.
    Ready(RunnerLink),
    /// A signal has come first that ends the daemon. The runner may be closing already what was left open.
    Signalled(RunnerLink, Signal),
}

impl AsFd for RunnerLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

const TELL: &str = "send to the process that runs commands";

/// Whether there is anything for it to do: commands in the configuration, or what an earlier one has
/// left open, whatever the configuration is now.
pub(super) fn is_needed(has_hooks: bool, state_dir: &Path) -> bool {
    has_hooks || records::has_any(state_dir)
}

impl RunnerLink {
    /// Starts it, and waits until it is ready or a signal ends the daemon.
    pub(super) fn start(state_dir: &Path, signals: &SignalFd) -> Result<Begun, Failure> {
        let (child, socket) = parts::runner(state_dir)?;
        let mut runner = Self { child, socket, unsent: Outbox::default() };
        loop {
            let fds = [signals.as_fd(), runner.as_fd()];
            let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(system("wait", errno)),
            }
            match Message::receive(runner.socket.as_fd(), false) {
                Ok(Some(Message::Ready(_))) => return Ok(Begun::Ready(runner)),
                // It has said why.
                Ok(None) => {
                    return Err(match runner.child.wait() {
                        Ok(_) => Failure::could_not("the process that runs commands did not start"),
                        Err(error) => Failure::could_not(format!("cannot wait: {error}")),
                    });
                }
                Ok(Some(_)) | Err(Errno::EBADMSG) => {
                    return Err(Failure::could_not(
                        "invalid message from the process that runs commands",
                    ));
                }
                Err(Errno::EAGAIN) => {}
                Err(errno) => {
                    return Err(system("receive from the process that runs commands", errno));
                }
            }
            while let Some(signal) = parts::take_signal(signals)? {
                if matches!(signal, Signal::SIGINT | Signal::SIGTERM) {
                    return Ok(Begun::Signalled(runner, signal));
                }
            }
        }
    }

    /// Gives it the configuration that is in force from now on. Not while it [is
    /// behind](Self::is_behind): orders would pile up.
    pub(super) fn order(&mut self, order: &Order) -> Result<(), Failure> {
        self.unsent.extend(order.packets().map_err(|errno| system(TELL, errno))?);
        self.flush()
    }

    /// Tells it of an opening; `false` when it is too far behind to hear of it. Grants must not wait
    /// for commands.
    pub(super) fn open(&mut self, opening: &Message) -> Result<bool, Failure> {
        if self.unsent.len() >= MAX_WAITING_OPENINGS {
            return Ok(false);
        }
        self.unsent.extend([opening.encode().to_vec()]);
        self.flush()?;
        Ok(true)
    }

    /// Whether something waits until it reads.
    pub(super) fn is_behind(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends what there is room for.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        match self.unsent.flush(self.socket.as_fd()) {
            Ok(()) => Ok(()),
            Err(Errno::EPIPE) => Err(self.ended()),
            Err(errno) => Err(system(TELL, errno)),
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
        Failure::could_not(format!("the process that runs commands exited{how}")).hint(
            "restart the daemon to run all pending `on_close` commands: systemctl restart \
             portcullis-run",
        )
    }

    fn status_soon(&mut self) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        // The end of the socket comes a moment before that of the process.
        if let Ok(end) = spawn::pidfd(self.child.id()) {
            let mut fds = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::from(LAST_MOMENTS));
        }
        self.child.try_wait().ok().flatten()
    }

    /// Lets it close everything, and waits for that for so long; another signal ends the waiting too. What
    /// is still to be closed then goes on being closed.
    pub(super) fn end(self, signals: &SignalFd, watchdog: Option<Duration>, patience: Duration) {
        let Self { mut child, socket, .. } = self;
        drop(socket);
        if !wait_until(signals, watchdog, patience, || !matches!(child.try_wait(), Ok(None))) {
            warn(format_args!(
                "the daemon stops while `on_close` commands are still running; these continue"
            ));
        }
    }
}

/// Waits until this is so or a signal asks to wait no longer; `false` if neither is so after `patience`.
/// SIGCHLD is a reason to look.
fn wait_until(
    signals: &SignalFd,
    watchdog: Option<Duration>,
    patience: Duration,
    mut is_so: impl FnMut() -> bool,
) -> bool {
    let begun = Instant::now();
    while !is_so() {
        let left = patience.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return false;
        }
        // Rounded up, so that nothing is left then.
        let left = left.saturating_add(Duration::from_millis(1));
        let timeout = watchdog.map_or(left, |watchdog| watchdog.min(left));
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return true,
        }
        while let Ok(Some(signal)) = parts::take_signal(signals) {
            if matches!(signal, Signal::SIGINT | Signal::SIGTERM) {
                return true;
            }
        }
        if watchdog.is_some() {
            notify::alive();
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_does_not_wait_for_a_runner_that_never_ends() {
        let signals = parts::signals().unwrap();
        let moment = Duration::from_millis(20);
        assert!(!wait_until(&signals, None, moment, || false));
        assert!(!wait_until(&signals, Some(moment / 10), moment, || false));
        let mut looks = 0;
        let third = || {
            looks += 1;
            looks == 3
        };
        assert!(wait_until(&signals, Some(moment), Duration::from_secs(600), third));
        nix::sys::signal::raise(Signal::SIGTERM).unwrap();
        assert!(wait_until(&signals, None, Duration::from_secs(600), || false));
    }
}
