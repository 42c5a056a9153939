//! The gate as users meet it: commands, daemon, rules and real packets, each trial in networks of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

mod allow;
mod bad_input;
mod bans;
mod closed;
mod coexist;
mod daemon;
mod explain;
mod import_kernel;
mod lab;
mod live;
mod replay;
mod safe_apply;
mod table;
mod trace;
use std::process::ExitCode;

use portcullis_lab::world;

fn main() -> ExitCode {
    world::main(4, || {
        let modules = [
            world::module("coexist", coexist::trials),
            world::module("table", table::trials),
            world::module("live", live::trials),
            world::module("safe_apply", safe_apply::trials),
            world::module("closed", closed::trials),
            world::module("bans", bans::trials),
            world::module("daemon", daemon::trials),
            world::module("allow", allow::trials),
            world::module("bad_input", bad_input::trials),
            world::module("explain", explain::trials),
            world::module("import_kernel", import_kernel::trials),
            world::module("lab", lab::trials),
            world::module("replay", replay::trials),
            world::module("trace", trace::trials),
        ];
        modules.into_iter().flatten().collect()
    })
}
