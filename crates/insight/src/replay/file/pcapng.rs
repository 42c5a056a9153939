//! The successor of that format (`draft-ietf-opsawg-pcapng`): blocks, each with its type and its
//! length at both ends. Several sections, each with its own byte order and its own interfaces, may
//! stand one after the other.

use std::ops::Range;

use super::link::{Interface, Kind, Places, Scale, Way};
use super::window::{Short, Window};
use super::{Damage, Found, MAX_FRAME, MAX_INTERFACES, NoCapture};

/// The type of the block that begins a section: the same in both byte orders.
pub const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const INTERFACE: u32 = 1;
/// Obsolete, but still found.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Options of an interface.
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;
/// Option of a packet.
const FLAGS: u16 = 2;

/// Type, length, and the length again.
const AROUND: u32 = 12;

/// A capture of any number of interfaces.
pub struct Pcapng {
    big: bool,
    places: Places,
    interfaces: Vec<Interface>,
}

impl Pcapng {
    /// Reads the header of the first section, whose type is next.
    ///
    /// # Errors
    /// It is none, or ends.
    pub(super) fn open(window: &mut Window<'_>, places: Places) -> Result<Self, NoCapture> {
        let mut capture = Self { big: false, places, interfaces: Vec::new() };
        window.take(SECTION.len())?;
        match capture.section(window) {
            Ok(()) => Ok(capture),
            Err(Ended::Version(major, minor)) => Err(NoCapture::Version(major, minor)),
            Err(Ended::Damage(Damage::Cut)) => Err(NoCapture::Short),
            Err(Ended::Damage(Damage::Failed(error))) => Err(NoCapture::Failed(error)),
            Err(Ended::Damage(Damage::Broken(_))) => Err(NoCapture::Unknown),
        }
    }

    /// The next frame.
    pub(super) fn record(&mut self, window: &mut Window<'_>) -> Result<Option<Found>, Damage> {
        loop {
            let kind = match window.array::<4>() {
                Ok(kind) => kind,
                Err(Short::End) => return Ok(None),
                Err(short) => return Err(short.into()),
            };
            if kind == SECTION {
                self.section(window).map_err(|ended| match ended {
                    Ended::Version(..) => Damage::Broken("a section has an unknown version"),
                    Ended::Damage(damage) => damage,
                })?;
                continue;
            }
            let length = self.u32(window.array()?);
            let body = length.checked_sub(AROUND).filter(|body| body % 4 == 0);
            let body = body.ok_or(Damage::Broken("a block has an impossible length"))?;
            match self.u32(kind) {
                INTERFACE => {
                    let range = self.body(window, length, body)?;
                    let interface = self.interface(window.get(range));
                    if self.interfaces.len() < MAX_INTERFACES {
                        self.interfaces.push(interface.ok_or(SHORT)?);
                    }
                }
                kind @ (PACKET | SIMPLE_PACKET | ENHANCED_PACKET) => {
                    let range = self.body(window, length, body)?;
                    let found = self.packet(kind, window.get(range.clone())).ok_or(SHORT)?;
                    if found.range.len() > MAX_FRAME as usize {
                        return Err(Damage::Broken("a frame is too long"));
                    }
                    let at = |offset: usize| range.start.saturating_add(offset);
                    let range = at(found.range.start)..at(found.range.end);
                    return Ok(Some(Found { range, ..found }));
                }
                _ => {
                    window.skip(body.into())?;
                    self.same(window.array()?, length)?;
                }
            }
        }
    }

    /// Takes the body of a block, and its length again.
    fn body(
        &self,
        window: &mut Window<'_>,
        length: u32,
        body: u32,
    ) -> Result<Range<usize>, Damage> {
        let range =
            window.take((body as usize).saturating_add(4)).map_err(|short| match short {
                Short::End => Damage::Cut,
                short => short.into(),
            })?;
        let end = range.end.saturating_sub(4);
        let again = window.get(end..range.end).first_chunk().copied().unwrap_or_default();
        self.same(again, length)?;
        Ok(range.start..end)
    }

    fn same(&self, again: [u8; 4], length: u32) -> Result<(), Damage> {
        match self.u32(again) == length {
            true => Ok(()),
            false => Err(Damage::Broken("the two lengths of a block differ")),
        }
    }

    /// Reads the header of a section behind its type: what went before holds no longer.
    fn section(&mut self, window: &mut Window<'_>) -> Result<(), Ended> {
        let length: [u8; 4] = window.array()?;
        self.big = match window.array()? {
            [0x1a, 0x2b, 0x3c, 0x4d] => true,
            [0x4d, 0x3c, 0x2b, 0x1a] => false,
            _ => return Err(Ended::Damage(Damage::Broken("a section has no byte order"))),
        };
        let [a, b, c, d] = window.array()?;
        let (major, minor) = (self.u16([a, b]), self.u16([c, d]));
        if major != 1 {
            return Err(Ended::Version(major, minor));
        }
        self.interfaces.clear();
        let length = self.u32(length);
        // The length of the section (8 bytes) and the options are all the same to us.
        let rest = length.checked_sub(AROUND.saturating_add(8)).filter(|rest| rest % 4 == 0);
        let rest = rest.ok_or(Ended::Damage(Damage::Broken("a section has an invalid length")))?;
        window.skip(rest.into())?;
        Ok(self.same(window.array()?, length)?)
    }

