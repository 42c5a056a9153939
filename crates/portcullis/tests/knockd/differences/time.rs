//! Time, which theirs counts in whole seconds of the clock, and looks at when a packet comes.

use std::thread;
use std::time::{Duration, Instant};

use portcullis_lab::{Family, wait_until};

use super::Test;
use crate::both::daemon::{Daemon, Setup, dev_with_log};
use crate::both::house::House;
use crate::both::{PATIENCE, Which};

pub const TESTS: &[Test] = &[
    ("a_second_is_as_long_as_a_second", &[], exact),
    ("a_timeout_is_told_of_when_it_happens", &[], at_once),
    ("a_system_log_that_nobody_reads_holds_up_nothing", &["unshare"], unread),
    ("names_that_nobody_knows_hold_up_no_knock", &["unshare"], resolver),
];

const A: &str = "[A]\nsequence = 7000,8000\nseq_timeout = 1\n";

fn opened(daemon: &Daemon, source: std::net::IpAddr) -> bool {
    daemon.about(source).contains(&"A: OPEN SESAME".to_owned())
}

/// Two knocks 200 ms apart, with the beginning of a second between them.
fn exact(which: Which) {
    let house = House::new();
    let daemon = house.start(which, &Setup::new(A));
    for _ in 0..10 {
        let source = house.new_source(Family::V4);
        house.play(source, "at:900 7000");
        let first = Instant::now();
        house.play(source, "wait:200 8000");
        let took = first.elapsed();
        house.settle(&[&daemon]);
        // A busy machine may have let more time go by, or the second begin before the first knock.
        if took < Duration::from_millis(800) && which.is_ours() {
            assert!(opened(&daemon, source), "{took:?} {:?}", daemon.log());
            return;
        }
        if !opened(&daemon, source) && took < Duration::from_millis(800) {
            assert!(!which.is_ours());
            return;
        }
    }
    panic!("{which} never did what is expected of it: {:?}", daemon.log());
}

fn at_once(which: Which) {
    let house = House::new();
    let daemon = house.start(which, &Setup::new(A));
    let source = house.knock("7000");
    let line = "A: sequence timeout (stage 1)⏎".to_owned();
    if which.is_ours() {
        daemon.wait_until("out of time", || daemon.about(source).contains(&line));
    } else {
        thread::sleep(Duration::from_secs(3));
        assert_eq!(daemon.about(source), ["A: Stage 1"]);
        house.settle(&[&daemon]);
        assert_eq!(daemon.about(source), ["A: Stage 1".to_owned(), line]);
    }
}

/// `-l`, with a server for names that never answers.
fn resolver(which: Which) {
    let house = House::new();
    let config = "[A]\nsequence = 7000,8000\nstart_command = echo A %IP% >> ran\n";
    let setup = Setup::new(config)
        .arg("-l")
        // An address of the client, where nobody listens, and where nothing says so.
        .file("resolv", "nameserver 198.51.100.200\noptions timeout:15 attempts:1\n")
        .file("nsswitch", "hosts: dns\n")
        .mounts("mount --bind DIR/resolv /etc/resolv.conf; mount --bind DIR/nsswitch /etc/nsswitch.conf");
    let daemon = Daemon::start(which, &setup);
    let sources: Vec<_> = (0..10).map(|_| house.knock("7000 8000")).collect();
    let all = || {
        let ran = daemon.ran();
        sources.iter().all(|source| ran.contains(&format!("A {source}")))
    };
    if which.is_ours() {
        daemon.wait_until("open for all", all);
    } else {
        assert!(!wait_until(Instant::now() + PATIENCE / 4, all), "theirs did not wait");
    }
}

/// `UseSyslog`, where somebody has opened the system log and does not read it.
fn unread(which: Which) {
    let house = House::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let _unread = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let config = "[options]\nUseSyslog\nLogFile = DIR/log\n[A]\nsequence = 7000,8000\nstart_command = echo A %IP% >> ran\n";
    let setup = Setup::new(config).mounts(&dev_with_log(path.to_str().unwrap()));
    let daemon = Daemon::start(which, &setup);
    // More messages than such a socket holds (net.unix.max_dgram_qlen is 10, or some hundreds).
    let sources: Vec<_> = (0..300).map(|_| house.knock("7000 8000")).collect();
    let all = || {
        let ran = daemon.ran();
        sources.iter().all(|source| ran.contains(&format!("A {source}")))
    };
    if which.is_ours() {
        daemon.wait_until("open for all", all);
    } else {
        assert!(!wait_until(Instant::now() + PATIENCE / 6, all), "theirs did not wait");
    }
}
