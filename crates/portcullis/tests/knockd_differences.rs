//! Where ours differs from Debian's knockd on purpose (`docs/knockd-compatibility.md`): each
//! difference is one test, in which theirs fails so, and ours does not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

mod knockd;
use portcullis_lab::world;

#[path = "knockd/differences/mod.rs"]
mod differences;

use std::process::ExitCode;

use knockd::{SIDES, Which};

fn main() -> ExitCode {
    knockd::main(4, || {
        let mut trials = Vec::new();
        for (name, programs, test) in differences::TESTS.iter().copied().flatten() {
            for which in SIDES {
                // What theirs does in our place says nothing.
                if which == Which::Ours && !which.is_ours() {
                    continue;
                }
                let needs: &[&str] = if which.is_ours() { programs } else { &["knockd"] };
                let needs = [needs, programs].concat();
                trials.push(knockd::trial(format!("{name}_{which}"), &needs, move || test(which)));
            }
        }
        trials
    })
}
