mod ending;

use self::ending::record;
use super::*;

/// A scheduler whose records are written as soon as it asks.
struct Bench {
    scheduler: Scheduler,
    now: Instant,
    disk_works: bool,
}

fn seconds(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}

/// The door's start and stop commands are `on ADDRESS` and `off ADDRESS`; it is open for 10 seconds.
fn job(door: &str, last: u8) -> Job {
    Job {
        door: door.into(),
        address: [203, 0, 113, last].into(),
        start: Some(format!("on {last}").into()),
        stop: Some(format!("off {last}").into()),
        open_for: Duration::from_secs(10),
    }
}

fn other_stop(door: &str, last: u8) -> Job {
    Job { stop: Some(format!("other {last}").into()), ..job(door, last) }
}

fn without_stop(door: &str, last: u8) -> Job {
    Job { stop: None, ..job(door, last) }
}

fn show(action: Action) -> String {
    let bytes = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match action {
        Action::Record(record) => {
            assert_eq!((record.began, record.due), (Began::Unknown, None));
            let PendingStop { id, door, address, stop, .. } = record;
            format!("record {}: {} {address} {}", id.0, bytes(&door), stop.display())
        }
        Action::HandOver(record) => format!(
            "hand over {}: {:?} due {} ({})",
            record.id.0,
            record.began,
            record.due.unwrap().as_nanos() / 1_000_000_000,
            record.stop.display()
        ),
        Action::Forget(id) => format!("forget {}", id.0),
        Action::Run { id, command, which, recorded } => {
            let with = if recorded { "" } else { ", without record" };
            format!("run {which} of {}: {}{with}", id.0, command.display())
        }
        Action::Log(Line::Running { door, command, .. }) => {
            format!("{}: running command: {}", bytes(&door), command.display())
        }
        Action::Log(Line::Status { door, code, .. }) => {
            format!("{}: command returned non-zero status code ({code})", bytes(&door))
        }
        Action::Log(Line::NotBegun { door, which, error, .. }) => {
            format!("error: command fork failed! ({}, {which}: {error})", bytes(&door))
        }
        Action::Log(Line::Timeout { door, address }) => {
            format!("{address}: {}: command timeout", bytes(&door))
        }
        Action::Log(Line::Extended { door, address, open_for }) => {
            format!("{address}: {}: extended by {open_for:?}", bytes(&door))
        }
        Action::Log(Line::Note(text) | Line::Trouble(text)) => text,
    }
}

impl Bench {
    fn new(options: Options) -> Self {
        Self { scheduler: Scheduler::new(options), now: seconds(100), disk_works: true }
    }

    fn open(&mut self, job: Job) -> Opening {
        self.scheduler.open(job, self.now)
    }

    /// Everything that is wanted now, and that nothing is wanted after it.
    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        let mut actions = Vec::new();
        while let Some(action) = self.scheduler.next_action() {
            if let Action::Record(record) = &action {
                let result = if self.disk_works { Ok(()) } else { Err("disk full".to_owned()) };
                self.scheduler.handle_recorded(record.id, result);
            }
            actions.push(show(action));
        }
        assert_eq!(actions, expected);
    }

    fn ends(&mut self, id: u64, ended: Ended) {
        self.scheduler.handle_exit(JobId(id), ended, self.now);
    }

    fn at(&mut self, time: u64) {
        self.now = seconds(time);
        self.scheduler.handle_timeout(self.now);
    }

    #[track_caller]
    fn is_empty(&mut self) {
        self.expect(&[]);
        assert!(self.scheduler.entries.is_empty() && self.scheduler.keys.is_empty());
        assert!(self.scheduler.starts.is_empty() && self.scheduler.stops.is_empty());
        assert_eq!((self.scheduler.running(), self.scheduler.pending()), (0, 0));
        assert_eq!(self.scheduler.poll_timeout(), None);
    }

    /// A door of address 1 is opened at 100 and its start command ends at 101 with this status.
    fn opened(&mut self, code: i32) {
        assert_eq!(self.open(job("SSH", 1)), Opening::Started);
        while let Some(action) = self.scheduler.next_action() {
            if let Action::Record(record) = action {
                self.scheduler.handle_recorded(record.id, Ok(()));
            }
        }
        self.at(101);
        self.ends(0, Ended::Code(code));
        while self.scheduler.next_action().is_some() {}
    }
}

