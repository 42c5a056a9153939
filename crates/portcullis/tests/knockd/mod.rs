//! Debian's knockd (*theirs*) and ours, side by side on one host: what the end-to-end tests of the
//! drop-in share.
//!
//! | module | what it holds |
//! |---|---|
//! | [`daemon`] | one running knockd: its log, what its commands have written, its end |
//! | [`house`] | the host they run on, a client beside it, and scripts of packets |
//! | [`story`] | what a daemon has logged and done, in the order that is promised |
//! | [`random`] | random configurations and scripts |
//!
//! With `PORTCULLIS_KNOCKD=theirs` in the environment, theirs plays both sides: whatever is compared
//! must then be equal, or the comparison itself is wrong. What is asserted of ours alone is left out.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`; not every test uses all"
)]

pub mod daemon;
pub mod house;
pub mod random;
pub mod story;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

use crate::world;

/// How long anything may take that should happen at once.
pub const PATIENCE: Duration = world::PATIENCE;

/// Whose knockd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The drop-in.
    Ours,
    /// Debian's 0.8.
    Theirs,
}

/// Theirs first: what they do is what ours is held against.
pub const SIDES: [Which; 2] = [Which::Theirs, Which::Ours];

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        })
    }
}

impl Which {
    /// Whether it is really our program, and not theirs in its place.
    pub fn is_ours(self) -> bool {
        self == Self::Ours && !theirs_on_both_sides()
    }

    /// The daemon's program.
    pub fn knockd(self) -> PathBuf {
        if self.is_ours() { sibling("knockd") } else { PathBuf::from("/usr/sbin/knockd") }
    }

    /// The client's program.
    pub fn knock(self) -> PathBuf {
        if self.is_ours() { sibling("knock") } else { PathBuf::from("/usr/bin/knock") }
    }
}

/// Whether theirs is to play our side too.
pub fn theirs_on_both_sides() -> bool {
    std::env::var_os("PORTCULLIS_KNOCKD").is_some_and(|value| value == "theirs")
}

fn sibling(name: &str) -> PathBuf {
    Path::new(world::program()).with_file_name(name)
}

/// A trial that needs these programs beside ours; without one of them it counts as ignored.
pub fn trial(
    name: impl Into<String>,
    programs: &[&str],
    test: impl FnOnce() + Send + 'static,
) -> Trial {
    // Not `all`: CI shall name each that is missing.
    let missing = programs.iter().filter(|program| !world::have(program)).count();
    world::trial(name, test).with_ignored_flag(missing > 0)
}

/// Runs the trials, each in networks of its own. Most of their time they wait: for a timeout, for
/// the end of a capture's block; so more run at once than there are processors.
pub fn main(at_once: usize, trials: impl FnOnce() -> Vec<Trial>) -> ExitCode {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    run(processors.saturating_mul(at_once), trials)
}

/// The same, one after the other.
pub fn main_in_order(trials: impl FnOnce() -> Vec<Trial>) -> ExitCode {
    run(1, trials)
}

fn run(at_once: usize, trials: impl FnOnce() -> Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(at_once);
    if let Err(failure) = portcullis_lab::enter() {
        eprintln!("{failure}");
        return ExitCode::FAILURE;
    }
    libtest_mimic::run(&arguments, trials()).exit_code()
}