    fn interface(&self, body: &[u8]) -> Option<Interface> {
        let (&[a, b, _, _, e, f, g, h], options) = body.split_first_chunk()?;
        let mut interface = Interface::unnamed(Kind::of(self.u16([a, b])));
        interface.snap = self.u32([e, f, g, h]);
        for (code, value) in self.options(options) {
            match (code, value) {
                (NAME, name) => {
                    let name = String::from_utf8_lossy(name);
                    interface.place = self.places.find(name.trim_end_matches('\0'));
                }
                (RESOLUTION, &[resolution]) => interface.scale = Scale::of(resolution),
                (OFFSET, value) => {
                    let seconds = value.try_into().map_or(0, |bytes: [u8; 8]| self.u64(bytes));
                    interface.offset = seconds.cast_signed();
                }
                _ => {}
            }
        }
        Some(interface)
    }

    /// What a block with a frame holds, its range relative to the body.
    fn packet(&self, kind: u32, body: &[u8]) -> Option<Found> {
        let (number, time, captured, length, data) = match kind {
            SIMPLE_PACKET => {
                let (&length, _) = body.split_first_chunk()?;
                let length = self.u32(length);
                let snap = self.interfaces.first().map_or(0, |interface| interface.snap);
                let captured = if snap == 0 { length } else { length.min(snap) };
                (0, None, captured, length, 4usize)
            }
            _ => {
                let (&[a, b, c, d, high @ .., e, f, g, h], rest) =
                    body.split_first_chunk::<12>()?;
                let (&[i, j, k, l, m, n, o, p], _) = rest.split_first_chunk::<8>()?;
                // The obsolete kind has a count of drops behind a shorter number.
                let number = match kind {
                    PACKET => u32::from(self.u16([a, b])),
                    _ => self.u32([a, b, c, d]),
                };
                let (high, low) = (self.u32(high), self.u32([e, f, g, h]));
                let time = u64::from(high) << 32 | u64::from(low);
                (number, Some(time), self.u32([i, j, k, l]), self.u32([m, n, o, p]), 20)
            }
        };
        let end = data.checked_add(captured as usize)?;
        body.get(data..end)?;
        // A frame of an interface that is not known is one of a link that is not known.
        let unknown = Interface::unnamed(Kind::Unread(u16::MAX));
        let interface = self.interfaces.get(number as usize).copied().unwrap_or(unknown);
        let offset = interface.offset.saturating_mul(1_000_000_000);
        let time = time.map(|time| interface.scale.nanos(time).saturating_add_signed(offset));
        let options = body.get(end.next_multiple_of(4)..).unwrap_or_default();
        let way = match kind {
            ENHANCED_PACKET => self.way(options),
            _ => None,
        };
        Some(Found { time, interface, way, range: data..end, length })
    }

    /// Where a frame was going, by the option `epb_flags`.
    fn way(&self, options: &[u8]) -> Option<Way> {
        let (_, value) = self.options(options).find(|(code, _)| *code == FLAGS)?;
        let flags = self.u32(value.try_into().ok()?);
        // Bits 0 and 1: inbound, outbound. Bits 2 to 4: unicast, multicast, broadcast, promiscuous.
        match (flags & 0b11, flags >> 2 & 0b111) {
            (0b10, _) => Some(Way::Out),
            (_, 2..=4) => Some(Way::Past),
            (0b01, _) => Some(Way::In),
            _ => None,
        }
    }

    /// The options in these bytes, up to the first that is not whole.
    fn options<'b>(&self, mut bytes: &'b [u8]) -> impl Iterator<Item = (u16, &'b [u8])> {
        let big = self.big;
        std::iter::from_fn(move || {
            let (&[a, b, c, d], rest) = bytes.split_first_chunk()?;
            let number =
                |bytes| if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
            let (code, length) = (number([a, b]), usize::from(number([c, d])));
            let value = rest.get(..length).filter(|_| code != 0)?;
            bytes = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some((code, value))
        })
    }

    const fn u16(&self, bytes: [u8; 2]) -> u16 {
        if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    const fn u32(&self, bytes: [u8; 4]) -> u32 {
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    const fn u64(&self, bytes: [u8; 8]) -> u64 {
        if self.big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
    }
}

/// A block that has no room for what its kind must hold.
const SHORT: Damage = Damage::Broken("a block is too short");

/// Why there is no section.
enum Ended {
    Version(u16, u16),
    Damage(Damage),
}

impl From<Damage> for Ended {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl From<Short> for Ended {
    fn from(short: Short) -> Self {
        Self::Damage(short.into())
    }
}
