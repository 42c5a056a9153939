//! The automaton as rules: how a knock changes the state of its source.
//!
//! The chains here decide nothing about the packet. A chain that refuses packets, at a guarded port or at
//! any other, jumps to `recall` first. So all refused packets count in the same way and take as long.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use portcullis_core::automaton::State;
use portcullis_core::policy::Protocol;

use super::refuse::TRANSLATED;
use super::{
    Compiler, FIRST, FORGIVE, GRANTS, OPENS, PORT_FIELDS, RETURN, SADDR, STATE_PORT_FIELDS, chain,
    goto, is, rule, update,
};
use crate::ruleset::{Chain, Field, Rule, Statement};

/// The chain for refused packets, which may be knocks or wrong ports: it looks up the state of the source. The
/// priority is no longer 0 behind it.
pub(super) const RECALL: &str = "recall";
/// The next chain, with this state.
pub const KNOCK: &str = "knock";

/// The comment of rules for a knock made already, and for a guarded port of the doors at hand.
pub const CHANGES_NOTHING: &str = "changes nothing";

/// The chain for a knock, with the new state.
const ADVANCE: &str = "advance";

/// The chain for a wrong port that is forgiven.
pub const FORGIVEN: &str = "forgiven";

/// The chain for a translated packet, with the state of its source.
const WRONG: &str = "wrong";

/// The rule for a port that changes nothing in the state of its source.
fn unchanged(first: Vec<Statement>, key: Vec<Field>) -> Rule {
    let mut statements = first;
    statements.extend([Statement::In { key, set: "repeat", member: true }, RETURN]);
    Rule { statements, comment: Some(CHANGES_NOTHING) }
}

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
        let state_port = || STATE_PORT_FIELDS.to_vec();
        let mut rules = Vec::new();
        if self.answers_as_closed() {
            let [translated, closed] = TRANSLATED;
            rules.push(rule([translated, closed, goto(WRONG)]));
        }
        rules.push(unchanged(vec![], state_port()));
        // Adding an element does not change one that exists.
        rules.extend(self.forget());
        let step = Statement::SetPriorityFrom { key: state_port(), map: "step" };
        rules.push(rule([step, goto(ADVANCE)]));
        let first = Statement::SetPriorityFrom { key: PORT_FIELDS.to_vec(), map: FIRST };
        rules.push(rule([first, goto(ADVANCE)]));
        rules.extend(self.forgive());
        chain(KNOCK, rules)
    }

    /// A translated packet is never a knock: the port that its sender wrote is guarded, or open to others.
    pub(super) fn wrong(&self) -> Option<Chain> {
        let original = vec![Field::Priority, Field::L4Proto, Field::OriginalDport];
        let mut rules = vec![unchanged(vec![is(Protocol::Tcp)], original)];
        rules.extend(self.forget());
        rules.extend(self.forgive());
        self.answers_as_closed().then(|| chain(WRONG, rules))
    }

    fn forgive(&self) -> Option<Rule> {
        let forgive = Statement::SetPriorityFrom { key: vec![Field::Priority], map: FORGIVE };
        let forgiven = rule([forgive, goto(FORGIVEN)]).because("a wrong port, forgiven");
        self.automaton.forgives().then_some(forgiven)
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
            if rules.is_empty() {
                chains.push(chain(&name, self.remember(state.step_timeout, &RETURN)));
                continue;
            }
            let remembered = remembered(&name);
            chains.push(chain(&name, self.remember(state.step_timeout, &goto(&remembered))));
            chains.push(chain(&remembered, rules));
        }
        if self.automaton.forgives() {
            let longest = self.automaton.states().map(|(_, state)| state.step_timeout).max();
            chains.push(chain(FORGIVEN, self.remember(longest.unwrap_or_default(), &RETURN)));
        }
        chains
    }

    /// From a new state to the chain that stores it.
    pub(super) fn advance(&self) -> Chain {
        let dispatch = rule([Statement::Dispatch { key: vec![Field::Priority], map: "act" }]);
        let usual = self.usual_chain().map(|usual| rule([goto(&usual)]));
        chain(ADVANCE, [dispatch].into_iter().chain(usual).collect())
    }

    /// The chain of most states. They have no element in `act`, which makes loading many doors faster.
    pub(super) fn usual_chain(&self) -> Option<String> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (_, state) in self.automaton.states() {
            let count = counts.entry(self.chain_of(state)).or_default();
            *count = count.saturating_add(1);
        }
        counts.into_iter().max_by_key(|&(_, count)| count).map(|(chain, _)| chain)
    }

    pub(super) fn chain_of(&self, state: &State) -> String {
        let step = state.step_timeout.as_millis();
        match state.opens.and_then(|door| self.policy.door(door)) {
            Some(door) => format!("open_{step}_{}", door.open_for.as_millis()),
            None => format!("stage_{step}"),
        }
    }
}
