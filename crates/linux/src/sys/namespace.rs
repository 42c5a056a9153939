//! What the private network of the lab needs of the kernel and no safe wrapper offers.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};

/// Room for answers that nobody has read yet: those to a sweep of all ports.
const RECEIVE_BUFFER: usize = 64 << 20;

/// Opens a packet socket on the interface with this index, in the network namespace of the calling
/// thread. With `receive`, all that arrives there can be read (what leaves, not); without, nothing
/// can, and the kernel does not spend time on it.
///
/// # Errors
///
/// What the kernel answers; `EPERM` without `CAP_NET_RAW`.
pub fn open_wire(index: u32, receive: bool) -> io::Result<OwnedFd> {
    // Protocol 0: nothing is delivered until the socket is bound to its interface.
    let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    let protocol = if receive { (libc::ETH_P_ALL as u16).to_be() } else { 0 };
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol,
        sll_ifindex: i32::try_from(index).map_err(|_| Errno::ENODEV)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    if receive {
        let on: libc::c_int = 1;
        // SAFETY: the option takes an int, and is given the address and size of one that lives
        // until the call returns; the descriptor is open, because we own it.
        let result = unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_IGNORE_OUTGOING,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
        Errno::result(result)?;
        // Only a wish: where the kernel does not grant it, answers to a large sweep get lost, and
        // whoever counts them notices.
        if setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            let _ = setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER);
        }
    }
    // SAFETY: the pointer and the size are those of a whole `sockaddr_ll` that lives until the call
    // returns, which is the address type of an AF_PACKET socket; the descriptor is open.
    let result = unsafe {
        libc::bind(
            fd.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    Errno::result(result)?;
    Ok(fd)
}

/// Makes an interface of the calling thread's namespace do without neighbour discovery: every
/// address on it has the interface's own hardware address (`IFF_NOARP`).
///
/// # Errors
///
/// What the kernel answers; `ENODEV` if there is no such interface.
pub fn without_neighbours(interface: &str) -> io::Result<()> {
    let (fd, mut request) = interface_flags(interface)?;
    // SAFETY: `interface_flags` has filled in this member of the union; any bits are valid for it.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::IFF_NOARP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS only reads the `ifreq`, which lives until the call returns.
    Errno::result(unsafe {
        libc::ioctl(fd.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request)
    })?;
    Ok(())
}

/// Whether an interface of the calling thread's namespace is up, and its cable plugged in at both
/// ends (`IFF_RUNNING`). Before that it throws packets away.
///
/// # Errors
///
/// What the kernel answers; `ENODEV` if there is no such interface.
pub fn is_running(interface: &str) -> io::Result<bool> {
    let (_, request) = interface_flags(interface)?;
    // SAFETY: `interface_flags` has filled in this member of the union; any bits are valid for it.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok(flags & libc::IFF_RUNNING as libc::c_short != 0)
}

/// The flags of an interface, and a socket to change them with.
fn interface_flags(interface: &str) -> io::Result<(OwnedFd, libc::ifreq)> {
    let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: `ifreq` is plain old data of C, for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // One byte stays zero: the end of the name.
    if interface.len() >= request.ifr_name.len() {
        return Err(Errno::ENODEV.into());
    }
    for (slot, byte) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *slot = byte as libc::c_char;
    }
    // SAFETY: SIOCGIFFLAGS reads the name and writes the flags of the `ifreq` that it is given,
    // which lives until the call returns.
    Errno::result(unsafe {
        libc::ioctl(fd.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request)
    })?;
    Ok((fd, request))
}

/// Makes the process that `command` will start die (by SIGKILL) when the thread that starts it
/// ends, however that comes about.
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only calls that are async-signal-safe may be made. These are
    // two bare system calls; neither allocates, locks or touches memory of the parent.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the line above took effect.
            if nix::unistd::getppid() != parent {
                return Err(Errno::ESRCH.into());
            }
            Ok(())
        })
    }
}
