//! What a port scan would open.

use core::fmt;

use super::Usable;
use crate::policy::{Port, Protocol};

/// A regular way of touching every port, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// From port 1 upwards, or from port 65535 downwards.
    pub ascending: bool,
    /// Which ports follow each other.
    pub order: SweepOrder,
}

/// Which ports a sweep touches, and how it mixes the protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepOrder {
    /// The ports of one protocol alone.
    Only(Protocol),
    /// All ports of the first protocol, then all of the other.
    OneThenOther,
    /// Both protocols of each port before the next port.
    Interleaved,
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.ascending { "an ascending" } else { "a descending" };
        match self.order {
            SweepOrder::Only(protocol) => write!(f, "{direction} {protocol} sweep"),
            SweepOrder::OneThenOther => write!(f, "{direction} sweep of tcp and udp"),
            SweepOrder::Interleaved => write!(f, "{direction} sweep of tcp and udp port by port"),
        }
    }
}

/// Whether the port numbers of a sequence only rise (`Some(true)`) or only fall (`Some(false)`).
/// Equal numbers of two protocols count as both.
pub fn monotone(knocks: &[Port]) -> Option<bool> {
    if knocks.is_sorted_by_key(|port| port.number) {
        Some(true)
    } else if knocks.iter().rev().is_sorted_by_key(|port| port.number) {
        Some(false)
    } else {
        None
    }
}

/// The endlessly repeated sweep that touches the fewest wrong ports between the knocks, and how many
/// those are. Only `usable` ports count as wrong. A door that forgives as many is opened by it.
/// `None` for an empty sequence.
pub fn easiest_sweep(knocks: &[Port], usable: &Usable) -> Option<(Sweep, u64)> {
    let one = knocks.first()?.protocol;
    let orders: &[SweepOrder] = if knocks.iter().all(|port| port.protocol == one) {
        &[SweepOrder::Only(one)]
    } else {
        &[SweepOrder::OneThenOther, SweepOrder::Interleaved]
    };
    let sweeps = orders.iter().flat_map(|&order| {
        [true, false].map(|ascending| {
            let sweep = Sweep { ascending, order };
            (sweep, sweep.wrong_between(knocks, usable))
        })
    });
    sweeps.min_by_key(|&(_, wrong)| wrong)
}

impl Sweep {
    /// Wrong ports touched between the first knock and the last.
    fn wrong_between(self, knocks: &[Port], usable: &Usable) -> u64 {
        let pairs = knocks.iter().zip(knocks.iter().skip(1));
        pairs
            .map(|(&from, &to)| match self.ascending {
                true => u64::from(self.order.between(from, to, usable)),
                false => u64::from(self.order.between(to, from, usable)),
            })
            .fold(0, u64::saturating_add)
    }
}

impl SweepOrder {
    /// Usable ports strictly between these two, going upwards and around the end.
    pub(super) fn between(self, from: Port, to: Port, usable: &Usable) -> u32 {
        let after_from = self.before(from, usable).saturating_add(u32::from(usable.contains(from)));
        let before_to = self.before(to, usable);
        let wraps = self.position(from) >= self.position(to);
        let round = match self {
            Self::Only(protocol) => usable.count(protocol),
            _ => usable.total(),
        };
        before_to.saturating_add(if wraps { round } else { 0 }).saturating_sub(after_from)
    }

    /// Something that grows from port to port of an ascending round.
    fn position(self, port: Port) -> (bool, u16, bool) {
        let udp = port.protocol == Protocol::Udp;
        (self == Self::OneThenOther && udp, port.number.get(), udp)
    }

    /// Usable ports of an ascending round that come before this one.
    fn before(self, port: Port, usable: &Usable) -> u32 {
        let number = port.number.get();
        let below = |protocol| usable.up_to(protocol, number.saturating_sub(1));
        match (self, port.protocol) {
            (Self::Only(protocol), _) => below(protocol),
            (Self::OneThenOther, Protocol::Tcp) => below(Protocol::Tcp),
            (Self::OneThenOther, Protocol::Udp) => {
                usable.count(Protocol::Tcp).saturating_add(below(Protocol::Udp))
            }
            (Self::Interleaved, Protocol::Tcp) => {
                below(Protocol::Tcp).saturating_add(below(Protocol::Udp))
            }
            (Self::Interleaved, Protocol::Udp) => {
                usable.up_to(Protocol::Tcp, number).saturating_add(below(Protocol::Udp))
            }
        }
    }
}
