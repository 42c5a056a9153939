//! The end of a daemon, and what the next one finds.

use super::*;

pub(super) fn record(id: u64, last: u8, began: Began) -> PendingStop {
    PendingStop {
        id: JobId(id),
        door: "SSH".into(),
        address: [203, 0, 113, last].into(),
        stop: format!("off {last}").into(),
        began,
        due: None,
    }
}

#[test]
fn what_was_left_behind_is_closed_when_due() {
    let mut bench = Bench::new(Options::default());
    bench.scheduler.adopt(record(0, 1, Began::Unknown), seconds(100), false);
    bench.scheduler.adopt(record(5, 2, Began::Succeeded), seconds(130), false);
    assert_eq!(bench.scheduler.next_id(), JobId(6));
    bench.at(100);
    bench.expect(&CLOSING);
    bench.ends(0, Ended::Code(0));
    bench.expect(&["forget 0"]);
    // Known to be open: a knock extends it, although nobody knows its start command any more.
    bench.at(125);
    assert_eq!(bench.open(job("SSH", 2)), Opening::Extended { until: Some(seconds(135)) });
    bench.expect(&["203.0.113.2: SSH: extended by 10s"]);
    bench.at(135);
    bench.expect(&[
        "203.0.113.2: SSH: command timeout",
        "SSH: running command: off 2",
        "run stop command of 5: off 2",
    ]);
    bench.ends(5, Ended::Code(0));
    bench.expect(&["forget 5"]);
    bench.is_empty();
}

#[test]
fn what_may_be_open_is_closed_before_it_is_opened() {
    for held in [false, true] {
        let mut bench = Bench::new(Options::default());
        bench.scheduler.adopt(record(0, 1, Began::Unknown), seconds(200), held);
        assert_eq!(bench.open(job("SSH", 1)), Opening::Waiting);
        if held {
            bench.expect(&[]);
            bench.at(300);
            bench.expect(&[]);
            bench.scheduler.release(JobId(0), bench.now);
            bench.at(300);
        }
        bench.expect(&CLOSING);
        bench.ends(0, Ended::Code(0));
        bench.expect(&[
            "forget 0",
            "record 1: SSH 203.0.113.1 off 1",
            "SSH: running command: on 1",
            "run start command of 1: on 1",
        ]);
    }
}

#[test]
fn two_of_one_door_and_address_that_were_left_behind_are_both_closed() {
    let mut bench = Bench::new(Options::default());
    bench.scheduler.adopt(record(0, 1, Began::Unknown), seconds(100), false);
    bench.scheduler.adopt(record(1, 1, Began::Unknown), seconds(100), false);
    bench.at(100);
    let mut expected = CLOSING.to_vec();
    expected.extend(&CLOSING[..2]);
    expected.push("run stop command of 1: off 1");
    bench.expect(&expected);
    bench.ends(1, Ended::Code(0));
    bench.expect(&["forget 1"]);
    // The first is still being closed, and that is what a knock waits for.
    assert_eq!(bench.open(job("SSH", 1)), Opening::Waiting);
    bench.expect(&[]);
    bench.ends(0, Ended::Code(0));
    bench.expect(&[
        "forget 0",
        "record 2: SSH 203.0.113.1 off 1",
        "SSH: running command: on 1",
        "run start command of 2: on 1",
    ]);
}

/// One that is open, one that is being opened, one that is being closed, one whose start failed and
/// one that waits: of addresses 1 to 5, and ids 0 to 4.
fn in_all_states() -> Bench {
    let mut bench = Bench::new(Options { at_once: 1, ..Options::default() });
    for (last, code) in [(1, 0), (2, 0), (3, 0), (4, 9)] {
        bench.open(Job {
            open_for: Duration::from_secs(if last == 3 { 1 } else { 50 }),
            ..job("SSH", last)
        });
        while let Some(action) = bench.scheduler.next_action() {
            match action {
                Action::Record(record) => bench.scheduler.handle_recorded(record.id, Ok(())),
                Action::Run { id, .. } if last != 2 => bench.ends(id.0, Ended::Code(code)),
                _ => {}
            }
        }
        if last == 2 {
            bench.ends(1, Ended::Code(1));
            while bench.scheduler.next_action().is_some() {}
        }
    }
    // Start again what has failed, which takes the place.
    assert_eq!(
        bench.open(Job { open_for: Duration::from_secs(50), ..job("SSH", 2) }),
        Opening::Started
    );
    bench.expect(&["SSH: running command: on 2", "run start command of 1: on 2"]);
    bench.at(101);
    bench.expect(&[
        "203.0.113.3: SSH: command timeout",
        "SSH: running command: off 3",
        "run stop command of 2: off 3",
    ]);
    assert_eq!(bench.open(job("SSH", 3)), Opening::Waiting);
    assert_eq!(bench.open(job("SSH", 5)), Opening::Waiting);
    bench.expect(&[]);
    bench
}

