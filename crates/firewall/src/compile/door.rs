//! How a guarded port answers: it lets in sources with a grant, and refuses all others.

use alloc::vec;
use alloc::vec::Vec;

use portcullis_core::policy::{Protocol, Refuse, Stance};

use super::knock::IN_VAIN;
use super::refuse::TURNED_AWAY;
use super::shared::not_counted;
use super::{ACCEPT, Compiler, GRANTS, REFUSE, SADDR, chain, goto, is, rule};
use crate::ruleset::{Chain, Field, Rule, Statement};

impl Compiler<'_> {
    /// For packets to a guarded port, with the door in the priority.
    pub(super) fn door(&self) -> Vec<Chain> {
        let refused = match self.policy.gate.stance {
            Stance::Guard => goto(TURNED_AWAY),
            Stance::Closed => goto(REFUSE),
        };
        let mut rules = Vec::new();
        // Behind one of these headers, not every reader of a packet finds the same transport header.
        rules.push(rule([Statement::FragmentHeader, Statement::SetPriority(0), refused.clone()]));
        rules.extend(self.granted());
        rules.push(rule([Statement::SetPriority(0)]));
        rules.extend(self.half_open());
        // An answer from a translated port takes longer than one of other closed ports anyway.
        let in_vain = rule([is(Protocol::Udp), goto(IN_VAIN)]).because("takes as long as a knock");
        let as_long = self.recognises() && self.policy.gate.refuse != Refuse::Drop;
        let closed = self.policy.gate.stance == Stance::Closed;
        if as_long && closed {
            rules.push(in_vain.clone());
        }
        if let Some(ban) = self.bans() {
            rules.extend(not_counted(&refused));
            rules.extend(self.strike(ban));
        }
        if as_long && !closed {
            rules.push(in_vain);
        }
        rules.push(rule([refused]));
        let mut chains = vec![chain("door", rules)];
        if as_long {
            chains.push(self.in_vain());
        }
        chains
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