fn one_place() -> Options {
    Options { at_once: 1, waiting: 2, records: 10, strict: false }
}

const OPENING: [&str; 3] = [
    "record 0: SSH 203.0.113.1 off 1",
    "SSH: running command: on 1",
    "run start command of 0: on 1",
];
const CLOSING: [&str; 3] = [
    "203.0.113.1: SSH: command timeout",
    "SSH: running command: off 1",
    "run stop command of 0: off 1",
];

#[test]
fn a_door_opens_and_closes() {
    let mut bench = Bench::new(Options::default());
    assert_eq!(bench.open(job("SSH", 1)), Opening::Started);
    bench.expect(&OPENING);
    bench.at(107);
    bench.expect(&[]);
    assert_eq!(
        bench.scheduler.poll_timeout(),
        None,
        "the time runs from the end of the start command"
    );
    bench.ends(0, Ended::Code(0));
    assert_eq!(bench.scheduler.poll_timeout(), Some(seconds(117)));
    bench.now = seconds(117);
    bench.scheduler.handle_timeout(Instant::from_nanos(seconds(117).as_nanos() - 1));
    bench.expect(&[]);
    bench.at(117);
    bench.expect(&CLOSING);
    bench.expect(&[]);
    bench.ends(0, Ended::Code(0));
    bench.expect(&["forget 0"]);
    bench.is_empty();
}

#[test]
fn without_a_start_command_nothing_happens() {
    let mut bench = Bench::new(Options::default());
    assert_eq!(bench.open(Job { start: None, ..job("SSH", 1) }), Opening::Nothing);
    bench.is_empty();
}

#[test]
fn without_a_stop_command_every_knock_starts() {
    let mut bench = Bench::new(Options::default());
    for id in 0..2 {
        assert_eq!(bench.open(without_stop("SSH", 1)), Opening::Started);
        let run = format!("run start command of {id}: on 1, without record");
        bench.expect(&["SSH: running command: on 1", &run]);
    }
    bench.ends(1, Ended::Code(0));
    bench.ends(0, Ended::Code(2));
    bench.expect(&["SSH: command returned non-zero status code (2)"]);
    bench.is_empty();
}

#[test]
fn a_failed_start_is_stopped_too_and_statuses_are_logged() {
    let mut bench = Bench::new(Options::default());
    bench.open(job("SSH", 1));
    bench.expect(&OPENING);
    bench.ends(0, Ended::Code(3));
    bench.expect(&["SSH: command returned non-zero status code (3)"]);
    bench.at(110);
    bench.expect(&CLOSING);
    bench.ends(0, Ended::Signal);
    bench.expect(&["SSH: command returned non-zero status code (0)", "forget 0"]);
    bench.is_empty();
}

#[test]
fn a_zero_timeout_closes_at_once() {
    let mut bench = Bench::new(Options::default());
    bench.open(Job { open_for: Duration::ZERO, ..job("SSH", 1) });
    bench.expect(&OPENING);
    bench.ends(0, Ended::Code(0));
    assert_eq!(bench.scheduler.poll_timeout(), Some(seconds(100)));
    bench.at(100);
    bench.expect(&CLOSING);
    bench.ends(0, Ended::Code(0));
    bench.expect(&["forget 0"]);
    bench.is_empty();
}

#[test]
fn what_cannot_be_recorded_is_not_opened() {
    let mut bench = Bench::new(one_place());
    bench.disk_works = false;
    bench.open(job("SSH", 1));
    bench.expect(&[
        "record 0: SSH 203.0.113.1 off 1",
        "SSH: start command not run, because the stop command cannot be recorded: disk full",
    ]);
    bench.is_empty();
}

