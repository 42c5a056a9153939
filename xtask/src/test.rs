//! `cargo xtask test`: everything that must hold.

use std::time::Instant;

use crate::count::Count;
use crate::run::cargo;
use crate::{deny, fuzz, msrv, peers, tests, walls};

/// Runs it all; whether nothing failed, and in CI also nothing was skipped.
pub fn run() -> bool {
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    let begun = Instant::now();
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
    fuzz::check(&mut count);
    deny::check(&mut count);
    msrv::check(&mut count);
    count.add(tests::run());
    println!();
    print!("{}", count.report(begun.elapsed()));
    if ci && count.skipped > 0 {
        println!("CI=true: nothing may be skipped");
    }
    count.failed == 0 && !(ci && count.skipped > 0)
}

/// `core` and `firewall` for a target that has no standard library, so that none of it can be used,
/// nor by anything that they depend on.
fn without_std() -> Count {
    let what = format!("core and firewall without std ({})", peers::TARGET_WITHOUT_STD);
    let mut count = Count::default();
    let Some(compiler) = peers::compiler_without_std() else {
        count.skip(&what, "no compiler for this target here");
        return count;
    };
    let mut check = cargo();
    check
        .env("RUSTC", compiler)
        .env_remove("RUSTC_WRAPPER")
        .args(["check", "-p", "portcullis-core", "-p", "portcullis-firewall", "--locked"])
        .args(["--target", peers::TARGET_WITHOUT_STD, "--target-dir", "target/without-std"]);
    count.check(&what, &mut check);
    count
}
