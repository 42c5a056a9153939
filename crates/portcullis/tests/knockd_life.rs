//! The life of the daemon: killed at any moment, told to read its configuration again and again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

mod knockd;
use portcullis_lab::world;

#[path = "knockd/life/mod.rs"]
mod life;

use std::process::ExitCode;

use knockd::Which;

fn main() -> ExitCode {
    knockd::main(4, || {
        // Theirs would not live through any of this: see `knockd_differences.rs`.
        let ours: &[_] = if Which::Ours.is_ours() { life::TESTS } else { &[] };
        ours.iter().map(|(name, programs, test)| knockd::trial(*name, programs, test)).collect()
    })
}
