//! What a frame begins with, and what that says about its way.

use std::fmt;

use portcullis_core::policy::InterfaceName;
use portcullis_core::wire::Link;

/// `ARPHRD_LOOPBACK` of linux/if_arp.h.
const LOOPBACK: [u8; 2] = 772u16.to_be_bytes();

/// What the frames of an interface begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A header that is read, behind so many bytes that are not.
    Read(Link, u8),
    /// One that is not read: its number in the list of `LINKTYPE_` values.
    Unread(u16),
}

impl Kind {
    /// By its number (<https://www.tcpdump.org/linktypes.html>).
    pub const fn of(number: u16) -> Self {
        match number {
            1 => Self::Read(Link::Ethernet, 0),
            113 => Self::Read(Link::Cooked, 0),
            276 => Self::Read(Link::CookedV2, 0),
            // LINKTYPE_RAW, what some systems write for it, LINKTYPE_IPV4, LINKTYPE_IPV6.
            101 | 12 | 14 | 228 | 229 => Self::Read(Link::Raw, 0),
            // BSD loopback: the address family in four bytes, which the IP header says too.
            0 | 108 => Self::Read(Link::Raw, 4),
            other => Self::Unread(other),
        }
    }
}

/// Names of common kinds that are not read.
pub struct Named(pub u16);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            105 | 119 | 127 | 163 | 192 => "Wi-Fi in monitor mode",
            9 | 50 | 51 => "PPP",
            6 => "Token Ring",
            187 | 201 | 251 | 254 => "Bluetooth",
            189 | 220 | 249 => "USB",
            227 => "CAN bus",
            239 => "NFLOG",
            253 => "netlink",
            u16::MAX => return f.write_str("an interface without a description"),
            number => return write!(f, "link type {number}"),
        };
        write!(f, "{name} (link type {})", self.0)
    }
}

/// An interface as a capture describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// What its frames begin with.
    pub kind: Kind,
    /// What it is to the gate.
    pub place: Place,
    /// How its times are counted.
    pub scale: Scale,
    /// What is added to them, in seconds.
    pub offset: i64,
    /// How many bytes of a frame are captured; 0 is all. Only where frames do not say themselves.
    pub snap: u32,
}

impl Interface {
    /// An interface of which nothing is known but its kind.
    pub const fn unnamed(kind: Kind) -> Self {
        Self { kind, place: Place::Gate, scale: Scale::MICROS, offset: 0, snap: 0 }
    }
}

/// What an interface is to the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The gate stands there, as far as one can tell.
    Gate,
    /// Whoever comes by it needs no knock.
    Allowed,
    /// The gate does not stand there.
    Elsewhere,
}

/// Which interfaces the gate stands on, by their names.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// On these; if there are none, on all but loopback.
    pub gate: Vec<InterfaceName>,
    /// Whoever comes by these needs no knock.
    pub allowed: Vec<InterfaceName>,
    /// Names do not matter: the capture is of another machine, or the interface was renamed.
    pub any: bool,
}

impl Places {
    /// What an interface of this name is.
    pub fn find(&self, name: &str) -> Place {
        let is = |list: &[InterfaceName]| list.iter().any(|known| known.as_str() == name);
        if self.any {
            return Place::Gate;
        }
        let stands = if self.gate.is_empty() { name != "lo" } else { is(&self.gate) };
        match (is(&self.allowed), stands) {
            (true, _) => Place::Allowed,
            (_, true) => Place::Gate,
            (_, false) => Place::Elsewhere,
        }
    }
}

/// How times are counted: what makes nanoseconds of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Times this.
    Times(u64),
    /// Divided by this; by 0 it is nothing.
    By(u64),
    /// Units of 2 to the power of minus this, in seconds.
    Binary(u8),
}

impl Scale {
    /// Microseconds, which hold where nothing is said.
    pub const MICROS: Self = Self::Times(1_000);

