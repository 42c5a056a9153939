//! What a replay has found, as values.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::policy::{DoorId, Port};

use super::clock::Oddities;
use super::file::Damage;
use super::own_addresses::Origin;
use super::sources::Deeds;

/// Openings that are listed; more are counted.
pub const MAX_OPENINGS: usize = 100_000;

/// Strikes that are listed; more are counted.
pub const MAX_STRIKES: usize = 10_000;

/// A door that would have opened. Times are nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// When.
    pub at: u64,
    /// Which door.
    pub door: DoorId,
    /// For whom.
    pub source: IpAddr,
    /// For how long.
    pub open_for: Duration,
}

/// A packet that would have been a strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// When.
    pub at: u64,
    /// Whose.
    pub source: IpAddr,
    /// At which port; none is port 0.
    pub port: Option<Port>,
    /// Why.
    pub why: Why,
    /// Whether it would have banned.
    pub bans: bool,
}

/// Why a packet would have been a strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was refused at the port that this door guards.
    Refused(DoorId),
    /// It went to a port that is closed, be it a knock or not.
    Closed,
}

/// All that a replay has found.
#[derive(Debug, Default)]
pub struct Report {
    /// Frames that were read.
    pub frames: u64,
    /// Those that could be judged.
    pub judged: u64,
    /// The time of the first frame and the latest.
    pub times: Option<(u64, u64)>,
    /// The host's addresses, and how they are known.
    pub host: Vec<IpAddr>,
    /// How they are known; nothing if nobody had to know.
    pub host_source: Option<Origin>,
    /// Doors that would have opened, in order.
    pub openings: Vec<Opening>,
    /// How many those were.
    pub opened: u64,
    /// What would have been strikes, in order.
    pub strikes: Vec<Strike>,
    /// How many those were.
    pub struck: u64,
    /// Bans that would have begun.
    pub bans: u64,
    /// How far sources came, those who came furthest first.
    pub sources: Vec<(IpAddr, Deeds)>,
    /// Sources that came no further than this are not among them, as there were too many.
    pub floor: Option<u8>,
    /// What is odd about the times.
    pub oddities: Oddities,
    /// Frames of links that are not read, by number.
    pub unread: BTreeMap<u16, u64>,
    /// Frames cut so short that they could not be judged.
    pub cut: u64,
    /// Packets with IP options or extension headers, which are no knock and no wrong port.
    pub extended: u64,
    /// Packets with headers that no host accepts.
    pub broken: u64,
    /// Frames of interfaces on which the gate does not stand.
    pub elsewhere: u64,
    /// Frames of loopback.
    pub loopback: u64,
    /// Frames tagged for another network, that were judged all the same.
    pub tagged: u64,
    /// Those that were not.
    pub tagged_ignored: u64,
    /// Packets of neither end of which the host is.
    pub not_for_host: u64,
    /// Fragments: the kernel puts them together, the daemon and a replay do not.
    pub fragments: u64,
    /// Why the capture could not be read to its end.
    pub damage: Option<Damage>,
}
