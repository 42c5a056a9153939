//! What is told of what happens: lines of the log, in order, with the names of hosts if they are asked
//! for, and not more of them than a stranger may cause.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, SystemTime};

use portcullis_core::limits::{INTERFACE_LINES, LINES_PER_SECOND, STAGE_LINES};
use portcullis_core::time::Instant;
use portcullis_linux::clock;
use portcullis_watcher::pace::Pace;

use super::journal::{Entry, Journal, Line};
use super::log::Log;
use super::lookup::{Answer, Lookup};
use crate::door_commands::{Command, Line as OfCommands};
use crate::out;

/// Lines about openings and commands: so many at once, and in the long run so many in a second. Only
/// a door of one knock, at which anyone can knock in anyone's name, can make more.
const PACE: (u32, u32) = (2000, 100);

/// Tells.
#[derive(Debug)]
pub struct Reporter {
    log: Log,
    journal: Journal,
    /// With `-l`.
    lookup: Option<Lookup>,
    pace: Pace,
    /// Lines about what has opened nothing yet.
    stages: Pace,
    /// Lines about interfaces.
    interfaces: Pace,
}

impl Reporter {
    /// With this log.
    pub fn new(log: Log) -> Self {
        let (burst, per_second) = PACE;
        let pace = Pace::new(burst, per_second);
        // The watcher holds back what is too much. One that was taken over does not, and what an honest one
        // has sent in a while may arrive at once.
        let (burst, per_second) = STAGE_LINES;
        let stages = Pace::new(burst.saturating_mul(2), per_second);
        let interfaces = Pace::new(INTERFACE_LINES, LINES_PER_SECOND);
        Self { log, journal: Journal::new(), lookup: None, pace, stages, interfaces }
    }

    /// Names are looked up from now on.
    ///
    /// # Errors
    ///
    /// As [`Lookup::new`], which also says when this may be called.
    pub fn look_names_up(&mut self) -> io::Result<()> {
        self.lookup = Some(Lookup::new()?);
        Ok(())
    }

    /// A line.
    pub fn tell(&mut self, message: impl Into<Vec<u8>>) {
        let lines = self.journal.add(Entry::without_name(SystemTime::now(), message));
        self.write(lines);
    }

    /// A line that begins with an address, and its name.
    pub fn tell_of(&mut self, address: IpAddr, after: impl Into<Vec<u8>>) {
        let now = clock();
        let name = self.lookup.as_mut().map(|lookup| lookup.ask(address, now));
        let name = name.unwrap_or(Answer::Known(None));
        let (at, before) = (SystemTime::now(), address.to_string().into_bytes());
        let entry = Entry { at, before, after: after.into() };
        let lines = self.journal.add_named(entry, address, name, now);
        self.write(lines);
    }

    /// A line for the log alone, and not for `-v`.
    pub fn record(&mut self, message: &str) {
        self.write_all();
        self.log.record(SystemTime::now(), message.as_bytes());
    }

    /// A line for `-v` alone.
    pub fn say(&self, message: &str) {
        self.log.say(message.as_bytes());
    }

    /// A line for syslog and `-v`, and not for the file.
    pub fn tell_aside(&mut self, message: &str) {
        self.write_all();
        self.log.aside(SystemTime::now(), message.as_bytes());
    }

    /// What `-D` prints.
    pub fn print(&self, text: &[u8]) {
        out::write(text);
    }

    /// Whether a line that a stranger has caused may be told of. Those that may not are counted.
    pub fn admits(&mut self) -> bool {
        self.pace.admits(clock())
    }

    /// Whether a line about what has opened nothing may be told. Those that may not are counted.
    pub fn admits_stage(&mut self) -> bool {
        self.stages.admits(clock())
    }

    /// Whether a line about an interface may be told. Those that may not are counted.
    pub fn admits_interface(&mut self) -> bool {
        self.interfaces.admits(clock())
    }

