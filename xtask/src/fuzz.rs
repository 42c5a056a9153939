//! `cargo xtask fuzz`: runs each fuzz target for a while, from its committed seeds. `cargo xtask test`
//! formats and lints them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::count::Count;
use crate::run::{cargo, installed, root, say, succeeds};

const TARGETS: [&str; 6] =
    ["packet", "config", "knockd_conf", "knockd_knocks", "capture", "import_rules"];

/// Runs each target for so many seconds; whether none found anything.
pub fn run(seconds: &str) -> bool {
    TARGETS.iter().all(|target| {
        say(&format!("fuzz {target} for {seconds} s"));
        // New inputs go to the first directory; the seeds stay as they are.
        let found = root().join("fuzz/corpus").join(target);
        let seeds = root().join("fuzz/seeds").join(target);
        if let Err(error) = std::fs::create_dir_all(&found) {
            eprintln!("cannot make {}: {error}", found.display());
            return false;
        }
        let mut command = Command::new("cargo");
        command
            .current_dir(root())
            // Cargo tells its children which toolchain they run under; this one is another.
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO")
            .stdin(Stdio::null())
            .args(["+nightly", "fuzz", "run", target])
            .args([&found, &seeds])
            .args(["--", &format!("-max_total_time={seconds}"), "-print_final_stats=1"]);
        succeeds(&mut command)
    })
}

/// Formats and lints the fuzz targets. They are no members of the workspace, so nothing else does. The lints
/// compile all of their code, and build libFuzzer; linking six programs that nobody runs would take a minute
/// more. This needs no nightly compiler.
pub fn check(count: &mut Count) {
    let manifest = manifest();
    count.check("fuzz targets: format", on(&manifest, "fmt").arg("--check"));
    let what = "fuzz targets: lints";
    if let Err(reason) = can_build(&manifest) {
        count.note(&format!("{what}: {reason}"));
        return;
    }
    let lints = ["--all-targets", "--locked", "--target-dir", "target", "--", "-D", "warnings"];
    count.check("fuzz targets: lints", on(&manifest, "clippy").args(lints));
}

fn manifest() -> PathBuf {
    root().join("fuzz/Cargo.toml")
}

/// A command of cargo for the fuzz targets.
fn on(manifest: &std::path::Path, command: &str) -> Command {
    let mut cargo = cargo();
    cargo.arg(command).arg("--manifest-path").arg(manifest);
    cargo
}

/// Whether libFuzzer can be built here: its sources come with a crate, and are C++.
fn can_build(manifest: &std::path::Path) -> Result<(), String> {
    let compiler = std::env::var_os("CXX").is_some()
        || ["c++", "g++", "clang++"].iter().any(|program| installed(program));
    if !compiler {
        return Err("no C++ compiler, which libFuzzer needs (apt-get install g++)".to_owned());
    }
    // Without a network this succeeds if everything is in cargo's cache.
    let fetched = |offline: &[&str]| succeeds(on(manifest, "fetch").arg("--locked").args(offline));
    if fetched(&["--offline", "--quiet"]) || fetched(&[]) {
        Ok(())
    } else {
        Err("the crates of fuzz/Cargo.lock are not in cargo's cache and cannot be downloaded; \
             or the lock file is out of date (cargo update --workspace in fuzz/)"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_of_the_manifest_is_fuzzed() {
        let manifest = std::fs::read_to_string(manifest()).unwrap();
        let mut declared: Vec<&str> = manifest
            .split("[[bin]]")
            .skip(1)
            .filter_map(|section| section.split("name = \"").nth(1)?.split('"').next())
            .collect();
        declared.sort_unstable();
        let mut known = TARGETS.to_vec();
        known.sort_unstable();
        assert_eq!(declared, known);
    }
}
