//! The differences, by what they are about.

pub mod commands;
pub mod configuration;
pub mod interfaces;
pub mod knocks;
pub mod once;
pub mod reload;
pub mod time;

use libtest_mimic::Trial;

use crate::both::{SIDES, Which};
use crate::world;

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

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, programs, test) in TESTS.iter().copied().flatten() {
        for which in SIDES {
            // What theirs does in our place says nothing.
            if which == Which::Ours && !which.is_ours() {
                continue;
            }
            let needs: &[&str] = if which.is_ours() { programs } else { &["knockd"] };
            let needs = [needs, programs].concat();
            trials.push(world::trial_with(format!("{name}_{which}"), &needs, move || test(which)));
        }
    }
    trials
}
