//! A cable's end: packets made by hand go out, and what comes back is read.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::sys::socket::{MsgFlags, MultiHeaders, NetlinkAddr, recv, send, sendmmsg};
use nix::unistd::Pid;
use portcullis_linux::sys::namespace::open_wire;

use super::answer::Seen;
use super::packet::{Packet, TCP};

/// Frames given to the kernel in one call.
const BATCH: usize = 64;

/// Longest frame that is read whole.
const FRAME: usize = 9_216;

/// The source port of scans and sweeps.
pub const SCAN_PORT: u16 = 40_000;

/// A packet socket on a peer's end of its cable.
#[derive(Debug)]
pub struct Wire {
    fd: OwnedFd,
    mac: [u8; 6],
}

/// What a burst of packets came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// How many packets the kernel took.
    pub packets: u64,
    /// In how long.
    pub took: Duration,
}

impl Sent {
    /// Packets per second.
    pub fn rate(self) -> u64 {
        let nanos = self.took.as_nanos().max(1);
        u64::try_from(u128::from(self.packets) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
    }
}

/// Runs this with the thread kept on one CPU: what it sends arrives in its order. Each CPU has a
/// queue of its own for what arrives (`netif_rx` in net/core/dev.c), and under load the queue of
/// the CPU that the thread has left may wait for long.
///
/// # Errors
///
/// What the kernel answers about the CPUs.
pub fn in_order<R>(send: impl FnOnce() -> R) -> io::Result<R> {
    let this = Pid::from_raw(0);
    let before = sched_getaffinity(this)?;
    let mut one = CpuSet::new();
    one.set(sched_getcpu()?)?;
    sched_setaffinity(this, &one)?;
    let result = send();
    sched_setaffinity(this, &before)?;
    Ok(result)
}

impl Wire {
    pub(super) fn open(index: u32, mac: [u8; 6], receive: bool) -> io::Result<Self> {
        Ok(Self { fd: open_wire(index, receive)?, mac })
    }

    /// Sends one packet.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn send(&self, packet: &Packet) -> io::Result<()> {
        self.send_frame(&self.frame(packet))
    }

