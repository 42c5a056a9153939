//! The automaton as rules: how a knock changes the state of its source.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use portcullis_core::automaton::State;
use portcullis_core::policy::Stance;

use super::refuse::TURNED_AWAY;
use super::shared::not_counted;
use super::{
    Compiler, FIRST, FORGIVE, GRANTS, OPENS, PORT_FIELDS, REST, SADDR, STATE_PORT_FIELDS, chain,
    goto, rule, update,
};
use crate::ruleset::{Chain, Field, Statement};

/// The chain for packets that may be knocks: it looks up the state of the source.
pub(super) const RECALL: &str = "recall";
/// The next chain, with this state.
const KNOCK: &str = "knock";

/// The chain for a wrong port that is forgiven.
const FORGIVEN: &str = "forgiven";

/// A lookup for a knock that has no effect.
pub(super) const IN_VAIN: &str = "in_vain";

/// The chain that follows the one of this name, after the state is stored.
fn remembered(name: &str) -> String {
    format!("{name}_then")
}

impl Compiler<'_> {
    /// For a packet that may be a knock: looks up the state of its source.
    pub(super) fn recall(&self) -> Chain {
        let mut rules = Vec::new();
        if self.automaton.forgives() {
            rules.extend(self.when_late(&[Statement::SetPriority(0), goto(KNOCK)]));
        }
        rules.extend(self.with_attempt(&[goto(KNOCK)]));
        rules.push(rule([Statement::SetPriority(0), goto(KNOCK)]));
        chain(RECALL, rules)
    }

    /// From the state of the source to the next one.
    pub(super) fn knock(&self) -> Chain {
        let forgives = self.automaton.forgives();
        let state_port = || STATE_PORT_FIELDS.to_vec();
        let repeated = Statement::In { key: state_port(), set: "repeat", member: true };
        let repeated = [repeated, Statement::SetPriority(0), self.refused_elsewhere()];
        let mut rules = vec![rule(repeated).because("sent again")];
        // Adding an element does not change one that exists.
        rules.extend(self.forget());
        let step = Statement::SetPriorityFrom { key: state_port(), map: "step" };
        rules.push(rule([step, goto("advance")]));
        let first = Statement::SetPriorityFrom { key: PORT_FIELDS.to_vec(), map: FIRST };
        rules.push(rule([first, goto("advance")]));
        if forgives {
            let forgive = Statement::SetPriorityFrom { key: vec![Field::Priority], map: FORGIVE };
            rules.push(rule([forgive, goto(FORGIVEN)]).because("a wrong port, forgiven"));
        }
        rules.push(self.counted());
        chain(KNOCK, rules)
    }

    /// Looks up as much as for a wrong port, so that a guarded port does not answer sooner than others.
    pub(super) fn in_vain(&self) -> Chain {
        let state_port = || STATE_PORT_FIELDS.to_vec();
        let (mut rules, then) = match self.policy.gate.stance {
            Stance::Guard => (Vec::new(), goto(TURNED_AWAY)),
            Stance::Closed => (not_counted(&goto(REST)), goto(REST)),
        };
        rules.extend(self.with_attempt(&[]));
        rules.push(rule([Statement::In { key: state_port(), set: "repeat", member: true }]));
        // This lookup replaces the deletion. In the stance `guard`, looking up the door and its port takes as
        // long.
        if self.policy.gate.stance == Stance::Closed {
            rules.extend(self.with_attempt(&[]));
        }
        rules.push(rule([Statement::SetPriorityFrom { key: state_port(), map: "step" }]));
        let first = Statement::SetPriorityFrom { key: PORT_FIELDS.to_vec(), map: FIRST };
        rules.push(rule([first]));
        rules.push(rule([Statement::SetPriority(0), then]));
        chain(IN_VAIN, rules)
    }

    /// The chains that run when a source enters a state: one for each timeout, and one for each pair of
    /// timeouts of a state that opens a door.
    pub(super) fn stages(&self) -> Vec<Chain> {
        let mut seen = BTreeSet::new();
        let mut chains = Vec::new();
        for (_, state) in self.automaton.states() {
            let name = self.chain_of(state);
            if !seen.insert(name.clone()) {
                continue;
            }
            let remembered = remembered(&name);
            chains.push(chain(&name, self.remember(state.step_timeout, &remembered)));
            let mut rules = Vec::new();
            if self.automaton.forgives() {
                rules.extend(self.in_time(state.step_timeout));
            }
            if let Some(door) = state.opens.and_then(|door| self.policy.door(door)) {
                let door_of_state =
                    Statement::SetPriorityFrom { key: vec![Field::Priority], map: OPENS };
                rules.push(rule([door_of_state]));
                for (saddr, set) in SADDR.into_iter().zip(GRANTS) {
                    let key = vec![saddr, Field::Priority];
                    rules.push(rule([update(set, key, door.open_for)]));
                }
            }
            rules.push(self.counted());
            chains.push(chain(&remembered, rules));
        }
        if self.automaton.forgives() {
            let longest = self.automaton.states().map(|(_, state)| state.step_timeout).max();
            let remembered = remembered(FORGIVEN);
            let rules = self.remember(longest.unwrap_or_default(), &remembered);
            chains.push(chain(FORGIVEN, rules));
            chains.push(chain(&remembered, vec![self.counted()]));
        }
        chains
    }

    pub(super) fn chain_of(&self, state: &State) -> String {
        let step = state.step_timeout.as_millis();
        match state.opens.and_then(|door| self.policy.door(door)) {
            Some(door) => format!("open_{step}_{}", door.open_for.as_millis()),
            None => format!("stage_{step}"),
        }
    }
}
