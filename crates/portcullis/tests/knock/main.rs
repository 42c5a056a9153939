//! The program `knock` beside that of knockd 0.8: the packets that arrive, what is printed, how it
//! ends. Both run on a host whose files of names are ours; the machine next to it counts.
//!
//! What is different on purpose is in [`differences`], and in `docs/knockd-compatibility.md`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test without the usual harness is a test all the same"
)]

mod differences;
mod names;
mod same;
mod support;
use std::process::ExitCode;

use libtest_mimic::Arguments;
use portcullis_lab::world;
use world::{have, trial};

use support::Knock;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if let Err(failure) = portcullis_lab::enter() {
        eprintln!("{failure}");
        return ExitCode::FAILURE;
    }
    // Before any thread starts: they all see these files.
    let _files = names::own_files();
    let tests = [same::TESTS, differences::TESTS].concat();
    let trials = [(Knock::Ours, "ours"), (Knock::Theirs, "theirs")].into_iter().flat_map(
        |(knock, whose)| {
            let trials = tests.iter().map(move |&(name, test)| {
                trial(format!("{whose}: {name}"), move || test(knock))
                    .with_ignored_flag(knock == Knock::Theirs && !have("knock"))
            });
            trials.collect::<Vec<_>>()
        },
    );
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