#[test]
fn a_knock_at_an_open_door_extends_it() {
    let mut bench = Bench::new(Options::default());
    bench.open(job("SSH", 1));
    bench.expect(&OPENING);
    assert_eq!(bench.open(job("SSH", 1)), Opening::Extended { until: None });
    bench.expect(&[]);
    bench.ends(0, Ended::Code(0));
    bench.at(108);
    assert_eq!(bench.open(job("SSH", 1)), Opening::Extended { until: Some(seconds(118)) });
    bench.expect(&["203.0.113.1: SSH: extended by 10s"]);
    bench.at(110);
    bench.expect(&[]);
    // Another address and another door are openings of their own.
    assert_eq!(bench.open(job("SSH", 2)), Opening::Started);
    assert_eq!(bench.open(job("web", 1)), Opening::Started);
    assert_eq!(bench.scheduler.pending(), 3);
    bench.at(118);
    while bench.scheduler.next_action().is_some_and(|action| {
        !matches!(action, Action::Run { which: Which::Stop, id: JobId(0), .. })
    }) {}
}

#[test]
fn an_extension_never_shortens() {
    let mut bench = Bench::new(Options::default());
    bench.opened(0);
    bench.at(103);
    let shorter = Job { open_for: Duration::from_secs(2), ..job("SSH", 1) };
    assert_eq!(bench.open(shorter), Opening::Extended { until: Some(seconds(111)) });
}

#[test]
fn a_stop_that_waits_for_a_place_can_still_be_put_off() {
    let mut bench = Bench::new(one_place());
    bench.opened(0);
    bench.at(103);
    bench.open(job("SSH", 2));
    bench.scheduler.next_action();
    bench.scheduler.handle_recorded(JobId(1), Ok(()));
    while bench.scheduler.next_action().is_some() {}
    bench.ends(1, Ended::Code(0));
    bench.at(113);
    // Both are due, and there is one place.
    bench.expect(&CLOSING);
    assert_eq!(bench.open(job("SSH", 2)), Opening::Extended { until: Some(seconds(123)) });
    bench.expect(&["203.0.113.2: SSH: extended by 10s"]);
    bench.ends(0, Ended::Code(0));
    bench.expect(&["forget 0"]);
    assert_eq!(bench.scheduler.poll_timeout(), Some(seconds(123)));
}

#[test]
fn a_knock_after_a_failed_start_starts_again_with_the_same_record() {
    let mut bench = Bench::new(Options::default());
    bench.opened(1);
    bench.at(105);
    assert_eq!(bench.open(job("SSH", 1)), Opening::Started);
    bench.expect(&["SSH: running command: on 1", "run start command of 0: on 1"]);
    bench.at(111);
    bench.expect(&[]);
    bench.ends(0, Ended::Code(0));
    assert_eq!(bench.scheduler.poll_timeout(), Some(seconds(121)));
    assert_eq!(bench.open(job("SSH", 1)), Opening::Extended { until: Some(seconds(121)) });
    bench.expect(&["203.0.113.1: SSH: extended by 10s"]);
    bench.at(121);
    bench.expect(&CLOSING);
    bench.ends(0, Ended::Code(0));
    bench.expect(&["forget 0"]);
    bench.is_empty();
}

#[test]
fn a_failed_start_that_waits_to_be_repeated_is_stopped_when_that_is_due() {
    let mut bench = Bench::new(one_place());
    bench.opened(1);
    bench.open(without_stop("slow", 9));
    bench.expect(&["slow: running command: on 9", "run start command of 1: on 9, without record"]);
    assert_eq!(bench.open(job("SSH", 1)), Opening::Waiting);
    assert_eq!(bench.open(job("SSH", 1)), Opening::Waiting);
    bench.expect(&[]);
    bench.at(111);
    bench.expect(&CLOSING);
    bench.ends(0, Ended::Code(0));
    bench.expect(&["forget 0"]);
    bench.ends(1, Ended::Code(0));
    bench.expect(&[
        "record 2: SSH 203.0.113.1 off 1",
        "SSH: running command: on 1",
        "run start command of 2: on 1",
    ]);
}

