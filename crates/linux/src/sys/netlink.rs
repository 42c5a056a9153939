//! Netlink sockets: the options of them that nix does not have.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// An option of netlink sockets that can be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetlinkOption {
    /// Errors come with the kernel's own sentence (`NETLINK_EXT_ACK`, Linux 4.12).
    ExtendedAcks,
    /// Errors do not repeat the request that they are about (`NETLINK_CAP_ACK`, Linux 4.3).
    ShortAcks,
    /// Dumps look at what they are asked to filter by, and refuse what they do not understand
    /// (`NETLINK_GET_STRICT_CHK`, Linux 4.20).
    StrictDumps,
}

/// Switches an option on.
///
/// # Errors
///
/// `ENOPROTOOPT` where the kernel does not know it.
pub fn switch_on(socket: BorrowedFd<'_>, option: NetlinkOption) -> nix::Result<()> {
    const SIZE: libc::socklen_t = size_of::<libc::c_int>() as libc::socklen_t;
    let name = match option {
        NetlinkOption::ExtendedAcks => libc::NETLINK_EXT_ACK,
        NetlinkOption::ShortAcks => libc::NETLINK_CAP_ACK,
        NetlinkOption::StrictDumps => libc::NETLINK_GET_STRICT_CHK,
    };
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is borrowed, so it is open; the pointer is to an int that lives until
    // the call has returned, and the length is that of an int.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, name, (&raw const on).cast(), SIZE)
    };
    Errno::result(result).map(drop)
}
