//! Namespaces: a user namespace in which an ordinary user is root, and networks inside it.

use std::fs::{self, File};
use std::io;
use std::thread;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{getegid, geteuid};

use crate::error::Error;

/// CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN (linux/capability.h): for the rules and interfaces,
/// for packet sockets, for namespaces.
const NEEDED: u64 = (1 << 12) | (1 << 13) | (1 << 21);

/// Moves this thread into an empty network of its own, in which it may do everything. An ordinary
/// user's process becomes root of a new user namespace for that, which the kernel only allows to a
/// process with a single thread: call it first of all.
///
/// # Errors
///
/// The kernel or its settings do not allow it; says which.
pub fn enter() -> Result<(), Error> {
    if capable() {
        return unshare_network();
    }
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(refused)?;
    // An unprivileged process may only map its group after it has given up changing groups
    // (user_namespaces(7)).
    write_map("setgroups", "deny")?;
    write_map("uid_map", &format!("0 {user} 1"))?;
    write_map("gid_map", &format!("0 {group} 1"))?;
    quiet();
    Ok(())
}

/// A network namespace, alive for as long as this value.
#[derive(Debug)]
pub(super) struct Namespace {
    file: File,
}

impl Namespace {
    /// Makes a new, empty one; the calling thread stays where it is.
    pub(super) fn new() -> Result<Self, Error> {
        let file = on_a_thread(|| {
            unshare_network()?;
            File::open("/proc/thread-self/ns/net")
                .map_err(|error| Error::new(format!("cannot open the namespace: {error}")))
        })?;
        Ok(Self { file })
    }

    /// Runs `work` inside. Sockets opened there belong to it for good.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_a_thread(|| {
            setns(&self.file, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        })
    }
}

/// Moves this thread into a new, empty network namespace.
pub(super) fn unshare_network() -> Result<(), Error> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(refused)?;
    quiet();
    Ok(())
}

/// Writes a setting of this thread's network, such as `ipv4/icmp_ratelimit`.
///
/// # Errors
///
/// There is no such setting, or it is not for us to change.
pub fn set_sysctl(name: &str, value: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/net/{name}"), value)
}

/// Hands what arrives on an interface of this thread's network to all processors, connection by
/// connection, as a network card with several queues does (receive packet steering,
/// Documentation/networking/scaling.rst). Before, a packet stays with the processor that sent it.
/// Returns the number of processors.
///
/// # Errors
///
/// There is no such interface, or the kernel does not let us see its settings.
pub(super) fn spread(interface: &str) -> io::Result<usize> {
    let processors = thread::available_parallelism()?.get().min(32);
    let all = u32::MAX >> (32 - processors);
    // A view of the settings of this network's devices, which only this thread has.
    on_a_thread(|| {
        let none = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none)?;
        for queue in fs::read_dir(format!("/sys/class/net/{interface}/queues"))? {
            let queue = queue?;
            if queue.file_name().to_string_lossy().starts_with("rx-") {
                fs::write(queue.path().join("rps_cpus"), format!("{all:x}"))?;
            }
        }
        Ok(processors)
    })
}

/// A thread of its own, since a namespace is a property of a thread; a panic in it goes on here.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// A new network takes some settings of the machine over. Those that would drop packets of made-up
/// sources, or fill the wire with talk of the kernel's own, are put right. Each may be missing, or
/// not ours to change: whoever depends on one sees that in its packets.
fn quiet() {
    for scope in ["all", "default"] {
        let _ = set_sysctl(&format!("ipv4/conf/{scope}/rp_filter"), "0");
        let _ = set_sysctl(&format!("ipv6/conf/{scope}/disable_ipv6"), "0");
        let _ = set_sysctl(&format!("ipv6/conf/{scope}/router_solicitations"), "0");
        let _ = set_sysctl(&format!("ipv6/conf/{scope}/accept_dad"), "0");
    }
    // 1: no link-local addresses (linux/if_link.h, IN6_ADDR_GEN_MODE_NONE).
    let _ = set_sysctl("ipv6/conf/default/addr_gen_mode", "1");
}

fn capable() -> bool {
    let Ok(status) = fs::read_to_string("/proc/thread-self/status") else { return false };
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set & NEEDED == NEEDED)
}

fn write_map(file: &str, text: &str) -> Result<(), Error> {
    fs::write(format!("/proc/self/{file}"), text).map_err(|error| {
        let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
        refused(errno)
    })
}

/// Why the kernel said no, as far as its settings tell.
fn refused(errno: Errno) -> Error {
    let failure = Error::new(format!(
        "cannot make a private network: the kernel refuses a new namespace ({})",
        errno.desc()
    ));
    let setting = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    let is = |path: &str, value: &str| setting(path).as_deref() == Some(value);
    let hint = match errno {
        Errno::EINVAL => {
            "either this kernel has no user or network namespaces (CONFIG_USER_NS, CONFIG_NET_NS), \
             or the process has more than one thread"
        }
        _ if is("/proc/sys/user/max_user_namespaces", "0") => {
            "user namespaces are switched off: `sysctl -w user.max_user_namespaces=10000` as root, \
             or run this as root"
        }
        _ if is("/proc/sys/user/max_net_namespaces", "0") => {
            "network namespaces are switched off: `sysctl -w user.max_net_namespaces=10000` as root"
        }
        _ if is("/proc/sys/kernel/unprivileged_userns_clone", "0") => {
            "only root may make user namespaces here: \
             `sysctl -w kernel.unprivileged_userns_clone=1` as root, or run this as root"
        }
        _ if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") => {
            "AppArmor restricts user namespaces here: \
             `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` as root, or run this as root"
        }
        Errno::ENOSPC => {
            "there are too many namespaces: see user.max_user_namespaces and user.max_net_namespaces"
        }
        _ => {
            "a container or a sandbox around this process may forbid it; run it outside, or as root"
        }
    };
    failure.hint(hint)
}
