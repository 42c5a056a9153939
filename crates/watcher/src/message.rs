//! What the two processes say to each other, over a `SOCK_SEQPACKET` pair.
//!
//! The watcher reads what strangers send. So the keeper accepts only messages of one size and one spelling
//! from it: 32 bytes, and all bytes that a message does not use are zero. Anything else is not a message,
//! and ends the watcher.
//!
//! ```text
//!  0 version   1 kind   2 stage   3 address family (4, 6)   4..8 epoch
//!  8..12 door  12..16 number      16..32 address, or name of an interface
//! ```
//!
//! The keeper sends the watcher only the text of the configuration, after a header of the same size. It
//! sends a runner the same text, and then each opening, in its own words.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, SockType, SockaddrStorage, getsockopt, recvmsg, sendmsg, sockopt,
};
use portcullis_core::policy::{DoorId, InterfaceName};

/// The socket to the keeper, which each of its processes is given as standard input; `None` if this
/// process was not started by a keeper.
pub fn keeper() -> Option<OwnedFd> {
    let socket = io::stdin().as_fd().try_clone_to_owned().ok();
    socket.filter(|socket| getsockopt(socket, sockopt::SockType) == Ok(SockType::SeqPacket))
}

/// Bytes of a message.
pub const SIZE: usize = 32;

/// Both processes are the same program, but the file may have been replaced in between.
const VERSION: u8 = 1;

/// Longest configuration text that is passed on.
pub const MAX_TEXT: usize = 64 << 20;

/// Bytes of text in one packet: well below the smallest send buffer.
const CHUNK: usize = 16 << 10;

/// The number of the configuration that a watcher has received. A message names the configuration that its
/// door number belongs to.
pub type Epoch = u32;

/// What the watcher says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A source has completed a sequence.
    Open {
        /// Which configuration.
        epoch: Epoch,
        /// Its door.
        door: DoorId,
        /// Who.
        address: IpAddr,
        /// For how long; whole milliseconds.
        open_for: Duration,
    },
    /// Somebody has made a knock.
    Stage {
        /// Which configuration.
        epoch: Epoch,
        /// Its door.
        door: DoorId,
        /// Who.
        address: IpAddr,
        /// How many have been made.
        stage: u8,
    },
    /// This number of stages was not reported.
    Suppressed(u32),
    /// The packets of an interface are being read.
    Watching(InterfaceName),
    /// They no longer are: the interface has disappeared.
    Unwatched(InterfaceName),
    /// This number of packets arrived faster than the watcher reads.
    Lost(InterfaceName, u32),
    /// A configuration is in force: all its interfaces are watched.
    Ready(Epoch),
    /// A configuration is not: this interface does not exist.
    Missing(Epoch, InterfaceName),
    /// A configuration is not: the system call that it needs fails with this number.
    Failed(Epoch, i32),
    /// Somebody has made some knocks, and not the next one in time.
    TimedOut {
        /// Which configuration.
        epoch: Epoch,
        /// Its door.
        door: DoorId,
        /// Who.
        address: IpAddr,
        /// How many had been made.
        stage: u8,
    },
}

#[derive(Debug, Clone, Copy, Default)]
struct Fields {
    kind: u8,
    stage: u8,
    family: u8,
    epoch: u32,
    door: u32,
    number: u32,
    place: [u8; 16],
}

impl Message {
    /// The message as bytes.
    pub fn encode(&self) -> [u8; SIZE] {
        let fields = match self {
            Self::Open { epoch, door, address, open_for } => Fields {
                kind: 1,
                epoch: *epoch,
                door: door.0,
                number: u32::try_from(open_for.as_millis()).unwrap_or(u32::MAX),
                ..Fields::address(*address)
            },
            Self::Stage { epoch, door, address, stage } => Fields {
                kind: 2,
                epoch: *epoch,
                door: door.0,
                stage: *stage,
                ..Fields::address(*address)
            },
            Self::Suppressed(number) => Fields { kind: 3, number: *number, ..Fields::default() },
            Self::Watching(name) => Fields { kind: 4, ..Fields::name(name) },
            Self::Unwatched(name) => Fields { kind: 5, ..Fields::name(name) },
            Self::Lost(name, number) => Fields { kind: 6, number: *number, ..Fields::name(name) },
            Self::Ready(epoch) => Fields { kind: 7, epoch: *epoch, ..Fields::default() },
            Self::Missing(epoch, name) => Fields { kind: 8, epoch: *epoch, ..Fields::name(name) },
            Self::Failed(epoch, errno) => Fields {
                kind: 9,
                epoch: *epoch,
                number: errno.cast_unsigned(),
                ..Fields::default()
            },
            Self::TimedOut { epoch, door, address, stage } => Fields {
                kind: 10,
                epoch: *epoch,
                door: door.0,
                stage: *stage,
                ..Fields::address(*address)
            },
        };
        fields.encode()
    }

