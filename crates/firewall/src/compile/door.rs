//! How a guarded port answers: those with a grant are let in, all others are refused.

use alloc::vec;
use alloc::vec::Vec;

use portcullis_core::policy::{Protocol, Refuse, Stance};

use super::knock::IN_VAIN;
use super::refuse::TURNED_AWAY;
use super::shared::not_counted;
use super::{ACCEPT, Compiler, GRANTS, REFUSE, SADDR, chain, goto, is, rule};
use crate::ruleset::{Chain, Field, Rule, Statement};

impl Compiler<'_> {
    /// To a guarded port, its door in the priority.
    pub(super) fn door(&self) -> Vec<Chain> {
        let refused = match self.policy.gate.stance {
            Stance::Guard => goto(TURNED_AWAY),
            Stance::Closed => goto(REFUSE),
        };
        let mut rules = Vec::new();
        // Not all that looks at a packet finds the same header behind one of these.
        rules.push(rule([Statement::FragmentHeader, Statement::SetPriority(0), refused.clone()]));
        rules.extend(self.granted());
        rules.push(rule([Statement::SetPriority(0)]));
        rules.extend(self.half_open());
        // What answers from a translated port takes longer than other closed ports in any case.
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

    /// Accepts what comes from a source with a grant for the door in the priority.
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
