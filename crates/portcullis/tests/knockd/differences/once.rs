//! One-time sequences, which theirs does not survive.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;
use portcullis_lab::Family;

use super::Test;
use crate::both::Which;
use crate::both::daemon::Setup;
use crate::both::house::House;

pub const TESTS: &[Test] = &[
    ("the_last_sequence_is_not_the_last_of_the_daemon", &[], last),
    ("sequences_after_the_first_work_over_ipv6", &[], ipv6),
    ("a_used_sequence_cannot_be_used_again", &[], replay),
    ("a_sequence_is_knocked_from_its_beginning", &[], beginning),
    ("a_sequence_is_used_wherever_it_stands", &[], twice),
    ("the_mark_of_a_used_line_leaves_the_line_readable", &[], mark),
    ("what_cannot_be_marked_opens_nothing", &[], gone),
];

const DOORS: &str = "[A]\none_time_sequences = DIR/once\nstart_command = echo A %IP% >> ran\n[B]\nsequence = 7000\n";

fn last(which: Which) {
    let house = House::new();
    let daemon = house.start(which, &Setup::new(DOORS).file("once", " 1000,1001\n 2000,2001\n"));
    for script in ["1000 1001", "2000 2001"] {
        let source = house.knock(script);
        daemon.wait_until("open", || daemon.about(source).contains(&"A: OPEN SESAME".to_owned()));
        // Ours hears of the next sequence from its keeper; theirs does not live on after the last.
        if script == "1000 1001" {
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

/// The same sequence on the next line: whoever has heard it could use it again.
fn twice(which: Which) {
    let house = House::new();
    let lines = " 1000,1001\n 1000,1001\n 2000,2001\n 3000,3001\n";
    let daemon = house.start(which, &Setup::new(DOORS).file("once", lines));
    let opened = ["1000 1001", "1000 1001", "2000 2001"].map(|script| {
        let source = house.knock(script);
        house.settle(&[&daemon]);
        daemon.about(source).contains(&"A: OPEN SESAME".to_owned())
    });
    assert_eq!(opened, [true, !which.is_ours(), true], "{:?}", daemon.log());
}

/// A line without a space before it: theirs overwrites its first digit.
fn mark(which: Which) {
    let house = House::new();
    let daemon = house.start(which, &Setup::new(DOORS).file("once", "110,210\n120,220\n"));
    let source = house.knock("110 210");
    house.settle(&[&daemon]);
    assert!(daemon.about(source).contains(&"A: OPEN SESAME".to_owned()));
    let expected = if which.is_ours() { "#110,210\n120,220\n" } else { "#10,210\n120,220\n" };
    daemon.wait_until("with that file", || daemon.read("once") == expected);
}

/// The file has been taken away: theirs marks what nobody will read, and opens.
fn gone(which: Which) {
    let house = House::new();
    let daemon = house.start(which, &Setup::new(DOORS).file("once", " 1000,1001\n 2000,2001\n"));
    std::fs::remove_file(daemon.folder().join("once")).unwrap();
    let source = house.knock("1000 1001");
    house.settle(&[&daemon]);
    let opened = format!("A {source}");
    if !which.is_ours() {
        daemon.wait_until("open", || daemon.ran().contains(&opened));
        return;
    }
    daemon.wait_for_line(
        "error while disabling used one time sequence for door A --> disabling the door⏎",
    );
    let sources = ["1000 1001", "2000 2001", "7000"].map(|script| house.knock(script));
    house.settle(&[&daemon]);
    assert_eq!(sources.map(|source| daemon.about(source).len()), [0, 0, 2]);
    daemon.wait_for_children();
    assert_eq!(daemon.ran(), [""; 0]);
}
