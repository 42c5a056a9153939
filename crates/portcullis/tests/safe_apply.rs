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
use portcullis_lab::world;

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

use std::fs;
use std::process::ExitCode;

fn main() -> ExitCode {
    knockd::main(8, || {
        let [others, sshd] =
            [&[endings::TESTS, refusals::TESTS, systemd::TESTS][..], &[ssh::TESTS]];
        // To let somebody in, sshd sets his groups, which an ordinary user's namespace forbids.
        let groups =
            fs::read_to_string("/proc/self/setgroups").is_ok_and(|may| may.trim() == "allow");
        let must = std::env::var_os("CI").is_some_and(|ci| ci == "true");
        let trial = |(name, needs, test)| knockd::trial(name, needs, test);
        let mut trials: Vec<_> = others.concat().into_iter().map(trial).collect();
        for test in sshd.concat() {
            let trial = trial(test);
            let ignored = trial.has_ignored_flag() || !(groups || must);
            trials.push(trial.with_ignored_flag(ignored));
        }
        trials
    })
}
