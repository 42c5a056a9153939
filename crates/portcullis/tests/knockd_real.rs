//! Configurations that people really have, with the real iptables, a real sshd behind the door, and
//! the clients that people really knock with.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

mod knockd;
use portcullis_lab::world;

#[path = "knockd/real/mod.rs"]
mod real;

use std::process::ExitCode;

use knockd::SIDES;

fn main() -> ExitCode {
    knockd::main(4, || {
        let mut trials = Vec::new();
        for (name, programs, test) in real::TESTS {
            for which in SIDES {
                let needs = [&["knockd"], *programs].concat();
                trials.push(knockd::trial(format!("{name}_{which}"), &needs, move || test(which)));
            }
        }
        trials
    })
}
