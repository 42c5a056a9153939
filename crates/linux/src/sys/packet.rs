//! Packet sockets: `AF_PACKET` with a `TPACKET_V2` ring that the kernel fills (packet(7)).
//!
//! The second version of the ring, because it wakes its reader at the first packet: the third keeps
//! packets back until a block is full or a timer ends, which either costs milliseconds or a
//! thousand interrupts a second. Link headers are not asked for (`SOCK_DGRAM`), so that one filter
//! fits Ethernet, tunnels and tagged frames: the kernel has taken the tag off by then.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of a place in the ring. What a packet has beyond some 430 bytes is cut off: headers end
/// long before.
const FRAME: usize = 512;

/// Bytes of one allocation of the kernel for the ring: a multiple of the page size (4 to 64 KiB)
/// and of [`FRAME`], so that the places follow one another without gaps.
const BLOCK: usize = 1 << 16;

/// Where the kernel puts the address behind the header of a place: `TPACKET_ALIGN(sizeof(struct
/// tpacket2_hdr))`, and the header has 32 bytes.
const ADDRESS: usize = 32;

/// The checksum is not filled in yet (`TP_STATUS_CSUMNOTREADY` of linux/if_packet.h): a packet of
/// this machine, which its card or the receiver's would finish.
const CHECKSUM_NOT_READY: u32 = 1 << 3;
/// The card has found the checksum right (`TP_STATUS_CSUM_VALID`).
const CHECKSUM_VALID: u32 = 1 << 7;

/// One instruction of a socket filter: `struct sock_filter` of linux/filter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// How many instructions to skip when a comparison holds.
    pub yes: u8,
    /// How many instructions to skip when it does not.
    pub no: u8,
    /// The operand.
    pub operand: u32,
}

/// A packet socket on one interface, with its ring.
#[derive(Debug)]
pub struct Ring {
    socket: OwnedFd,
    map: NonNull<u8>,
    frames: usize,
    next: usize,
}

