//! What the machine bears: floods, sweeps of all ports, reloads and kills. Nothing else may run beside these trials.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

mod flood;
mod kernel;
mod reloads;
mod sweeps;
use std::process::ExitCode;

use portcullis_lab::world;

fn main() -> ExitCode {
    world::main(1, || {
        let modules = [
            world::module("sweeps", sweeps::trials),
            world::module("kernel", kernel::trials),
            world::module("reloads", reloads::trials),
            world::module("flood", flood::trials),
        ];
        world::alone(modules.into_iter().flatten().collect())
    })
}
