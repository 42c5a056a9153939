//! What doors run, by real packets: with which arguments, when, and what becomes of it when the
//! processes end.

use std::fs;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portcullis_lab::Family;
use portcullis_lab::program::Program;

use super::support::{
    BOTH, DOOR, House, SEQUENCE, WAIT, children, grants, portcullis, runner, start_daemon,
    wait_for_end, wait_for_line,
};

pub const TESTS: &[(&str, fn())] = &[
    ("commands_are_run_with_their_arguments", commands_are_run_with_their_arguments),
    ("a_second_knock_runs_nothing_twice", a_second_knock_runs_nothing_twice),
    ("a_door_may_guard_nothing", a_door_may_guard_nothing),
    ("only_the_runner_keeps_its_privileges", only_the_runner_keeps_its_privileges),
    ("what_is_open_is_closed_at_the_end", what_is_open_is_closed_at_the_end),
    ("what_is_open_is_closed_when_the_keeper_dies", what_is_open_is_closed_when_the_keeper_dies),
    ("what_is_open_is_closed_by_the_next_start", what_is_open_is_closed_by_the_next_start),
    ("nobody_waits_for_ever", nobody_waits_for_ever),
    ("the_keeper_ends_with_its_runner", the_keeper_ends_with_its_runner),
    ("a_command_that_fails_is_told_of", a_command_that_fails_is_told_of),
    ("commands_come_and_go_with_the_configuration", commands_come_and_go_with_the_configuration),
    ("what_begins_to_run_commands_begins_anew", what_begins_to_run_commands_begins_anew),
    ("a_folder_of_others_is_not_trusted", a_folder_of_others_is_not_trusted),
    ("commands_of_knockd_are_run", commands_of_knockd_are_run),
    ("runner_that_was_stopped_misses_nothing", runner_that_was_stopped),
    ("sigterm_ends_a_keeper_whose_runner_is_stopped", sigterm_with_a_stopped_runner),
];

/// What a shell would do something about, and what is not replaced.
const ODD: &str = "x{address} $(reboot); `reboot` {door}/ %IP%";

const HOOKS: &str = r#"
on_open = ["/bin/echo", "opened", "{door}", "{address}", "x{address} $(reboot); `reboot` {door}/ %IP%"]
on_close = ["/bin/echo", "closed", "{door}", "{address}"]
"#;

fn door(open_for: &str) -> String {
    format!("{}{HOOKS}", DOOR.replace("30s", open_for))
}

/// Knocks from the client's first address, and waits until the command has been run.
fn open(house: &House, family: Family) -> String {
    let address = house.client.address(family, 0);
    house.send(&house.knock(family, 0, &SEQUENCE));
    house.wait_for_line(&format!("opened ssh {address} "))
}

/// Waits for two lines of different processes, whichever is first.
fn wait_for_both(house: &House, one: &str, other: &str) {
    let seen = house.lines_until(one);
    if !seen.iter().any(|line| line.starts_with(other)) {
        house.wait_for_line(other);
    }
}

fn closed(house: &House, family: Family) -> String {
    format!("closed ssh {}", house.client.address(family, 0))
}

fn commands_are_run_with_their_arguments() {
    let house = House::new(&door("2s"));
    for family in BOTH {
        let address = house.client.address(family, 0);
        assert_eq!(open(&house, family), format!("opened ssh {address} {ODD}"));
        assert!(house.gets_in(family, 0));
        let told = format!("{address}: ssh: on_close: [\"/bin/echo\", \"closed\", ");
        wait_for_both(&house, &closed(&house, family), &told);
    }
}

fn a_second_knock_runs_nothing_twice() {
    let house = House::new(&door("2s"));
    open(&house, Family::V4);
    let address = house.client.address(Family::V4, 0);
    house.send(&house.knock(Family::V4, 0, &SEQUENCE));
    house.wait_for_line(&format!("{address}: ssh: already open; on_"));
    let rest = house.lines_until(&closed(&house, Family::V4));
    assert!(!rest.iter().any(|line| line.starts_with("opened")), "{rest:?}");
    open(&house, Family::V4);
}