    /// Sends bytes as an IP packet, whatever is wrong with them; their first half-byte says which
    /// version.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn send_ip(&self, bytes: &[u8]) -> io::Result<()> {
        let is_v6 = bytes.first().is_some_and(|first| first >> 4 == 6);
        let mut frame = self.ethernet(None, is_v6);
        frame.extend(bytes);
        self.send_frame(&frame)
    }

    /// Sends a whole Ethernet frame.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn send_frame(&self, frame: &[u8]) -> io::Result<()> {
        send(self.fd.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }

    /// Sends packets as fast as they can be made.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn send_all<P: Borrow<Packet>>(
        &self,
        packets: impl IntoIterator<Item = P>,
    ) -> io::Result<Sent> {
        let start = Instant::now();
        let mut sent = 0;
        let mut packets = packets.into_iter();
        loop {
            let frames: Vec<_> =
                packets.by_ref().take(BATCH).map(|packet| self.frame(packet.borrow())).collect();
            if frames.is_empty() {
                return Ok(Sent { packets: sent, took: start.elapsed() });
            }
            sent += self.send_batch(&frames)?;
        }
    }

    fn send_batch(&self, mut frames: &[Vec<u8>]) -> io::Result<u64> {
        let mut sent = 0;
        // The kernel may take fewer than it is given.
        while !frames.is_empty() {
            let slices: Vec<_> = frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
            // The socket is bound to its interface, and no message needs an address; of which type
            // it would be does not matter.
            let mut headers = MultiHeaders::<NetlinkAddr>::preallocate(slices.len(), None);
            let addresses = vec![None; slices.len()];
            let fd = self.fd.as_raw_fd();
            let flags = MsgFlags::empty();
            let taken = match sendmmsg(fd, &mut headers, &slices, addresses, [], flags) {
                Ok(taken) => taken.count(),
                Err(Errno::EINTR) => 0,
                Err(errno) => return Err(errno.into()),
            };
            frames = frames.get(taken..).unwrap_or_default();
            sent += taken as u64;
        }
        Ok(sent)
    }

    /// The next IP packet that has arrived or arrives by the deadline.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn receive(&self, deadline: Instant) -> io::Result<Option<Seen>> {
        let mut buffer = vec![0; FRAME];
        loop {
            match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(len) => {
                    let packet = buffer.get(14..len).unwrap_or_default();
                    if let Some(seen) = Seen::parse(packet) {
                        return Ok(Some(seen));
                    }
                }
                Err(Errno::EAGAIN) => {
                    if !self.readable(deadline)? {
                        return Ok(None);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Forgets what has arrived so far.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn drain(&self) -> io::Result<()> {
        while self.receive(Instant::now())?.is_some() {}
        Ok(())
    }

    /// Sends one packet and waits for the answer to it.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn probe(&self, packet: &Packet, wait: Duration) -> io::Result<Option<Seen>> {
        self.drain()?;
        self.send(packet)?;
        let deadline = Instant::now() + wait;
        while let Some(seen) = self.receive(deadline)? {
            if seen.answers(packet) {
                return Ok(Some(seen));
            }
        }
        Ok(None)
    }

    /// Sends a SYN to each of the ports, and gives the answers in their order. Those that have not
    /// come `wait` after the last SYN are given as `None`.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn syn_scan(
        &self,
        from: IpAddr,
        to: IpAddr,
        ports: &[u16],
        wait: Duration,
    ) -> io::Result<Vec<(u16, Option<Seen>)>> {
        self.drain()?;
        let mut answers = HashMap::new();
        let note = |seen: Seen, answers: &mut HashMap<u16, Seen>| {
            if let Some((TCP, port)) = seen.about(SCAN_PORT) {
                answers.entry(port).or_insert(seen);
            }
        };
        for some in ports.chunks(BATCH) {
            self.send_all(syns(from, to, some.iter().copied()))?;
            // The answers are read as they come: the socket has no room for all of them.
            while let Some(seen) = self.receive(Instant::now())? {
                note(seen, &mut answers);
            }
        }
        let deadline = Instant::now() + wait;
        while answers.len() < ports.len() {
            let Some(seen) = self.receive(deadline)? else { break };
            note(seen, &mut answers);
        }
        Ok(ports.iter().map(|port| (*port, answers.remove(port))).collect())
    }

    /// Whether something can be read by the deadline.
    fn readable(&self, deadline: Instant) -> io::Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        // In whole milliseconds, rounded up: not to spin through the last one.
        let millis = i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    fn frame(&self, packet: &Packet) -> Vec<u8> {
        let mut frame = self.ethernet(packet.vlan, packet.ends.source().is_ipv6());
        frame.extend(packet.to_bytes());
        frame
    }

    fn ethernet(&self, vlan: Option<u16>, is_v6: bool) -> Vec<u8> {
        let mut frame = Vec::with_capacity(96);
        // Both ends of a cable have one address.
        frame.extend(self.mac);
        frame.extend(self.mac);
        if let Some(tag) = vlan {
            frame.extend([0x81, 0x00]);
            frame.extend(tag.to_be_bytes());
        }
        frame.extend(if is_v6 { [0x86, 0xdd] } else { [0x08, 0x00] });
        frame
    }
}

/// A SYN to each of the ports.
pub fn syns(
    from: IpAddr,
    to: IpAddr,
    ports: impl IntoIterator<Item = u16>,
) -> impl Iterator<Item = Packet> {
    let from = SocketAddr::new(from, SCAN_PORT);
    ports.into_iter().map(move |port| Packet::syn(from, SocketAddr::new(to, port)))
}

/// A SYN and a datagram to each of the ports.
pub fn knocks(
    from: IpAddr,
    to: IpAddr,
    ports: impl IntoIterator<Item = u16>,
) -> impl Iterator<Item = Packet> {
    let from = SocketAddr::new(from, SCAN_PORT);
    ports
        .into_iter()
        .map(move |port| SocketAddr::new(to, port))
        .flat_map(move |to| [Packet::syn(from, to), Packet::udp(from, to, &[])])
}

/// All ports from 1 to 65535 in an order that looks random and is the same for the same seed.
pub fn shuffled(seed: u64) -> Vec<u16> {
    let mut ports: Vec<u16> = (1..=u16::MAX).collect();
    // Fisher and Yates, with the generator splitmix64: good enough to be in no order.
    let mut state = seed;
    for last in (1..ports.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let other = usize::try_from(mixed % (last as u64 + 1)).unwrap_or(last);
        ports.swap(last, other);
    }
    ports
}
