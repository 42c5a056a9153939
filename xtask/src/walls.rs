//! What no crate may come to depend on: the table of walls in `ARCHITECTURE.md`, held.

use std::collections::BTreeSet;
use std::process::Stdio;

use crate::count::Count;
use crate::run::{cargo, say};

/// A crate and its wall.
struct Wall {
    /// Without the `portcullis-` that all of ours begin with.
    name: &'static str,
    /// The only crates of ours that it may link, however far down.
    ours: &'static [&'static str],
    /// Crates of others that it may not link, however far down.
    never: &'static [&'static str],
}

/// Those that speak to the system.
const SYSTEM: &[&str] = &["libc", "nix", "socket2", "getrandom", "dns-lookup"];

const WALLS: &[Wall] = &[
    // A build for a target that has no std says the rest of these two.
    Wall { name: "core", ours: &[], never: SYSTEM },
    Wall { name: "firewall", ours: &["core"], never: SYSTEM },
    Wall {
        name: "config",
        ours: &["core"],
        never: &["libc", "nix", "socket2", "getrandom", "dns-lookup", "clap", "anstream"],
    },
    Wall {
        name: "insight",
        ours: &["core", "config", "firewall"],
        never: &["libc", "nix", "socket2", "getrandom", "dns-lookup", "clap", "anstream"],
    },
    Wall { name: "linux", ours: &["core"], never: &["toml", "serde", "clap"] },
    Wall {
        name: "gate",
        ours: &["core", "firewall", "linux"],
        never: &["toml", "serde", "clap", "anstream"],
    },
    Wall { name: "lab", ours: &["core", "linux"], never: &["toml", "serde", "clap", "anstream"] },
    Wall { name: "watcher", ours: &["core", "config", "linux"], never: &["clap", "anstream"] },
    Wall { name: "client", ours: &["core", "config"], never: &["nix", "toml"] },
];

/// Looks at all of them.
pub fn run() -> Count {
    say("walls between crates");
    let mut count = Count::default();
    for wall in WALLS {
        match breaches(wall) {
            Some(breaches) if breaches.is_empty() => count.passed += 1,
            Some(breaches) => {
                println!("FAILED: portcullis-{} links {}", wall.name, breaches.join(", "));
                count.failed += 1;
            }
            None => {
                println!("FAILED: cargo tree -p portcullis-{}", wall.name);
                count.failed += 1;
            }
        }
    }
    count
}

/// What it links and must not; `None` if cargo does not say.
fn breaches(wall: &Wall) -> Option<Vec<String>> {
    let package = format!("portcullis-{}", wall.name);
    let mut tree = cargo();
    tree.args(["tree", "--locked", "-e", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["-p", &package])
        .stderr(Stdio::inherit());
    let output = tree.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let linked: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .collect();
    if !linked.contains(package.as_str()) {
        return None;
    }
    let forbidden = |name: &&str| match name.strip_prefix("portcullis-") {
        Some(ours) => ours != wall.name && !wall.ours.contains(&ours),
        None => *name == "portcullis" || wall.never.contains(name),
    };
    Some(linked.into_iter().filter(forbidden).map(str::to_owned).collect())
}