#[test]
fn at_the_end_all_stops_are_run() {
    let mut bench = in_all_states();
    bench.scheduler.shut_down(AtExit::RunStops, bench.now);
    assert_eq!(bench.open(job("SSH", 1)), Opening::Refused(Refusal::ShuttingDown));
    bench.expect(&[]);
    assert!(!bench.scheduler.is_done());
    bench.ends(2, Ended::Code(0));
    bench.expect(&[
        "forget 2",
        "203.0.113.1: SSH: command timeout",
        "SSH: running command: off 1",
        "run stop command of 0: off 1",
    ]);
    bench.ends(0, Ended::Code(7));
    bench.expect(&[
        "SSH: command returned non-zero status code (7)",
        "forget 0",
        "203.0.113.4: SSH: command timeout",
        "SSH: running command: off 4",
        "run stop command of 3: off 4",
    ]);
    bench.ends(3, Ended::Code(0));
    bench.expect(&["forget 3"]);
    // The start command is awaited, and stopped.
    assert!(!bench.scheduler.is_done());
    bench.ends(1, Ended::Code(0));
    bench.expect(&[
        "203.0.113.2: SSH: command timeout",
        "SSH: running command: off 2",
        "run stop command of 1: off 2",
    ]);
    bench.ends(1, Ended::Code(0));
    assert!(!bench.scheduler.is_done());
    bench.expect(&["forget 1"]);
    assert!(bench.scheduler.is_done());
    bench.is_empty();
}

#[test]
fn at_the_end_all_stops_are_handed_over() {
    let mut bench = in_all_states();
    bench.scheduler.shut_down(AtExit::HandOver, bench.now);
    assert!(!bench.scheduler.is_done());
    bench
        .expect(&["hand over 0: Succeeded due 150 (off 1)", "hand over 3: Failed due 150 (off 4)"]);
    bench.ends(2, Ended::Code(0));
    bench.expect(&["forget 2"]);
    bench.at(105);
    bench.ends(1, Ended::Code(0));
    assert!(!bench.scheduler.is_done());
    bench.expect(&["hand over 1: Succeeded due 155 (off 2)"]);
    assert!(bench.scheduler.is_done());
    bench.is_empty();
}

#[test]
fn who_has_no_time_left_hands_over_what_is_not_stopped_yet() {
    let mut bench = in_all_states();
    bench.scheduler.shut_down(AtExit::RunStops, bench.now);
    bench.expect(&[]);
    bench.scheduler.shut_down(AtExit::HandOver, bench.now);
    bench
        .expect(&["hand over 0: Succeeded due 101 (off 1)", "hand over 3: Failed due 101 (off 4)"]);
    bench.ends(1, Ended::Code(1));
    bench.expect(&[
        "SSH: command returned non-zero status code (1)",
        "hand over 1: Failed due 151 (off 2)",
    ]);
    bench.ends(2, Ended::Code(0));
    bench.expect(&["forget 2"]);
    assert!(bench.scheduler.is_done());
}

#[test]
fn at_the_end_a_stop_is_not_tried_for_ever() {
    let mut bench = Bench::new(Options::default());
    bench.opened(0);
    bench.scheduler.shut_down(AtExit::RunStops, bench.now);
    bench.expect(&CLOSING);
    let trouble = "error: command fork failed! (SSH, stop command: no process)";
    for time in [102, 104] {
        bench.ends(0, Ended::NotBegun("no process".to_owned()));
        bench.expect(&[trouble]);
        bench.at(time);
        bench.expect(&["SSH: running command: off 1", "run stop command of 0: off 1"]);
    }
    bench.ends(0, Ended::NotBegun("no process".to_owned()));
    bench.expect(&[
        trouble,
        "SSH: still open for 203.0.113.1; the next start of the daemon runs the stop command",
    ]);
    assert!(bench.scheduler.is_done());
    bench.is_empty();
}

#[test]
fn what_is_held_is_awaited_or_handed_over() {
    for how in [AtExit::RunStops, AtExit::HandOver] {
        let mut bench = Bench::new(Options::default());
        bench.scheduler.adopt(record(0, 1, Began::Unknown), seconds(90), true);
        bench.scheduler.shut_down(how, bench.now);
        if how == AtExit::HandOver {
            bench.expect(&["hand over 0: Unknown due 100 (off 1)"]);
        } else {
            bench.expect(&[]);
            assert!(!bench.scheduler.is_done());
            bench.scheduler.release(JobId(0), bench.now);
            bench.expect(&CLOSING);
            bench.ends(0, Ended::Code(0));
            bench.expect(&["forget 0"]);
        }
        assert!(bench.scheduler.is_done());
        bench.is_empty();
    }
}
