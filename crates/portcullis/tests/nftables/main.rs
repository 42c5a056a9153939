//! What we put into the kernel is what `nft` would have put there, and what is read back.
//!
//! Every test has a network namespace of its own; none touches that of the machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod corpus;
mod differential;
mod grants;
mod limits;
mod loading;
mod nft;
mod random;
mod route;
mod verifying;

use std::process::ExitCode;
use std::{fs, io};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Before any thread starts. For root too, since a user namespace has limits that the machine does
    // not have; where root may have none, as in some containers, without.
    let limited = enter_user_namespace().is_ok();
    if let Err(failure) = portcullis_lab::enter() {
        eprintln!("{failure}");
        return ExitCode::FAILURE;
    }
    let mut trials = Vec::new();
    trials.extend(route::TESTS.map(|(name, test)| trial("route", name, test, true)));
    trials.extend(loading::TESTS.map(|(name, test)| trial("loading", name, test, true)));
    trials.extend(grants::TESTS.map(|(name, test)| trial("grants", name, test, true)));
    trials.extend(limits::TESTS.map(|(name, test)| trial("limits", name, test, limited)));
    let nft = nft::is_here();
    trials.extend(verifying::TESTS.map(|(name, test)| trial("verifying", name, test, nft)));
    trials.extend(differential::TESTS.map(|(name, test)| trial("differential", name, test, nft)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Makes this process root of a new user namespace.
fn enter_user_namespace() -> io::Result<()> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

type Test = (&'static str, fn());

/// A test, in a network namespace of its own. One that cannot run is skipped, but not where all are
/// to run.
fn trial(module: &str, name: &str, test: fn(), can_run: bool) -> Trial {
    let must = std::env::var_os("CI").is_some_and(|value| value == "true");
    Trial::test(format!("{module}::{name}"), move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        test();
        Ok::<(), Failed>(())
    })
    .with_ignored_flag(!can_run && !must)
}
