//! One-time sequences, which theirs does not survive.

use nix::sys::signal::Signal;
use portcullis::lab::Family;
use std::os::unix::process::ExitStatusExt;

use super::Test;
use crate::knockd::Which;
use crate::knockd::daemon::Setup;
use crate::knockd::house::House;

pub const TESTS: &[Test] = &[
    ("the_last_sequence_is_not_the_last_of_the_daemon", &[], last),
    ("sequences_after_the_first_work_over_ipv6", &[], ipv6),
    ("a_used_sequence_cannot_be_used_again", &[], replay),
    ("a_sequence_is_knocked_from_its_beginning", &[], beginning),
    ("a_file_that_is_gone_ends_the_door_and_not_the_daemon", &[], gone),
];

const DOORS: &str = "[A]\none_time_sequences = DIR/once\nstart_command = echo A %IP% >> ran\n[B]\nsequence = 7000\n";

fn last(which: Which) {
    let house = House::new();
    let daemon = house.start(which, &Setup::new(DOORS).file("once", " 1000,1001\n 2000,2001\n"));
    for script in ["1000 1001", "2000 2001"] {
        let source = house.knock(script);
        daemon.wait_until("open", || daemon.about(source).contains(&"A: OPEN SESAME".to_owned()));
        if daemon.log().len() < 8 {
            house.settle(&[&daemon]);
        }
    }
    if !which.is_ours() {
        assert_eq!(daemon.wait().unwrap().signal(), Some(Signal::SIGABRT as i32));
        return;
    }
    daemon.wait_for_line(
        "no more sequences left in the one time sequences file for door A --> disabling the door⏎",
    );
    house.settle(&[&daemon]);
    let sources = ["1000 1001", "2000 2001", "7000"].map(|script| house.knock(script));
    house.settle(&[&daemon]);
    assert_eq!(sources.map(|source| daemon.about(source).len()), [0, 0, 2]);
    assert_eq!(daemon.read("once"), "#1000,1001\n#2000,2001\n");
    // A new file brings it back.
    std::fs::write(daemon.folder().join("once"), " 3000,3001\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("re-reading", |line| line.starts_with("re-reading config file"));
    house.settle(&[&daemon]);
    let source = house.knock("3000 3001");
    house.settle(&[&daemon]);
    assert!(daemon.about(source).contains(&"A: OPEN SESAME".to_owned()), "{:?}", daemon.log());
}

fn ipv6(which: Which) {
    let house = House::new();
    let lines = " 1000,1001\n 2000,2001\n 3000,3001\n";
    let daemon = house.start(which, &Setup::new(DOORS).file("once", lines));
    let mut opened = Vec::new();
    for script in ["1000 1001", "2000 2001"] {
        let source = house.new_source(Family::V6);
        house.play(source, script);
        house.settle(&[&daemon]);
        opened.push(daemon.about(source).contains(&"A: OPEN SESAME".to_owned()));
    }
    assert_eq!(opened, [true, which.is_ours()]);
}

/// A line before it that is no sequence.
fn replay(which: Which) {
    let house = House::new();
    let lines = "1000,70000\n 1000,1001\n 2000,2001\n 3000,3001\n";
    let daemon = house.start(which, &Setup::new(DOORS).file("once", lines));
    let mut opened = Vec::new();
    for _ in 0..2 {
        let source = house.knock("1000 1001");
        house.settle(&[&daemon]);
        opened.push(daemon.about(source).contains(&"A: OPEN SESAME".to_owned()));
    }
    assert_eq!(opened, [true, !which.is_ours()], "{:?} {}", daemon.log(), daemon.read("once"));
}

/// Where the next sequence is longer than the one that was used, theirs takes its beginning for
/// knocked already.
fn beginning(which: Which) {
    let house = House::new();
    let lines = " 1000,1001\n 2000,2001,2002\n 3000,3001\n";
    let daemon = house.start(which, &Setup::new(DOORS).file("once", lines));
    let source = house.knock("1000 1001");
    house.settle(&[&daemon]);
    house.play(source, "2002");
    house.settle(&[&daemon]);
    let openings = daemon.about(source).iter().filter(|line| *line == "A: OPEN SESAME").count();
    assert_eq!(openings, if which.is_ours() { 1 } else { 2 }, "{:?}", daemon.log());
}

fn gone(which: Which) {
    let house = House::new();
    let daemon = house.start(which, &Setup::new(DOORS).file("once", " 1000,1001\n 2000,2001\n"));
    std::fs::remove_file(daemon.folder().join("once")).unwrap();
    let source = house.knock("1000 1001");
    daemon.wait_until("open", || daemon.about(source).contains(&"A: OPEN SESAME".to_owned()));
    if !which.is_ours() {
        let status = daemon.wait();
        eprintln!("theirs, when the file is gone: {status:?} {:#?}", daemon.log());
        return;
    }
    daemon.wait_for_line(
        "error while disabling used one time sequence for door A --> disabling the door⏎",
    );
    house.settle(&[&daemon]);
    let sources = ["1000 1001", "2000 2001", "7000"].map(|script| house.knock(script));
    house.settle(&[&daemon]);
    assert_eq!(sources.map(|source| daemon.about(source).len()), [0, 0, 2]);
}
