//! The end: pending stops are run or handed over, and nothing else is opened.

use nix::sys::signal::Signal;
use portcullis_linux::clock;

use super::Keeper;
use crate::daemon::parts;
use crate::door_commands::AtExit;
use crate::exit::Failure;

impl Keeper {
    /// Ends the daemon, as `signal` has asked for; another signal then ends it at once. The exit code.
    ///
    /// An error of the system has the same end, and is returned when nothing is left to do.
    pub(super) fn end(&mut self, signal: Result<Signal, Failure>) -> Result<u8, Failure> {
        // No knock is heard any more.
        self.link = None;
        self.start_at = None;
        self.ordered = None;
        self.reporter.say("waiting for child processes...");
        self.commands.shut_down(self.settings.at_exit, clock());
        self.tell_of_commands();
        let mut patient = signal.is_ok();
        while patient && !self.commands.is_done() {
            self.wait()?;
            while let Some(signal) = parts::take_signal(&self.signals)? {
                patient &= !matches!(signal, Signal::SIGINT | Signal::SIGTERM);
            }
            self.look_after_commands();
            self.reporter.catch_up();
        }
        if !self.commands.is_done() {
            let left = self.commands.pending();
            self.reporter
                .tell(format!("{left} pending stop commands left; the next start runs them"));
        } else if self.settings.at_exit == AtExit::HandOver && self.commands.pending() > 0 {
            let left = self.commands.pending();
            self.reporter
                .tell(format!("{left} pending stop commands handed over to the next start"));
        }
        self.reporter.say("closing...");
        self.reporter.record("shutting down");
        signal.map(exit_code)
    }
}

/// The exit code of a daemon that this signal has ended: its number, as theirs.
pub(super) fn exit_code(signal: Signal) -> u8 {
    u8::try_from(signal as i32).unwrap_or(1)
}
