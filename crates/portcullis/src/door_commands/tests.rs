//! Real commands, in real processes.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{SigSet, Signal};
use tempfile::TempDir;

use super::*;
use crate::exit::Exit;

/// After that long a test has failed.
const PATIENCE: u16 = 60_000;

/// Where a command waits, with `read go < go`, until it may go on, or this test has ended somehow.
struct Gate(fs::File);

impl Gate {
    fn new(bench: &Bench) -> Self {
        let path = bench.file("go");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Held at both ends, so that nobody waits for anybody to open it.
        Self(fs::OpenOptions::new().read(true).write(true).open(path).unwrap())
    }

    /// Lets one command pass, whether it has come already or not.
    fn pass(&mut self) {
        self.0.write_all(b"go\n").unwrap();
    }
}

struct Bench {
    commands: Commands,
    dir: TempDir,
    now: Instant,
    lines: Vec<Line>,
    most: usize,
}

impl Bench {
    fn new(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = Self::without_records(options, dir);
        bench.keep_records();
        bench
    }

    fn without_records(options: Options, dir: TempDir) -> Self {
        let commands = Commands::new(options).unwrap();
        Self { commands, dir, now: Instant::from_millis(5000), lines: Vec::new(), most: 0 }
    }

    fn keep_records(&mut self) {
        self.commands.keep_records(&self.dir.path().join("state"), self.now).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Commands that are run in the folder of this test, and that leave a word in `log`.
    fn job(&self, door: &str, last: u8, start: &str, stop: Option<&str>) -> Job {
        let line = |text: &str| format!("cd {} && {{ {text}; }}", self.dir.path().display()).into();
        Job {
            door: door.into(),
            address: [203, 0, 113, last].into(),
            start: Some(line(start)),
            stop: stop.map(line),
            open_for: Duration::from_secs(10),
        }
    }

    fn open(&mut self, job: Job) -> Opening {
        let opening = self.commands.open(job, self.now);
        self.look();
        opening
    }

    fn look(&mut self) {
        self.lines.extend(self.commands.take_lines());
        self.most = self.most.max(self.commands.running());
    }

    /// Waits until a command has ended, and does what follows.
    fn step(&mut self) {
        let mut fds = [PollFd::new(self.commands.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PATIENCE), Ok(1), "no command ends");
        self.commands.handle_children(self.now);
        self.look();
    }

    fn run_out(&mut self) {
        while self.commands.running() > 0 {
            self.step();
        }
    }

    fn at(&mut self, millis: u64) {
        self.now = Instant::from_millis(millis);
        self.commands.handle_timeout(self.now);
        self.look();
    }

    /// The daemon is killed, and another one starts.
    fn crash(self) -> Self {
        let Self { dir, commands, now, .. } = self;
        drop(commands);
        let mut next = Self::without_records(Options::default(), dir);
        next.now = now;
        next.keep_records();
        next.look();
        next
    }

    fn records(&self) -> usize {
        let state = self.file("state");
        let folders = fs::read_dir(state)
            .unwrap()
            .filter_map(|entry| fs::read_dir(entry.unwrap().path()).ok());
        let names = folders.flatten().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.as_bytes().ends_with(b".record")).count()
    }
}

#[test]
fn a_door_opens_and_closes() {
    let mut bench = Bench::new(Options::default());
    let job =
        bench.job("SSH", 1, "ls state/*/*.record | wc -l > on; exit 3", Some("echo off > off"));
    let (on, off) = (job.start.clone().unwrap(), job.stop.clone().unwrap());
    assert_eq!(bench.open(job), Opening::Started);
    bench.run_out();
    assert_eq!(bench.read("on").trim(), "1", "the record is there before the command runs");
    assert!(!bench.file("off").exists());
    assert_eq!(bench.commands.poll_timeout(), Some(Instant::from_millis(15_000)));
    bench.at(15_000);
    bench.run_out();
    assert_eq!(bench.read("off"), "off\n");
    assert_eq!((bench.records(), bench.commands.pending()), (0, 0));
    let (door, address) = (Vec::from("SSH"), [203, 0, 113, 1].into());
    assert_eq!(
        bench.lines,
        [
            Line::Running { door: door.clone(), address, which: Which::Start, command: on },
            Line::Status { door: door.clone(), address, which: Which::Start, code: 3 },
            Line::Timeout { door: door.clone(), address },
            Line::Running { door, address, which: Which::Stop, command: off },
        ]
    );
}