    /// The message in these bytes; `None` if they are none.
    pub fn decode(bytes: &[u8; SIZE]) -> Option<Self> {
        let fields = Fields::decode(bytes)?;
        let Fields { stage, epoch, number, .. } = fields;
        let door = DoorId(fields.door);
        let message = match fields.kind {
            1 => {
                let open_for = Duration::from_millis(number.into());
                Self::Open { epoch, door, address: fields.to_address()?, open_for }
            }
            2 => Self::Stage { epoch, door, address: fields.to_address()?, stage },
            3 => Self::Suppressed(number),
            4 => Self::Watching(fields.to_name()?),
            5 => Self::Unwatched(fields.to_name()?),
            6 => Self::Lost(fields.to_name()?, number),
            7 => Self::Ready(epoch),
            8 => Self::Missing(epoch, fields.to_name()?),
            9 => Self::Failed(epoch, number.cast_signed()),
            10 => Self::TimedOut { epoch, door, address: fields.to_address()?, stage },
            _ => return None,
        };
        // One spelling: whatever was not looked at must be zero.
        (message.encode() == *bytes).then_some(message)
    }

    /// Whether it answers an order.
    pub const fn is_answer(&self) -> bool {
        matches!(self, Self::Ready(_) | Self::Missing(..) | Self::Failed(..))
    }

    /// Sends it.
    ///
    /// # Errors
    ///
    /// `EPIPE` if the other process has ended; with `wait` false `EAGAIN` if there is no room.
    pub fn send(&self, to: BorrowedFd<'_>, wait: bool) -> Result<(), Errno> {
        send(to, &self.encode(), wait)
    }

    /// Receives one: `Ok(None)` if the other process has ended.
    ///
    /// # Errors
    ///
    /// `EBADMSG` if what came is no message; with `wait` false `EAGAIN` if nothing is there.
    pub fn receive(from: BorrowedFd<'_>, wait: bool) -> Result<Option<Self>, Errno> {
        // One byte more, so that a longer packet is noticed.
        let mut buffer = [0; SIZE + 1];
        let length = receive(from, &mut buffer, wait)?;
        if length == 0 {
            return Ok(None);
        }
        let bytes = buffer.first_chunk().filter(|_| length == SIZE).ok_or(Errno::EBADMSG)?;
        Self::decode(bytes).map(Some).ok_or(Errno::EBADMSG)
    }
}

impl Fields {
    fn address(address: IpAddr) -> Self {
        let mut place = [0; 16];
        let family = match address {
            IpAddr::V4(v4) => {
                place.iter_mut().zip(v4.octets()).for_each(|(to, from)| *to = from);
                4
            }
            IpAddr::V6(v6) => {
                place = v6.octets();
                6
            }
        };
        Self { family, place, ..Self::default() }
    }

    fn name(name: &InterfaceName) -> Self {
        let mut place = [0; 16];
        place.iter_mut().zip(name.as_str().bytes()).for_each(|(to, from)| *to = from);
        Self { place, ..Self::default() }
    }

    fn to_address(self) -> Option<IpAddr> {
        match self.family {
            4 => self.place.first_chunk::<4>().map(|&octets| octets.into()),
            6 => Some(self.place.into()),
            _ => None,
        }
    }

    fn to_name(self) -> Option<InterfaceName> {
        let name = self.place.split(|&byte| byte == 0).next()?;
        InterfaceName::new(std::str::from_utf8(name).ok()?).ok()
    }

    fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let parts = [VERSION, self.kind, self.stage, self.family]
            .into_iter()
            .chain([self.epoch, self.door, self.number].into_iter().flat_map(u32::to_be_bytes))
            .chain(self.place);
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        bytes
    }

    fn decode(bytes: &[u8; SIZE]) -> Option<Self> {
        let (&[version, kind, stage, family], rest) = bytes.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (door, rest) = rest.split_first_chunk()?;
        let (number, place) = rest.split_first_chunk()?;
        let number_of = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes);
        (version == VERSION).then_some(Self {
            kind,
            stage,
            family,
            epoch: number_of(epoch),
            door: number_of(door),
            number: number_of(number),
            place: place.try_into().ok()?,
        })
    }
}

/// A configuration for the watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its number.
    pub epoch: Epoch,
    /// Whether stages are to be told.
    pub verbose: bool,
    /// Its text, which the watcher reads again: the file at its path may have changed.
    pub text: String,
}