#[test]
fn a_knock_while_the_door_closes_opens_it_again_after_that() {
    let mut bench = Bench::new(Options::default());
    bench.opened(0);
    bench.at(111);
    bench.expect(&CLOSING);
    assert_eq!(bench.open(job("SSH", 1)), Opening::Waiting);
    assert_eq!(bench.open(job("SSH", 1)), Opening::Waiting);
    bench.expect(&[]);
    bench.ends(0, Ended::Code(0));
    bench.expect(&[
        "forget 0",
        "record 1: SSH 203.0.113.1 off 1",
        "SSH: running command: on 1",
        "run start command of 1: on 1",
    ]);
    bench.ends(1, Ended::Code(0));
    assert_eq!(bench.scheduler.poll_timeout(), Some(seconds(121)));
}

#[test]
fn a_door_with_other_commands_is_closed_by_its_own_before_it_opens() {
    let mut bench = Bench::new(Options::default());
    bench.opened(0);
    bench.at(103);
    assert_eq!(bench.open(other_stop("SSH", 1)), Opening::Waiting);
    bench.expect(&CLOSING);
    bench.ends(0, Ended::Code(0));
    bench.expect(&[
        "forget 0",
        "record 1: SSH 203.0.113.1 other 1",
        "SSH: running command: on 1",
        "run start command of 1: on 1",
    ]);
    // The same while the start command runs.
    assert_eq!(bench.open(job("SSH", 1)), Opening::Waiting);
    bench.ends(1, Ended::Code(0));
    bench.expect(&[
        "203.0.113.1: SSH: command timeout",
        "SSH: running command: other 1",
        "run stop command of 1: other 1",
    ]);
    bench.ends(1, Ended::Code(0));
    bench.expect(&[
        "forget 1",
        "record 2: SSH 203.0.113.1 off 1",
        "SSH: running command: on 1",
        "run start command of 2: on 1",
    ]);
}

#[test]
fn one_that_waits_takes_the_newest_commands() {
    let mut bench = Bench::new(one_place());
    bench.open(without_stop("slow", 9));
    bench.expect(&["slow: running command: on 9", "run start command of 0: on 9, without record"]);
    assert_eq!(bench.open(job("SSH", 1)), Opening::Waiting);
    assert_eq!(bench.open(other_stop("SSH", 1)), Opening::Waiting);
    bench.ends(0, Ended::Code(0));
    bench.expect(&[
        "record 1: SSH 203.0.113.1 other 1",
        "SSH: running command: on 1",
        "run start command of 1: on 1",
    ]);
}

#[test]
fn strict_opens_each_time_and_closes_each_time() {
    let mut bench = Bench::new(Options { strict: true, ..Options::default() });
    for id in 0..3 {
        assert_eq!(bench.open(job("SSH", 1)), Opening::Started);
        bench.expect(&[
            &format!("record {id}: SSH 203.0.113.1 off 1"),
            "SSH: running command: on 1",
            &format!("run start command of {id}: on 1"),
        ]);
        bench.ends(id, Ended::Code(0));
        bench.at(101 + id);
    }
    for id in 0..3 {
        bench.at(110 + id);
        let run = format!("run stop command of {id}: off 1");
        bench.expect(&["203.0.113.1: SSH: command timeout", "SSH: running command: off 1", &run]);
        bench.ends(id, Ended::Code(0));
        bench.expect(&[&format!("forget {id}")]);
    }
    bench.is_empty();
}

