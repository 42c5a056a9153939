//! Licences, sources and duplicates of what we depend on, as `deny.toml` allows them.

use std::path::PathBuf;

use crate::count::Count;
use crate::run::{cargo, installed};

/// Runs `cargo deny` as far as it works without a network: known vulnerabilities are checked only where
/// their database is on this machine already (`cargo deny fetch`).
pub fn check(count: &mut Count) {
    let what = "dependencies: licences, sources, duplicates";
    if !installed("cargo-deny") {
        count.note("cargo deny: not installed (cargo install --locked cargo-deny)");
        return;
    }
    let deny = ["deny", "--offline", "--locked", "check"];
    count.check(what, cargo().args(deny).args(["bans", "licenses", "sources"]));
    if has_database() {
        count.check("dependencies: known vulnerabilities", cargo().args(deny).arg("advisories"));
    } else {
        count.note("cargo deny check advisories: no database here (cargo deny fetch)");
    }
}

/// Whether `cargo deny` has fetched what is known of vulnerabilities.
fn has_database() -> bool {
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let Some(folder) = cargo_home.or_else(home) else { return false };
    // A fetch that failed leaves an empty directory.
    let mut entries = std::fs::read_dir(folder.join("advisory-dbs")).into_iter().flatten();
    entries.any(|entry| entry.is_ok_and(|entry| entry.path().is_dir()))
}
