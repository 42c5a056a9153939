//! The ways in which a trial ends.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portcullis::apply::DEFAULT_FOLDER;
use portcullis::apply::state::Store;
use portcullis_core::time::Instant;
use portcullis_firewall::compile::compile;
use portcullis_lab::program::Program;
use portcullis_lab::{Family, wait_until};
use portcullis_linux::{clock, proc};

use super::support::{House, Test, before, done, refused};
use crate::world::{PATIENCE, knock_packet, program, write_config};

pub const TESTS: &[Test] = &[
    ("nobody_confirms", &[], || each(nobody_confirms)),
    ("the_terminal_hangs_up", &["setsid"], || each(hang_up)),
    ("the_program_is_killed", &[], || each(killed)),
    ("somebody_keeps_the_state", &[], || each(state_held)),
    ("killed_at_any_moment", &[], || each(killed_at_any_moment)),
    ("the_machine_reboots", &[], || each(reboot)),
    ("the_timer_is_killed_then_confirm", &[], || each(|door| timer_killed(door, "confirm"))),
    ("the_timer_is_killed_then_rollback", &[], || each(|door| timer_killed(door, "rollback"))),
    ("the_timer_is_killed_then_boot", &[], || each(|door| timer_killed(door, "boot"))),
    ("the_timer_is_killed_then_apply", &[], || each(|door| timer_killed(door, "apply"))),
    ("confirmed_rules_stay", &[], || each(confirmed)),
    ("rolled_back_at_once", &[], || each(rolled_back)),
    ("removed", &[], || each(removed)),
    ("grants_outlive_a_rollback", &[], grants),
    ("a_daemon_opens_the_door_that_it_means", &[], daemon),
];

/// Where there was no gate, and where another one was confirmed.
fn each(test: fn(Option<&str>)) {
    for door in [None, Some("old")] {
        test(door);
    }
}

fn new() -> Vec<String> {
    before(Some("new"))
}

/// What the unit runs at boot.
fn boot(house: &House) {
    let unit = include_str!("../../../../../pkg/systemd/portcullis-rules.service");
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let mut words = command.split(' ');
    assert_eq!(words.next(), Some("/usr/bin/portcullis"));
    let words: Vec<&str> = words.collect();
    done(&house.run(&words));
    assert!(DEFAULT_FOLDER.starts_with("/var/lib/portcullis"));
}

/// The kernel forgets, then the unit runs.
fn power_off_and_on(house: &mut House) {
    house.gate.remove().unwrap();
    boot(house);
}

/// A descriptor on which the next byte has to wait.
fn fill(fd: OwnedFd) -> File {
    let set = |fd: &OwnedFd, flags| fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags)).unwrap();
    set(&fd, OFlag::O_NONBLOCK);
    let mut file = File::from(fd);
    loop {
        match file.write(b"x") {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    let fd = OwnedFd::from(file);
    set(&fd, OFlag::empty());
    File::from(fd)
}

/// A terminal, of which nobody inherits the far end.
fn terminal() -> (PtyMaster, OwnedFd) {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let slave = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(ptsname_r(&master).unwrap())
        .unwrap();
    (master, slave.into())
}

/// Waits until the rules are in the kernel and the program is about to say so, which it cannot.
fn is_stuck(house: &mut House, child: &mut Child) {
    house.wait_for(&new());
    let loaded = || house.state().pending.is_some_and(|pending| pending.loaded.is_some());
    assert!(wait_until(std::time::Instant::now() + PATIENCE, loaded));
    assert!(child.try_wait().unwrap().is_none());
}

/// Stops a process, and waits until it is stopped (state T of proc_pid_stat(5)).
fn stop(child: &Child) {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGSTOP).unwrap();
    let stopped = || proc::stat(child.id()).unwrap().contains(") T ");
    assert!(wait_until(std::time::Instant::now() + PATIENCE, stopped));
}

fn nobody_confirms(door: Option<&str>) {
    let mut house = House::with(door);
    done(&house.run(&["apply", &house.door("new", 2222), "--confirm-within", "1s"]));
    house.wait_for(&before(door));
    house.wait_for_end_of_trial();
    refused(&house.run(&["confirm", "--yes"]), 1, &["no rules are on trial"]);
    power_off_and_on(&mut house);
    assert_eq!(house.doors(), before(door));
}

