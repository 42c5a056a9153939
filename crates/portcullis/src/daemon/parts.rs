//! What every keeper begins with, that of `portcullis run` and that of `knockd`.

use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::exit::Failure;

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
    process(arguments, &[], silent)
}

/// Starts a process of the daemon as [`watcher`] does, with these variables in its environment.
///
/// # Errors
///
/// It cannot be started.
pub fn process(
    arguments: &[&str],
    environment: &[(&str, &str)],
    silent: bool,
) -> Result<(Child, OwnedFd), Failure> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .map_err(|errno| system("make a pair of sockets", errno))?;
    let output = || if silent { Stdio::null() } else { Stdio::inherit() };
    let child = Command::new("/proc/self/exe")
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        // For times that a person reads.
        .envs(std::env::var_os("TZ").map(|zone| ("TZ", zone)))
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(output())
        .stderr(output())
        .spawn()
        .map_err(|error| {
            Failure::could_not(format!("cannot start a process of the daemon: {error}"))
                .hint("it is this program itself, found through /proc, which must be mounted")
        })?;
    Ok((child, ours))
}

/// A system call failed that should not.
pub fn system(doing: &str, errno: Errno) -> Failure {
    Failure::could_not(format!("cannot {doing}: {}", errno.desc()))
}
