//! Whether the oldest compiler that we name (`rust-version` in Cargo.toml) still builds everything.

use std::process::{Command, Stdio};

use crate::count::Count;
use crate::run::{installed, root};

/// Checks the workspace with a toolchain of that version, where rustup has one.
pub fn check(count: &mut Count) {
    let Some(stated) = stated() else {
        count.fail("minimum Rust version: no rust-version in Cargo.toml");
        return;
    };
    let listed = Command::new("rustup").args(["toolchain", "list"]).stdin(Stdio::null()).output();
    let listed = if installed("rustup") { listed.ok() } else { None };
    let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let Some(toolchain) = listed.as_deref().and_then(|list| of_version(list, &stated)) else {
        count.note(&format!(
            "minimum Rust version: no toolchain {stated} here (rustup toolchain install {stated})"
        ));
        return;
    };
    let mut command = Command::new("rustup");
    command
        .current_dir(root())
        .stdin(Stdio::null())
        // Cargo tells its children which toolchain they run under; this one is another.
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .args(["run", toolchain, "cargo", "check", "--workspace", "--all-targets", "--locked"])
        .args(["--target-dir", "target/minimum-rust"]);
    count.check(&format!("minimum Rust version: {toolchain}"), &mut command);
}

/// The version that Cargo.toml states, as `1.88`.
pub fn stated() -> Option<String> {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("rust-version"))?;
    line.split('"').nth(1).map(str::to_owned)
}

/// The toolchain of this version among those that `rustup toolchain list` names.
fn of_version<'a>(list: &'a str, version: &str) -> Option<&'a str> {
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    names.into_iter().find(|name| {
        let rest = name.strip_prefix(version);
        // 1.8 is not 1.88, but 1.88 is any 1.88.x.
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_is_found_by_its_version_alone() {
        let list = "stable-x86_64-unknown-linux-gnu (active, default)\n\
                    1.8.0-x86_64-unknown-linux-gnu\n\
                    1.88.0-x86_64-unknown-linux-gnu\n";
        assert_eq!(of_version(list, "1.88"), Some("1.88.0-x86_64-unknown-linux-gnu"));
        assert_eq!(of_version(list, "1.8"), Some("1.8.0-x86_64-unknown-linux-gnu"));
        assert_eq!(of_version(list, "1.90"), None);
        assert_eq!(of_version("", "1.88"), None);
    }

    #[test]
    fn the_workspace_states_its_minimum_version() {
        let stated = stated().unwrap();
        let minor = stated.strip_prefix("1.").unwrap();
        assert!(minor.parse::<u32>().is_ok(), "{stated}");
    }
}
