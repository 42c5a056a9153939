//! Processes: what they may do, and what they can no longer do.

use std::fmt;
use std::io;

/// `CAP_NET_ADMIN` of linux/capability.h: change the firewall.
pub const NET_ADMIN: Capability = Capability(Some(12));
/// `CAP_NET_RAW`: read packets.
pub const NET_RAW: Capability = Capability(Some(13));
/// None at all.
pub const NOTHING: Capability = Capability(None);
const SETGID: Capability = Capability(Some(6));
const SETUID: Capability = Capability(Some(7));
const SETPCAP: Capability = Capability(Some(8));

/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits, in two halves.
const VERSION: u32 = 0x2008_0522;

/// User and group "nobody".
const NOBODY: libc::uid_t = 65_534;

/// One capability (capabilities(7)), or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability(Option<u8>);

/// As capabilities(7) names it, for Markdown.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            NET_ADMIN => "`CAP_NET_ADMIN`",
            NET_RAW => "`CAP_NET_RAW`",
            NOTHING => "none",
            _ => "another",
        })
    }
}

impl Capability {
    const fn bit(self) -> u64 {
        match self.0 {
            Some(number) => 1 << number,
            None => 0,
        }
    }
}

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Whether this process can use the capability now.
pub fn can(capability: Capability) -> bool {
    effective().is_ok_and(|set| set & capability.bit() != 0)
}

/// Gives up every capability but one, for good: this process and whatever it executes can never
/// have another one.
///
/// # Errors
///
/// When the process does not have that one, or the kernel refuses.
pub fn keep_only(capability: Capability) -> io::Result<()> {
    drop_bounding(capability)?;
    forbid_new_privileges()?;
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) })?;
    set(capability.bit())
}

/// Neither this process nor what it executes gains privileges by executing a file.
///
/// # Errors
///
/// None that the kernel documents.
pub fn forbid_new_privileges() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

/// Becomes "nobody" where that user exists in this user namespace, keeping the capabilities that
/// are needed to go on giving up. Where it does not exist the user stays: without capabilities, user
/// 0 of a private namespace is the ordinary user who made it.
///
/// # Errors
///
/// When the kernel refuses for another reason.
pub fn become_nobody(keep: Capability) -> io::Result<()> {
    // The bounding set can only be cut while SETPCAP is there, so that comes first.
    drop_bounding(keep)?;
    let have = effective()?;
    if have & SETUID.bit() == 0 || have & SETGID.bit() == 0 {
        return Ok(());
    }
    // SAFETY: no pointers: the list of groups is empty.
    let result = unsafe { libc::setgroups(0, std::ptr::null()) };
    tolerate(check(result), &[libc::EPERM])?;
    // SAFETY: no pointers. Without this, leaving user 0 would take all capabilities along.
    check(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) })?;
    // EINVAL: this namespace has no such group, or user.
    // SAFETY: no pointers.
    let result = unsafe { libc::setresgid(NOBODY, NOBODY, NOBODY) };
    tolerate(check(result), &[libc::EINVAL])?;
    // SAFETY: no pointers.
    let result = unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) };
    tolerate(check(result), &[libc::EINVAL])
}

/// From now on this process is killed when its parent ends, whatever it is doing. To be called after every
/// change of user or capabilities, since the kernel forgets it then. Whether the parent has ended before must
/// be found out otherwise.
///
/// # Errors
///
/// None that the kernel documents.
pub fn die_with_parent() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })
}

/// From now on nobody can trace this process or read its memory; it leaves no core file, starts nothing, and
/// holds no more descriptors than these.
///
/// # Errors
///
/// When the kernel refuses.
pub fn confine(descriptors: u64) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    for (resource, limit) in
        [(libc::RLIMIT_NOFILE, descriptors), (libc::RLIMIT_CORE, 0), (libc::RLIMIT_NPROC, 0)]
    {
        let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
        // SAFETY: the pointer is to a structure that lives through the call.
        check(unsafe { libc::setrlimit(resource, &raw const limit) })?;
    }
    Ok(())
}

/// Closes all descriptors from `first` on, which whoever started this process left open. To be
/// called before any is opened.
///
/// # Errors
///
/// When the kernel has no `close_range` (before 5.9), and `/proc` is not mounted either.
pub fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: no pointers. Descriptors of that kind are owned by nobody: this is called first of
    // all in a process that has opened nothing yet.
    let result = check(unsafe { libc::close_range(first, libc::c_uint::MAX, 0) });
    // A sandbox may refuse a call that it does not know instead of having none.
    match result {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            close_one_by_one(first)
        }
        other => other,
    }
}

/// As [`close_from`], for older kernels.
fn close_one_by_one(first: u32) -> io::Result<()> {
    for descriptor in super::descriptors()? {
        if u32::try_from(descriptor).is_ok_and(|number| number >= first) {
            // SAFETY: no pointers. As above; the descriptor that read this list is closed by now, so that
            // this one fails, which does no harm.
            unsafe { libc::close(descriptor) };
        }
    }
    Ok(())
}

/// Leaves the signals that end or stop a service to the process that started this one.
///
/// # Errors
///
/// None that the kernel documents.
pub fn ignore_signals() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE] {
        // SAFETY: no handler is installed that could run at a bad moment.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Takes all but these out of the bounding set: nothing executed later can have them.
fn drop_bounding(keep: Capability) -> io::Result<()> {
    if effective()? & SETPCAP.bit() == 0 {
        // Not allowed to, as an ordinary user with ambient capabilities: no_new_privs does it then.
        return Ok(());
    }
    for number in 0..64u8 {
        if Some(number) == keep.0 {
            continue;
        }
        // SAFETY: no pointers.
        let result =
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        // Numbers that this kernel does not know.
        tolerate(check(result), &[libc::EINVAL])?;
    }
    Ok(())
}

fn effective() -> io::Result<u64> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: version 3 makes the kernel write exactly two such structures, which live through the
    // call.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) })?;
    let [low, high] = sets;
    Ok(u64::from(high.effective) << 32 | u64::from(low.effective))
}

/// Sets effective and permitted to these, inheritable to none.
fn set(capabilities: u64) -> io::Result<()> {
    let mut header = Header { version: VERSION, pid: 0 };
    let half = |bits: u64| {
        let bits = (bits & u64::from(u32::MAX)) as u32;
        Sets { effective: bits, permitted: bits, inheritable: 0 }
    };
    let sets = [half(capabilities), half(capabilities >> 32)];
    // SAFETY: version 3 makes the kernel read exactly two such structures, which live through the
    // call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) })
}

fn check(result: impl Into<i64>) -> io::Result<()> {
    if result.into() < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn tolerate(result: io::Result<()>, errors: &[i32]) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error().is_some_and(|code| errors.contains(&code)) => Ok(()),
        other => other,
    }
}
