//! What only a machine of one's own can show of knockd's log: what syslog gets, local time, and names
//! of hosts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test without the usual harness is a test all the same"
)]

use std::env;
use std::fs;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, UNIX_EPOCH};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use portcullis::knockd::log::Log;
use portcullis::knockd::lookup::{Answer, HostName, Lookup};
use portcullis_core::time::Instant;
use tempfile::TempDir;

/// Set for a second run of this program, which writes into that file and ends.
const CHILD: &str = "PORTCULLIS_TEST_LOG_FILE";

fn main() -> ExitCode {
    if let Some(path) = env::var_os(CHILD) {
        write_lines(Path::new(&path));
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    if let Err(failure) = portcullis_lab::enter() {
        eprintln!("{failure}");
        return ExitCode::FAILURE;
    }
    // Before any thread starts: they all see these files.
    let _folders = [own_devices(), own_names()];
    let tests: [(&str, fn()); 3] = [
        ("syslog_gets_the_same", syslog_gets_the_same),
        ("time_is_local", time_is_local),
        ("names_come_from_the_resolver", names_come_from_the_resolver),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok::<(), Failed>(())
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

const NOTHING: Option<&str> = None;

/// A `/dev` for this process alone, in which there is no syslog yet.
fn own_devices() -> TempDir {
    let folder = TempDir::new().unwrap();
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING).unwrap();
    mount(NOTHING, folder.path(), Some("tmpfs"), MsFlags::empty(), NOTHING).unwrap();
    let null = folder.path().join("null");
    fs::write(&null, "").unwrap();
    mount(Some("/dev/null"), &null, NOTHING, MsFlags::MS_BIND, NOTHING).unwrap();
    mount(Some(folder.path()), "/dev", NOTHING, MsFlags::MS_MOVE, NOTHING).unwrap();
    folder
}

/// A file of hosts in which a few have names; nobody else is asked.
fn own_names() -> TempDir {
    let folder = TempDir::new().unwrap();
    let hosts = "192.0.2.7 seven.example\n2001:db8::7 seven-six.example\n";
    for (name, text) in [("hosts", hosts), ("nsswitch.conf", "hosts: files\n")] {
        let (ours, theirs) = (folder.path().join(name), format!("/etc/{name}"));
        fs::write(&ours, text).unwrap();
        mount(Some(&ours), theirs.as_str(), NOTHING, MsFlags::MS_BIND, NOTHING).unwrap();
    }
    folder
}

fn names_come_from_the_resolver() {
    let now = Instant::from_millis(1);
    let mut lookup = Lookup::new().unwrap();
    for (address, expected) in [
        ("192.0.2.7", Some("seven.example")),
        ("2001:db8::7", Some("seven-six.example")),
        ("192.0.2.8", None),
    ] {
        let address: IpAddr = address.parse().unwrap();
        let name = expected.and_then(HostName::new);
        assert_eq!(lookup.ask(address, now), Answer::Pending);
        poll(&mut [PollFd::new(lookup.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        assert_eq!(lookup.take_answers(now), [(address, name.clone())]);
        assert_eq!(lookup.ask(address, now), Answer::Known(name));
    }
}

fn syslog_gets_the_same() {
    let syslog = UnixDatagram::bind("/dev/log").unwrap();
    let mut log = Log::new(false);
    log.line(UNIX_EPOCH, b"nobody hears this");
    log.use_syslog(true);
    log.line(UNIX_EPOCH, b"10.0.0.1: a: Stage 1");
    log.record(UNIX_EPOCH, b"a: running command: printf '%s%n' x\0y\xff\n");
    log.record(UNIX_EPOCH, &[b'x'; 3000]);
    log.say(b"nor this");
    log.use_syslog(false);
    log.line(UNIX_EPOCH, b"nor this");
    log.use_syslog(true);
    log.line(UNIX_EPOCH, b"shutting down");
    let mut buffer = [0; 4096];
    let mut next = || {
        let length = syslog.recv(&mut buffer).unwrap();
        buffer.get(..length).unwrap().to_vec()
    };
    for message in [
        b"10.0.0.1: a: Stage 1",
        &b"a: running command: printf '%s%n' x?y\xff\n"[..],
        &[b'x'; 3000],
        b"shutting down",
    ] {
        let line = next();
        // Facility 3 (daemon), priority 5 (notice), RFC 3164: `<29>Nov 21 03:43:52 knockd: …`.
        let (priority, rest) = line.split_at("<29>".len());
        let (_time, text) = rest.split_at("Nov 21 03:43:52 ".len());
        assert_eq!((priority, text), (&b"<29>"[..], &*[b"knockd: ", message].concat()));
    }
}

/// One second before and after midnight, where it is UTC.
fn write_lines(path: &Path) {
    let mut log = Log::new(false);
    log.open(path).unwrap();
    let midnight = UNIX_EPOCH + Duration::from_secs(1_764_547_200);
    log.line(midnight - Duration::from_secs(1), b"before");
    log.line(midnight + Duration::from_secs(1), b"after");
}

fn time_is_local() {
    let folder = TempDir::new().unwrap();
    for (zone, expected) in [
        ("UTC0", "[2025-11-30 23:59] before\n[2025-12-01 00:00] after\n"),
        ("AHEAD-05:30", "[2025-12-01 05:29] before\n[2025-12-01 05:30] after\n"),
        ("BEHIND+3", "[2025-11-30 20:59] before\n[2025-11-30 21:00] after\n"),
    ] {
        let path = folder.path().join(zone);
        let mut again = Command::new(env::current_exe().unwrap());
        let status = again.env("TZ", zone).env(CHILD, &path).status().unwrap();
        assert!(status.success(), "{zone}");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{zone}");
    }
}