/// The kind of an order, beside those of messages.
const ORDER: u8 = 100;

impl Order {
    /// The packets that it is sent in.
    ///
    /// # Errors
    ///
    /// `EFBIG` if the text is too long.
    pub fn packets(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let length = self.text.len();
        let number = u32::try_from(length).ok().filter(|_| length <= MAX_TEXT);
        let fields = Fields {
            kind: ORDER,
            stage: self.verbose.into(),
            epoch: self.epoch,
            number: number.ok_or(Errno::EFBIG)?,
            ..Fields::default()
        };
        let text = self.text.as_bytes().chunks(CHUNK).map(<[u8]>::to_vec);
        Ok(std::iter::once(fields.encode().to_vec()).chain(text).collect())
    }

    /// Receives one; `Ok(None)` if the keeper has ended.
    ///
    /// # Errors
    ///
    /// `EBADMSG` if what came is none.
    pub fn receive(from: BorrowedFd<'_>) -> Result<Option<Self>, Errno> {
        let mut header = [0; SIZE];
        if receive(from, &mut header, true)? == 0 {
            return Ok(None);
        }
        let header = Fields::decode(&header).filter(|fields| fields.kind == ORDER);
        Self::receive_text(from, header.ok_or(Errno::EBADMSG)?)
    }

    /// What follows the header.
    fn receive_text(from: BorrowedFd<'_>, header: Fields) -> Result<Option<Self>, Errno> {
        let length = header.number as usize;
        if length > MAX_TEXT {
            return Err(Errno::EBADMSG);
        }
        let mut text = Vec::with_capacity(length);
        let mut chunk = [0; CHUNK];
        while text.len() < length {
            match receive(from, &mut chunk, true)? {
                0 => return Ok(None),
                got => text.extend(chunk.iter().take(got)),
            }
        }
        let text = String::from_utf8(text).map_err(|_| Errno::EBADMSG)?;
        Ok(Some(Self { epoch: header.epoch, verbose: header.stage != 0, text }))
    }
}

/// What a runner is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A configuration.
    Order(Order),
    /// What a watcher has said, and its keeper has allowed.
    Message(Message),
}

impl Told {
    /// Receives one without waiting for it to begin: `Ok(None)` if the other process has ended.
    ///
    /// # Errors
    ///
    /// `EBADMSG` if what came is neither; `EAGAIN` if nothing is there.
    pub fn receive(from: BorrowedFd<'_>) -> Result<Option<Self>, Errno> {
        let mut buffer = [0; SIZE + 1];
        let length = receive(from, &mut buffer, false)?;
        if length == 0 {
            return Ok(None);
        }
        let bytes = buffer.first_chunk().filter(|_| length == SIZE).ok_or(Errno::EBADMSG)?;
        match Fields::decode(bytes) {
            Some(header) if header.kind == ORDER => {
                Ok(Order::receive_text(from, header)?.map(Self::Order))
            }
            _ => Message::decode(bytes)
                .map(|message| Some(Self::Message(message)))
                .ok_or(Errno::EBADMSG),
        }
    }
}

/// Sends one packet.
///
/// # Errors
///
/// `EPIPE` if the other process has ended; with `wait` false `EAGAIN` if there is no room.
pub fn send(to: BorrowedFd<'_>, bytes: &[u8], wait: bool) -> Result<(), Errno> {
    let flags =
        MsgFlags::MSG_NOSIGNAL | if wait { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
    loop {
        match sendmsg::<SockaddrStorage>(to.as_raw_fd(), &[IoSlice::new(bytes)], &[], flags, None) {
            Err(Errno::EINTR) => {}
            // A packet goes as a whole or not at all.
            result => return result.map(drop),
        }
    }
}

/// Receives one packet: its length, which is 0 if the other process has ended. What does not fit is
/// lost.
///
/// # Errors
///
/// With `wait` false `EAGAIN` if nothing is there.
pub fn receive(from: BorrowedFd<'_>, buffer: &mut [u8], wait: bool) -> Result<usize, Errno> {
    let flags = if wait { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
    loop {
        let mut buffers = [IoSliceMut::new(buffer)];
        match recvmsg::<SockaddrStorage>(from.as_raw_fd(), &mut buffers, None, flags) {
            Err(Errno::EINTR) => {}
            // Ended without a word, or killed with words unread.
            Err(Errno::ECONNRESET) => return Ok(0),
            result => return result.map(|message| message.bytes),
        }
    }
}

#[cfg(test)]
mod tests;
