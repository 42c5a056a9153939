//! What each process may do, in one table, and the one sequence that gives up all else.
//!
//! | process | user | capability | descriptors | system calls |
//! |---|---|---|---|---|
//! | [`KEEPER`] of `run` | unchanged | `CAP_NET_ADMIN` | unchanged | all |
//! | [`WATCHER`] of `run` and `knockd` | nobody | `CAP_NET_RAW` | at most 272, none inherited | none of [`DENIED`] |
//! | [`RESOLVER`] of `run` | nobody | none | at most 32, none inherited | none of [`DENIED`] |
//! | [`TRACE`] | nobody | none | at most 272 | none of [`DENIED`] |
//!
//! What starts the commands of people (the runner of `run`, and `knockd` itself) keeps what it was started
//! with: its commands are to have it. The process that ends a trial, and each command that ends by itself,
//! are the user's own.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use portcullis_core::limits::MAX_WATCHED;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use crate::sys::process::{self, Capability};

/// Descriptors of a process that reads packets, beside those of the interfaces: standard streams, the
/// keeper, netlink.
const BESIDE_CAPTURE: u64 = 16;
/// Descriptors of the resolver: standard streams, sockets to name servers, files of `/etc`.
const FOR_NAMES: u64 = 32;

/// What one process may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Which process.
    pub process: &'static str,
    /// The one capability that it keeps.
    pub capability: Capability,
    /// Whether it goes on as somebody who owns nothing, and with less of everything.
    pub confinement: Option<Confinement>,
}

/// What a process that meets bytes of strangers can no longer do: it is user and group nobody where they
/// exist, starts no program, leaves no core file, cannot be traced, and calls nothing of [`DENIED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confinement {
    /// Most descriptors at once.
    pub descriptors: u64,
    /// It belongs to another process: it closes what it has inherited, leaves signals to that process, and is
    /// killed when that process ends.
    pub belongs: bool,
}

/// Changes the firewall, and reads no packet.
pub const KEEPER: Level =
    Level { process: "keeper", capability: process::NET_ADMIN, confinement: None };

/// Reads packets.
pub const WATCHER: Level = Level {
    process: "watcher",
    capability: process::NET_RAW,
    confinement: Some(Confinement {
        descriptors: MAX_WATCHED as u64 + BESIDE_CAPTURE,
        belongs: true,
    }),
};

/// Looks up the names of the allow-list.
pub const RESOLVER: Level = Level {
    process: "resolver",
    capability: process::NOTHING,
    confinement: Some(Confinement { descriptors: FOR_NAMES, belongs: true }),
};

/// Reads packets from sockets that it has opened before.
pub const TRACE: Level = Level {
    process: "trace",
    capability: process::NOTHING,
    confinement: Some(Confinement {
        descriptors: MAX_WATCHED as u64 + BESIDE_CAPTURE,
        belongs: false,
    }),
};

/// System calls that a confined process never needs, refused with `EPERM`: whatever starts a program,
/// changes a file system, looks into other processes, or talks to rare parts of the kernel.
pub const DENIED: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_unlinkat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_renameat2,
    libc::SYS_truncate,
    libc::SYS_fchmodat,
    libc::SYS_fchmod,
    libc::SYS_fchownat,
    libc::SYS_fchown,
    libc::SYS_setxattr,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_quotactl,
    libc::SYS_acct,
];

/// The same calls by their old names, which 64-bit ARM and RISC-V never had.
#[cfg(target_arch = "x86_64")]
const DENIED_OLD: &[libc::c_long] = &[
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_mknod,
    libc::SYS_unlink,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_creat,
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_OLD: &[libc::c_long] = &[];

/// `__X32_SYSCALL_BIT` of asm/unistd.h: the same calls once more, for programs of 32 bits.
#[cfg(target_arch = "x86_64")]
const AGAIN: Option<libc::c_long> = Some(0x4000_0000);
#[cfg(not(target_arch = "x86_64"))]
const AGAIN: Option<libc::c_long> = None;

/// Gives up all that this process must not have, for good: neither it nor what it executes gets it back.
/// Of a process that belongs to another this is the first thing to do.
///
/// The order matters. The set of capabilities that can ever be had is cut while there still are some; the
/// kernel forgets that the process dies with its parent whenever user or capabilities change; a filter for
/// system calls needs `no_new_privs`, and would refuse some of what comes before it.
///
/// # Errors
///
/// The kernel refuses, or the process does not have the capability that it is to keep. Then the process
/// must end.
pub fn give_up_all_but(level: &Level) -> io::Result<()> {
    let Some(confinement) = level.confinement else {
        return process::keep_only(level.capability);
    };
    if confinement.belongs {
        process::close_from(3)?;
        process::ignore_signals()?;
    }
    process::become_nobody(level.capability)?;
    process::keep_only(level.capability)?;
    if confinement.belongs {
        process::die_with_parent()?;
    }
    process::confine(confinement.descriptors)?;
    deny_calls()
}

/// Refuses the calls of [`DENIED`]. Only where the filter can be written: on x86-64, 64-bit ARM and RISC-V.
fn deny_calls() -> io::Result<()> {
    let Ok(machine) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(()) };
    let calls = DENIED.iter().chain(DENIED_OLD).copied();
    let calls = calls.flat_map(|call| [Some(call), AGAIN.map(|bit| call | bit)]).flatten();
    let rules: BTreeMap<i64, _> = calls.map(|call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, machine);
    let program = filter.and_then(BpfProgram::try_from).map_err(io::Error::other)?;
    match seccompiler::apply_filter(&program) {
        // A kernel without filters (`CONFIG_SECCOMP_FILTER`): all else holds all the same.
        Err(seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error))
            if error.raw_os_error() == Some(libc::EINVAL) =>
        {
            Ok(())
        }
        other => other.map_err(io::Error::other),
    }
}

/// The row of the table in `ARCHITECTURE.md`.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capability = self.capability;
        match self.confinement {
            None => {
                let process = self.process;
                write!(f, "| {process} | unchanged | {capability} | unchanged | all |")
            }
            Some(Confinement { descriptors, belongs }) => {
                let inherited = if belongs { ", none inherited" } else { "" };
                let process = self.process;
                write!(
                    f,
                    "| {process} | nobody | {capability} | at most {descriptors}{inherited} | all but \
                     those of `DENIED` |"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architecture_shows_every_level() {
        let text = include_str!("../../../ARCHITECTURE.md");
        for level in [KEEPER, WATCHER, RESOLVER, TRACE] {
            let row = level.to_string();
            assert!(text.lines().any(|line| line == row), "not in ARCHITECTURE.md: {row}");
        }
    }

    /// In a thread of its own, since a filter is for ever.
    #[test]
    fn denied_calls_are_refused_and_others_are_not() {
        let thread = std::thread::spawn(|| {
            process::forbid_new_privileges().unwrap();
            deny_calls().unwrap();
            let folder = std::env::temp_dir().join("portcullis-denied");
            let made = std::fs::create_dir(&folder).unwrap_err();
            let run = std::process::Command::new("/bin/true").status().unwrap_err();
            std::fs::read("/proc/self/status").unwrap();
            std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            [made, run].map(|error| error.raw_os_error())
        });
        assert_eq!(thread.join().unwrap(), [Some(libc::EPERM); 2]);
    }
}