#[test]
fn a_shell_inherits_nothing_but_its_surroundings() {
    // As in a daemon that takes its signals from a descriptor.
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD, Signal::SIGINT] {
        set.add(signal);
    }
    set.thread_block().unwrap();
    let mut bench = Bench::new(Options::default());
    let start = "exec 2> errors; ls /proc/self/fd > fds; readlink /proc/self/fd/0 > stdin; cat /proc/self/status > status; \
                 read line; echo \"read $?\" > in; cut -d' ' -f1,6 /proc/$$/stat > session; \
                 umask > umask; echo \"$0 $HOME\" > words; echo $$ > pid; kill -9 $$";
    let job = bench.job("SSH", 1, start, Some("true"));
    bench.open(job);
    bench.run_out();
    set.thread_unblock().unwrap();

    // The fourth is the folder that ls reads.
    assert_eq!(bench.read("fds"), "0\n1\n2\n3\n");
    assert_eq!(
        (bench.read("in"), bench.read("stdin")),
        ("read 1\n".to_owned(), "/dev/null\n".to_owned())
    );
    for name in ["SigBlk", "SigIgn"] {
        let status = bench.read("status");
        let value =
            status.lines().find_map(|line| line.strip_prefix(&format!("{name}:\t"))).unwrap();
        assert_eq!(value, "0000000000000000", "{name}");
    }
    let session = bench.read("session");
    let (pid, session) = session.trim().split_once(' ').unwrap();
    assert_eq!(pid, session);
    assert_eq!(bench.read("pid").trim(), pid);
    assert_eq!(bench.read("words"), format!("sh {}\n", std::env::var("HOME").unwrap_or_default()));
    assert_eq!(bench.read("errors"), "");
    // Killed by a signal, which knockd calls status 0.
    assert!(matches!(bench.lines.last(), Some(Line::Status { code: 0, .. })));
}

#[test]
fn an_unusual_line_is_a_line_all_the_same() {
    let mut bench = Bench::new(Options::default());
    let line = format!("-v 2>/dev/null; cd {} && echo yes > on", bench.dir.path().display());
    let job = Job { start: Some(line.into()), ..bench.job("SSH", 1, "", None) };
    bench.open(job);
    bench.run_out();
    assert_eq!(bench.read("on"), "yes\n");
    let job = Job { start: Some("".into()), ..bench.job("SSH", 1, "", None) };
    assert_eq!(bench.open(job), Opening::Started);
    bench.run_out();
    assert!(!bench.lines.iter().any(|line| matches!(line, Line::Status { .. } | Line::Trouble(_))));
}

#[test]
fn three_hundred_openings_run_a_few_at_once() {
    let options = Options { at_once: 4, waiting: 1000, records: 1000, strict: false };
    let mut bench = Bench::new(options);
    for number in 0..300 {
        // Each command says how many of its kind there are.
        let last = u8::try_from(number % 250).unwrap();
        let job = bench.job(
            &format!("door{}", number / 250),
            last,
            &format!("> on-{number}; set -- on-*; echo $# >> count; rm on-{number}"),
            Some("echo >> off"),
        );
        let expected = if number < 4 { Opening::Started } else { Opening::Waiting };
        assert_eq!(bench.open(job), expected);
    }
    assert_eq!(bench.commands.running(), 4);
    bench.run_out();
    assert_eq!(bench.commands.pending(), 300);
    let counts = bench.read("count");
    assert_eq!(counts.lines().count(), 300);
    assert!(counts.lines().all(|count| count.trim().parse::<u32>().unwrap() <= 4), "{counts}");
    assert_eq!(bench.most, 4);
    bench.at(100_000);
    assert_eq!(bench.commands.running(), 4);
    bench.run_out();
    assert_eq!(bench.read("off").lines().count(), 300);
    assert_eq!((bench.commands.pending(), bench.records(), bench.most), (0, 0, 4));
}

#[test]
fn without_a_folder_only_doors_that_need_no_stop_open() {
    let mut bench = Bench::without_records(Options::default(), tempfile::tempdir().unwrap());
    let with = bench.job("SSH", 1, "touch with", Some("true"));
    let without = bench.job("SSH", 1, "touch without", None);
    bench.open(with);
    bench.open(without);
    bench.run_out();
    assert!(!bench.file("with").exists() && bench.file("without").exists());
    assert!(
        matches!(&bench.lines[..], [Line::Trouble(_), Line::Running { .. }]),
        "{:?}",
        bench.lines
    );
    // With one they do, and what was opened before disturbs nothing.
    bench.keep_records();
    bench.keep_records();
    let with = bench.job("SSH", 1, "touch with", Some("true"));
    bench.open(with);
    bench.run_out();
    assert!(bench.file("with").exists());
}

#[test]
fn after_a_crash_the_next_daemon_closes() {
    let mut bench = Bench::new(Options::default());
    for last in 1..=3 {
        let job = bench.job("SSH", last, "true", Some(&format!("echo off {last} >> log")));
        bench.open(job);
    }
    bench.run_out();
    let mut next = bench.crash();
    assert_eq!(
        next.lines.first(),
        Some(&Line::Note("pending stop commands from an earlier run: 3".to_owned()))
    );
    next.run_out();
    let mut log: Vec<String> = next.read("log").lines().map(str::to_owned).collect();
    log.sort();
    assert_eq!(log, ["off 1", "off 2", "off 3"]);
    assert_eq!((next.records(), next.commands.pending()), (0, 0));
    assert!(next.crash().lines.is_empty());
}

