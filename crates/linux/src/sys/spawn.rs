//! Commands that inherit nothing, and the signs by which a later process finds them again.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// The first descriptor that is not standard input, output or error.
const FIRST: libc::c_uint = 3;

/// How many signals the kernel has; their sets have a bit for each.
const SIGNALS: usize = 64;

/// The kernel's `struct sigaction`, and more: handler, flags, restorer, mask (rt_sigaction(2)).
const DEFAULT: [usize; 8] = [0; 8];

/// Makes sure that no program executed from here on is given a descriptor that this process has now,
/// and that ended children can be asked how they ended. To be called once at the start of a daemon;
/// what is opened later must be closed on exec by itself.
///
/// # Errors
///
/// When the kernel has no such call (before 5.11) and `/proc` is not mounted either.
pub fn inherit_nothing() -> io::Result<()> {
    // Whoever started us may have ignored it; children would then vanish without a status.
    // SAFETY: no handler is installed that could run at a bad moment.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    if close_on_exec() { Ok(()) } else { close_on_exec_one_by_one() }
}

/// As `close_on_exec`, for older kernels.
fn close_on_exec_one_by_one() -> io::Result<()> {
    for fd in super::descriptors()?.into_iter().filter(|fd| FIRST as RawFd <= *fd) {
        // SAFETY: no pointers; it changes nothing but what exec does with the descriptor. The one that read
        // the list is closed by now.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Runs `/bin/sh -c LINE` in a session of its own, with no signal blocked or ignored, with nothing on
/// standard input, and with no other descriptor than the three standard ones. Folder, environment,
/// umask, user and limits are those of this process. It lives on when this process ends.
///
/// `sign` is a file into which the new process writes its id and the time (see [`read_sign`]) before
/// it becomes the shell, so that there is no moment in which the line runs and nobody knows it.
///
/// # Errors
///
/// When the line cannot be run: it has not begun then.
pub fn shell(line: &OsStr, sign: Option<&File>) -> io::Result<Child> {
    let mut command = Command::new("/bin/sh");
    // As system(3) does it, which knockd uses.
    command.arg0("sh").arg("-c").arg("--").arg(line);
    begin(command, sign)
}

/// Runs a program in the same way: the first argument is its absolute path. No shell reads any of
/// them.
///
/// # Errors
///
/// When it cannot be run: it has not begun then.
pub fn program(arguments: &[String], sign: Option<&File>) -> io::Result<Child> {
    let program = arguments.split_first().filter(|(program, _)| program.starts_with('/'));
    // Of another one, who knows which file would be found.
    let (program, arguments) = program.ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments);
    begin(command, sign)
}

fn begin(mut command: Command, sign: Option<&File>) -> io::Result<Child> {
    let sign = sign.map(AsRawFd::as_raw_fd);
    command.stdin(Stdio::null());
    let prepare = move || prepare(sign);
    // SAFETY: between fork and exec only async-signal-safe calls are made (signal-safety(7)), and
    // nothing is allocated: see `prepare`.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// In the child, before exec.
fn prepare(sign: Option<RawFd>) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::setsid() })?;
    for signal in 1..=SIGNALS {
        // Not by the C library, which does not touch the two that it uses itself. Fails for the two
        // that nobody can change.
        // SAFETY: the kernel reads its `struct sigaction`, which is no longer than this and lives
        // through the call; all zero it means the default, so that no handler is installed.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                std::ptr::null_mut::<usize>(),
                SIGNALS / 8,
            )
        };
    }
    if let Some(fd) = sign {
        // Without it the line is run all the same: a full disk must not keep a door open.
        let _ = write_sign(fd);
    }
    close_on_exec();
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set, which lives through both calls.
    check(unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
    })
}

/// Whether every descriptor but the standard ones is now closed on exec.
fn close_on_exec() -> bool {
    const CLOEXEC: libc::c_int = libc::CLOSE_RANGE_CLOEXEC as libc::c_int;
    // SAFETY: no pointers; it changes nothing but what exec does with them.
    unsafe { libc::close_range(FIRST, libc::c_uint::MAX, CLOEXEC) == 0 }
}

/// The length of a sign: two numbers, padded, and a newline.
const SIGN: usize = 32;

/// Writes who this process is and what time it is. Nothing is allocated here.
fn write_sign(fd: RawFd) -> io::Result<()> {
    let mut text = [0u8; SIGN];
    writeln!(text.as_mut_slice(), "{:>10} {:>20}", std::process::id(), boot_nanos()?)?;
    // SAFETY: the pointer is to that many bytes, which live through the call.
    let written = unsafe { libc::pwrite(fd, text.as_ptr().cast(), SIGN, 0) };
    check(i64::try_from(written).unwrap_or(-1))
}

/// The process id, and the time on CLOCK_BOOTTIME in nanoseconds at which it was certainly that of
/// the command. Nothing when the command did not come so far.
pub fn read_sign(sign: &[u8]) -> Option<(u32, u64)> {
    let text = std::str::from_utf8(sign.get(..SIGN)?).ok()?.strip_suffix('\n')?;
    let (pid, at) = text.trim_start().split_once(' ')?;
    Some((pid.parse().ok()?, at.trim_start().parse().ok()?))
}

/// A descriptor of the process, which is ready to be read when the process has ended.
///
/// # Errors
///
/// When there is no such process (`ESRCH`), or the kernel has no such call (before 5.3).
pub fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: no pointers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    check(fd)?;
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel has just made it, for us alone; it is closed on exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn boot_nanos() -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a structure that lives through the call.
    check(unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) })?;
    let seconds = time.tv_sec.unsigned_abs().saturating_mul(1_000_000_000);
    Ok(seconds.saturating_add(time.tv_nsec.unsigned_abs()))
}

fn check(result: impl Into<i64>) -> io::Result<()> {
    if result.into() < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::fcntl::{FcntlArg, fcntl};
    use nix::unistd::dup;

    use super::*;

    fn flags(fd: impl AsFd) -> i32 {
        fcntl(fd, FcntlArg::F_GETFD).unwrap()
    }

    /// One test, because what is tested changes descriptors of all threads.
    #[test]
    fn nothing_is_inherited_in_either_way() {
        let file = tempfile::tempfile().unwrap();
        let leaking = dup(&file).unwrap();
        assert_eq!(flags(&leaking), 0, "it would be inherited");
        let line =
            format!("test -e /proc/$$/fd/0 && ! test -e /proc/$$/fd/{}", leaking.as_raw_fd());
        assert!(shell(line.as_ref(), None).unwrap().wait().unwrap().success());

        inherit_nothing().unwrap();
        assert_eq!(flags(&leaking), libc::FD_CLOEXEC);
        let leaking = dup(&file).unwrap();
        assert_eq!(flags(&leaking), 0);
        close_on_exec_one_by_one().unwrap();
        assert_eq!(flags(&leaking), libc::FD_CLOEXEC);
        for standard in
            [flags(std::io::stdin()), flags(std::io::stdout()), flags(std::io::stderr())]
        {
            assert_eq!(standard, 0);
        }
    }

    #[test]
    fn what_cannot_be_run_has_not_begun() {
        assert!(shell("a\0b".as_ref(), None).is_err());
        for list in [&[][..], &["true"], &["/bin/sh", "a\0b"], &["/no/such/program"], &["/"]] {
            let list: Vec<_> = list.iter().map(|item| String::from(*item)).collect();
            assert!(program(&list, None).is_err(), "{list:?}");
        }
        assert!(pidfd(u32::MAX).is_err());
    }
}
