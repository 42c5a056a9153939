//! `cargo xtask bench`: what it costs.

use crate::run::{cargo, say, succeeds};

/// Runs all benchmarks; whether none failed.
pub fn run() -> bool {
    say("benchmarks (ratios; this machine's own figures mean little)");
    succeeds(cargo().args(["bench", "-p", "portcullis", "--bench", "cost", "--locked"]))
}

/// Measures what packets cost with the rules of this version and with those of another one, the program
/// at this path; whether that could be measured.
pub fn beside(program: &str) -> bool {
    say(&format!("what a packet costs beside {program}"));
    let mut bench = cargo();
    bench.args(["bench", "-p", "portcullis", "--bench", "cost", "--locked"]);
    match std::path::absolute(program) {
        Ok(path) => succeeds(bench.env("PORTCULLIS_BESIDE", path)),
        Err(_) => false,
    }
}

/// Measures how long guarded ports, knocks and closed ports take to answer; whether that could be
/// measured.
pub fn timing() -> bool {
    say("time to an answer (a small p: that port can be told from a closed one)");
    succeeds(cargo().args(["bench", "-p", "portcullis", "--bench", "timing", "--locked"]))
}
