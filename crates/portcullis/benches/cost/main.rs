//! What an ordinary packet costs: in the kernel, with rules in several renderings, and in the daemon.
//!
//! Everything is measured in the same run, in turn, several times; the best of each is taken. Only the
//! ratios mean something.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark fails by panicking"
)]

mod beside;
mod daemon;
mod kernel;
mod linear;

use std::time::Duration;

/// How often each thing is measured.
const ROUNDS: usize = 5;

/// A port that is in no door.
const NEITHER: u16 = 64_999;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let beside = std::env::var("PORTCULLIS_BESIDE").ok();
    if beside.is_none() {
        daemon::daemon();
    }
    if let Err(failure) = portcullis_lab::enter() {
        eprintln!("{failure}");
        return;
    }
    match beside {
        Some(program) => beside::beside(&program),
        None => kernel::kernel(),
    }
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(1e-9)
}
