//! When nothing is loaded, and that nothing is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use portcullis_firewall::compile::compile;
use portcullis_lab::Lab;
use portcullis_lab::program::Program;

use super::support::{House, Test, before, done, refused};
use crate::world::{PATIENCE, portcullis, program};

pub const TESTS: &[Test] = &[
    ("one_trial_at_a_time", &[], one_at_a_time),
    ("status_says_what_is_on_trial", &[], status),
    ("daemon_starts_with_the_rules_on_trial_only", &[], daemon),
    ("many_applies_at_once", &[], many_at_once),
    ("no_way_back", &[], no_way_back),
    ("the_configuration_in_force_is_known", &[], in_force_is_known),
    ("a_folder_that_cannot_be_used", &[], bad_folder),
    ("a_damaged_state", &[], damaged),
    ("rules_that_somebody_changed_are_not_confirmed", &[], changed),
    ("nothing_confirmed_nothing_loaded", &[], nothing_at_boot),
    ("another_network_namespace", &[], elsewhere),
];

const WAYS: [&[&str]; 2] = [&[], &["--confirm-within", "1h"]];

fn apply(house: &House, path: &str, way: &[&str]) -> std::process::Output {
    house.run(&[&["apply", path], way].concat())
}

fn one_at_a_time() {
    let mut house = House::with(Some("old"));
    done(&apply(&house, &house.door("new", 2222), WAYS[1]));
    let state = house.state();
    for way in WAYS {
        let output = apply(&house, &house.door("other", 2222), way);
        refused(&output, 3, &["on trial", "portcullis confirm", "portcullis rollback"]);
    }
    assert_eq!(house.doors(), before(Some("new")));
    assert_eq!(house.state(), state);
}

