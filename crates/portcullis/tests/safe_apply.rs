//! Rules on trial, with the real kernel: however the program that applied them ends, what was there
//! before comes back, unless somebody confirms over a connection that the rules let through.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`; it shares much with others"
)]

mod knockd;
mod world;

#[path = "knockd/real/mod.rs"]
mod real;

#[path = "safe_apply/endings.rs"]
mod endings;
#[path = "safe_apply/refusals.rs"]
mod refusals;
#[path = "safe_apply/ssh.rs"]
mod ssh;
#[path = "safe_apply/support.rs"]
mod support;
#[path = "safe_apply/systemd.rs"]
mod systemd;

use std::process::ExitCode;

fn main() -> ExitCode {
    knockd::main(8, || {
        let tests = [endings::TESTS, refusals::TESTS, ssh::TESTS, systemd::TESTS].concat();
        tests.into_iter().map(|(name, needs, test)| knockd::trial(name, needs, test)).collect()
    })
}
