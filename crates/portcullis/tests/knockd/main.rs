//! The drop-in beside Debian's knockd: the same configuration, log lines, commands and exit codes, on the same wire.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

mod both;
mod conf;
mod differences;
mod flood;
mod life;
mod real;
mod rows;
mod same;
use std::process::ExitCode;

use portcullis_lab::world;

fn main() -> ExitCode {
    // Most of their time they wait: for a timeout, for the end of a capture's block.
    world::main(5, || {
        let modules = [
            world::module("same", same::trials),
            world::module("rows", rows::trials),
            world::module("differences", differences::trials),
            world::module("real", real::trials),
            world::module("life", life::trials),
            world::module("conf", conf::trials),
            world::one_by_one(world::module("flood", flood::trials)),
        ];
        modules.into_iter().flatten().collect()
    })
}
