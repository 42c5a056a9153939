//! What becomes of doors that are open.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portcullis_lab::wait_until;

use super::Test;
use crate::both::daemon::{Daemon, Setup};
use crate::both::house::House;
use crate::both::{PATIENCE, Which};

pub const TESTS: &[Test] = &[
    ("the_end_of_the_daemon_leaves_no_door_open", &[], term),
    ("killed_children_leave_no_door_open", &[], children),
    ("a_knock_at_an_open_door_keeps_it_open", &[], again),
    ("commands_inherit_nothing", &[], descriptors),
    ("a_long_command_is_run", &[], long),
];

const LONG: &str = "[A]\nsequence = 7000\nstart_command = echo A start >> ran\nstop_command = echo A stop >> ran\ncmd_timeout = 600\n";

fn open(house: &House, which: Which, config: &str) -> Daemon {
    let daemon = house.start(which, &Setup::new(config));
    house.knock("7000");
    daemon.wait_until("open", || daemon.ran().contains(&"A start".to_owned()));
    daemon
}

/// As a service manager ends it: SIGTERM to the daemon, and later SIGKILL to what is left.
fn term(which: Which) {
    let house = House::new();
    let daemon = open(&house, which, LONG);
    daemon.signal(Signal::SIGTERM);
    if which.is_ours() {
        assert_eq!(daemon.wait().unwrap().code(), Some(15));
        assert_eq!(daemon.ran(), ["A start", "A stop"]);
        daemon.wait_for_line("shutting down");
    } else {
        // It waits for its child, which waits for the end of ten minutes.
        assert_eq!(daemon.wait_for_end(Duration::from_secs(2)), None);
        for id in daemon.processes() {
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
        daemon.wait_until("gone", || daemon.processes().is_empty());
        assert_eq!(daemon.ran(), ["A start"]);
    }
}

/// A signal to all that has the daemon's name, as logrotate sends it.
fn children(which: Which) {
    for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGKILL] {
        let house = House::new();
        let daemon = open(&house, which, &LONG.replace("600", "2"));
        let main = i32::try_from(daemon.id()).unwrap();
        for id in daemon.processes().into_iter().filter(|id| *id != main) {
            let _ = kill(Pid::from_raw(id), signal);
        }
        let closed =
            || wait_until(Instant::now() + PATIENCE / 5, || daemon.ran() == ["A start", "A stop"]);
        if which.is_ours() {
            daemon.wait_until("closed", || daemon.ran() == ["A start", "A stop"]);
        } else {
            assert!(!closed(), "{signal}");
        }
    }
}

/// One start command, and one stop command after the last knock; theirs runs each three times, and so
/// does ours with `--strict-compat`.
fn again(which: Which) {
    let config = "[A]\nsequence = 7000\nstart_command = echo A start %IP% >> ran\nstop_command = echo A stop %IP% >> ran\ncmd_timeout = 4\n";
    let setup = Setup::new(config);
    let often = if which.is_ours() { 1 } else { 3 };
    knock_again(which, &setup, often);
    if which.is_ours() {
        knock_again(which, &setup.arg("--strict-compat"), 3);
    }
}

fn knock_again(which: Which, setup: &Setup, often: usize) {
    let house = House::new();
    let daemon = house.start(which, setup);
    let source = house.knock("7000 wait:1000 7000 wait:1000 7000");
    house.settle(&[&daemon]);
    let openings = daemon.about(source).iter().filter(|line| *line == "A: OPEN SESAME").count();
    assert_eq!(openings, 3);
    let [start, stop] = ["start", "stop"].map(|what| format!("A {what} {source}"));
    daemon.wait_until("closed", || {
        daemon.ran().iter().filter(|line| **line == stop).count() == often
    });
    daemon.wait_for_children();
    let ran = daemon.ran();
    let times = |line: &String| ran.iter().filter(|other| *other == line).count();
    assert_eq!((times(&start), times(&stop)), (often, often), "{ran:?}");
}

/// A start command that tells what is open in it.
fn descriptors(which: Which) {
    let house = House::new();
    let config = "[A]\nsequence = 7000\nstart_command = for fd in /proc/$$/fd/*; do readlink $fd; done >> fds; echo A start >> ran\n";
    let daemon = open(&house, which, config);
    let fds = daemon.read("fds");
    let more: Vec<&str> = fds
        .lines()
        .filter(|name| {
            *name != "/dev/null" && !name.starts_with("pipe:") && !name.ends_with("/fds")
        })
        .collect();
    if which.is_ours() {
        assert_eq!(more, [""; 0]);
    } else {
        assert!(more.iter().any(|name| name.starts_with("socket:")), "{fds}");
    }
}

/// 4096 bytes and more, after the addresses have been filled in.
fn long(which: Which) {
    let house = House::new();
    let padding = "x".repeat(4000);
    let config = format!(
        "[A]\nsequence = 7000\ncmd_timeout = 0\nstart_command = echo A start >> ran #{padding}{0}\nstop_command = echo A stop >> ran\n\
         [B]\nsequence = 8000\ncmd_timeout = 0\nstart_command = echo B start >> ran\nstop_command = echo B stop >> ran #{padding}{0}\n",
        "%IP%".repeat(12),
    );
    let daemon = house.start(which, &Setup::new(&config));
    for (knock, word, door) in [("7000", "parsed start", "A"), ("8000", "parsed stop", "B")] {
        house.knock(knock);
        if which.is_ours() {
            let stop = format!("{door} stop");
            daemon.wait_until("closed", || daemon.ran().contains(&stop));
        } else {
            daemon.wait_for("word about it", |line| line.contains(word));
        }
    }
    let expected = if which.is_ours() { 4 } else { 0 };
    assert_eq!(daemon.ran().len(), expected);
}