/// Who closes the laptop now is without a gate in an hour.
fn status() {
    let house = House::new();
    let path = house.door("new", 2222);
    let trial = |arguments: &[&str]| {
        let output = house.run(&[&["status", path.as_str()], arguments].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    done(&apply(&house, &path, WAYS[1]));
    let told = "trial     undone in 59m";
    assert!(trial(&[]).contains(told), "{}", trial(&[]));
    let left = || {
        serde_json::from_str::<serde_json::Value>(&trial(&["--json"])).unwrap()["trial_ms"].as_u64()
    };
    assert!(left().is_some_and(|left| (3_500_000..=3_600_000).contains(&left)), "{:?}", left());
    done(&house.run(&["confirm", "--yes"]));
    assert!(!trial(&[]).contains("trial"), "{}", trial(&[]));
    assert_eq!(left(), None);
}

/// What ends a trial would take away the gate that the daemon has loaded.
fn daemon() {
    let house = House::new();
    let path = house.door("new", 2222);
    done(&apply(&house, &path, WAYS[1]));
    // The daemon looks where `apply` keeps its state on a host.
    let script = "mount -t tmpfs tmpfs /var/lib; mkdir -m 755 /var/lib/portcullis; \
                  cp -a \"$1\" /var/lib/portcullis/apply; exec \"$2\" run \"$3\" --state-dir /var/lib/run";
    let start = |file: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", script, "sh"]).arg(house.state_dir());
        command.args([program(), file]).stdin(Stdio::null());
        command
    };
    let output = start(&house.door("other", 2222)).output().unwrap();
    refused(&output, 3, &["on trial", "portcullis confirm", "portcullis rollback"]);
    let program = Program::start(&mut start(&path)).unwrap();
    let mut said = Vec::new();
    let told = program.wait_for_line(PATIENCE, |line| {
        said.push(line.to_owned());
        line.contains("on trial")
    });
    assert!(told.is_some_and(|line| line.starts_with("note: ")), "{said:#?}");
}

fn many_at_once() {
    let mut house = House::new();
    let names = ["a", "b", "c", "d", "e", "f"];
    let paths = names.map(|name| house.door(name, 2222));
    let children = paths.map(|path| {
        let mut command = house.command(&["apply", &path, "--confirm-within", "1h"]);
        command.stderr(Stdio::null()).spawn().unwrap()
    });
    let codes = children.map(|mut child| child.wait().unwrap().code().unwrap());
    let winners: Vec<_> =
        names.iter().zip(codes).filter(|(_, code)| *code == 0).map(|(name, _)| *name).collect();
    assert_eq!(winners.len(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 3).count(), 5, "{codes:?}");
    assert_eq!(house.doors(), before(Some(winners[0])));
    assert_eq!(house.timers().len(), 1);
    done(&house.run(&["rollback"]));
    house.wait_for(&[]);
}

fn no_way_back() {
    let mut house = House::with(Some("old"));
    // As something else would load it.
    let text = fs::read_to_string(house.door("stranger", 2222)).unwrap();
    let policy = portcullis::config::parse_str("t", &text).unwrap().policy;
    house.gate.load(&compile(&policy).unwrap()).unwrap();
    let state = house.state();
    refused(
        &apply(&house, &house.door("new", 2222), WAYS[1]),
        3,
        &["cannot prepare a rollback", "first run `portcullis apply`"],
    );
    assert_eq!(house.doors(), before(Some("stranger")));
    assert_eq!(house.state(), state);
    // What the hint says.
    done(&apply(&house, &house.door("stranger", 2222), WAYS[0]));
    done(&apply(&house, &house.door("new", 2222), WAYS[1]));
    done(&house.run(&["rollback"]));
    house.wait_for(&before(Some("stranger")));
}

fn in_force_is_known() {
    // As `portcullis run` loads it, before anything was ever confirmed.
    let mut house = House::new();
    let path = house.door("new", 2222);
    let text = fs::read_to_string(&path).unwrap();
    let policy = portcullis::config::parse_str("t", &text).unwrap().policy;
    house.gate.load(&compile(&policy).unwrap()).unwrap();
    done(&apply(&house, &path, WAYS[1]));
    done(&house.run(&["rollback"]));
    house.wait_for(&before(Some("new")));
}

fn bad_folder() {
    let mut house = House::new();
    let path = house.door("new", 2222);
    let folder = house.state_dir();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    for folder in [folder.to_str().unwrap(), "/dev/null", "/dev/null/state", "/proc/state"] {
        for way in WAYS {
            let words = [&["apply", &path, "--state-dir", folder], way].concat();
            refused(&portcullis(&words), 3, &[folder]);
            house.wait_for(&[]);
        }
    }
    // One that is given from where the caller stands is found by the timer, which stands elsewhere.
    let words = house.words(&["apply", &path, "--confirm-within", "1s"]);
    let mut command = std::process::Command::new(&words[0]);
    command.args(&words[1..words.len() - 1]).arg("here").current_dir(house.folder.path());
    done(&command.stdin(Stdio::null()).output().unwrap());
    house.wait_for(&[]);
}

fn damaged() {
    let mut house = House::with(Some("old"));
    let file = house.state_dir().join("state.json");
    fs::write(&file, "{").unwrap();
    let path = house.door("new", 2222);
    for words in [&["apply", &path][..], &["confirm", "--yes"], &["rollback"], &["boot"]] {
        refused(&house.run(words), 3, &["state.json", "damaged"]);
        assert_eq!(house.doors(), before(Some("old")));
    }
    // Who wants the rules gone gets that all the same.
    refused(&house.run(&["remove"]), 3, &["the rules are removed", "damaged"]);
    house.wait_for(&[]);
}

fn changed() {
    let mut house = House::with(Some("old"));
    done(&apply(&house, &house.door("new", 2222), WAYS[1]));
    house.gate.remove().unwrap();
    refused(&house.run(&["confirm", "--yes"]), 1, &["no longer those of the trial", "rollback"]);
    done(&house.run(&["rollback"]));
    house.wait_for(&before(Some("old")));
}

fn nothing_at_boot() {
    let mut house = House::new();
    for command in ["boot", "remove"] {
        done(&house.run(&[command]));
        house.wait_for(&[]);
        // They only look: what is not there is not made.
        assert!(!house.state_dir().exists());
    }
    for command in [&["confirm", "--yes"][..], &["rollback"]] {
        refused(&house.run(command), 1, &["no rules are on trial"]);
    }
}

fn elsewhere() {
    let mut house = House::with(Some("old"));
    done(&apply(&house, &house.door("new", 2222), WAYS[1]));
    let path = house.door("new", 2222);
    let state = house.state_dir();
    std::thread::scope(|scope| {
        let there = scope.spawn(|| {
            let _lab = Lab::new().unwrap();
            let state = ["--state-dir", state.to_str().unwrap()];
            for command in [&["confirm", "--yes"][..], &["rollback"], &["apply", &path]] {
                let output = portcullis(&[command, &state].concat());
                refused(&output, 3, &["another network namespace"]);
            }
        });
        there.join().unwrap();
    });
    assert_eq!(house.doors(), before(Some("new")));
}
