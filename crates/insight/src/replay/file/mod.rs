//! Captures in files: pcap and pcapng, also behind gzip, as streams.
//!
//! | module | what it holds |
//! |---|---|
//! | [`window`] | the bytes at hand |
//! | [`pcap`] | the format of libpcap (`draft-ietf-opsawg-pcap`) |
//! | [`pcapng`] | its successor (`draft-ietf-opsawg-pcapng`) |
//! | [`link`] | what a frame begins with, and what that says about its way |
//!
//! Everything here may have been written by a stranger, or be half of what was written. Whatever it
//! says about lengths, one window is all that is kept of it, and what was read before a fault stays
//! read.

pub mod link;
pub mod pcap;
pub mod pcapng;
pub mod window;

use std::fmt;
use std::io::{self, Chain, Cursor, Read};

use flate2::read::MultiGzDecoder;

use link::{Interface, Kind};
use window::{Short, Window};

/// Most bytes of one frame: what libpcap takes (`MAXIMUM_SNAPLEN`). A length beyond is no length.
pub const MAX_FRAME: u32 = 262_144;

/// Interfaces of one section of a pcapng file that are known; frames of further ones are not read.
pub const MAX_INTERFACES: usize = 4_096;

/// A frame as it stands in a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was captured, in nanoseconds since 1970; pcapng has blocks that do not say.
    pub time: Option<u64>,
    /// What it begins with.
    pub kind: Kind,
    /// On which interface, as far as the gate is concerned.
    pub place: link::Place,
    /// Its way, where the capture says.
    pub way: Option<link::Way>,
    /// What was captured of it.
    pub bytes: &'a [u8],
    /// How long it was on the wire.
    pub length: u32,
}

/// Why a file is not a capture.
#[derive(Debug)]
pub enum NoCapture {
    /// It has no bytes.
    Empty,
    /// It ends before its header does.
    Short,
    /// It is compressed in a way that is not read here; with the program that can.
    Compressed(&'static str),
    /// It is of this other format of captures.
    Other(&'static str),
    /// It is something else.
    Unknown,
    /// It is a capture of a version that nobody has defined.
    Version(u16, u16),
    /// It cannot be read.
    Failed(std::io::Error),
}

impl fmt::Display for NoCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::Short => f.write_str("it ends inside its header"),
            Self::Compressed(with) => {
                write!(f, "it is compressed with {with}; only gzip can be read")
            }
            Self::Other(format) => write!(f, "it is {format}, not pcap or pcapng"),
            Self::Unknown => f.write_str("it is not pcap or pcapng"),
            Self::Version(major, minor) => {
                write!(f, "it has the unknown version {major}.{minor}")
            }
            Self::Failed(error) if error.kind() == io::ErrorKind::NotFound => {
                f.write_str("there is no such file")
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl NoCapture {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Compressed(with) => {
                Some(format!("decompress it: `{with} -dc FILE | portcullis replay -`"))
            }
            Self::Other(_) | Self::Version(..) => {
                Some("convert it: `editcap -F pcap FILE NEW.pcap`".into())
            }
            Self::Empty | Self::Short | Self::Unknown => {
                Some("write one with `tcpdump -i eth0 -w FILE`".into())
            }
            Self::Failed(_) => None,
        }
    }
}

impl From<Short> for NoCapture {
    fn from(short: Short) -> Self {
        match short {
            Short::End | Short::Cut | Short::TooMany => Self::Short,
            Short::Failed(error) => Self::Failed(error),
        }
    }
}

/// Why a capture could not be read to its end.
#[derive(Debug)]
pub enum Damage {
    /// It is cut off inside something that was begun.
    Cut,
    /// The stream cannot be read on; also when the compression is broken.
    Failed(std::io::Error),
    /// What stands there cannot be: in a few words, what.
    Broken(&'static str),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("it is cut off in the middle"),
            Self::Failed(error) => write!(f, "reading failed in the middle: {error}"),
            Self::Broken(what) => write!(f, "it is damaged: {what}"),
        }
    }
}

