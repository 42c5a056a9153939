//! The format of libpcap (`draft-ietf-opsawg-pcap`): a header of 24 bytes, then frames, each behind
//! 16 bytes.

use super::link::{Interface, Kind};
use super::window::{Short, Window};
use super::{Damage, Found, MAX_FRAME, NoCapture};

/// How its numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    big: bool,
    /// How many nanoseconds the smaller part of a time counts.
    nanos: u64,
}

impl Numbers {
    /// By the first four bytes.
    pub const fn of(magic: [u8; 4]) -> Option<Self> {
        match magic {
            [0xa1, 0xb2, 0xc3, 0xd4] => Some(Self { big: true, nanos: 1_000 }),
            [0xd4, 0xc3, 0xb2, 0xa1] => Some(Self { big: false, nanos: 1_000 }),
            [0xa1, 0xb2, 0x3c, 0x4d] => Some(Self { big: true, nanos: 1 }),
            [0x4d, 0x3c, 0xb2, 0xa1] => Some(Self { big: false, nanos: 1 }),
            _ => None,
        }
    }

    const fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    const fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }
}

/// A capture of one interface, or of several without their names.
pub struct Pcap {
    numbers: Numbers,
    /// Before version 2.4 the two lengths of a frame stood in either order.
    either: bool,
    interface: Interface,
}

impl Pcap {
    /// Reads the header.
    ///
    /// # Errors
    /// It is none, or ends.
    pub(super) fn open(window: &mut Window<'_>, numbers: Numbers) -> Result<Self, NoCapture> {
        let [_, _, _, _, a, b, c, d, rest @ ..] = window.array::<24>()?;
        let (major, minor) = (numbers.u16([a, b]), numbers.u16([c, d]));
        if major != 2 {
            return Err(NoCapture::Version(major, minor));
        }
        let [_, _, _, _, _, _, _, _, _, _, _, _, w, x, y, z] = rest;
        // The upper half says how many bytes of a checksum follow each frame, which is all the same.
        let link = numbers.u32([w, x, y, z]) & 0xffff;
        let interface = Interface::unnamed(Kind::of(link as u16));
        Ok(Self { numbers, either: minor < 4, interface })
    }

    /// The next frame.
    pub(super) fn record(&self, window: &mut Window<'_>) -> Result<Option<Found>, Damage> {
        let header = match window.array::<16>() {
            Ok(header) => header,
            Err(Short::End) => return Ok(None),
            Err(short) => return Err(short.into()),
        };
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = header;
        let number = |bytes| self.numbers.u32(bytes);
        let (seconds, part) = (number([a, b, c, d]), number([e, f, g, h]));
        let (captured, length) = (number([i, j, k, l]), number([m, n, o, p]));
        let captured = if self.either { captured.min(length) } else { captured };
        if captured > MAX_FRAME {
            return Err(Damage::Broken("a frame has an impossible length"));
        }
        let range = window.take(captured as usize).map_err(|short| match short {
            Short::End => Damage::Cut,
            short => short.into(),
        })?;
        let time = u64::from(seconds)
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(part).saturating_mul(self.numbers.nanos));
        Ok(Some(Found { time: Some(time), interface: self.interface, way: None, range, length }))
    }
}
