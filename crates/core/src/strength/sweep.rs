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
/// those are. A door that forgives as many is opened by it. A port that is touched in two rounds before
/// it is a knock is wrong twice. `None` for an empty sequence.
///
/// Only `usable` ports count as wrong. During an attempt, the guarded ports of other doors are wrong
/// ports too, but not for an address with a grant. So a sequence must not depend on them.
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
        let mut wrong = 0u64;
        let pairs = knocks.iter().zip(knocks.iter().skip(1));
        for (number, (&from, &to)) in pairs.enumerate() {
            let (from, to) = if self.ascending { (from, to) } else { (to, from) };
            let touched = self.order.between(from, to, usable);
            // Knocks made already change nothing. The last of them is not between.
            let made = knocks.get(..number).unwrap_or_default();
            let distinct = made.iter().enumerate().filter(|&(at, port)| {
                let earlier = made.get(..at).unwrap_or_default();
                usable.contains(*port) && !earlier.contains(port)
            });
            let neutral = distinct.filter(|&(_, &port)| self.order.is_between(from, port, to));
            let neutral = u32::try_from(neutral.count()).unwrap_or(u32::MAX);
            wrong = wrong.saturating_add(touched.saturating_sub(neutral).into());
        }
        wrong
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

    /// Whether this port comes after `from` and before the next `to`, going upwards and around the end.
    fn is_between(self, from: Port, port: Port, to: Port) -> bool {
        let [from, port, to] = [from, port, to].map(|port| self.position(port));
        match from < to {
            true => from < port && port < to,
            false => from < port || port < to,
        }
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
