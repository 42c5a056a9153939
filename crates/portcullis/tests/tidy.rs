//! Rules about the source itself: the invariants of ARCHITECTURE.md that no compiler holds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All Rust files below, with what is in them.
fn sources(below: &str) -> Vec<(String, String)> {
    let root = root();
    let mut folders = vec![root.join(below)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                files.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(!files.is_empty(), "{below} is empty");
    files
}

/// No file below has any of these, outside of the excepted places.
fn nowhere(below: &str, words: &[&str], except: &[&str]) {
    for (name, text) in sources(below) {
        if except.iter().any(|place| name.starts_with(place)) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in words {
                assert!(!code.contains(word), "{name}:{}: {word}", number + 1);
            }
        }
    }
}

#[test]
fn the_firewall_never_sees_a_packet_or_an_engine() {
    nowhere("crates/firewall/src", &["core::wire", "core::engine", "core::attempts"], &[]);
}

#[test]
fn the_client_knows_neither_firewall_nor_daemon() {
    let manifest = fs::read_to_string(root().join("crates/client/Cargo.toml")).unwrap();
    assert!(!manifest.contains("portcullis-firewall") && !manifest.contains("nix"));
    let one_system = ["std::os::", "libc::", "nix::", "rustix::", "/proc/", "/sys/", "/etc/"];
    nowhere("crates/client/src", &one_system, &[]);
}

#[test]
fn who_reads_packets_does_not_touch_the_firewall_and_the_reverse() {
    let files = sources("crates/portcullis/src/daemon");
    for (name, text) in &files {
        let watcher =
            name.contains("/watcher") || name.contains("/capture") || name.contains("/filter");
        if watcher {
            assert!(!text.contains("nftables"), "{name} reads packets and touches the firewall");
        }
        if name.contains("/runner") {
            for other in ["nftables", "netlink", "sys::packet", "core::engine", "super::gate"] {
                assert!(!text.contains(other), "{name} runs commands and has {other}");
            }
        }
        if name.contains("/keeper") || name.contains("/gate") {
            assert!(!text.contains("sys::packet"), "{name} keeps the firewall and reads packets");
            assert!(
                !text.contains("core::engine"),
                "{name} keeps the firewall and runs the engine"
            );
        }
    }
    assert!(files.iter().any(|(name, _)| name.ends_with("watcher.rs")));
    assert!(files.iter().any(|(name, _)| name.ends_with("keeper.rs")));
    assert!(files.iter().any(|(name, _)| name.ends_with("daemon/runner.rs")));
}

#[test]
fn the_watcher_of_knockd_runs_nothing_and_its_keeper_reads_no_packet() {
    let below = "crates/portcullis/src/knockd";
    let (mut watchers, mut keepers) = (0, 0);
    for (name, text) in sources(below) {
        let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
        let text: Vec<String> = text.lines().map(code).collect();
        let text = text.join("\n");
        let of_watcher =
            ["watcher", "filter"].iter().any(|part| name.starts_with(&format!("{below}/{part}")));
        if of_watcher {
            watchers += 1;
            for word in ["shell", "runner", "one_time", "Command::"] {
                assert!(!text.contains(word), "{name} reads packets and knows of {word}");
            }
        } else {
            keepers += 1;
            for word in ["sys::packet", "capture::Capture", "Matcher", "wire::parse"] {
                assert!(!text.contains(word), "{name} reads packets: {word}");
            }
        }
    }
    assert!(watchers >= 2 && keepers > 10);
}

#[test]
fn unsafe_code_lives_in_sys_alone() {
    let except = ["crates/portcullis/src/sys"];
    for below in
        ["crates/core/src", "crates/firewall/src", "crates/client/src", "crates/portcullis/src"]
    {
        nowhere(below, &["unsafe {", "unsafe fn", "unsafe impl"], &except);
    }
    for name in ["core", "firewall", "client"] {
        let text = fs::read_to_string(root().join(format!("crates/{name}/src/lib.rs"))).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{name}");
    }
}

