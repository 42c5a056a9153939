//! systemd: the timer that it is asked for, and the units.
//!
//! No test can have a systemd of its own. One that only writes down what it is asked stands in its
//! place, in namespaces where everything else looks as if systemd was there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::support::{House, Test, done, refused};
use crate::world::program;

pub const TESTS: &[Test] = &[
    ("systemd_owns_the_timer", &["unshare", "systemd-run"], owns),
    ("systemd_refuses_the_timer", &["unshare", "systemd-run"], refuses),
    ("the_units_are_good", &["systemd-analyze"], units),
];

/// Runs a command where systemd seems to be the init, whose `systemd-run` is this script.
fn under_systemd(house: &House, script: &str, arguments: &[&str]) -> Output {
    let stand_in = house.folder.path().join("systemd-run");
    fs::write(&stand_in, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).unwrap();
    // The shell is process 1 there, in the same namespaces as the program.
    let shell = "mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/system
        mount --bind \"$1\" /usr/bin/systemd-run; shift; \"$@\"; exit $?";
    Command::new("unshare")
        .args(["-m", "-p", "--fork", "--mount-proc", "sh", "-c", shell, "sh"])
        .arg(stand_in)
        .args(house.words(arguments))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn owns() {
    let mut house = House::new();
    let asked = house.folder.path().join("asked");
    let script = format!("printf '%s\\n' \"$@\" > {}", asked.display());
    let path = house.door("new", 2222);
    done(&under_systemd(&house, &script, &["apply", &path, "--confirm-within", "1s"]));
    assert_eq!(house.doors(), ["new"]);
    assert!(house.timers().is_empty());
    let asked = fs::read_to_string(asked).unwrap();
    let (options, command) = asked.split_once("\n--\n").unwrap();
    assert!(options.lines().any(|option| option == "--on-active=1000ms"), "{options}");
    // What systemd would do after a second; or earlier, for its clock stands still while the machine
    // sleeps, and ours goes on.
    let words: Vec<&str> = command.lines().collect();
    done(&Command::new(words[0]).args(&words[1..]).env_clear().output().unwrap());
    house.wait_for(&[]);
    assert!(house.state().pending.is_none());
}

fn refuses() {
    let mut house = House::new();
    let path = house.door("new", 2222);
    let script = "echo 'Failed to connect to bus' >&2; exit 1";
    let output = under_systemd(&house, script, &["apply", &path, "--confirm-within", "1s"]);
    refused(&output, 3, &["Failed to connect to bus", "nothing was changed"]);
    house.wait_for(&[]);
    assert!(house.state().pending.is_none());
}

fn units() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pkg/systemd");
    let here = tempfile::tempdir().unwrap();
    let mut copies = Vec::new();
    for unit in ["portcullis-rules.service", "portcullis-run.service"] {
        let text = fs::read_to_string(folder.join(unit)).unwrap();
        // systemd-analyze wants the program to be there.
        let copy = here.path().join(unit);
        fs::write(&copy, text.replace("/usr/bin/portcullis", program())).unwrap();
        copies.push(copy);
        for line in text.lines().filter(|line| line.starts_with("Exec")) {
            let words: Vec<&str> = line.split_once('=').unwrap().1.split(' ').collect();
            if words[0] == "/usr/bin/portcullis" {
                let output = Command::new(program()).arg(words[1]).arg("--help").output().unwrap();
                done(&output);
            }
        }
    }
    let output = Command::new("systemd-analyze").arg("verify").args(copies).output().unwrap();
    done(&output);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
