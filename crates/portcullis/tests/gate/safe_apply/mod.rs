//! Rules on trial, with the real kernel: however the program that applied them ends, what was there
//! before comes back, unless somebody confirms over a connection that the rules let through.

use libtest_mimic::Trial;
use portcullis_lab::world;

mod endings;
mod refusals;
mod ssh;
mod support;
mod systemd;

use std::fs;

pub fn trials() -> Vec<Trial> {
    let [others, sshd] = [&[endings::TESTS, refusals::TESTS, systemd::TESTS][..], &[ssh::TESTS]];
    // To let somebody in, sshd sets his groups, which an ordinary user's namespace forbids.
    let groups = fs::read_to_string("/proc/self/setgroups").is_ok_and(|may| may.trim() == "allow");
    let must = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    let trial = |(name, needs, test)| world::trial_with(name, needs, test);
    let mut trials: Vec<_> = others.concat().into_iter().map(trial).collect();
    for test in sshd.concat() {
        let trial = trial(test);
        let ignored = trial.has_ignored_flag() || !(groups || must);
        trials.push(trial.with_ignored_flag(ignored));
    }
    trials
}
