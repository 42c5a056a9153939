//! The daemon with real packets: who gets in, and what happens when its processes end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test without the usual harness is a test all the same"
)]

#[path = "daemon/hooks.rs"]
mod hooks;
#[path = "daemon/knocking.rs"]
mod knocking;
#[path = "daemon/lives.rs"]
mod lives;
#[path = "daemon/sending.rs"]
mod sending;
#[path = "daemon/support.rs"]
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if let Err(failure) = portcullis_lab::enter() {
        eprintln!("{failure}");
        return ExitCode::FAILURE;
    }
    let tests = [hooks::TESTS, knocking::TESTS, lives::TESTS, sending::TESTS].concat();
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok::<(), Failed>(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
