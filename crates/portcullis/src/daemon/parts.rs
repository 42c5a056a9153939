//! What every keeper begins with, that of `portcullis run` and that of `knockd`.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use portcullis_watcher::watch;

use crate::exit::Failure;

/// How long a process that has closed its socket may take to be gone, in milliseconds.
pub const LAST_MOMENTS: u16 = 1000;

/// From now on SIGINT, SIGTERM, SIGHUP and SIGCHLD wait to be asked for.
///
/// # Errors
///
/// The process has too many descriptors.
pub fn signals() -> Result<SignalFd, Failure> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
        set.add(signal);
    }
    set.thread_block().map_err(|errno| system("block signals", errno))?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(|errno| system("wait for signals", errno))
}

/// The next of the signals that have come.
///
/// # Errors
///
/// None that the kernel documents.
pub fn take_signal(signals: &SignalFd) -> Result<Option<Signal>, Failure> {
    let signal = signals.read_signal().map_err(|errno| system("take a signal", errno))?;
    Ok(signal.and_then(|info| Signal::try_from(info.ssi_signo.cast_signed()).ok()))
}

/// Starts a watcher: this program anew with these arguments, so that the two share no secrets of
/// their memory. The socket between them is its standard input; `silent` says that the other standard
/// streams are not for it. It dies when the thread ends that calls this.
///
/// # Errors
///
/// It cannot be started.
pub fn watcher(arguments: &[&str], silent: bool) -> Result<(Child, OwnedFd), Failure> {
    process(arguments, &[], silent, "reads packets")
}

/// Starts another process of the daemon that does `what` in the same way, with these variables in its
/// environment.
///
/// # Errors
///
/// It cannot be started.
pub fn process(
    arguments: &[&str],
    environment: &[(&str, &str)],
    silent: bool,
    what: &str,
) -> Result<(Child, OwnedFd), Failure> {
    let mut command = Command::new("/proc/self/exe");
    let output = || if silent { Stdio::null() } else { Stdio::inherit() };
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        // For times that a person reads.
        .envs(std::env::var_os("TZ").map(|zone| ("TZ", zone)))
        .stdout(output())
        .stderr(output());
    start(command, what)
}

/// Where commands look for other commands, if nobody has said otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts a runner in the same way. What is in its environment is all that commands find in theirs.
/// It lives on when the keeper ends, to close what is open.
///
/// # Errors
///
/// It cannot be started.
pub fn runner(state_dir: &Path) -> Result<(Child, OwnedFd), Failure> {
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["run-process", "runner", "--state-dir"])
        .arg(state_dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()));
    start(command, "runs commands")
}

fn start(mut command: Command, what: &str) -> Result<(Child, OwnedFd), Failure> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .map_err(|errno| system("create a socket pair", errno))?;
    let child = command.current_dir("/").stdin(Stdio::from(theirs)).spawn().map_err(|error| {
        Failure::could_not(format!("cannot start the process that {what}: {error}")).hint(
            "check that /proc is mounted; the daemon starts its processes from /proc/self/exe",
        )
    })?;
    Ok((child, ours))
}

/// The socket to the keeper, which such a process is given as standard input.
///
/// # Errors
///
/// It was not started by a keeper.
pub fn keeper() -> Result<OwnedFd, Failure> {
    portcullis_watcher::message::keeper().ok_or_else(no_keeper)
}

fn no_keeper() -> Failure {
    Failure::wrong_use("only the daemon starts this process")
        .hint("run `portcullis run` or `knockd`")
}

/// Why a watcher does not watch.
pub fn watcher_failed(error: watch::Error) -> Failure {
    match error {
        watch::Error::Privileges(error) => Failure::could_not(format!(
            "the process that reads packets cannot drop its privileges: {error}"
        )),
        watch::Error::NoKeeper => no_keeper(),
        watch::Error::System(errno) => {
            Failure::could_not(format!("the process that reads packets failed: {}", errno.desc()))
        }
    }
}

/// A system call failed that should not.
pub fn system(doing: &str, errno: Errno) -> Failure {
    Failure::could_not(format!("cannot {doing}: {}", errno.desc()))
}
