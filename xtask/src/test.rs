//! `cargo xtask test`: everything that must hold.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::peers;
use crate::run::{cargo, say, succeeds};

/// What was counted.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Count {
    fn check(&mut self, what: &str, command: &mut Command) {
        say(what);
        if succeeds(command) {
            self.passed += 1;
        } else {
            self.failed += 1;
            println!("FAILED: {what}");
        }
    }

    fn add(&mut self, other: Self) {
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
    count.add(without_std());
    count.add(tests());
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

/// All tests of the workspace, with the closing lines of each counted.
fn tests() -> Count {
    say("tests");
    let mut command = cargo();
    command.args(["test", "--workspace", "--release", "--locked", "--no-fail-fast"]);
    let Ok(mut child) = command.stdout(Stdio::piped()).spawn() else {
        return Count { failed: 1, ..Count::default() };
    };
    let mut count = Count::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{line}");
            if let Some(closing) = line.strip_prefix("test result: ") {
                count.passed += number_before(closing, " passed");
                count.failed += number_before(closing, " failed");
                count.skipped += number_before(closing, " ignored");
            }
        }
    }
    let succeeded = child.wait().is_ok_and(|status| status.success());
    // A crash, or code that does not compile, leaves no closing line.
    if !succeeded && count.failed == 0 {
        count.failed = 1;
    }
    count
}

fn number_before(line: &str, word: &str) -> u64 {
    let number = line.split(word).next().and_then(|before| before.rsplit(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
