//! The process that reads packets, and what it may do.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::both::Which;
use crate::both::daemon::{Daemon, Setup};
use crate::both::house::House;

const A: &str = "[A]\nsequence = 7000,8000\nstart_command = echo A start >> ran\nstop_command = echo A stop >> ran\ncmd_timeout = 3\n";

fn opens(house: &House, daemon: &Daemon) -> bool {
    let source = house.knock("7000 8000");
    let opened = || daemon.about(source).contains(&"A: OPEN SESAME".to_owned());
    portcullis_lab::wait_until(std::time::Instant::now() + crate::both::PATIENCE / 50, opened)
}

fn watcher(daemon: &Daemon) -> Option<i32> {
    let marked = daemon.processes();
    daemon.family().into_iter().find(|id| !marked.contains(id))
}

/// Whoever kills it closes no door for long, and leaves none open.
pub fn replaced() {
    let house = House::new();
    let daemon = house.start(Which::Ours, &Setup::new(A));
    assert!(opens(&house, &daemon));
    daemon.wait_until("open", || daemon.ran() == ["A start"]);
    let first = watcher(&daemon).unwrap();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    daemon.wait_for("word of it", |line| {
        line == "the process that reads packets exited (signal: 9 (SIGKILL)); starting another"
    });
    daemon.wait_until("another one", || watcher(&daemon).is_some_and(|id| id != first));
    daemon.wait_until("open again", || opens(&house, &daemon));
    daemon.wait_until("closed", || daemon.ran().contains(&"A stop".to_owned()));
}

/// `close_range` came with 5.9.
pub fn old_kernel() {
    portcullis_lab::world::old_kernel::run(|| {
        let house = House::new();
        let daemon = house.start(Which::Ours, &Setup::new(A));
        assert!(opens(&house, &daemon));
        daemon.wait_until("open", || daemon.ran() == ["A start"]);
    });
}

/// With what Debian's unit leaves it: neither may it become nobody, nor cut its bounding set.
pub fn few_capabilities() {
    let house = House::new();
    let few = "-all,+net_raw,+net_admin,+sys_module";
    let setup = Setup::new(A)
        .mounts(&format!("set -- setpriv --bounding-set {few} --inh-caps {few} -- \"$@\""));
    let daemon = house.start(Which::Ours, &setup);
    assert!(opens(&house, &daemon));
    let status = |id: i32| std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let capabilities = status(watcher(&daemon).unwrap());
    let effective = capabilities.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    // CAP_NET_RAW, and nothing else.
    assert_eq!(u64::from_str_radix(effective, 16).unwrap(), 1 << 13);
}

/// Without the right to read packets it says so, and nothing else happens.
pub fn no_capability() {
    let _house = House::new();
    let none = "-all,+net_admin";
    let setup = Setup::new(A)
        .mounts(&format!("set -- setpriv --bounding-set {none} --inh-caps {none} -- \"$@\""));
    let refused = Daemon::refused(Which::Ours, &setup);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.said.concat().contains("You don't have permission to capture"), "{refused:?}");
}
