//! `cargo xtask fuzz`: each fuzz target for a while, from its committed seeds.

use std::process::{Command, Stdio};

use crate::run::{root, say, succeeds};

const TARGETS: [&str; 6] =
    ["packet", "config", "knockd_conf", "knockd_knocks", "capture", "import_rules"];

/// Runs each target for so many seconds; whether none found anything.
pub fn run(seconds: &str) -> bool {
    TARGETS.iter().all(|target| {
        say(&format!("fuzz {target} for {seconds} s"));
        // What is found on the way goes to the first folder; the seeds stay as they are.
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