#[test]
fn no_program_is_executed_but_our_own() {
    // The daemon starts its own other half, a trial its timer, and the lab what a test or the demo
    // gives it. Hosts that live on iptables have no other face than its programs.
    let timer = "crates/portcullis/src/apply/timer.rs";
    let except = [
        timer,
        "crates/portcullis/src/iptables/run.rs",
        "crates/portcullis/src/daemon",
        "crates/portcullis/src/lab",
        "crates/portcullis/src/demo",
        "crates/portcullis/src/sys",
    ];
    nowhere("crates/portcullis/src", &["Command::new", "process::Command"], &except);
    // What people have configured is run in one place, which neither daemon's other parts can reach.
    let except = ["crates/portcullis/src/runner", "crates/portcullis/src/sys/shell.rs"];
    nowhere("crates/portcullis/src", &["shell::spawn", "spawn_program"], &except);
    for (name, text) in sources("crates/portcullis/src/daemon") {
        for (_, program) in text.match_indices("Command::new(").map(|(at, _)| text.split_at(at)) {
            assert!(program.starts_with("Command::new(\"/proc/self/exe\")"), "{name}");
        }
    }
    let text = fs::read_to_string(root().join(timer)).unwrap();
    for (_, program) in text.match_indices("Command::new(").map(|(at, _)| text.split_at(at)) {
        let systemd = program.starts_with("Command::new(SYSTEMD_RUN)");
        assert!(systemd || program.starts_with("Command::new(\"/proc/self/exe\")"), "{timer}");
    }
    assert!(text.contains("const SYSTEMD_RUN: &str = \"/usr/bin/systemd-run\";"));
}

/// What a person is told does not depend on the back end: commands ask the gate, and not nf_tables.
#[test]
fn commands_go_through_the_gate() {
    for below in ["crates/portcullis/src/commands", "crates/portcullis/src/apply"] {
        let past_it = ["Gate::open", "nftables::Gate::", "iptables::load", "iptables::remove"];
        nowhere(below, &past_it, &[]);
    }
    nowhere("crates/portcullis/src/daemon", &["nftables::Gate::"], &[]);
    nowhere("crates/portcullis/src/gate", &["crate::commands", "crate::config", "clap"], &[]);
}

#[test]
fn rooms_are_small() {
    for below in ["crates", "testkit", "xtask"] {
        for (name, text) in sources(below) {
            let lines = text.lines().count();
            assert!(lines <= 800 || name.contains("/tests/"), "{name} has {lines} lines");
        }
    }
}

/// The last column of each table of differences names a test or the module that has it.
#[test]
fn every_difference_from_knockd_has_a_test() {
    let text = fs::read_to_string(root().join("docs/knockd-compatibility.md")).unwrap();
    let code: Vec<String> = ["crates", "testkit"]
        .into_iter()
        .flat_map(sources)
        .flat_map(|(name, text)| [name, text])
        .collect();
    let mut named = 0;
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let last = row.trim_end_matches('|').rsplit(" | ").next().unwrap_or_default();
        let parts: Vec<&str> = last.split('`').collect();
        // Between the first and the second, the third and the fourth, … stands a name.
        for name in parts.iter().skip(1).step_by(2) {
            let name =
                name.trim_end_matches(".rs").replace("core::", "core/src/").replace("::", "/");
            let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_/".contains(&b));
            if is_name && name.contains(['_', '/']) {
                named += 1;
                assert!(code.iter().any(|text| text.contains(&name)), "{name} is nowhere");
            }
        }
    }
    assert!(named > 40, "only {named} tests are named");
}

#[test]
fn every_dependency_is_justified() {
    let reasons = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    for manifest in
        ["core", "firewall", "client", "portcullis"].map(|c| format!("crates/{c}/Cargo.toml"))
    {
        let text = fs::read_to_string(root().join(&manifest)).unwrap();
        let mut dependencies = false;
        for line in text.lines() {
            if line.starts_with('[') {
                dependencies = line.contains("dependencies");
            } else if dependencies && let Some((name, _)) = line.split_once([' ', '.', '=']) {
                let ours = name.starts_with("portcullis-");
                assert!(ours || reasons.contains(&format!("`{name}`")), "{manifest}: {name}");
            }
        }
    }
}