/// Both recognisers may open it, but there is nothing that the kernel could do.
fn a_door_may_guard_nothing() {
    let wake = r#"
[door.wake]
sequence = ["udp/40961", "tcp/10007", "tcp/52013", "udp/3391"]
on_open = ["/bin/echo", "woken by", "{address}"]
"#;
    let house = House::new(&format!("{wake}{DOOR}"));
    for family in BOTH {
        let sequence = [("udp", 40_961), ("tcp", 10_007), ("tcp", 52_013), ("udp", 3391)];
        // Without `on_close` nothing is open, so that each knock is one.
        for _ in 0..2 {
            house.send(&house.knock(family, 0, &sequence));
            house.wait_for_line(&format!("woken by {}", house.client.address(family, 0)));
        }
        assert!(grants().iter().all(|grant| grant.address != house.client.address(family, 0)));
        house.send(&house.knock(family, 1, &SEQUENCE));
        house.wait_for_open(family, 1);
        assert!(house.gets_in(family, 1) && !house.gets_in(family, 0));
    }
}

/// Stops the runner, and reloads a configuration for which the socket to it has no room.
fn stop_runner_and_reload(house: &House) -> Pid {
    let runner = Pid::from_raw(runner(house.daemon.id()) as i32);
    kill(runner, Signal::SIGSTOP).unwrap();
    fs::write(&house.path, format!("{}{}", door("30m"), "# comment\n".repeat(44_000))).unwrap();
    house.daemon.signal(Signal::SIGHUP).unwrap();
    house.wait_for_line("ready: watching client");
    runner
}

fn runner_that_was_stopped() {
    let house = House::new(&door("30m"));
    let runner = stop_runner_and_reload(&house);
    for family in BOTH {
        house.send(&house.knock(family, 0, &SEQUENCE));
        house.wait_for_open(family, 0);
        assert!(house.gets_in(family, 0));
    }
    // A further reload waits until the runner has heard of this one.
    fs::write(&house.path, door("30m").replace("\"opened\"", "\"OPENED\"")).unwrap();
    house.daemon.signal(Signal::SIGHUP).unwrap();
    kill(runner, Signal::SIGCONT).unwrap();
    let seen = house.lines_until("ready: watching client");
    for family in BOTH {
        let opened = format!("opened ssh {} ", house.client.address(family, 0));
        if !seen.iter().any(|line| line.starts_with(&opened)) {
            house.wait_for_line("opened ssh ");
        }
    }
    house.send(&house.knock(Family::V4, 1, &SEQUENCE));
    house.wait_for_line(&format!("OPENED ssh {} ", house.client.address(Family::V4, 1)));
}

fn sigterm_with_a_stopped_runner() {
    let mut house = House::new(&door("30m"));
    let runner = stop_runner_and_reload(&house);
    house.daemon.signal(Signal::SIGTERM).unwrap();
    house.wait_for_line("stopped by SIGTERM");
    // The runner may have doors to close, and is waited for; somebody is in a hurry.
    house.daemon.signal(Signal::SIGTERM).unwrap();
    assert_eq!(house.daemon.wait(WAIT).unwrap().unwrap().code(), Some(0));
    kill(runner, Signal::SIGCONT).unwrap();
    assert!(wait_for_end(runner.as_raw() as u32));
}

