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

pub mod daemon;
pub mod house;
pub mod random;
pub mod story;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
