//! `trace`: what each packet of a client that knocks means to the doors as it arrives, and at the end why a
//! door did not open.
//!
//! | module | what it holds |
//! |---|---|
//! | [`words`] | a meaning as a sentence |
//! | [`findings`] | why a door did not open |
//!
//! Pure: packets and moments come in, lines and findings go out. The capture is in the command.

pub mod findings;
pub mod words;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use portcullis_core::automaton::Conflict;
use portcullis_core::engine::{Direction, Options, Verdict};
use portcullis_core::policy::{Allowed, DoorId, Network, Policy, Port};
use portcullis_core::time::Instant;
use portcullis_core::wire::Packet;

use crate::replay::judge::{Judge, Meaning};
use crate::replay::own_addresses::port;
use crate::replay::strikes::GateState;

/// How many packets of the watched source are remembered for the findings, and how many of all others.
/// Further packets are shown, but not used for the findings.
pub const MAX_HITS: usize = 10_000;

/// Which packets are reported: their source and their door.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watched {
    /// Only of this source.
    pub from: Option<IpAddr>,
    /// Only to this door.
    pub door: Option<DoorId>,
}

/// A packet that starts something, as it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it came.
    pub at: Instant,
    /// From whom.
    pub source: IpAddr,
    /// To which port.
    pub port: Port,
    /// What it means.
    pub meaning: Meaning,
    /// The door that guards the port.
    pub guarded: Option<DoorId>,
    /// For a guarded port: whether its source has a grant.
    pub passes: bool,
}

/// Follows knocks.
pub struct Tracer<'p> {
    policy: &'p Policy,
    watched: Watched,
    allowed: Vec<Network>,
    judge: Judge,
    gate: GateState,
    evidence: Evidence,
}

/// The data for the findings.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Packets to the ports of watched doors, and packets that ended an attempt at one, in order.
    pub hits: Vec<Arrival>,
    /// How many of those are of others than the watched source.
    others: usize,
    /// Packets to this host that start something, of the watched source or of all sources.
    pub arrived: u64,
    /// Watched doors were opened for the watched source.
    pub opened: u64,
    /// More packets arrived than are remembered.
    pub overflow: bool,
}

impl<'p> Tracer<'p> {
    /// For the doors of a checked policy, with engines of these options.
    ///
    /// # Errors
    /// The conflicts between doors that the check would have found.
    pub fn new(
        policy: &'p Policy,
        watched: Watched,
        options: Options,
    ) -> Result<Self, Vec<Conflict>> {
        let allowed = policy.gate.allow.iter().filter_map(|allowed| match allowed {
            Allowed::Network(network) => Some(*network),
            Allowed::Interface(_) | Allowed::Host(_) => None,
        });
        Ok(Self {
            policy,
            watched,
            allowed: allowed.collect(),
            judge: Judge::new(policy, options)?,
            gate: GateState::new(policy),
            evidence: Evidence::default(),
        })
    }

    /// Takes a packet. Returns the line to report, if any.
    pub fn packet(
        &mut self,
        packet: &Packet,
        direction: Direction,
        now: Instant,
    ) -> Option<Arrival> {
        let source = packet.source;
        let allowed = self.allowed.iter().any(|network| network.contains(source));
        let judged = self.judge.packet(packet, direction, allowed, now);
        let port = port(packet).filter(|_| direction == Direction::ToHost)?;
        let guarded = judged.guarded;
        let passes = guarded.is_some_and(|door| allowed || self.gate.passes(door, source, now));
        let hit = Arrival { at: now, source, port, meaning: judged.meaning, guarded, passes };
        match judged.meaning {
            Meaning::Opened { door } => {
                for door in [Some(door), judged.also].into_iter().flatten() {
                    let open_for = self.policy.door(door).map(|d| d.open_for).unwrap_or_default();
                    self.gate.grant(door, source, now, now.after(open_for));
                }
            }
            // Nobody sends such a packet as a knock.
            Meaning::Nothing(Verdict::Conversation | Verdict::BadSource | Verdict::NotForHost) => {
                return None;
            }
            _ => {}
        }
        let is_watched = self.watched.from.is_none_or(|from| from == source);
        self.remember(hit, is_watched);
        let tells = self.watched.from.is_some() || self.matters(&hit);
        (is_watched && tells && self.is_of_door(&hit)).then_some(hit)
    }

    /// What has been seen.
    pub const fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    fn remember(&mut self, hit: Arrival, is_watched: bool) {
        let matters = self.matters(&hit) || self.is_near(hit.port);
        let evidence = &mut self.evidence;
        if is_watched {
            evidence.arrived = evidence.arrived.saturating_add(1);
            if let Meaning::Opened { door } = hit.meaning
                && self.watched.door.is_none_or(|wanted| wanted == door)
            {
                evidence.opened = evidence.opened.saturating_add(1);
            }
        }
        if !matters {
            return;
        }
        let others = evidence.others;
        let room = if is_watched { evidence.hits.len().saturating_sub(others) } else { others };
        if room >= MAX_HITS {
            evidence.overflow = true;
            return;
        }
        evidence.others = others.saturating_add(usize::from(!is_watched));
        evidence.hits.push(hit);
    }

    /// Whether it says something where everybody is watched: scans are everyday.
    fn matters(&self, hit: &Arrival) -> bool {
        match hit.meaning {
            Meaning::Wrong | Meaning::Nothing(_) => self.is_knock(hit.port),
            _ => true,
        }
    }

    fn is_knock(&self, port: Port) -> bool {
        self.doors().any(|(_, door)| door.sequence.contains(&port))
    }

    /// Whether a watched door has a knock with this number, of either protocol.
    fn is_near(&self, port: Port) -> bool {
        let mut knocks = self.doors().flat_map(|(_, door)| &door.sequence);
        knocks.any(|knock| knock.number == port.number)
    }

    fn doors(&self) -> impl Iterator<Item = (DoorId, &'p portcullis_core::policy::Door)> {
        let wanted = self.watched.door;
        self.policy.doors().filter(move |(id, _)| wanted.is_none_or(|wanted| wanted == *id))
    }

    /// Whether it concerns the watched door, if there is one. A packet that ends an attempt does, and so does a
    /// packet that could belong to any door.
    fn is_of_door(&self, hit: &Arrival) -> bool {
        let Some(wanted) = self.watched.door else { return true };
        if hit.guarded == Some(wanted) {
            return true;
        }
        match hit.meaning {
            Meaning::Guarded(door) => door == wanted,
            Meaning::Wrong | Meaning::Nothing(_) => true,
            Meaning::Knock { door, .. }
            | Meaning::Opened { door }
            | Meaning::Repeated { door, .. }
            | Meaning::Forgiven { door }
            | Meaning::Late { door, .. }
            | Meaning::Disordered { door, .. }
            | Meaning::Lost { door, .. } => {
                related(self.policy, wanted, door) || self.is_knock(hit.port)
            }
        }
    }
}

/// Whether it is this door, or one whose knocks begin in the same way: until they part, a packet is
/// said to be of the first of them.
pub fn related(policy: &Policy, one: DoorId, other: DoorId) -> bool {
    let first = |id| policy.door(id).and_then(|door| door.sequence.first());
    one == other || first(one).is_some_and(|knock| first(other) == Some(knock))
}