#[test]
fn a_stop_does_not_overtake_the_start_of_a_killed_daemon() {
    let mut bench = Bench::new(Options::default());
    let mut gate = Gate::new(&bench);
    let job = bench.job(
        "SSH",
        1,
        "echo begun > begun; read go < go; echo on >> log",
        Some("echo off >> log"),
    );
    bench.open(job.clone());
    let mut next = bench.crash();
    assert_eq!((next.commands.running(), next.records()), (0, 1));
    // Nor does another start: it waits for the stop.
    assert_eq!(next.open(job), Opening::Waiting);
    gate.pass();
    next.step();
    next.step();
    assert_eq!(next.read("log"), "on\noff\n");
    gate.pass();
    next.run_out();
    assert_eq!(next.read("log"), "on\noff\non\n");
}

#[test]
fn a_crash_while_a_stop_runs_runs_it_once_more_and_not_beside_it() {
    let mut bench = Bench::new(Options::default());
    let mut gate = Gate::new(&bench);
    let stop = "echo begin >> log; read go < go; echo end >> log";
    let job = bench.job("SSH", 1, "true", Some(stop));
    bench.open(job);
    bench.run_out();
    bench.at(20_000);
    assert_eq!(bench.commands.running(), 1);
    let mut next = bench.crash();
    assert_eq!(next.commands.running(), 0);
    gate.pass();
    next.step();
    assert_eq!(next.commands.running(), 1);
    gate.pass();
    next.run_out();
    assert_eq!(next.read("log"), "begin\nend\nbegin\nend\n");
    assert_eq!(next.records(), 0);
}

#[test]
fn an_end_runs_all_stops() {
    let mut bench = Bench::new(Options::default());
    for last in 1..=3 {
        let job = bench.job("SSH", last, "true", Some("echo off >> log"));
        bench.open(job);
    }
    // One is still running its start command.
    bench.step();
    bench.commands.shut_down(AtExit::RunStops, bench.now);
    while !bench.commands.is_done() {
        bench.step();
    }
    assert_eq!(bench.read("log"), "off\noff\noff\n");
    assert!(bench.crash().lines.is_empty());
}

#[test]
fn an_end_hands_over_and_the_next_daemon_closes_when_due() {
    let mut bench = Bench::new(Options::default());
    let job = bench.job("SSH", 1, "true", Some("echo off >> log"));
    bench.open(job.clone());
    bench.run_out();
    bench.at(9000);
    bench.commands.shut_down(AtExit::HandOver, bench.now);
    assert!(bench.commands.is_done());
    let mut next = bench.crash();
    assert_eq!(next.commands.poll_timeout(), Some(Instant::from_millis(15_000)));
    assert_eq!(next.open(job), Opening::Extended { until: Some(Instant::from_millis(19_000)) });
    next.at(19_000);
    next.run_out();
    assert_eq!(next.read("log"), "off\n");
    assert_eq!(next.records(), 0);
}

fn close(bench: &Bench) -> (Exit, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = close_all::close_all_to(&bench.file("state"), &mut out, &mut err).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (exit, text(out), text(err))
}

#[test]
fn close_all_closes_what_the_dead_have_left_and_names_the_living() {
    let bench = Bench::without_records(Options::default(), tempfile::tempdir().unwrap());
    let nothing = "no doors were left open\n".to_owned();
    assert_eq!(close(&bench), (Exit::Done, nothing.clone(), String::new()));

    let mut bench = Bench { commands: Commands::new(Options::default()).unwrap(), ..bench };
    bench.keep_records();
    let job = bench.job("SSH", 1, "true", Some("echo off >> log"));
    bench.open(job);
    bench.run_out();
    let pid = std::process::id();
    let (exit, out, err) = close(&bench);
    assert_eq!(exit, Exit::CouldNot);
    assert_eq!(out, format!("SSH for 203.0.113.1: open, and process {pid} will close it\n"));
    assert!(err.contains(&format!("kill {pid}")));
    assert_eq!(bench.read("log"), "");

    bench.commands = Commands::new(Options::default()).unwrap();
    let expected = (Exit::Done, "SSH for 203.0.113.1: closed\n".to_owned(), String::new());
    assert_eq!(close(&bench), expected);
    assert_eq!(bench.read("log"), "off\n");
    assert_eq!(close(&bench), (Exit::Done, nothing, String::new()));
}

#[test]
fn close_all_says_what_failed() {
    let mut bench = Bench::new(Options::default());
    for (last, stop) in [(1, "exit 4"), (2, "kill -9 $$"), (3, "true")] {
        let job = bench.job("SSH", last, "true", Some(stop));
        bench.open(job);
    }
    bench.run_out();
    let folder = fs::read_dir(bench.file("state")).unwrap();
    let folder = folder.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    fs::File::create(folder.join("77.record")).unwrap().write_all_at(b"x", 0).unwrap();
    bench.commands = Commands::new(Options::default()).unwrap();
    let (exit, out, err) = close(&bench);
    assert_eq!(exit, Exit::CouldNot);
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "SSH for 203.0.113.1: the stop command exited with status 4",
            "SSH for 203.0.113.2: the stop command was killed",
            "SSH for 203.0.113.3: closed",
        ]
    );
    assert!(err.starts_with("warning: the record of a pending stop command is damaged"), "{err}");
}
