//! `cargo xtask bench`: what it costs.

use crate::run::{cargo, say, succeeds};

/// Runs all benchmarks; whether none failed.
pub fn run() -> bool {
    say("benchmarks (ratios; this machine's own figures mean little)");
    succeeds(cargo().args(["bench", "-p", "portcullis", "--bench", "cost", "--locked"]))
}

/// Measures how long guarded ports, knocks and closed ports take to answer; whether that could be
/// measured.
pub fn timing() -> bool {
    say("time to an answer (a small p: that port can be told from a closed one)");
    succeeds(cargo().args(["bench", "-p", "portcullis", "--bench", "timing", "--locked"]))
}
