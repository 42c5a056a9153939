//! Floods and sweeps: forged packets by the thousand, and every port in every order.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

mod knockd;
use portcullis_lab::world;

#[path = "knockd/flood/mod.rs"]
mod flood;

use std::process::ExitCode;

fn main() -> ExitCode {
    // One at a time: each takes what there is of the machine.
    knockd::main_in_order(|| {
        flood::TESTS
            .iter()
            .map(|(name, test)| knockd::trial(*name, &["knockd", "iptables"], test))
            .collect()
    })
}
