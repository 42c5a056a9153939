//! What must hold whatever becomes of the daemon.

mod killed;
mod reloaded;
mod watcher;

use libtest_mimic::Trial;

use crate::both::Which;
use crate::world;

/// A name, the programs that it needs, and the test.
type Test = (&'static str, &'static [&'static str], fn());

pub const TESTS: &[Test] = &[
    ("killed_at_any_moment_it_leaves_no_file", &[], killed::files),
    ("killed_at_any_moment_it_leaves_no_rule", &["iptables"], killed::rules),
    ("close_all_closes_what_the_dead_left_open", &[], killed::close_all),
    ("doors_are_handed_over", &[], killed::hand_over),
    ("reloaded_fifty_times_a_second_it_loses_no_knock", &[], reloaded::storm),
    ("doors_open_across_a_reload_are_closed", &[], reloaded::open_doors),
    ("a_killed_watcher_is_replaced", &[], watcher::replaced),
    ("the_capabilities_of_debians_unit_are_enough", &["setpriv"], watcher::few_capabilities),
    ("knockd_starts_on_linux_5_4", &[], watcher::old_kernel),
    ("without_a_capability_it_says_so", &["setpriv"], watcher::no_capability),
];

pub fn trials() -> Vec<Trial> {
    // Theirs would not live through any of this: see `differences`.
    let ours: &[_] = if Which::Ours.is_ours() { TESTS } else { &[] };
    ours.iter().map(|(name, programs, test)| world::trial_with(*name, programs, test)).collect()
}
