//! `cargo xtask test`: everything that must hold.

use std::process::Command;

use crate::peers;
use crate::run::{cargo, say, succeeds};
use crate::{tests, walls};

/// What was counted.
#[derive(Debug, Default, Clone, Copy)]
pub struct Count {
    /// Those that hold.
    pub passed: u64,
    /// Those that do not.
    pub failed: u64,
    /// Those that could not be run here.
    pub skipped: u64,
}

impl Count {
    /// Runs a program that must succeed.
    pub fn check(&mut self, what: &str, command: &mut Command) {
        say(what);
        if succeeds(command) {
            self.passed += 1;
        } else {
            self.failed += 1;
            println!("FAILED: {what}");
        }
    }

    /// What was counted elsewhere.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Runs it all; whether nothing failed, and in CI also nothing was skipped.
pub fn run() -> bool {
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    peers::provide();
    let mut count = Count::default();
    count.check("format", cargo().args(["fmt", "--all", "--check"]));
    count.check(
        "lints",
        cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]),
    );
    let mut doc = cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings");
    count.check("documentation", &mut doc);
    count.add(walls::run());
    count.add(without_std());
    count.add(tests::run());
    println!();
    println!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped);
    if ci && count.skipped > 0 {
        println!("CI=true: nothing may be skipped");
    }
    count.failed == 0 && !(ci && count.skipped > 0)
}

/// `core` and `firewall` for a target that has no standard library, so that none of it can be used,
/// nor by anything that they depend on.
fn without_std() -> Count {
    let what = format!("core and firewall without std ({})", peers::TARGET_WITHOUT_STD);
    let Some(compiler) = peers::compiler_without_std() else {
        say(&what);
        println!("skipped: no compiler for this target here");
        return Count { skipped: 1, ..Count::default() };
    };
    let mut count = Count::default();
    let mut check = cargo();
    check
        .env("RUSTC", compiler)
        .env_remove("RUSTC_WRAPPER")
        .args(["check", "-p", "portcullis-core", "-p", "portcullis-firewall", "--locked"])
        .args(["--target", peers::TARGET_WITHOUT_STD, "--target-dir", "target/without-std"]);
    count.check(&what, &mut check);
    count
}
