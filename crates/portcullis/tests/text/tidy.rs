//! Rules about the source itself: the invariants of ARCHITECTURE.md that no compiler holds.

use std::fs;
use std::path::{Path, PathBuf};

/// All that is part of the product.
const CRATES: [&str; 10] = [
    "core",
    "firewall",
    "config",
    "insight",
    "linux",
    "gate",
    "watcher",
    "client",
    "lab",
    "portcullis",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All Rust files below, or this one, with what is in them.
fn sources(below: &str) -> Vec<(String, String)> {
    let root = root();
    if below.ends_with(".rs") {
        return vec![(below.to_owned(), fs::read_to_string(root.join(below)).unwrap())];
    }
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
fn configurations_are_texts_and_nobody_opens_a_file_for_them() {
    let opens =
        ["File::", "fs::read", "OpenOptions", "std::net::Tcp", "std::net::Udp", "process::"];
    nowhere("crates/config/src", &opens, &["crates/config/src/problems/tests.rs"]);
}

#[test]
fn the_client_is_for_any_system() {
    let one_system = ["std::os::", "libc::", "nix::", "rustix::", "/proc/", "/sys/", "/etc/"];
    nowhere("crates/client/src", &one_system, &[]);
}

/// That it links no firewall, its Cargo.toml says.
#[test]
fn who_reads_packets_runs_nothing_and_opens_no_file() {
    let words = ["sys::spawn", "Command", "std::fs", "File::", "conntrack", "netlink::sockets"];
    nowhere("crates/watcher/src", &words, &[]);
}

#[test]
fn nobody_else_reads_packets() {
    let words = ["sys::packet", "capture::Capture", "Capture::open"];
    nowhere("crates/gate/src", &words, &[]);
    let of_the_program = ["sys::packet", "linux::capture::Capture", "Ring::"];
    nowhere("crates/portcullis/src", &of_the_program, &[]);
    // A keeper and a runner of either daemon see none by another way either.
    for below in ["crates/portcullis/src/daemon", "crates/portcullis/src/knockd"] {
        let words =
            ["core::engine", "wire::parse", "wire::Captured", "KnockdEngine", "watcher::follow"];
        nowhere(below, &words, &[]);
    }
}

#[test]
fn who_runs_commands_does_not_touch_the_firewall() {
    let words = ["portcullis_gate", "portcullis_firewall", "netlink", "super::gate"];
    nowhere("crates/portcullis/src/door_commands", &words, &[]);
    nowhere("crates/portcullis/src/daemon/runner.rs", &words, &[]);
    nowhere("crates/portcullis/src/knockd", &words, &[]);
}

#[test]
fn unsafe_code_lives_in_sys_alone() {
    let words = ["unsafe {", "unsafe fn", "unsafe impl"];
    nowhere("crates/linux/src", &words, &["crates/linux/src/sys"]);
    for name in CRATES.into_iter().filter(|name| *name != "linux") {
        let text = fs::read_to_string(root().join(format!("crates/{name}/src/lib.rs"))).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{name}");
    }
}

#[test]
fn no_program_is_executed_but_our_own() {
    // The daemon starts its own other half, a trial its timer, and the lab what a test or the demo
    // gives it. Hosts that live on iptables have no other face than its programs.
    let timer = "crates/portcullis/src/apply/timer.rs";
    let except = [timer, "crates/portcullis/src/daemon", "crates/portcullis/src/demo"];
    nowhere("crates/portcullis/src", &["Command::new", "process::Command"], &except);
    let except = ["crates/gate/src/iptables/run.rs"];
    nowhere("crates/gate/src", &["Command::new", "process::Command"], &except);
    // What people have configured is run in one place, which neither daemon's other parts can reach.
    let except = ["crates/portcullis/src/door_commands"];
    nowhere("crates/portcullis/src", &["spawn::shell", "spawn::program"], &except);
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
        let past_it = ["Table::open", "nftables::Table::", "iptables::load", "iptables::remove"];
        nowhere(below, &past_it, &[]);
    }
    nowhere("crates/portcullis/src/daemon", &["nftables::Table::"], &[]);
    // The gate itself opens the lists of one match, which the kernel has as files.
    let except = ["crates/gate/src/iptables/recent.rs"];
    nowhere("crates/gate/src", &["std::fs", "File::", "OpenOptions"], &except);
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
    for manifest in CRATES.map(|name| format!("crates/{name}/Cargo.toml")) {
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
