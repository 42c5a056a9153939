//! The differences, by what they are about.

pub mod commands;
pub mod configuration;
pub mod interfaces;
pub mod knocks;
pub mod once;
pub mod reload;
pub mod time;

use super::knockd::Which;

/// A name, the programs that it needs beside the daemon, and what each side is to show.
pub type Test = (&'static str, &'static [&'static str], fn(Which));

pub const TESTS: &[&[Test]] = &[
    knocks::TESTS,
    time::TESTS,
    once::TESTS,
    reload::TESTS,
    interfaces::TESTS,
    commands::TESTS,
    configuration::TESTS,
];
