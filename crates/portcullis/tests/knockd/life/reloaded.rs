//! SIGHUP, all the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::both::Which;
use crate::both::daemon::Setup;
use crate::both::house::House;

/// How long, in all.
const STORM: Duration = Duration::from_secs(30);

/// Fifty a second.
const PAUSE: Duration = Duration::from_millis(20);

pub fn storm() {
    let house = House::new();
    let config =
        "[A]\nsequence = 7000,8000,9000\ntcpflags = syn\nstart_command = echo A %IP% >> ran\n";
    let daemon = house.start(Which::Ours, &Setup::new(config));
    let done = AtomicBool::new(false);
    let id = Pid::from_raw(i32::try_from(daemon.id()).unwrap());
    let begun = Instant::now();
    let mut sources = Vec::new();
    let signals = thread::scope(|scope| {
        let signals = scope.spawn(|| {
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                kill(id, Signal::SIGHUP).unwrap();
                sent += 1;
                thread::sleep(PAUSE);
            }
            sent
        });
        while begun.elapsed() < STORM {
            // With and without a signal between the knocks.
            sources.push(house.knock("7000 wait:9 8000 wait:13 9000"));
            sources.push(house.knock("7000 8000 9000 wait:5"));
        }
        done.store(true, Ordering::Relaxed);
        signals.join().unwrap()
    });
    daemon.wait_until("open for all", || {
        let ran: std::collections::BTreeSet<String> = daemon.ran().into_iter().collect();
        sources.iter().all(|source| ran.contains(&format!("A {source}")))
    });
    assert!(daemon.is_running());
    eprintln!("{} knocks among {signals} signals, and all opened", sources.len());
}

/// What was opened under one configuration is closed under another.
pub fn open_doors() {
    let house = House::new();
    let config = "[A]\nsequence = 7000\nstart_command = echo A start >> ran\nstop_command = echo A stop >> ran\ncmd_timeout = 2\n";
    let daemon = house.start(Which::Ours, &Setup::new(config));
    house.knock("7000");
    daemon.wait_until("open", || daemon.ran() == ["A start"]);
    daemon.write_config(&Setup::new("[B]\nsequence = 8000\n"));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_until("closed", || daemon.ran() == ["A start", "A stop"]);
}
