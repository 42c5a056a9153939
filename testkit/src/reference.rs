//! What a knock means, in a dozen obvious lines.
//!
//! No automaton, no tables: the knocks that count are kept as a list, and compared with the
//! sequences as they stand in the policy. Everything else that recognises knocks is held to this.

use std::collections::HashMap;
use std::net::IpAddr;

use portcullis_core::policy::{Door, DoorId, Policy, Port, Recogniser};
use portcullis_core::time::Instant;

/// What one packet meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing: it does not count.
    Nothing,
    /// The knock just made, again.
    Repeated,
    /// A wrong port, forgiven.
    Forgiven,
    /// A wrong port.
    Wrong,
    /// So many knocks have been made now.
    Stage(usize),
    /// The last knock of this door.
    Opened(DoorId),
}

/// The reference model: the attempts of all sources.
#[derive(Debug)]
pub struct Reference<'a> {
    doors: Vec<(DoorId, &'a Door)>,
    policy: &'a Policy,
    attempts: HashMap<IpAddr, Attempt>,
}

#[derive(Debug, Clone, Default)]
struct Attempt {
    knocks: Vec<Port>,
    wrong: u8,
    until: Instant,
}

impl<'a> Reference<'a> {
    /// For the doors that this recogniser may open.
    pub fn new(policy: &'a Policy, who: Recogniser) -> Self {
        Self { doors: policy.doors_seen_by(who).collect(), policy, attempts: HashMap::new() }
    }

    /// A new connection from `source` to a port of this host; `None` is port 0.
    pub fn packet(&mut self, source: IpAddr, port: Option<Port>, now: Instant) -> Meaning {
        let guarded = self.policy.doors.iter().flat_map(|door| &door.guards);
        if port.is_some_and(|port| guarded.chain(&self.policy.gate.public).any(|&p| p == port)) {
            return Meaning::Nothing;
        }
        let attempt = self.attempts.entry(source).or_default();
        if now >= attempt.until {
            *attempt = Attempt::default();
        }
        if port.is_some() && attempt.knocks.last() == port.as_ref() {
            return Meaning::Repeated;
        }
        // The longest tail of the knocks, this one included, that is the beginning of a sequence.
        let mut knocks = attempt.knocks.clone();
        knocks.extend(port);
        let begins = |knocks: &[Port]| {
            self.doors.iter().find(|(_, door)| door.sequence.starts_with(knocks)).copied()
        };
        while !knocks.is_empty() && (port.is_none() || begins(&knocks).is_none()) {
            knocks.remove(0);
        }
        let Some((_, door)) = begins(&knocks).filter(|_| !knocks.is_empty()) else {
            let unfinished = !attempt.knocks.is_empty()
                && begins(&attempt.knocks).is_some_and(|(_, door)| {
                    attempt.wrong < door.tolerate && door.sequence != attempt.knocks
                });
            if unfinished {
                attempt.wrong += 1;
                return Meaning::Forgiven;
            }
            *attempt = Attempt::default();
            return Meaning::Wrong;
        };
        if knocks.len() <= attempt.knocks.len() {
            attempt.wrong = 0;
        }
        attempt.until = now.after(door.step_timeout);
        attempt.knocks = knocks;
        let whole = self.doors.iter().find(|(_, door)| door.sequence == attempt.knocks);
        whole.map_or(Meaning::Stage(attempt.knocks.len()), |&(id, _)| Meaning::Opened(id))
    }
}
