//! When nothing is loaded, and that nothing is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use portcullis_firewall::compile::compile;
use portcullis_lab::Lab;

use super::support::{House, Test, before, done, refused};
use crate::world::portcullis;

pub const TESTS: &[Test] = &[
    ("one_trial_at_a_time", &[], one_at_a_time),
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
