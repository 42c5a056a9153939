//! What happens when the processes begin, end, and are told things.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use portcullis_gate::nftables::Table;
use portcullis_lab::program::Program;
use portcullis_lab::{Family, Lab, Peer};
use tempfile::TempDir;

use super::support::{
    BOTH, DOOR, House, SEQUENCE, WAIT, child, grants, knock, portcullis, start_daemon, wait_for_end,
};

pub const TESTS: &[(&str, fn())] = &[
    ("each_process_has_only_what_it_needs", each_process_has_only_what_it_needs),
    ("run_starts_on_linux_5_4", run_starts_on_linux_5_4),
    ("the_watcher_dies_with_its_keeper", the_watcher_dies_with_its_keeper),
    ("the_keeper_ends_with_its_watcher", the_keeper_ends_with_its_watcher),
    ("a_restart_keeps_living_grants", a_restart_keeps_living_grants),
    ("a_bad_file_changes_nothing", a_bad_file_changes_nothing),
    ("a_good_file_replaces_the_rules", a_good_file_replaces_the_rules),
    ("a_reload_in_the_middle_of_a_knock", a_reload_in_the_middle_of_a_knock),
    ("another_table_opens_no_other_door", another_table_opens_no_other_door),
    ("only_one_runs", only_one_runs),
    ("a_missing_interface_is_an_error", a_missing_interface_is_an_error),
    ("without_permission_nothing_begins", without_permission_nothing_begins),
    ("doors_of_the_kernel_alone_need_no_eyes", doors_of_the_kernel_alone_need_no_eyes),
    ("systemd_is_told", systemd_is_told),
    ("sigterm_ends_a_keeper_whose_watcher_is_stopped", sigterm_with_a_stopped_watcher),
    ("reload_goes_on_when_a_stopped_watcher_does", reload_with_a_stopped_watcher),
];