impl From<Short> for Damage {
    fn from(short: Short) -> Self {
        match short {
            Short::End | Short::Cut => Self::Cut,
            Short::TooMany => Self::Broken("a block is too long"),
            Short::Failed(error) => Self::Failed(error),
        }
    }
}

enum Format {
    Pcap(pcap::Pcap),
    Pcapng(pcapng::Pcapng),
}

/// What a reader of one format has found in the window.
struct Found {
    time: Option<u64>,
    interface: Interface,
    way: Option<link::Way>,
    range: std::ops::Range<usize>,
    length: u32,
}

/// A capture that is being read.
pub struct Capture<'s> {
    window: Window<'s>,
    format: Format,
}

impl<'s> Capture<'s> {
    /// Begins to read one. `interfaces` says what the gate makes of the interfaces whose names a
    /// capture may hold.
    ///
    /// # Errors
    /// It is none.
    pub fn open(source: Box<dyn Read + 's>, interfaces: link::Places) -> Result<Self, NoCapture> {
        let mut window = Window::new(source);
        // At most two layers: some compress what a program has compressed already.
        for _ in 0..2 {
            if !window.peek(2)?.starts_with(&[0x1f, 0x8b]) {
                break;
            }
            window = Window::new(Box::new(MultiGzDecoder::new(window.into_read())));
        }
        let first = window.peek(4)?;
        let (empty, magic) = (first.is_empty(), first.first_chunk::<4>().copied());
        let Some(magic) = magic else {
            let empty = empty && !window.is_cut();
            return Err(if empty { NoCapture::Empty } else { NoCapture::Short });
        };
        let format = match magic {
            pcapng::SECTION => Format::Pcapng(pcapng::Pcapng::open(&mut window, interfaces)?),
            _ => match pcap::Numbers::of(magic) {
                Some(numbers) => Format::Pcap(pcap::Pcap::open(&mut window, numbers)?),
                None => return Err(other(&magic, window.peek(8)?)),
            },
        };
        Ok(Self { window, format })
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// The capture goes on, but cannot be read.
    pub fn record(&mut self) -> Result<Option<Record<'_>>, Damage> {
        let found = match &mut self.format {
            Format::Pcap(pcap) => pcap.record(&mut self.window)?,
            Format::Pcapng(pcapng) => pcapng.record(&mut self.window)?,
        };
        let Some(Found { time, interface, way, range, length }) = found else { return Ok(None) };
        let Interface { kind, place, .. } = interface;
        Ok(Some(Record { time, kind, place, way, bytes: self.window.get(range), length }))
    }

    /// How many bytes of the capture (decompressed) have been read.
    pub const fn passed(&self) -> u64 {
        self.window.passed()
    }
}

impl<'s> Window<'s> {
    /// What is at hand, and what follows.
    fn into_read(self) -> Chain<Cursor<Vec<u8>>, Box<dyn Read + 's>> {
        let (there, rest) = self.into_parts();
        Cursor::new(there).chain(rest)
    }
}

/// What begins so, if it is no capture that we read.
fn other(magic: &[u8; 4], first: &[u8]) -> NoCapture {
    match (magic, first) {
        ([0x28, 0xb5, 0x2f, 0xfd], _) => NoCapture::Compressed("zstd"),
        ([0xfd, b'7', b'z', b'X'], _) => NoCapture::Compressed("xz"),
        ([b'B', b'Z', b'h', _], _) => NoCapture::Compressed("bzip2"),
        ([0x04, 0x22, 0x4d, 0x18], _) => NoCapture::Compressed("lz4"),
        ([0xa1, 0xb2, 0xcd, 0x34] | [0x34, 0xcd, 0xb2, 0xa1], _) => {
            NoCapture::Other("the pcap variant of some old kernel patches")
        }
        (_, b"snoop\0\0\0") => NoCapture::Other("a capture of snoop"),
        (b"RTSS" | b"GMBU", _) => NoCapture::Other("a capture of Network Monitor"),
        _ => NoCapture::Unknown,
    }
}

#[cfg(test)]
mod tests;
