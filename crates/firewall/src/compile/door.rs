//! How a guarded port answers: those with a grant are let in, all others are refused.

use alloc::vec;
use alloc::vec::Vec;

use portcullis_core::policy::Stance;

use super::base::not_counted;
use super::refuse::TURNED_AWAY;
use super::{ACCEPT, Compiler, GRANTS, REFUSE, SADDR, chain, goto, rule};
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
        if let Some(ban) = self.bans() {
            rules.extend(not_counted(&refused));
            rules.extend(self.strike(ban));
        }
        rules.push(rule([refused]));
        vec![chain("door", rules)]
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