    /// By the option `if_tsresol`: the negative power of 10, or with the highest bit set of 2.
    pub const fn of(resolution: u8) -> Self {
        if resolution & 0x80 != 0 {
            return Self::Binary(resolution & 0x7f);
        }
        match 10u64.checked_pow(resolution.abs_diff(9) as u32) {
            Some(power) if resolution <= 9 => Self::Times(power),
            Some(power) => Self::By(power),
            // So fine that 64 bits of it are less than two nanoseconds.
            None => Self::By(0),
        }
    }

    /// Nanoseconds.
    pub fn nanos(self, count: u64) -> u64 {
        match self {
            Self::Times(factor) => count.saturating_mul(factor),
            Self::By(divisor) => count.checked_div(divisor).unwrap_or(0),
            Self::Binary(bits) => {
                let scaled = u128::from(count).saturating_mul(1_000_000_000);
                let nanos = scaled.checked_shr(bits.into()).unwrap_or(0);
                u64::try_from(nanos).unwrap_or(u64::MAX)
            }
        }
    }
}

/// Where a frame was going, where a capture says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the host alone.
    In,
    /// From the host.
    Out,
    /// To several, or to another host.
    Past,
    /// From the host to itself.
    Loopback,
}

/// The way that a link header tells.
pub fn way(link: Link, frame: &[u8]) -> Option<Way> {
    let (kind, device) = match link {
        // The lowest bit of the first byte is that of a group (IEEE 802.3, section 3.2.3).
        Link::Ethernet => return (frame.first()? & 1 != 0).then_some(Way::Past),
        Link::Raw => return None,
        Link::Cooked => (u16::from_be_bytes(at(frame, 0)?), at(frame, 2)?),
        Link::CookedV2 => (u16::from(*frame.get(10)?), at(frame, 8)?),
    };
    if device == LOOPBACK {
        return Some(Way::Loopback);
    }
    // packet(7): PACKET_HOST and so on.
    Some(match kind {
        0 => Way::In,
        4 => Way::Out,
        _ => Way::Past,
    })
}

/// The network that the outermost 802.1Q tag of a frame is for; `None` if it has no tag, or one that
/// says only its priority.
pub fn network(link: Link, frame: &[u8]) -> Option<u16> {
    let (kind, tag) = match link {
        Link::Ethernet => (12, 14),
        Link::Cooked => (14, 16),
        Link::CookedV2 => (0, 20),
        Link::Raw => return None,
    };
    // IEEE 802.1Q, 802.1ad, and what was used before that.
    let is_tag = matches!(at(frame, kind)?, [0x81 | 0x91, 0x00] | [0x88, 0xa8]);
    let network = u16::from_be_bytes(at(frame, tag)?) & 0x0fff;
    (is_tag && network != 0).then_some(network)
}

fn at(frame: &[u8], offset: usize) -> Option<[u8; 2]> {
    frame.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_any_resolution_are_nanoseconds() {
        for (resolution, count, nanos) in [
            (0, 3, 3_000_000_000),
            (3, 3, 3_000_000),
            (6, 3, 3_000),
            (9, 3, 3),
            (12, 3_999, 3),
            (30, u64::MAX, 0),
            (127, u64::MAX, 0),
            (0x80, 3, 3_000_000_000),
            (0x81, 3, 1_500_000_000),
            (0x80 | 32, 1 << 31, 500_000_000),
            (0xff, u64::MAX, 0),
            (0, u64::MAX, u64::MAX),
            (0x80, u64::MAX, u64::MAX),
        ] {
            assert_eq!(Scale::of(resolution).nanos(count), nanos, "{resolution:#x} {count}");
        }
    }

    #[test]
    fn interfaces_are_known_by_name() {
        let name = |name| InterfaceName::new(name).unwrap();
        let mut places = Places::default();
        assert_eq!((places.find("lo"), places.find("eth0")), (Place::Elsewhere, Place::Gate));
        places.gate = vec![name("eth0")];
        places.allowed = vec![name("wg0")];
        assert_eq!((places.find("eth1"), places.find("eth0")), (Place::Elsewhere, Place::Gate));
        assert_eq!(places.find("wg0"), Place::Allowed);
        places.any = true;
        assert_eq!((places.find("wg0"), places.find("eth1")), (Place::Gate, Place::Gate));
    }
}