impl Ring {
    /// Opens a socket that captures on one interface what `filter` lets through.
    ///
    /// The socket is bound last: a socket that is bound before it has its filter and its ring
    /// receives packets past both. `blocks` is the size of the ring in units of 64 KiB, which hold
    /// 128 packets each.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_NET_RAW`, `ENODEV` if there is no such interface, `ENETDOWN` never: an
    /// interface that is down is captured from as soon as it comes up.
    pub fn open(interface: u32, filter: &[Instruction], blocks: u32) -> io::Result<Self> {
        // Protocol 0: receives nothing until it is bound to one.
        // SAFETY: the call takes no pointers.
        let fd = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                0,
            )
        };
        check(fd)?;
        // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };

        attach(&socket, filter)?;
        set(
            &socket,
            libc::SOL_PACKET,
            libc::PACKET_VERSION,
            &(libc::tpacket_versions::TPACKET_V2 as libc::c_int),
        )?;
        let frames = blocks as usize * (BLOCK / FRAME);
        let request = libc::tpacket_req {
            tp_block_size: BLOCK as u32,
            tp_block_nr: blocks,
            tp_frame_size: FRAME as u32,
            tp_frame_nr: u32::try_from(frames).map_err(|_| io::ErrorKind::InvalidInput)?,
        };
        set(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        // SAFETY: a new mapping, at a place that the kernel chooses, of exactly the length of the
        // ring that was asked for above.
        let map = unsafe {
            libc::mmap(
                ptr::null_mut(),
                frames * FRAME,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let map = NonNull::new(map.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let ring = Self { socket, map, frames, next: 0 };

        // SAFETY: all bytes zero is a valid value of this structure of integers.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: pointer and length are those of `address`, which lives through the call.
        check(unsafe {
            libc::bind(
                ring.socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        })?;
        Ok(ring)
    }

    /// When the next packet arrived, in nanoseconds of the wall clock, if one is there.
    pub fn arrival(&self) -> Option<u64> {
        let header = self.header()?;
        Some(u64::from(header.tp_sec) * 1_000_000_000 + u64::from(header.tp_nsec))
    }

    /// The next packet, if one is there. Its place goes back to the kernel when it is dropped.
    pub fn take(&mut self) -> Option<Frame<'_>> {
        let header = self.header()?;
        let start = self.place();
        let offset = usize::from(header.tp_net);
        // The kernel keeps these within the place. Were it ever otherwise, the packet is cut.
        let length = (header.tp_snaplen as usize).min(FRAME.saturating_sub(offset));
        let offset = offset.min(FRAME);
        // SAFETY: the kernel wrote an address at this offset before it handed the place over, and
        // the place is aligned to 512 bytes.
        let address = unsafe { start.add(ADDRESS).cast::<libc::sockaddr_ll>().read() };
        // SAFETY: `offset + length` is at most FRAME, so this lies within the place, which the
        // kernel does not write to until its status says so; that is done by `Frame::drop`, and
        // `Frame` borrows the ring, so that nobody else can.
        let bytes = unsafe { std::slice::from_raw_parts(start.add(offset).as_ptr(), length) };
        // SAFETY: the status is the first word of the place, aligned, and lives as long as the map;
        // both sides only touch it atomically.
        let status = unsafe { AtomicU32::from_ptr(start.as_ptr().cast()) };
        let following = if self.next + 1 == self.frames { 0 } else { self.next + 1 };
        Some(Frame {
            bytes,
            length: header.tp_len as usize,
            checksum_is_right: header.tp_status & (CHECKSUM_NOT_READY | CHECKSUM_VALID) != 0,
            kind: address.sll_pkttype,
            protocol: u16::from_be(address.sll_protocol),
            status,
            next: &mut self.next,
            following,
        })
    }

    /// Captures what another filter lets through from now on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the filter is no program, `ENOMEM`.
    pub fn set_filter(&self, filter: &[Instruction]) -> io::Result<()> {
        attach(&self.socket, filter)
    }

    /// How many packets found no room in the ring since this was asked last.
    ///
    /// # Errors
    ///
    /// None that the kernel documents.
    pub fn take_lost(&self) -> io::Result<u32> {
        let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        get(&self.socket, libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut statistics)?;
        Ok(statistics.tp_drops)
    }

    /// The error that waits at the socket, if any: `ENETDOWN` when the interface went down or away.
    ///
    /// # Errors
    ///
    /// None that the kernel documents.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let mut error: libc::c_int = 0;
        get(&self.socket, libc::SOL_SOCKET, libc::SO_ERROR, &mut error)?;
        Ok((error != 0).then(|| io::Error::from_raw_os_error(error)))
    }

    fn place(&self) -> NonNull<u8> {
        // SAFETY: `next` is less than `frames`, and the map has `frames * FRAME` bytes.
        unsafe { self.map.add(self.next * FRAME) }
    }

    /// The header of the next place, if the kernel has filled that.
    fn header(&self) -> Option<libc::tpacket2_hdr> {
        let start = self.place();
        // SAFETY: as in `take`. `Acquire` pairs with the kernel's barrier between packet and status.
        let status = unsafe { AtomicU32::from_ptr(start.as_ptr().cast()) }.load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the place begins with this structure, is aligned, and is ours while its status
        // says so.
        Some(unsafe { start.cast::<libc::tpacket2_hdr>().read() })
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `open`; no `Frame` is left, because each borrows the
        // ring.
        unsafe { libc::munmap(self.map.as_ptr().cast(), self.frames * FRAME) };
    }
}

/// A packet in the ring.
#[derive(Debug)]
pub struct Frame<'a> {
    /// From the network header on, possibly cut.
    pub bytes: &'a [u8],
    /// How many bytes it had before it was cut.
    pub length: usize,
    /// The card or the kernel vouches for the checksum of TCP or UDP.
    pub checksum_is_right: bool,
    /// To whom it was sent: `PACKET_HOST` and its siblings.
    pub kind: u8,
    /// The EtherType.
    pub protocol: u16,
    status: &'a AtomicU32,
    next: &'a mut usize,
    following: usize,
}

impl Drop for Frame<'_> {
    fn drop(&mut self) {
        // `Release`: all that was read of the packet was read before the kernel may write again.
        self.status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        *self.next = self.following;
    }
}

/// Attaches a filter, in place of another one if there is one (`sk_attach_filter`).
fn attach(socket: &OwnedFd, filter: &[Instruction]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn set<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: pointer and length are those of `value`, which the kernel only reads. The callers
    // pass the type that the option takes; what it points to (the filter) lives through the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })
}

fn get<T>(
    socket: &OwnedFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &mut T,
) -> io::Result<()> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: pointer and length are those of `value`, a structure of integers, of which the kernel
    // writes at most that length.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_mut(value).cast(),
            &raw mut length,
        )
    })
}
