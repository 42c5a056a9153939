//! What the scheduler is told, and what it says.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use portcullis_core::time::Instant;

/// One opening of one door for one address, and its record on disk. Never used twice in the life of
/// a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A line for `/bin/sh -c`.
    Shell(OsString),
    /// A program, by its absolute path, and its arguments, which no shell reads.
    Program(Vec<String>),
}

impl Command {
    /// As a person reads it. A line of shell is shown as it is, a list as one of strings.
    pub fn display(&self) -> impl fmt::Display {
        match self {
            Self::Shell(line) => line.to_string_lossy().into_owned(),
            Self::Program(arguments) => format!("{arguments:?}"),
        }
    }

    /// Whether it holds a NUL.
    pub fn has_nul(&self) -> bool {
        match self {
            Self::Shell(line) => line.as_bytes().contains(&0),
            Self::Program(arguments) => arguments.iter().any(|argument| argument.contains('\0')),
        }
    }

    /// Its length in bytes; of a list, that of all of it.
    pub fn len(&self) -> usize {
        match self {
            Self::Shell(line) => line.len(),
            Self::Program(arguments) => {
                arguments.iter().fold(0, |sum, argument| sum.saturating_add(argument.len()))
            }
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Into<OsString>> From<T> for Command {
    fn from(line: T) -> Self {
        Self::Shell(line.into())
    }
}

/// What is to be done because somebody has knocked right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The name of the door, as in the configuration.
    pub door: Vec<u8>,
    /// Who has knocked.
    pub address: IpAddr,
    /// What opens, with the address filled in. Without it nothing happens at all.
    pub start: Option<Command>,
    /// What closes, with the address filled in.
    pub stop: Option<Command>,
    /// The time from the end of the start command to the stop command.
    pub open_for: Duration,
}

/// How many at once, and whether as knockd would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Every knock is an opening of its own, with a stop of its own (`--strict-compat`).
    pub strict: bool,
    /// Most start commands that run at once, and, in places of their own, most stop commands. At
    /// least 1.
    pub at_once: usize,
    /// Most openings that wait for a free place. More are refused. Beside these, each open door may
    /// remember one knock until its stop command has ended.
    pub waiting: usize,
    /// Most openings with a stop command: waiting, being opened, open, or being closed. More are
    /// refused; those that an earlier daemon left behind count, and are never refused.
    pub records: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { strict: false, at_once: 16, waiting: 1024, records: 4096 }
    }
}

/// What comes of a knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// The door has no start command, so nothing happens: its stop command has nothing to undo.
    Nothing,
    /// The start command has a free place.
    Started,
    /// The door is open for this address already, and stays so; no command is run.
    Extended {
        /// When the stop command is due now; unknown while the start command is running.
        until: Option<Instant>,
    },
    /// The start command waits: for a free place, or for the stop command of the opening before.
    Waiting,
    /// Nothing is done.
    Refused(Refusal),
}

/// Why nothing is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The daemon is ending.
    ShuttingDown,
    /// Too many openings wait for a place ([`Options::waiting`]).
    TooManyWaiting,
    /// Too many doors are open ([`Options::records`]).
    TooManyOpen,
    /// A command holds a NUL, which no program can be given.
    NulInCommand,
    /// A command is longer than the kernel takes ([`LONGEST_COMMAND`]). A door whose stop command
    /// could never run is not opened.
    CommandTooLong,
}

/// Longest command, in bytes (`MAX_ARG_STRLEN` of linux/binfmts.h for the smallest pages, less the
/// final NUL).
pub const LONGEST_COMMAND: usize = 131_071;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ShuttingDown => "the daemon is stopping",
            Self::TooManyWaiting => "too many start commands are waiting",
            Self::TooManyOpen => "too many doors are open",
            Self::NulInCommand => "a command contains a NUL byte",
            Self::CommandTooLong => "a command is longer than the kernel allows",
        })
    }
}

/// Which of the two commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// The one that opens.
    Start,
    /// The one that closes.
    Stop,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start command",
            Self::Stop => "stop command",
        })
    }
}

/// How a command has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Code(i32),
    /// By a signal.
    Signal,
    /// It never began, because the system had no process for it.
    NotBegun(String),
}

/// What became of a start command whose stop is pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Began {
    /// It runs, or whoever ran it ended before it did: it may have opened.
    Unknown,
    /// It has opened.
    Succeeded,
    /// It ended with another status than 0.
    Failed,
}

/// A pending stop, as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingStop {
    /// The opening that it ends.
    pub id: JobId,
    /// The name of the door.
    pub door: Vec<u8>,
    /// Whom it was opened for.
    pub address: IpAddr,
    /// What closes.
    pub stop: Command,
    /// What became of the start command. Only a hand-over writes another value than `Unknown`.
    pub began: Began,
    /// When to close. Only a hand-over knows; otherwise at once, by whoever finds it.
    pub due: Option<Instant>,
}

/// What the scheduler wants done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write this durably, then call `handle_recorded`.
    Record(PendingStop),
    /// Replace the record of that id: whoever comes next closes this door when it is due.
    HandOver(PendingStop),
    /// Remove the record: nothing is pending any more.
    Forget(JobId),
    /// Run a command; call `handle_exit` when it has ended.
    Run {
        /// The opening that it belongs to. Only one command of an opening runs at a time.
        id: JobId,
        /// What to run.
        command: Command,
        /// Which of the two.
        which: Which,
        /// Whether there is a record of this opening.
        recorded: bool,
    },
    /// Tell.
    Log(Line),
}

/// A line for the log. The first four are knockd's; the logger adds the time, and the host's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// `<door>: running command: <command>`, and an empty line after it. Of both commands.
    Running {
        /// The door.
        door: Vec<u8>,
        /// Whom it is for.
        address: IpAddr,
        /// Which of the two.
        which: Which,
        /// What is run.
        command: Command,
    },
    /// `<door>: command returned non-zero status code (<code>)`. Of both commands; 0 when it was
    /// killed by a signal, as in knockd.
    Status {
        /// The door.
        door: Vec<u8>,
        /// Whom it was for.
        address: IpAddr,
        /// Which of the two.
        which: Which,
        /// The exit status.
        code: i32,
    },
    /// `error: command fork failed!`: the command could not be run.
    NotBegun {
        /// The door.
        door: Vec<u8>,
        /// Whom it was for.
        address: IpAddr,
        /// Which of the two.
        which: Which,
        /// Why.
        error: String,
    },
    /// `<address>: <door>: command timeout`, just before a stop command.
    Timeout {
        /// The door.
        door: Vec<u8>,
        /// Whom it was opened for.
        address: IpAddr,
    },
    /// A knock at an open door: it stays open. knockd opens it once more instead.
    Extended {
        /// The door.
        door: Vec<u8>,
        /// Whom it is open for.
        address: IpAddr,
        /// The time from now to the stop command.
        open_for: Duration,
    },
    /// What somebody should know, without a period.
    Note(String),
    /// What somebody should look after, without a period.
    Trouble(String),
}

/// What to do with pending stops when the daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtExit {
    /// Run them all now.
    RunStops,
    /// Leave them to the next daemon, which runs each when it is due.
    HandOver,
}