fn status(id: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

fn only_the_runner_keeps_its_privileges() {
    // The daemon writes to the same pipe: each line here is one write.
    let show = r#"on_open = ["/bin/sh", "-c", "ls -m /proc/$$/fd; env"]"#;
    let house = House::new(&format!("{DOOR}{show}"));
    let (keeper, ours) = (house.daemon.id(), std::process::id());
    let runner = runner(keeper);
    assert_eq!(children(keeper).len(), 2);
    assert_eq!(status(runner, "CapEff"), status(ours, "CapEff"));
    assert_eq!(status(keeper, "CapEff"), format!("{:016x}", 1 << 12));
    let environment = fs::read(format!("/proc/{runner}/environ")).unwrap();
    assert!(environment.starts_with(b"PATH="), "{environment:?}");
    assert_eq!(environment.iter().filter(|byte| **byte == 0).count(), 1);

    house.send(&house.knock(Family::V4, 0, &SEQUENCE));
    assert_eq!(house.wait_for_line("0, "), "0, 1, 2");
    let mut rest = house.lines_until("PATH=");
    let address = house.client.address(Family::V4, 0).to_string();
    rest.retain(|line| !line.starts_with(&address));
    let shell = ["PWD=", "OLDPWD=", "SHLVL=", "_=", "PATH="];
    assert!(rest.iter().all(|line| shell.iter().any(|name| line.starts_with(name))), "{rest:?}");
}

fn what_is_open_is_closed_at_the_end() {
    let mut house = House::new(&door("30m"));
    open(&house, Family::V4);
    open(&house, Family::V6);
    house.daemon.signal(Signal::SIGTERM).unwrap();
    house.wait_for_line("stopped by SIGTERM; the rules stay");
    house.wait_for_line("closed ssh ");
    house.wait_for_line("closed ssh ");
    assert_eq!(house.daemon.wait(WAIT).unwrap().unwrap().code(), Some(0));
}

fn what_is_open_is_closed_when_the_keeper_dies() {
    let house = House::new(&door("30m"));
    let runner = runner(house.daemon.id());
    open(&house, Family::V4);
    house.daemon.signal(Signal::SIGKILL).unwrap();
    house.wait_for_line(&closed(&house, Family::V4));
    assert!(wait_for_end(runner));
}

/// Whatever the configuration says by then.
fn what_is_open_is_closed_by_the_next_start() {
    let house = House::new(&door("30m"));
    let keeper = house.daemon.id();
    let processes = children(keeper);
    open(&house, Family::V4);
    // So that it cannot do anything about the death of its runner.
    house.daemon.signal(Signal::SIGSTOP).unwrap();
    kill(Pid::from_raw(runner(keeper) as i32), Signal::SIGKILL).unwrap();
    house.daemon.signal(Signal::SIGKILL).unwrap();
    assert!(processes.into_iter().all(wait_for_end));
    assert_eq!(fs::read_dir(house.path.with_file_name("state")).unwrap().count(), 2);

    fs::write(&house.path, DOOR).unwrap();
    let path = house.path.to_str().unwrap();
    let state = house.path.with_file_name("state");
    let arguments = ["run", path, "--state-dir", state.to_str().unwrap()];
    let mut daemon = Program::start(&mut portcullis(&arguments)).unwrap();
    wait_for_line(&daemon, &closed(&house, Family::V4));
    daemon.signal(Signal::SIGTERM).unwrap();
    assert_eq!(daemon.wait(WAIT).unwrap().unwrap().code(), Some(0));

    // It is closed once.
    let daemon = start_daemon(&house.path);
    assert_eq!(children(daemon.id()).len(), 1, "nothing is to be done");
}

/// A second signal ends the daemon, while a command still runs.
fn nobody_waits_for_ever() {
    let mut house =
        House::new(&door("30m").replace(
            r#"["/bin/echo", "closed", "{door}", "{address}"]"#,
            r#"["/bin/sleep", "600"]"#,
        ));
    let runner = runner(house.daemon.id());
    let address = house.client.address(Family::V4, 0);
    open(&house, Family::V4);
    house.daemon.signal(Signal::SIGTERM).unwrap();
    house.wait_for_line(&format!("{address}: ssh: on_close: [\"/bin/sleep\", \"600\"]"));
    house.daemon.signal(Signal::SIGTERM).unwrap();
    assert_eq!(house.daemon.wait(WAIT).unwrap().unwrap().code(), Some(0));
    // It goes on, and so does the one that waits for it.
    let sleeping = children(runner);
    assert_eq!(sleeping.len(), 1);
    kill(Pid::from_raw(sleeping[0] as i32), Signal::SIGKILL).unwrap();
    assert!(wait_for_end(runner));
}

fn the_keeper_ends_with_its_runner() {
    let mut house = House::new(&door("30m"));
    open(&house, Family::V4);
    kill(Pid::from_raw(runner(house.daemon.id()) as i32), Signal::SIGKILL).unwrap();
    house.wait_for_line("error: the process that runs commands exited (signal: 9");
    assert_eq!(house.daemon.wait(WAIT).unwrap().unwrap().code(), Some(3));
}

fn a_command_that_fails_is_told_of() {
    let fails = r#"
on_open = ["/bin/false", "{address}"]
on_close = ["/no/such/program"]
"#;
    let house = House::new(&format!("{}{fails}", DOOR.replace("30s", "2s")));
    let address = house.client.address(Family::V4, 0);
    house.send(&house.knock(Family::V4, 0, &SEQUENCE));
    house.wait_for_line(&format!("warning: {address}: ssh: on_open exited with status 1"));
    house.wait_for_line(&format!("warning: {address}: ssh: cannot run on_close: "));
}

fn commands_come_and_go_with_the_configuration() {
    let house = House::new(&door("2s"));
    let before = runner(house.daemon.id());
    open(&house, Family::V4);
    let other = door("30m").replace("opened", "other").replace("closed", "gone");
    fs::write(&house.path, other).unwrap();
    house.daemon.signal(Signal::SIGHUP).unwrap();
    // What is open is closed as it was to be closed.
    wait_for_both(&house, &closed(&house, Family::V4), "ready: ");
    house.send(&house.knock(Family::V6, 0, &SEQUENCE));
    house.wait_for_line(&format!("other ssh {}", house.client.address(Family::V6, 0)));
    fs::write(&house.path, DOOR).unwrap();
    house.daemon.signal(Signal::SIGHUP).unwrap();
    house.wait_for_line("ready: ");
    house.send(&house.knock(Family::V4, 1, &SEQUENCE));
    house.wait_for_open(Family::V4, 1);
    assert_eq!(runner(house.daemon.id()), before);
    house.daemon.signal(Signal::SIGTERM).unwrap();
    let rest = house.lines_until("gone ssh ");
    assert!(!rest.iter().any(|line| line.starts_with("other")), "{rest:?}");
}

fn what_begins_to_run_commands_begins_anew() {
    let house = House::new(DOOR);
    fs::write(&house.path, door("2s")).unwrap();
    house.daemon.signal(Signal::SIGHUP).unwrap();
    let line = house.wait_for_line(
        "warning: cannot use the new configuration; the old one stays: error: a door ",
    );
    assert!(line.ends_with("but the daemon was started without commands to run"), "{line}");
    house.wait_for_line("  hint: systemctl restart portcullis-run");
    house.send(&house.knock(Family::V4, 0, &SEQUENCE));
    house.wait_for_open(Family::V4, 0);
}

fn a_folder_of_others_is_not_trusted() {
    use std::os::unix::fs::PermissionsExt;
    let _lab = portcullis_lab::Lab::new().unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("portcullis.toml");
    fs::write(&path, door("2s")).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let arguments = ["run", path.to_str().unwrap(), "--state-dir"];
    let output =
        portcullis(&arguments).arg(directory.path()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("can be changed by others, but its content is executed"), "{said}");
}

fn commands_of_knockd_are_run() {
    let theirs = "\
[wake]
sequence = 7431,29117:udp,1123
tcpflags = syn
start_command = echo started %IP% 'it is %IP%'
cmd_timeout = 2
stop_command = echo \"stopped %IP%\"
";
    let house = House::new(DOOR);
    let conf = house.path.with_file_name("knockd.conf");
    fs::write(&conf, theirs).unwrap();
    let output = portcullis(&["import"]).arg(&conf).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    fs::write(&house.path, &output.stdout).unwrap();
    let check = portcullis(&["check"]).arg(&house.path).output().unwrap();
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    house.daemon.signal(Signal::SIGTERM).unwrap();
    house.wait_for_line("stopped by SIGTERM");
    let daemon = start_daemon(&house.path);
    for family in BOTH {
        let address = house.client.address(family, 0);
        house.send(&house.knock(family, 0, &SEQUENCE));
        wait_for_line(&daemon, &format!("started {address} it is {address}"));
        wait_for_line(&daemon, &format!("stopped {address}"));
    }
}