fn hang_up(door: Option<&str>) {
    let mut house = House::with(door);
    let (master, slave) = terminal();
    let slave = fill(slave);
    let stdio = || Stdio::from(slave.try_clone().unwrap());
    let words = house.words(&["apply", &house.door("new", 2222), "--confirm-within", "2s"]);
    let mut child = Command::new("setsid")
        .arg("-c")
        .args(words)
        .stdin(stdio())
        .stdout(stdio())
        .stderr(stdio())
        .spawn()
        .unwrap();
    drop(slave);
    is_stuck(&mut house, &mut child);
    // It cannot go on before the signal is there: the hang-up sends that, and then lets it continue.
    stop(&child);
    drop(master);
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGHUP as i32));
    house.wait_for(&before(door));
}

fn killed(door: Option<&str>) {
    let mut house = House::with(door);
    let (_read, write) = std::io::pipe().unwrap();
    let write = fill(write.into());
    let mut command = house.command(&["apply", &house.door("new", 2222), "--confirm-within", "2s"]);
    // As a shell does it, so that all of a pipeline can be killed.
    let mut child = command.stderr(write).process_group(0).spawn().unwrap();
    is_stuck(&mut house, &mut child);
    let group = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::killpg(group, Signal::SIGKILL).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
    house.wait_for(&before(door));
}

/// As a command that was stopped in the middle would.
fn state_held(door: Option<&str>) {
    let mut house = House::with(door);
    done(&house.run(&["apply", &house.door("new", 2222), "--confirm-within", "1s"]));
    let mut store = Store::open(&house.state_dir()).unwrap();
    house.wait_for(&before(door));
    // It goes on, and loads what it wanted to.
    let text = store.state.pending.as_ref().unwrap().new.clone();
    let policy = portcullis::config::parse_str("t", &text).unwrap().policy;
    house.gate.load(&compile(&policy).unwrap()).unwrap();
    assert_eq!(house.doors(), new());
    store.save(store.state.clone()).unwrap();
    drop(store);
    house.wait_for(&before(door));
    house.wait_for_end_of_trial();
    house.wait_for_timer();
}

