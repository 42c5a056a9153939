//! A netlink socket: requests, their answers, and dumps.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SetSockOpt, SockFlag, SockProtocol, SockType, connect,
    recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::message::{Attributes, Message, Messages, Writer, ne32};
use crate::sys::netlink::{NetlinkOption, switch_on};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// The kernel answers into at most 32 KiB at once, unless one object needs more.
const RECEIVE: usize = 256 * 1024;
/// Holds the answers to one transaction, and what a dump sends ahead.
const RECEIVE_QUEUE: usize = 4 * 1024 * 1024;
/// How often a dump begins anew because what it lists has changed meanwhile.
const DUMP_ATTEMPTS: usize = 20;
/// How long an answer may take. The kernel answers within the call; this only ends a wait that
/// would otherwise be for ever.
const ANSWER_SECONDS: i64 = 30;

/// Why the kernel could not be asked, or what it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A system call failed.
    System {
        /// What was to be done.
        doing: &'static str,
        /// What the system said.
        errno: Errno,
    },
    /// The kernel refused a request.
    Refused {
        /// Why.
        errno: Errno,
        /// The number itself: parts of the kernel have numbers of their own, which no [`Errno`] names.
        code: i32,
        /// Why, in its own words, if it has any.
        text: Option<String>,
        /// The number of the request.
        sequence: u32,
    },
    /// A request is longer than its length fields can say.
    TooLong,
    /// A transaction of so many bytes does not fit into the send buffer that this process may have.
    SendBuffer(usize),
    /// An answer could not be understood.
    Malformed,
    /// What was listed changed each time before the end of the list was reached.
    KeepsChanging,
}

impl Error {
    /// The number of the system's error, if it is one.
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::System { errno, .. } | Self::Refused { errno, .. } => Some(*errno),
            Self::SendBuffer(_) => Some(Errno::EMSGSIZE),
            Self::TooLong | Self::Malformed | Self::KeepsChanging => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { doing, errno } => write!(f, "cannot {doing}: {}", errno.desc()),
            Self::Refused { errno, text: Some(text), .. } => {
                write!(f, "the kernel refused: {} ({text})", errno.desc())
            }
            Self::Refused { errno, text: None, .. } => {
                write!(f, "the kernel refused: {}", errno.desc())
            }
            Self::TooLong => f.write_str("a netlink message is too long"),
            Self::SendBuffer(bytes) => write!(
                f,
                "the rules take {bytes} bytes, more than this process may send at once; run it as \
                 root outside of containers, or set net.core.wmem_max to at least {}",
                bytes.div_ceil(2).saturating_add(64)
            ),
            Self::Malformed => f.write_str("unknown answer of the kernel"),
            Self::KeepsChanging => {
                f.write_str("the tables of the kernel change faster than this program reads them")
            }
        }
    }
}

impl std::error::Error for Error {}

/// Which part of the kernel is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// nf_tables.
    Netfilter,
    /// Interfaces, addresses, routes.
    Route,
    /// The sockets of this network namespace.
    SocketDiagnosis,
}

