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
        let guard = self.policy.gate.stance == Stance::Guard;
        let refused = if guard { goto(TURNED_AWAY) } else { goto(REFUSE) };
        let mut rules = Vec::new();
        let not_counted_there = match self.bans() {
            Some(_) if guard => goto(REFUSED_UNLESS_BANNED),
            _ if guard => refused.clone(),
            _ => goto(REST),
        };
        // Behind one of these headers, not every reader of a packet finds the same transport header.
        let hidden = if guard { &not_counted_there } else { &refused };
        rules.push(rule([Statement::FragmentHeader, Statement::SetPriority(0), hidden.clone()]));
        rules.extend(self.granted());
        rules.push(rule([Statement::SetPriority(0)]));
        rules.extend(self.half_open());
        rules.extend(self.related());
        if self.recognises() || self.bans().is_some() {
            // In the stance `closed` from here on as at every other port.
            let refused = if guard { &refused } else { &goto(REST) };
            rules.extend(not_counted(&not_counted_there));
            rules.extend(self.counted());
            rules.extend(self.bans().filter(|_| guard).into_iter().flat_map(|it| self.strike(it)));
            rules.push(rule([refused.clone()]));
        } else {
            rules.push(rule([refused]));
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
