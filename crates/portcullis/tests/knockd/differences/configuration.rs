//! What may stand in the configuration, and what is written of it. `knockd_conf.rs` has the rest.

use super::Test;
use crate::both::Which;
use crate::both::daemon::{Daemon, Setup};
use crate::both::house::House;

pub const TESTS: &[Test] = &[
    ("a_line_may_be_long", &[], long_line),
    ("a_message_is_written_whole", &[], long_message),
    ("spaces_may_stand_between_flags", &[], spaces),
];

fn long_line(which: Which) {
    let house = House::new();
    let padding = "x".repeat(5_000);
    let config = format!("[A]\nsequence = 7000\ncommand = echo A %IP% >> ran #{padding}\n");
    let setup = Setup::new(&config);
    if !which.is_ours() {
        assert_eq!(Daemon::refused(which, &setup).status.code(), Some(1));
        return;
    }
    let daemon = house.start(which, &setup);
    let source = house.knock("7000");
    daemon.wait_until("open", || daemon.ran() == [format!("A {source}")]);
}

/// 1023 bytes of it are written by theirs, and no newline after them that is not there.
fn long_message(which: Which) {
    let house = House::new();
    let command = format!("echo A %IP% >> ran #{}end", "x".repeat(1_500));
    let config = format!("[A]\nsequence = 7000\ncommand = {command}\n");
    let daemon = house.start(which, &Setup::new(&config));
    let source = house.knock("7000");
    let begin = format!("A: running command: echo A {source} >> ran #xxx");
    daemon.wait_for("command", |line| line.starts_with(&begin));
    let log = daemon.log();
    let line = log.iter().find(|line| line.starts_with(&begin)).unwrap();
    if which.is_ours() {
        assert!(line.ends_with("end⏎"), "{line}");
    } else {
        assert_eq!(line.len(), 1_023);
    }
}

fn spaces(which: Which) {
    let house = House::new();
    let setup = Setup::new("[A]\nsequence = 7000\ntcpflags = syn, !ack\n");
    if !which.is_ours() {
        assert_eq!(Daemon::refused(which, &setup).status.code(), Some(1));
        return;
    }
    let daemon = house.start(which, &setup);
    let source = house.knock("7000/syn+ack 7000");
    house.settle(&[&daemon]);
    assert_eq!(daemon.about(source), ["A: Stage 1", "A: OPEN SESAME"]);
}