    /// The watcher has held back so many lines by itself.
    pub fn hold(&mut self, count: u32) {
        self.stages.hold(count, clock());
    }

    /// A line about a command.
    pub fn tell_of_command(&mut self, line: OfCommands) {
        match line {
            // These are few: they are about the daemon itself.
            OfCommands::Note(text) | OfCommands::Trouble(text) => self.tell(text),
            OfCommands::NotBegun { door, which, error, .. } => {
                let door = String::from_utf8_lossy(&door);
                // The first words are theirs.
                self.tell(format!("error: command fork failed! ({door}, {which}: {error})"));
            }
            _ if !self.admits() => {}
            OfCommands::Running { door, command, .. } => {
                let command = match command {
                    Command::Shell(line) => line.into_encoded_bytes(),
                    list @ Command::Program(_) => list.display().to_string().into_bytes(),
                };
                self.tell([&door, &b": running command: "[..], &command, b"\n"].concat());
            }
            OfCommands::Status { door, code, .. } => {
                let text = format!(": command returned non-zero status code ({code})");
                self.tell([&door, text.as_bytes()].concat());
            }
            OfCommands::Timeout { door, address } => {
                self.tell_of(address, [b": ", &door[..], b": command timeout"].concat());
            }
            OfCommands::Extended { door, address, open_for } => {
                let text = format!(": already open, now for {} s more", open_for.as_secs());
                self.tell_of(address, [b": ", &door[..], text.as_bytes()].concat());
            }
        }
    }

    /// Tells what has waited: for a name, or for a second to end.
    pub fn catch_up(&mut self) {
        let now = clock();
        let answers = self.lookup.as_mut().map(|lookup| lookup.take_answers(now));
        for (address, name) in answers.into_iter().flatten() {
            let lines = self.journal.answer(address, name.as_ref());
            self.write(lines);
        }
        let lines = self.journal.due(now);
        self.write(lines);
        let paces = [&mut self.pace, &mut self.stages, &mut self.interfaces];
        let held = paces.into_iter().map(|pace| pace.take_held(now));
        let held = held.fold(0, u32::saturating_add);
        if held > 0 {
            self.tell(format!("suppressed {held} lines"));
        }
    }

    /// When [`catch_up`](Self::catch_up) has something to do, at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let held = (self.pace.holds() || self.stages.holds() || self.interfaces.holds())
            .then(|| clock().after(Duration::from_secs(1)));
        held.into_iter().chain(self.journal.deadline()).min()
    }

    /// Ready when names have been found.
    pub fn names(&self) -> Option<BorrowedFd<'_>> {
        self.lookup.as_ref().map(AsFd::as_fd)
    }

    /// Tells everything, whatever it waits for.
    pub fn write_all(&mut self) {
        let lines = self.journal.rest();
        self.write(lines);
    }

    /// Goes on in this file, or none; in the one before if it cannot be opened.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn open(&mut self, path: Option<&Path>) -> io::Result<()> {
        self.write_all();
        match path {
            Some(path) => self.log.open(path),
            None => {
                self.log.close();
                Ok(())
            }
        }
    }

    /// Whether lines go to syslog.
    pub fn use_syslog(&mut self, on: bool) {
        self.log.use_syslog(on);
    }

    fn write(&mut self, lines: Vec<Line>) {
        for Line { at, message } in lines {
            self.log.line(at, &message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_end_make_few_lines() {
        let mut reporter = Reporter::new(Log::new(false));
        let stages = (0..200_000).filter(|_| reporter.admits_stage()).count();
        assert!((1_000..50_000).contains(&stages), "{stages}");
        assert!(reporter.admits() && reporter.admits_interface(), "one kind hides another");
        let interfaces = (0..200_000).filter(|_| reporter.admits_interface()).count();
        assert!(interfaces < 50_000, "{interfaces}");
        // What is held back is told in a second.
        assert!(reporter.poll_timeout().is_some());
    }
}