fn status(id: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

fn each_process_has_only_what_it_needs() {
    let house = House::new(DOOR);
    let keeper = house.daemon.id();
    let watcher = child(keeper);
    for (id, capability) in [(keeper, 1u64 << 12), (watcher, 1 << 13)] {
        let only = format!("{capability:016x}");
        for set in ["CapEff", "CapPrm"] {
            assert_eq!(status(id, set), only, "{set}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(status(id, set), "0000000000000000", "{set}");
        }
        assert_eq!(status(id, "CapBnd"), only);
        assert_eq!(status(id, "NoNewPrivs"), "1");
    }
    // SECCOMP_MODE_FILTER
    assert_eq!(status(watcher, "Seccomp"), "2");
    // User 65534 exists in the first user namespace, but not in one of a test as an ordinary user.
    let all = fs::read_to_string("/proc/self/uid_map").unwrap().contains("4294967295");
    if all {
        assert_eq!(status(watcher, "Uid"), "65534\t65534\t65534\t65534");
        assert_eq!(status(watcher, "Gid"), "65534\t65534\t65534\t65534");
        assert_eq!(status(watcher, "Groups"), "");
    }
    // Standard streams, the copy of the first of them, two of netlink, and the packet socket.
    assert_eq!(fs::read_dir(format!("/proc/{watcher}/fd")).unwrap().count(), 7);
    assert_eq!(fs::read(format!("/proc/{watcher}/environ")).unwrap(), b"");
}

/// `close_range` came with 5.9.
fn run_starts_on_linux_5_4() {
    portcullis_lab::world::old_kernel::run(|| {
        let house = House::new(DOOR);
        house.send(&house.knock(Family::V4, 0, &SEQUENCE));
        house.wait_for_open(Family::V4, 0);
        let watcher = child(house.daemon.id());
        assert_eq!(fs::read_dir(format!("/proc/{watcher}/fd")).unwrap().count(), 7);
    });
}

fn the_watcher_dies_with_its_keeper() {
    let house = House::new(&DOOR.replace("30s", "2s"));
    let watcher = child(house.daemon.id());
    house.send(&house.knock(Family::V4, 0, &SEQUENCE));
    house.wait_for_open(Family::V4, 0);
    house.daemon.signal(Signal::SIGKILL).unwrap();
    assert!(wait_for_end(watcher));
    // Nobody is there, and the door is closed in time all the same.
    assert_eq!(grants().len(), 1);
    assert!(house.gets_in(Family::V4, 0));
    assert!(portcullis_lab::wait_until(Instant::now() + WAIT, || grants().is_empty()));
    assert!(!house.gets_in(Family::V4, 0));
}

fn the_keeper_ends_with_its_watcher() {
    let mut house = House::new(DOOR);
    let watcher = child(house.daemon.id());
    kill(Pid::from_raw(watcher as i32), Signal::SIGKILL).unwrap();
    house.wait_for_line("error: the process that reads packets exited (signal: 9");
    let status = house.daemon.wait(WAIT).unwrap().unwrap();
    assert_eq!(status.code(), Some(3));
    assert!(!house.gets_in(Family::V4, 0), "the rules are gone");
}

fn a_restart_keeps_living_grants() {
    let mut house = House::new(DOOR);
    for family in BOTH {
        house.send(&house.knock(family, 0, &SEQUENCE));
        house.wait_for_open(family, 0);
    }
    let watcher = child(house.daemon.id());
    house.daemon.signal(Signal::SIGTERM).unwrap();
    house.wait_for_line("stopped by SIGTERM; the rules stay");
    assert_eq!(house.daemon.wait(WAIT).unwrap().unwrap().code(), Some(0));
    assert!(wait_for_end(watcher));
    assert!(house.gets_in(Family::V4, 0) && !house.gets_in(Family::V4, 1));

    // The same rules: nothing is touched.
    let mut daemon = start_daemon(&house.path);
    assert_eq!(grants().len(), 2);
    daemon.signal(Signal::SIGINT).unwrap();
    assert_eq!(daemon.wait(WAIT).unwrap().unwrap().code(), Some(0));

    // Other rules, in which the door has another number: the grants move along.
    let other = DOOR.replace("ssh", "other").replace("tcp/22", "tcp/23").replace("7431", "7432");
    fs::write(&house.path, format!("{other}{DOOR}")).unwrap();
    let daemon = start_daemon(&house.path);
    assert_eq!(grants().len(), 2);
    for family in BOTH {
        assert!(house.gets_in(family, 0) && !house.gets_in(family, 1));
    }
    drop(daemon);
}

fn a_bad_file_changes_nothing() {
    let house = House::new(DOOR);
    for bad in ["[door.ssh", &DOOR.replace("tcp/22", "tcp/0"), &DOOR.replace("[door", "[dor")] {
        fs::write(&house.path, bad).unwrap();
        house.daemon.signal(Signal::SIGHUP).unwrap();
        house.wait_for_line("warning: cannot use the new configuration; the old one stays");
    }
    fs::write(&house.path, format!("gate.interfaces = [\"nowhere\"]\n{DOOR}")).unwrap();
    house.daemon.signal(Signal::SIGHUP).unwrap();
    let line = house.wait_for_line("warning: cannot use the new configuration; the old one stays");
    assert!(line.contains("no interface `nowhere`"), "{line}");
    fs::remove_file(&house.path).unwrap();
    house.daemon.signal(Signal::SIGHUP).unwrap();
    house.wait_for_line("warning: cannot use the new configuration; the old one stays");
    // A pipe that nobody writes to keeps nobody waiting.
    mkfifo(&house.path, Mode::S_IRWXU).unwrap();
    house.daemon.signal(Signal::SIGHUP).unwrap();
    let line = house.wait_for_line("warning: cannot use the new configuration; the old one stays");
    assert!(line.contains("it is a named pipe"), "{line}");

    house.send(&house.knock(Family::V4, 0, &SEQUENCE));
    house.wait_for_open(Family::V4, 0);
    assert!(house.gets_in(Family::V4, 0));
}

fn a_good_file_replaces_the_rules() {
    let house = House::new(DOOR);
    let watcher = child(house.daemon.id());
    house.send(&house.knock(Family::V4, 0, &SEQUENCE));
    house.wait_for_open(Family::V4, 0);

    let named = format!("gate.interfaces = [\"client\"]\n{DOOR}").replace("7431", "9431");
    fs::write(&house.path, named).unwrap();
    house.daemon.signal(Signal::SIGHUP).unwrap();
    house.wait_for_line("rules loaded, 1 grant kept");
    house.wait_for_line("ready: watching client");
    assert!(house.gets_in(Family::V4, 0));

    house.send(&house.knock(Family::V4, 1, &SEQUENCE));
    let [_, b, c] = SEQUENCE;
    house.send(&house.knock(Family::V4, 2, &[("tcp", 9431), b, c]));
    house.wait_for_open(Family::V4, 2);
    assert!(house.gets_in(Family::V4, 2) && !house.gets_in(Family::V4, 1));
    assert_eq!(child(house.daemon.id()), watcher);
}

/// The kernel goes on where it was: the knocks are the same.
fn a_reload_in_the_middle_of_a_knock() {
    let door = DOOR.replace("\"daemon\"", "\"kernel\"");
    let begin = "ready: nothing to watch";
    let house = House::new_with(&format!("{door}step_timeout = \"1m\"\n"), begin);
    let [first, second, third] = SEQUENCE;
    house.send(&house.knock(Family::V6, 1, &[first, second]));
    let reached = || Table::open().unwrap().attempts().unwrap().iter().any(|one| one.state == 2);
    assert!(portcullis_lab::wait_until(Instant::now() + WAIT, reached));

    let text = format!("gate.public = [\"tcp/80\"]\n{door}step_timeout = \"1m\"\n");
    fs::write(&house.path, text).unwrap();
    house.daemon.signal(Signal::SIGHUP).unwrap();
    house.wait_for_line("rules loaded");
    house.wait_for_line(begin);
    assert!(!house.gets_in(Family::V6, 1));
    house.send(&house.knock(Family::V6, 1, &[third]));
    assert!(portcullis_lab::wait_until(Instant::now() + WAIT, || grants().len() == 1));
    assert!(house.gets_in(Family::V6, 1));
}

/// Somebody loads rules in which the doors have other numbers, or have gone.
fn another_table_opens_no_other_door() {
    let house = House::new(DOOR);
    let other = DOOR.replace("ssh", "other").replace("tcp/22", "tcp/23").replace("7431", "7432");
    let apply = |text: &str| {
        let path = house.path.with_file_name("other.toml");
        fs::write(&path, text).unwrap();
        let state = house.path.with_file_name("state");
        let words = ["apply", path.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
        let status = portcullis(&words).output().unwrap();
        assert!(status.status.success(), "{status:?}");
    };
    apply(&format!("{other}{DOOR}"));
    for (number, family) in (0..).zip(BOTH) {
        house.send(&house.knock(family, number, &SEQUENCE));
        house.wait_for_open(family, number);
        assert!(house.gets_in(family, number));
    }
    // Both are grants of the door that was knocked at, which is the second there.
    assert!(grants().iter().all(|grant| grant.class == 2), "{:?}", grants());

    apply(&other);
    house.send(&house.knock(Family::V4, 2, &SEQUENCE));
    let address = house.client.address(Family::V4, 2);
    house.wait_for_line(&format!(
        "warning: {address}: ssh: sequence complete, but the grant failed"
    ));
    assert!(grants().is_empty(), "{:?}", grants());
}

/// Runs the daemon, which must end by itself.
fn run(configuration: &str, user: Option<u32>) -> Output {
    let mut command = portcullis(&["run", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(configuration.as_bytes()).unwrap();
    let ended =
        portcullis_lab::wait_until(Instant::now() + WAIT, || child.try_wait().unwrap().is_some());
    if !ended {
        child.kill().unwrap();
    }
    child.wait_with_output().unwrap()
}

fn assert_refused(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(words), "{said}");
    assert!(said.contains("hint: "), "{said}");
}

fn only_one_runs() {
    let house = House::new(DOOR);
    assert_refused(
        &run(DOOR, None),
        "another `portcullis run` is active in this network namespace",
    );
    house.send(&house.knock(Family::V4, 0, &SEQUENCE));
    house.wait_for_open(Family::V4, 0);
}

fn a_missing_interface_is_an_error() {
    let _lab = Lab::new().unwrap();
    let named = format!("gate.interfaces = [\"lo\", \"nowhere\"]\n{DOOR}");
    assert_refused(&run(&named, None), "this host has no interface `nowhere`");
    assert_eq!(Table::open().unwrap().state().unwrap(), None, "half started");
}

fn without_permission_nothing_begins() {
    let _lab = Lab::new().unwrap();
    if !fs::read_to_string("/proc/self/uid_map").unwrap().contains("4294967295") {
        return; // There is no other user to be.
    }
    assert_refused(&run(DOOR, Some(65_534)), "no permission to change the firewall");
}

fn doors_of_the_kernel_alone_need_no_eyes() {
    let house = House::new_with(&DOOR.replace("daemon", "kernel"), "ready: nothing to watch");
    house.send(&house.knock(Family::V4, 0, &SEQUENCE));
    assert!(portcullis_lab::wait_until(Instant::now() + WAIT, || grants().len() == 1));
    assert!(house.gets_in(Family::V4, 0));
}

/// A daemon, and what systemd is told of it.
struct Managed {
    _lab: Lab,
    client: Peer,
    daemon: Program,
    manager: UnixDatagram,
    path: PathBuf,
    _directory: TempDir,
}

impl Managed {
    fn new(configuration: &str) -> Self {
        let mut lab = Lab::new().unwrap();
        let client = lab.peer("client", 3).unwrap();
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("notify");
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(WAIT)).unwrap();
        let path = directory.path().join("portcullis.toml");
        fs::write(&path, configuration).unwrap();
        let mut command = portcullis(&["run", path.to_str().unwrap()]);
        command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "100000");
        let daemon = Program::start(&mut command).unwrap();
        Self { _lab: lab, client, daemon, manager, path, _directory: directory }
    }

    /// Waits until systemd is told something that begins so.
    fn wait_for(&self, what: &str) {
        let mut buffer = [0; 512];
        loop {
            let length = self.manager.recv(&mut buffer).unwrap();
            if buffer[..length].starts_with(what.as_bytes()) {
                return;
            }
        }
    }

    /// Stops the watcher and orders a reload for which the socket to it has no room; the watcher.
    fn reload_without_room(&self, configuration: &str) -> Pid {
        let watcher = Pid::from_raw(child(self.daemon.id()) as i32);
        kill(watcher, Signal::SIGSTOP).unwrap();
        fs::write(&self.path, format!("{configuration}{}", "# comment\n".repeat(44_000))).unwrap();
        self.daemon.signal(Signal::SIGHUP).unwrap();
        self.wait_for("RELOADING=1");
        // It goes on living.
        self.wait_for("WATCHDOG=1");
        watcher
    }
}

fn sigterm_with_a_stopped_watcher() {
    let mut it = Managed::new(DOOR);
    it.wait_for("READY=1");
    let watcher = it.reload_without_room(DOOR);
    it.daemon.signal(Signal::SIGTERM).unwrap();
    it.wait_for("STOPPING=1");
    assert_eq!(it.daemon.wait(WAIT).unwrap().unwrap().code(), Some(0));
    assert!(wait_for_end(watcher.as_raw() as u32));
}

fn reload_with_a_stopped_watcher() {
    let it = Managed::new(DOOR);
    it.wait_for("READY=1");
    let watcher = it.reload_without_room(&DOOR.replace("7431", "9431"));
    kill(watcher, Signal::SIGCONT).unwrap();
    it.wait_for("READY=1\nSTATUS=watching client");
    let wire = it.client.wire().unwrap();
    let [first, second, third] = SEQUENCE;
    for (number, first) in [(0, first), (1, ("tcp", 9431))] {
        let (from, to) = (it.client.address(Family::V4, number), it.client.host(Family::V4));
        for packet in knock(from, to, &[first, second, third]) {
            wire.send(&packet).unwrap();
        }
    }
    it.daemon.wait_for_line(WAIT, |line| line.contains(": ssh: open for ")).unwrap();
    assert_eq!(grants().len(), 1);
    assert_eq!(grants()[0].address, it.client.address(Family::V4, 1));
}

fn systemd_is_told() {
    let it = Managed::new(DOOR);
    it.wait_for("READY=1\nSTATUS=watching client");
    it.wait_for("WATCHDOG=1");
    it.daemon.signal(Signal::SIGHUP).unwrap();
    it.wait_for("RELOADING=1\nMONOTONIC_USEC=");
    it.wait_for("READY=1");
    it.daemon.signal(Signal::SIGTERM).unwrap();
    it.wait_for("STOPPING=1");
}