#[test]
fn places_and_queues_are_bounded() {
    let options = Options { at_once: 2, waiting: 1, records: 4, strict: false };
    let mut bench = Bench::new(options);
    let openings: Vec<Opening> = (1..=4).map(|last| bench.open(without_stop("a", last))).collect();
    let refused = Opening::Refused(Refusal::TooManyWaiting);
    assert_eq!(openings, [Opening::Started, Opening::Started, Opening::Waiting, refused]);
    bench.expect(&[
        "a: running command: on 1",
        "run start command of 0: on 1, without record",
        "a: running command: on 2",
        "run start command of 1: on 2, without record",
    ]);
    assert_eq!(bench.open(without_stop("a", 5)), refused);
    bench.ends(1, Ended::Code(0));
    bench.expect(&["a: running command: on 3", "run start command of 2: on 3, without record"]);
    bench.ends(0, Ended::Code(0));
    bench.ends(2, Ended::Code(0));

    // Doors that are open count as such, whatever their commands are doing.
    for last in 1..=4 {
        assert_eq!(bench.open(job("b", last)), Opening::Started);
        while let Some(action) = bench.scheduler.next_action() {
            match action {
                Action::Record(record) => bench.scheduler.handle_recorded(record.id, Ok(())),
                Action::Run { id, .. } => bench.ends(id.0, Ended::Code(0)),
                _ => {}
            }
        }
    }
    assert_eq!(bench.open(job("b", 5)), Opening::Refused(Refusal::TooManyOpen));
    assert_eq!(bench.open(without_stop("b", 5)), Opening::Started);
    assert!(matches!(bench.open(job("b", 4)), Opening::Extended { .. }));
}

#[test]
fn closing_does_not_wait_for_opening() {
    let mut bench = Bench::new(one_place());
    bench.opened(0);
    bench.open(without_stop("slow", 7));
    bench.open(without_stop("slow", 8));
    bench.at(111);
    let mut expected = CLOSING.to_vec();
    expected
        .extend(["slow: running command: on 7", "run start command of 1: on 7, without record"]);
    bench.expect(&expected);
}

#[test]
fn a_nul_is_for_no_shell() {
    let mut bench = Bench::new(Options::default());
    let refused = Opening::Refused(Refusal::NulInCommand);
    assert_eq!(bench.open(Job { stop: Some("a\0b".into()), ..job("SSH", 1) }), refused);
    assert_eq!(bench.open(Job { start: Some("\0".into()), ..job("SSH", 1) }), refused);
    bench.is_empty();
}

#[test]
fn what_could_never_be_closed_is_not_opened() {
    let mut bench = Bench::new(Options::default());
    let job = |length| Job { stop: Some("x".repeat(length).into()), ..job("SSH", 1) };
    let refused = Opening::Refused(Refusal::CommandTooLong);
    assert_eq!(bench.open(job(LONGEST_COMMAND + 1)), refused);
    bench.is_empty();
    assert_eq!(bench.open(job(LONGEST_COMMAND)), Opening::Started);
}

#[test]
fn the_last_of_several_remembered_knocks_counts() {
    let mut bench = Bench::new(one_place());
    bench.scheduler.adopt(record(5, 9, Began::Unknown), seconds(100), false);
    bench.at(100);
    bench.expect(&[
        "203.0.113.9: SSH: command timeout",
        "SSH: running command: off 9",
        "run stop command of 5: off 9",
    ]);
    bench.open(job("SSH", 1));
    bench.expect(&[
        "record 6: SSH 203.0.113.1 off 1",
        "SSH: running command: on 1",
        "run start command of 6: on 1",
    ]);
    bench.ends(6, Ended::Code(0));
    // The door must be closed for the other stop command, and stays to be closed when the first one
    // comes back: it is not open any more for whoever looks.
    assert_eq!(bench.open(other_stop("SSH", 1)), Opening::Waiting);
    assert_eq!(bench.open(job("SSH", 1)), Opening::Waiting);
    bench.ends(5, Ended::Code(0));
    bench.expect(&[
        "forget 5",
        "203.0.113.1: SSH: command timeout",
        "SSH: running command: off 1",
        "run stop command of 6: off 1",
    ]);
    bench.ends(6, Ended::Code(0));
    bench.expect(&[
        "forget 6",
        "record 7: SSH 203.0.113.1 off 1",
        "SSH: running command: on 1",
        "run start command of 7: on 1",
    ]);
}

