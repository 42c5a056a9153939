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
    /// A knock made already.
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
    granted: HashMap<(IpAddr, DoorId), Instant>,
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
        let doors = policy.doors_seen_by(who).collect();
        Self { doors, policy, attempts: HashMap::new(), granted: HashMap::new() }
    }

    /// A new connection from `source` to a port of this host; `None` is port 0.
    pub fn packet(&mut self, source: IpAddr, port: Option<Port>, now: Instant) -> Meaning {
        let is = |ports: &[Port]| ports.iter().any(|&p| Some(p) == port);
        if is(&self.policy.gate.public) {
            return Meaning::Nothing;
        }
        let attempt = self.attempts.entry(source).or_default();
        if now >= attempt.until {
            *attempt = Attempt::default();
        }
        if let Some((id, _)) = self.policy.doors().find(|(_, door)| is(&door.guards)) {
            let granted = self.granted.get(&(source, id)).is_some_and(|&until| now < until);
            let mut at_hand =
                self.doors.iter().filter(|(_, door)| door.sequence.starts_with(&attempt.knocks));
            let own = at_hand.all(|(_, door)| is(&door.guards) && door.sequence != attempt.knocks);
            if granted || own || attempt.knocks.is_empty() {
                return Meaning::Nothing;
            }
        }
        if port.is_some() && attempt.knocks.last() == port.as_ref() {
            return Meaning::Repeated;
        }
        let made = port.is_some_and(|port| attempt.knocks.contains(&port));
        // The longest tail of the knocks, this one included, that is the beginning of a sequence.
        let mut knocks = attempt.knocks.clone();
        knocks.extend(port);
        let begins = |knocks: &[Port]| {
            self.doors.iter().find(|(_, door)| door.sequence.starts_with(knocks)).copied()
        };
        let finished = self.doors.iter().any(|(_, door)| door.sequence == attempt.knocks);
        if made && !finished && begins(&knocks).is_none() {
            return Meaning::Repeated;
        }
        while !knocks.is_empty() && (port.is_none() || begins(&knocks).is_none()) {
            knocks.remove(0);
        }
        let Some((_, door)) = begins(&knocks).filter(|_| !knocks.is_empty()) else {
            let unfinished = !attempt.knocks.is_empty()
                && !finished
                && begins(&attempt.knocks).is_some_and(|(_, door)| attempt.wrong < door.tolerate);
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
        let Some(&(id, door)) = whole else { return Meaning::Stage(attempt.knocks.len()) };
        self.granted.insert((source, id), now.after(door.open_for));
        Meaning::Opened(id)
    }
}
