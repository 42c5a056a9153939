//! What a crowd of strangers can do.

mod forged;
mod processes;
mod sweeps;

use libtest_mimic::Trial;

use crate::world;

/// A name, and a test of both sides: their figures are printed beside each other.
pub const TESTS: &[(&str, fn())] = &[
    ("genuine_knocks_among_6000_forged_ones_a_second", || forged::flood(6_000)),
    ("genuine_knocks_among_20000_forged_ones_a_second", || forged::flood(20_000)),
    ("forged_successes_make_no_crowd_of_processes", processes::crowd),
    ("sweeps_of_all_ports_open_nothing", sweeps::sweeps),
];

pub fn trials() -> Vec<Trial> {
    TESTS
        .iter()
        .map(|(name, test)| world::trial_with(*name, &["knockd", "iptables"], test))
        .collect()
}
