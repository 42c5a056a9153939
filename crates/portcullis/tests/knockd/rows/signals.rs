//! What signals do (section 1.8 of the reference), as far as theirs survives them.

use std::fs;

use nix::sys::signal::Signal;

use crate::both::daemon::Setup;
use crate::both::house::House;
use crate::both::{SIDES, Which};

pub const TESTS: &[(&str, fn())] = &[
    ("term_and_int_end_it", ends),
    ("hup_reads_the_doors_anew", reload),
    ("hup_opens_the_log_anew", rotate),
];

const A: &str = "[A]\nsequence = 7000,8000\n";

fn ends() {
    let house = House::new();
    for (signal, code) in [(Signal::SIGTERM, 15), (Signal::SIGINT, 2)] {
        for which in SIDES {
            let daemon = house.start(which, &Setup::new(A));
            daemon.signal(signal);
            assert_eq!(daemon.wait().unwrap().code(), Some(code), "{which}");
            daemon.wait_for_line("shutting down");
            daemon.wait_until("gone", || daemon.processes().is_empty());
        }
    }
}

fn reload() {
    let house = House::new();
    let daemons = house.start_both(&Setup::new(A));
    let both = [&daemons[0], &daemons[1]];
    let [old, new] = [house.knock("7000"), house.knock("7000 8000")];
    house.settle(&both);
    for daemon in both {
        daemon.write_config(&Setup::new("[B]\nsequence = 8000,7000\n"));
        daemon.signal(Signal::SIGHUP);
        daemon.wait_for_line("re-reading config file: DIR/knockd.conf⏎");
    }
    house.settle(&both);
    house.play(old, "8000");
    house.play(new, "8000 7000");
    house.same(&daemons, |_| {});
    for daemon in both {
        assert!(daemon.about(new).contains(&"B: OPEN SESAME".to_owned()), "{}", daemon.which);
        assert_eq!(daemon.about(old), ["A: Stage 1", "B: Stage 1"], "{}", daemon.which);
    }
}

fn rotate() {
    let house = House::new();
    let mut logs = Vec::new();
    for which in SIDES {
        let daemon = house.start(which, &Setup::new(A));
        let log = daemon.folder().join("log");
        fs::rename(&log, daemon.folder().join("log.1")).unwrap();
        daemon.signal(Signal::SIGHUP);
        daemon.wait_until("with a new log", || log.exists());
        house.settle(&[&daemon]);
        assert!(daemon.read("log.1").contains("re-reading config file: "), "{which}");
        let mut lines = daemon.log();
        lines.retain(|line| !line.contains(": sentinel: "));
        logs.push(lines);
    }
    assert_eq!(logs[0], logs[1], "{} then {}", Which::Theirs, Which::Ours);
}