/// A connection to one part of the kernel, in the network namespace of the thread that opens it.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens one.
    ///
    /// # Errors
    ///
    /// [`Error::System`], e.g. `EPROTONOSUPPORT` where the kernel has no such part.
    pub fn open(family: Family) -> Result<Self, Error> {
        let protocol = match family {
            Family::Netfilter => SockProtocol::NetlinkNetFilter,
            Family::Route => SockProtocol::NetlinkRoute,
            Family::SocketDiagnosis => SockProtocol::NetlinkSockDiag,
        };
        let system = |doing| move |errno| Error::System { doing, errno };
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)
            .map_err(system("open a netlink socket"))?;
        // Connected to the kernel: then nobody else can send to this socket.
        connect(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))
            .map_err(system("connect to the kernel"))?;
        // Each of these makes something better, and nothing is wrong without it.
        let _ = switch_on(fd.as_fd(), NetlinkOption::ExtendedAcks);
        let _ = switch_on(fd.as_fd(), NetlinkOption::ShortAcks);
        if family == Family::Route {
            let _ = switch_on(fd.as_fd(), NetlinkOption::StrictDumps);
        }
        if setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_QUEUE).is_err() {
            let _ = setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_QUEUE);
        }
        set(&fd, sockopt::ReceiveTimeout, &TimeVal::new(ANSWER_SECONDS, 0))?;
        Ok(Self { fd, sequence: 0, buffer: vec![0; RECEIVE] })
    }

    /// The next so many request numbers; the first of them.
    pub const fn numbers(&mut self, count: u32) -> u32 {
        // 0 is what the kernel uses for what nobody asked for.
        if self.sequence.checked_add(count).is_none() {
            self.sequence = 0;
        }
        let first = self.sequence + 1;
        self.sequence += count;
        first
    }

    /// Sends bytes as one datagram. The kernel has done what they ask for when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::SendBuffer`] if they are too many, or [`Error::System`].
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match send(self.fd.as_raw_fd(), bytes, MsgFlags::empty()) {
            Err(Errno::EMSGSIZE) => {}
            Err(errno) => return Err(Error::System { doing: "send to the kernel", errno }),
            Ok(_) => return Ok(()),
        }
        // The kernel doubles what it is given, and wants a little for itself. Root of the machine
        // may exceed net.core.wmem_max, root of a user namespace may not.
        let wanted = bytes.len().saturating_add(4096);
        if setsockopt(&self.fd, sockopt::SndBufForce, &wanted).is_err() {
            let _ = setsockopt(&self.fd, sockopt::SndBuf, &wanted);
        }
        match send(self.fd.as_raw_fd(), bytes, MsgFlags::empty()) {
            Err(Errno::EMSGSIZE) => Err(Error::SendBuffer(bytes.len())),
            Err(errno) => Err(Error::System { doing: "send to the kernel", errno }),
            Ok(_) => Ok(()),
        }
    }

    /// One request: `kind`, further `flags` (`NLM_F_CREATE`, …), and what `fill` writes.
    ///
    /// # Errors
    ///
    /// What the kernel answers, or that it could not be asked.
    pub fn request(
        &mut self,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Writer),
    ) -> Result<(), Error> {
        let sequence = self.numbers(1);
        let mut writer = Writer::new();
        writer.message(kind, NLM_F_REQUEST | NLM_F_ACK | flags, sequence, fill);
        self.send(&writer.finish().ok_or(Error::TooLong)?)?;
        self.answer(sequence)
    }

    /// One object that is asked for by name; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub fn get<T>(
        &mut self,
        kind: u16,
        fill: impl FnOnce(&mut Writer),
        read: impl Fn(&Message<'_>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let sequence = self.numbers(1);
        let mut writer = Writer::new();
        writer.message(kind, NLM_F_REQUEST | NLM_F_ACK, sequence, fill);
        self.send(&writer.finish().ok_or(Error::TooLong)?)?;
        let mut found = None;
        loop {
            for message in Messages(self.receive(MsgFlags::empty())?) {
                if message.sequence != sequence {
                    continue;
                }
                match message.kind {
                    NLMSG_ERROR => return acknowledged(&message).map(|()| found),
                    _ => found = read(&message).or(found),
                }
            }
        }
    }

    /// Lists all objects, one message each. Begins anew, with a new `T`, if they change meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Self::request`], and [`Error::KeepsChanging`].
    pub fn dump<T: Default>(
        &mut self,
        kind: u16,
        fill: impl Fn(&mut Writer),
        mut each: impl FnMut(&mut T, &Message<'_>),
    ) -> Result<T, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut all = T::default();
            if self.dump_once(kind, &fill, |message| each(&mut all, message))? {
                return Ok(all);
            }
        }
        Err(Error::KeepsChanging)
    }

    /// Whether the list is of one moment.
    fn dump_once(
        &mut self,
        kind: u16,
        fill: impl Fn(&mut Writer),
        mut each: impl FnMut(&Message<'_>),
    ) -> Result<bool, Error> {
        let sequence = self.numbers(1);
        let mut writer = Writer::new();
        writer.message(kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, fill);
        self.send(&writer.finish().ok_or(Error::TooLong)?)?;
        let mut whole = true;
        loop {
            for message in Messages(self.receive(MsgFlags::empty())?) {
                if message.sequence != sequence {
                    continue;
                }
                whole &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.kind {
                    NLMSG_DONE => return refused(&message).map_or(Ok(whole), Err),
                    NLMSG_ERROR => return acknowledged(&message).map(|()| whole),
                    _ => each(&message),
                }
            }
        }
    }

    /// Waits for the answer to a request.
    fn answer(&mut self, sequence: u32) -> Result<(), Error> {
        loop {
            for message in Messages(self.receive(MsgFlags::empty())?) {
                if message.sequence == sequence && message.kind == NLMSG_ERROR {
                    return acknowledged(&message);
                }
            }
        }
    }

    /// The answers to a transaction that has been sent, of which the request `last` wanted one. The
    /// first refusal is the error. They are all there already, since sending is doing.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub fn answers(&mut self, first: u32, last: u32) -> Result<(), Error> {
        let mut done = false;
        let mut failure = None;
        loop {
            match self.receive(MsgFlags::MSG_DONTWAIT) {
                Ok(bytes) => {
                    for message in Messages(bytes) {
                        let ours = (first..=last).contains(&message.sequence);
                        if !ours || message.kind != NLMSG_ERROR {
                            continue;
                        }
                        match acknowledged(&message) {
                            Ok(()) => done |= message.sequence == last,
                            Err(error) => failure = failure.or(Some(error)),
                        }
                    }
                }
                Err(Error::System { errno: Errno::EAGAIN, .. }) => break,
                // More refusals than the queue holds: the first of them are there.
                Err(Error::System { errno: Errno::ENOBUFS, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        match failure {
            Some(error) => Err(error),
            None if done => Ok(()),
            None => Err(Error::Malformed),
        }
    }

    fn receive(&mut self, flags: MsgFlags) -> Result<&[u8], Error> {
        let flags = flags | MsgFlags::MSG_TRUNC;
        let length = loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, flags) {
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    return Err(Error::System { doing: "receive from the kernel", errno });
                }
                Ok(length) => break length,
            }
        };
        // With MSG_TRUNC the length is the whole, even where the buffer is shorter.
        self.buffer.get(..length).ok_or(Error::Malformed)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn set<O: SetSockOpt>(fd: &OwnedFd, option: O, value: &O::Val) -> Result<(), Error> {
    setsockopt(fd, option, value)
        .map_err(|errno| Error::System { doing: "set up a netlink socket", errno })
}

/// What an `NLMSG_ERROR` says: with the number 0 it is an acknowledgement.
fn acknowledged(message: &Message<'_>) -> Result<(), Error> {
    if message.body.len() < 4 {
        return Err(Error::Malformed);
    }
    refused(message).map_or(Ok(()), Err)
}

/// The refusal in an `NLMSG_ERROR` or `NLMSG_DONE`, if it is one.
fn refused(message: &Message<'_>) -> Option<Error> {
    let errno = ne32(message.body).map_or(0, u32::cast_signed);
    if errno >= 0 {
        return None;
    }
    // The number, then the header of the request (which only the errors have), then attributes.
    let fixed = if message.kind == NLMSG_ERROR { 4 + 16 } else { 4 };
    let text = if message.flags & NLM_F_ACK_TLVS != 0 {
        Attributes::text(message.attributes(fixed), NLMSGERR_ATTR_MSG).map(str::to_owned)
    } else {
        None
    };
    let code = errno.saturating_neg();
    Some(Error::Refused { errno: Errno::from_raw(code), code, text, sequence: message.sequence })
}
