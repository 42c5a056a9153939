//! SIGHUP, which theirs does not always survive.

use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Test;
use crate::both::daemon::{Daemon, Setup};
use crate::both::house::House;
use crate::both::{PATIENCE, Which};

pub const TESTS: &[Test] = &[
    ("hup_in_the_middle_of_knocks_crashes_nothing", &[], crash),
    ("a_bad_file_changes_nothing", &[], bad),
    ("a_used_up_file_of_sequences_changes_nothing", &[], used_up),
    ("a_relative_path_is_found_again", &[], relative),
];

const A: &str = "[A]\nsequence = 7000,8000\n";

fn opens(house: &House, daemon: &Daemon, script: &str) -> bool {
    house.settle(&[daemon]);
    let source = house.knock(script);
    house.settle(&[daemon]);
    daemon.about(source).iter().any(|line| line.ends_with(": OPEN SESAME"))
}

/// Signals in the middle of so many knocks that the daemon is always at one.
fn crash(which: Which) {
    let house = House::new();
    let daemon = house.start(which, &Setup::new(A));
    let until = Instant::now() + if which.is_ours() { PATIENCE / 7 } else { PATIENCE };
    let (mut log, mut silent) = (0, 0);
    while Instant::now() < until && daemon.is_running() && silent < 100 {
        for number in 0..60 {
            house.knock("7000 8000 7000");
            if number % 20 == 10 {
                daemon.signal(Signal::SIGHUP);
            }
        }
        // Until it has caught up: packets that are lost are of no use.
        thread::sleep(Duration::from_millis(10));
        let before = std::mem::replace(&mut log, daemon.read("log").len());
        silent = if log == before { silent + 1 } else { 0 };
    }
    if which.is_ours() {
        // So many openings that not all of them are told of; some time after them all are again.
        let mut told = (0..20).map(|_| opens(&house, &daemon, "7000 8000"));
        assert!(told.any(|opens| opens) && daemon.is_running());
    } else if let Some(status) = daemon.wait_for_end(Duration::ZERO) {
        assert!(status.signal().is_some(), "{status:?}");
    } else {
        // Or it waits for ever for a lock that it holds itself.
        let source = house.knock("7000 8000");
        thread::sleep(Duration::from_secs(2));
        assert_eq!(daemon.about(source), [""; 0], "theirs survived");
    }
}

fn bad(which: Which) {
    for bad in ["[A]\nsequence = 7000,8000\ntcpflag = syn\n", "nonsense\n", "[A]\n"] {
        let house = House::new();
        let daemon = house.start(which, &Setup::new(A));
        daemon.write_config(&Setup::new(bad).verbatim());
        let before = daemon.log().len() + daemon.said().len();
        daemon.signal(Signal::SIGHUP);
        if which.is_ours() {
            let heard = || daemon.log().len() + daemon.said().len() > before + 1;
            daemon.wait_until("said why", heard);
            let said = [daemon.log(), daemon.said()].concat().join("\n");
            eprintln!("{said}");
            assert!(said.contains("knockd.conf"), "{said}");
            assert!(opens(&house, &daemon, "7000 8000"), "{bad}");
        } else {
            assert_eq!(daemon.wait().unwrap().code(), Some(1));
            assert!(!daemon.log().contains(&"shutting down".to_owned()));
        }
    }
}

fn used_up(which: Which) {
    let house = House::new();
    let config = format!("{A}[B]\none_time_sequences = DIR/once\n");
    let daemon = house.start(which, &Setup::new(&config).file("once", " 1,2\n 3,4\n"));
    std::fs::write(daemon.folder().join("once"), "#1,2\n#3,4\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    if which.is_ours() {
        daemon.wait_for("re-reading", |line| line.starts_with("re-reading config file"));
        assert!(opens(&house, &daemon, "7000 8000"));
    } else {
        assert_eq!(daemon.wait().unwrap().code(), Some(1));
    }
}

/// `-d` goes to `/`, where the configuration is not.
fn relative(which: Which) {
    let house = House::new();
    let mut setup = Setup::new(A).arg("-d").arg("-p").arg("DIR/pid");
    setup.config_argument = "knockd.conf".to_owned();
    let daemon = Daemon::spawn(which, &setup);
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    house.settle(&[&daemon]);
    daemon.wait_until("with a pid file", || daemon.read("pid").ends_with('\n'));
    let id: i32 = daemon.read("pid").trim().parse().unwrap();
    daemon.write_config(&Setup::new("[B]\nsequence = 7001,8001\n"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), Signal::SIGHUP).unwrap();
    if which.is_ours() {
        daemon.wait_for("re-reading", |line| line.starts_with("re-reading config file"));
        assert!(opens(&house, &daemon, "7001 8001"));
    } else {
        daemon.wait_until("gone", || daemon.processes().is_empty());
    }
}