#[test]
fn a_failed_start_that_waits_to_be_repeated_gives_way_to_other_commands() {
    let mut bench = Bench::new(one_place());
    bench.opened(1);
    bench.open(without_stop("slow", 9));
    bench.expect(&["slow: running command: on 9", "run start command of 1: on 9, without record"]);
    assert_eq!(bench.open(job("SSH", 1)), Opening::Waiting);
    assert_eq!(bench.open(other_stop("SSH", 1)), Opening::Waiting);
    bench.expect(&CLOSING);
    bench.ends(1, Ended::Code(0));
    bench.expect(&[]);
    bench.ends(0, Ended::Code(0));
    bench.expect(&[
        "forget 0",
        "record 2: SSH 203.0.113.1 other 1",
        "SSH: running command: on 1",
        "run start command of 2: on 1",
    ]);
}

#[test]
fn what_is_recorded_only_when_the_daemon_ends_is_not_opened() {
    for how in [AtExit::RunStops, AtExit::HandOver] {
        let mut bench = Bench::new(Options::default());
        bench.open(job("SSH", 1));
        assert!(matches!(bench.scheduler.next_action(), Some(Action::Record(_))));
        bench.scheduler.shut_down(how, bench.now);
        bench.expect(&[]);
        bench.scheduler.handle_recorded(JobId(0), Ok(()));
        bench.expect(&["forget 0"]);
        assert!(bench.scheduler.is_done());
        bench.is_empty();
    }
}

#[test]
fn a_start_that_cannot_begin_leaves_nothing_to_stop() {
    let mut bench = Bench::new(Options::default());
    bench.open(job("SSH", 1));
    bench.expect(&OPENING);
    bench.ends(0, Ended::NotBegun("no process".to_owned()));
    bench.expect(&["error: command fork failed! (SSH, start command: no process)", "forget 0"]);
    bench.is_empty();
}

#[test]
fn a_repeated_start_that_cannot_begin_leaves_the_first_to_stop() {
    let mut bench = Bench::new(Options::default());
    bench.opened(1);
    bench.open(job("SSH", 1));
    bench.expect(&["SSH: running command: on 1", "run start command of 0: on 1"]);
    bench.ends(0, Ended::NotBegun("no process".to_owned()));
    bench.expect(&["error: command fork failed! (SSH, start command: no process)"]);
    bench.at(111);
    bench.expect(&CLOSING);
}

#[test]
fn a_stop_that_cannot_begin_is_tried_again() {
    let mut bench = Bench::new(Options::default());
    bench.opened(0);
    let mut time = 111;
    bench.at(time);
    bench.expect(&CLOSING);
    for pause in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
        bench.ends(0, Ended::NotBegun("no process".to_owned()));
        bench.expect(&["error: command fork failed! (SSH, stop command: no process)"]);
        time += pause;
        assert_eq!(bench.scheduler.poll_timeout(), Some(seconds(time)));
        bench.at(time);
        bench.expect(&["SSH: running command: off 1", "run stop command of 0: off 1"]);
    }
    bench.ends(0, Ended::Code(0));
    bench.expect(&["forget 0"]);
    bench.is_empty();
}

#[test]
fn reports_about_others_change_nothing() {
    let mut bench = Bench::new(Options::default());
    bench.opened(0);
    bench.ends(0, Ended::Code(0));
    bench.ends(9, Ended::Code(0));
    bench.scheduler.handle_recorded(JobId(0), Err("late".to_owned()));
    bench.scheduler.release(JobId(0), bench.now);
    bench.expect(&[]);
    assert_eq!(bench.scheduler.poll_timeout(), Some(seconds(111)));
}
