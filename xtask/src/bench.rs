//! `cargo xtask bench`: what it costs.

use crate::run::{cargo, say, succeeds};

/// Runs all benchmarks; whether none failed.
pub fn run() -> bool {
    say("benchmarks (ratios; this machine's own figures mean little)");
    succeeds(cargo().args(["bench", "-p", "portcullis", "--bench", "cost", "--locked"]))
}