fn killed_at_any_moment(door: Option<&str>) {
    let mut house = House::with(door);
    let path = house.door("new", 2222);
    for millis in 0..24 {
        let mut child = house
            .command(&["apply", &path, "--confirm-within", "1h"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        // A trial that has been recorded has its way back, and nothing is loaded without a record.
        let recorded = house.state().pending.is_some();
        assert!(recorded || house.doors() == before(door), "after {millis} ms");
        let output = house.run(&["rollback"]);
        assert_eq!(output.status.code(), Some(i32::from(!recorded)), "{output:?}");
        house.wait_for(&before(door));
        house.kill_timer();
    }
}

fn reboot(door: Option<&str>) {
    let mut house = House::with(door);
    done(&house.run(&["apply", &house.door("new", 2222), "--confirm-within", "1h"]));
    assert_eq!(house.doors(), new());
    house.kill_timer();
    power_off_and_on(&mut house);
    house.wait_for(&before(door));
    house.wait_for_end_of_trial();
    // At boot, and later too: a trial of before can no longer be confirmed.
    refused(&house.run(&["confirm", "--yes"]), 1, &["no rules are on trial"]);
}

fn timer_killed(door: Option<&str>, command: &str) {
    let mut house = House::with(door);
    done(&house.run(&["apply", &house.door("new", 2222), "--confirm-within", "1s"]));
    house.kill_timer();
    let deadline = Instant::from_nanos(house.state().pending.unwrap().deadline);
    assert!(wait_until(std::time::Instant::now() + PATIENCE, || clock() > deadline));
    assert_eq!(house.doors(), new());
    match command {
        "confirm" => refused(&house.run(&["confirm", "--yes"]), 1, &["too late", "rolled back"]),
        "apply" => {
            let other = house.door("other", 2222);
            done(&house.run(&["apply", &other, "--confirm-within", "1h"]));
            assert_eq!(house.doors(), before(Some("other")));
            // What comes back is what was there before the first of the two.
            done(&house.run(&["rollback"]));
        }
        command => done(&house.run(&[command])),
    }
    house.wait_for(&before(door));
    house.wait_for_end_of_trial();
}

fn confirmed(door: Option<&str>) {
    let mut house = House::with(door);
    done(&house.run(&["apply", &house.door("new", 2222), "--confirm-within", "2s"]));
    refused(&house.run(&["confirm"]), 1, &["not an SSH session", "--yes"]);
    done(&house.run(&["confirm", "--yes"]));
    // The timer has had its time, and has done nothing.
    house.wait_for_timer();
    assert_eq!(house.doors(), new());
    power_off_and_on(&mut house);
    assert_eq!(house.doors(), new());
    refused(&house.run(&["rollback"]), 1, &["no rules are on trial"]);
    assert_eq!(house.doors(), new());
}

fn rolled_back(door: Option<&str>) {
    let mut house = House::with(door);
    done(&house.run(&["apply", &house.door("new", 2222), "--confirm-within", "2s"]));
    assert_eq!(house.doors(), new());
    done(&house.run(&["rollback"]));
    house.wait_for(&before(door));
    refused(&house.run(&["confirm", "--yes"]), 1, &["no rules are on trial"]);
    // Another trial may begin at once, and the timer of the first one lets it be.
    done(&house.run(&["apply", &house.door("other", 2222), "--confirm-within", "1h"]));
    let first = house.timers().len();
    assert!(wait_until(std::time::Instant::now() + PATIENCE, || house.timers().len() < first));
    assert_eq!(house.doors(), before(Some("other")));
    assert!(house.state().pending.is_some());
    house.kill_timer();
}

fn removed(door: Option<&str>) {
    let mut house = House::with(door);
    done(&house.run(&["apply", &house.door("new", 2222), "--confirm-within", "1s"]));
    done(&house.run(&["remove"]));
    house.wait_for(&[]);
    house.wait_for_timer();
    house.wait_for(&[]);
    boot(&house);
    house.wait_for(&[]);
}

fn grants() {
    let mut house = House::with(Some("old"));
    let path = house.door("old", 2222);
    let address = house.client.address(Family::V4, 0);
    let changed = house.folder.path().join("changed.toml");
    let text = std::fs::read_to_string(path).unwrap();
    write_config(&changed, &text.replace("tcp/2222", "tcp/3333"));
    done(&house.run(&["apply", changed.to_str().unwrap(), "--confirm-within", "1s"]));
    house.gate.grant(1, address, Duration::from_secs(300)).unwrap();
    house.wait_for_end_of_trial();
    let grants = house.gate.grants().unwrap();
    assert_eq!(grants.iter().map(|grant| grant.address).collect::<Vec<_>>(), [address]);
}

/// The daemon knows its doors by numbers of its own, and other rules may come into force beside it.
fn daemon() {
    let mut house = House::new();
    let path = house.folder.path().join("daemon.toml");
    let door = |name: &str, guards: u16, first: u16| {
        format!(
            "[door.{name}]\nguards = [\"tcp/{guards}\"]\nrecogniser = \"daemon\"\nsequence = [\"tcp/{first}\", \"udp/29117\", \"tcp/1123\"]\n"
        )
    };
    let knock = |house: &House, number, first| {
        let from = house.client.address(Family::V4, number);
        for port in [first, "udp/29117", "tcp/1123"] {
            let to = house.client.host(Family::V4);
            house.wire.send(&knock_packet(from, to, port.parse().unwrap())).unwrap();
        }
    };
    write_config(&path, &format!("{}{}", door("ssh", 22, 7431), door("web", 443, 7432)));
    let mut command = Command::new(program());
    let program = Program::start(command.arg("run").arg(&path).stdin(Stdio::null())).unwrap();
    program.wait_for_line(PATIENCE, |line| line.starts_with("ready")).unwrap();
    done(&house.run(&["apply", path.to_str().unwrap()]));
    let new = house.folder.path().join("new.toml");
    write_config(&new, &format!("{}{}", door("another", 80, 7433), door("ssh", 22, 7431)));
    done(&house.run(&["apply", new.to_str().unwrap(), "--confirm-within", "1h"]));

    knock(&house, 0, "tcp/7431");
    program.wait_for_line(PATIENCE, |line| line.contains("ssh: open for")).unwrap();
    knock(&house, 1, "tcp/7432");
    let refused = program.wait_for_line(PATIENCE, |line| line.contains("but the grant failed"));
    assert!(refused.unwrap().contains("no door web"));
    let names = house.gate.door_names().unwrap();
    let grants = house.gate.grants().unwrap();
    let [grant] = grants.as_slice() else { panic!("{grants:?}") };
    assert!(names.contains(&(grant.class, "ssh".to_owned())), "{names:?} {grant:?}");

    done(&house.run(&["rollback"]));
    knock(&house, 1, "tcp/7432");
    program.wait_for_line(PATIENCE, |line| line.contains("web: open for")).unwrap();
}
