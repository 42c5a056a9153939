//! How a guarded port answers: it lets in sources with a grant, and refuses all others.

use alloc::vec;
use alloc::vec::Vec;

use portcullis_core::policy::Stance;

use super::ban::REFUSED_UNLESS_BANNED;
use super::refuse::TURNED_AWAY;
use super::shared::not_counted;
use super::{ACCEPT, Compiler, GRANTS, REFUSE, REST, SADDR, chain, goto, rule};
use crate::ruleset::{Chain, Field, Rule, Statement, Tracking};

impl Compiler<'_> {
    /// For packets to a guarded port, with the door in the priority.
    pub(super) fn door(&self) -> Chain {
        // What counts, what does not, and what is not even looked at.
        let (refused, uncounted, hidden) = match (self.policy.gate.stance, self.bans()) {
            (Stance::Guard, None) => (TURNED_AWAY, TURNED_AWAY, TURNED_AWAY),
            (Stance::Guard, Some(_)) => (TURNED_AWAY, REFUSED_UNLESS_BANNED, REFUSED_UNLESS_BANNED),
            // As at every other port.
            (Stance::Closed, _) => (REST, REST, REFUSE),
        };
        let [refused, uncounted, hidden] = [refused, uncounted, hidden].map(goto);
        let mut rules = Vec::new();
        // Behind one of these headers, not every reader of a packet finds the same transport header.
        rules.push(rule([Statement::FragmentHeader, Statement::SetPriority(0), hidden.clone()]));
        rules.extend(self.granted());
        rules.push(rule([Statement::SetPriority(0)]));
        rules.extend(self.half_open());
        rules.extend(self.related());
        if self.recognises() || self.bans().is_some() {
            rules.extend(not_counted(&uncounted));
            rules.extend(self.counted());
            if let (Stance::Guard, Some(ban)) = (self.policy.gate.stance, self.bans()) {
                rules.extend(self.strike(ban));
            }
            rules.push(rule([refused]));
        } else {
            rules.push(rule([hidden]));
        }
        chain("door", rules)
    }

    /// In the stance `closed`: refuses packets that a connection expects. At a closed port they are accepted, and do not
    /// count.
    pub(super) fn related(&self) -> Option<Rule> {
        let related = Statement::Tracked(&[Tracking::Related]);
        let closed = self.policy.gate.stance == Stance::Closed;
        closed
            .then(|| rule([related, goto(REFUSE)]).because("not even if expected by a connection"))
    }

    /// Accepts packets from a source with a grant for the door in the priority.
    pub(super) fn granted(&self) -> Vec<Rule> {
        let families = SADDR.into_iter().zip(GRANTS);
        families
            .map(|(saddr, set)| {
                let key = vec![saddr, Field::Priority];
                let granted = Statement::In { key, set, member: true };
                rule([granted, Statement::SetPriority(0), ACCEPT])
            })
            .collect()
    }
}
