//! SIGKILL between the start command and the stop command.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::both::Which;
use crate::both::daemon::{Daemon, Setup};
use crate::both::house::House;
use crate::both::random::Random;

/// A door that leaves a file while it is open, for longer than any test runs.
const FILE: &str = "[A]\nsequence = 7000,8000\nstart_command = touch DIR/open/%IP%\nstop_command = rm DIR/open/%IP%\ncmd_timeout = 600\n";

const RULE: &str = "[A]\nsequence = 7000,8000\nstart_command = /sbin/iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT\nstop_command = /sbin/iptables -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT\ncmd_timeout = 600\n";

pub fn files() {
    killed(75, FILE, |daemon| fs::read_dir(daemon.folder().join("open")).unwrap().count());
}

pub fn rules() {
    killed(25, RULE, |_| rules_of_doors());
}

fn rules_of_doors() -> usize {
    let output = Command::new("/sbin/iptables").args(["-S", "INPUT"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().matches("--dport 22").count()
}

/// Kills the daemon so many times, and looks that the next one has closed all. `open` counts what is
/// open.
fn killed(times: u64, config: &str, open: impl Fn(&Daemon) -> usize) {
    let house = House::new();
    let daemon = Daemon::spawn(Which::Ours, &Setup::new(config));
    fs::create_dir(daemon.folder().join("open")).unwrap();
    let mut random = Random::new(times);
    let (mut ready, mut left_open) = (0, 0);
    for time in 0..times {
        daemon.wait_until_ready_after(ready).unwrap();
        // Now and then it dies before it has cleaned up after the one before.
        if !random.percent(25) {
            daemon.wait_until("closed", || open(&daemon) == 0);
        }
        for _ in 0..1 + random.below(3) {
            house.knock("7000 8000");
        }
        thread::sleep(Duration::from_micros(random.below(40_000) as u64));
        let main = i32::try_from(daemon.id()).unwrap();
        if time % 2 == 0 {
            daemon.kill();
        } else {
            // With all that it has started, as a service manager does it.
            for id in daemon.processes() {
                let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
            }
            assert!(daemon.wait().is_some(), "{main} does not die");
        }
        left_open += usize::from(open(&daemon) > 0);
        ready = daemon.log().len();
        daemon.restart();
    }
    daemon.wait_until_ready_after(ready).unwrap();
    daemon.wait_until("closed", || open(&daemon) == 0);
    // And it is still good for something.
    house.settle(&[&daemon]);
    let source = house.knock("7000 8000");
    daemon.wait_until("open", || open(&daemon) == 1);
    assert!(daemon.about(source).contains(&"A: OPEN SESAME".to_owned()));
    eprintln!("killed {times} times, {left_open} times with doors open");
    assert!(left_open > 0, "it was always killed at the wrong moment");
}

/// `--close-all` runs what is pending, and starts nothing.
pub fn close_all() {
    let house = House::new();
    let daemon = Daemon::spawn(Which::Ours, &Setup::new(FILE));
    let open = || fs::read_dir(daemon.folder().join("open")).unwrap().count();
    fs::create_dir(daemon.folder().join("open")).unwrap();
    daemon.wait_until_ready().unwrap();
    for _ in 0..3 {
        house.knock("7000 8000");
    }
    daemon.wait_until("open", || open() == 3);
    daemon.kill();
    assert_eq!(open(), 3);
    let mut command = Command::new(Which::Ours.knockd());
    let output = command.arg("--close-all").arg("--state-dir").arg(daemon.folder().join("state"));
    let output = output.current_dir(daemon.folder()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(open(), 0);
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
}

/// `--stops-at-exit hand-over`: the next daemon closes, when it is time.
pub fn hand_over() {
    let house = House::new();
    let config = "[A]\nsequence = 7000\nstart_command = echo A start >> ran\nstop_command = echo A stop >> ran\ncmd_timeout = 4\n";
    let setup = Setup::new(config).arg("--stops-at-exit").arg("hand-over");
    let daemon = house.start(Which::Ours, &setup);
    house.knock("7000");
    daemon.wait_until("open", || daemon.ran() == ["A start"]);
    let lines = daemon.log().len();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait().unwrap().code(), Some(15));
    assert_eq!(daemon.ran(), ["A start"]);
    daemon.restart();
    daemon.wait_until_ready_after(lines).unwrap();
    daemon.wait_until("closed", || daemon.ran() == ["A start", "A stop"]);
}
