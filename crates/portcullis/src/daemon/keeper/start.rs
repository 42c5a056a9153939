//! What the keeper opens before it gives up its privileges.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::errno::Errno;
use portcullis_linux::sys::process;

use crate::exit::Failure;

/// The name of the lock. Abstract names belong to a network namespace, just as the rules do.
const LOCK: &[u8] = b"portcullis-run";

const NEEDS: &str = "run it as root, or with CAP_NET_ADMIN and CAP_NET_RAW";

/// Says at once what would fail later, and half way.
pub(super) fn need_privileges() -> Result<(), Failure> {
    for (capability, what) in [
        (process::NET_ADMIN, "change the firewall (CAP_NET_ADMIN)"),
        (process::NET_RAW, "read packets (CAP_NET_RAW)"),
    ] {
        if !process::can(capability) {
            return Err(Failure::could_not(format!("no permission to {what}")).hint(NEEDS));
        }
    }
    Ok(())
}

/// Makes sure that no other `portcullis run` keeps this network namespace.
pub(super) fn lock() -> Result<UnixDatagram, Failure> {
    let bound =
        SocketAddr::from_abstract_name(LOCK).and_then(|name| UnixDatagram::bind_addr(&name));
    bound.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            Failure::could_not("another `portcullis run` is active in this network namespace").hint(
                "stop it first (systemctl stop portcullis-run), or let it read its configuration \
                 again (systemctl reload portcullis-run)",
            )
        }
        _ => Failure::could_not(format!("cannot bind the lock of `portcullis run`: {error}")),
    })
}

/// Whether a `portcullis run` keeps this network namespace. Nothing is said to it, and its lock is
/// not taken, not even for a moment in which another could want it.
pub(super) fn is_running() -> Result<bool, Failure> {
    let asked = UnixDatagram::unbound()
        .and_then(|socket| socket.connect_addr(&SocketAddr::from_abstract_name(LOCK)?));
    match asked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(false),
        Err(error) => Err(Failure::could_not(format!(
            "cannot find out whether `portcullis run` is active: {error}"
        ))),
    }
}

/// Packets cannot be read.
pub(super) fn cannot_capture(errno: Errno) -> Failure {
    let failure = Failure::could_not(format!("cannot read packets: {}", errno.desc()));
    match errno {
        Errno::EPERM | Errno::EACCES => failure.hint(NEEDS),
        Errno::EAFNOSUPPORT => failure.hint("the kernel has no packet sockets (CONFIG_PACKET)"),
        Errno::ENOMEM | Errno::ENOBUFS => {
            failure.hint("each interface takes up to 4 MiB of memory")
        }
        _ => failure,
    }
}
