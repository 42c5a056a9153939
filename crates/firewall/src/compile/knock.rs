//! The automaton as rules: what a knock does to the state of its source.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use portcullis_core::automaton::State;

use super::ban::LOST;
use super::{
    Compiler, FIRST, FORGIVE, GRANTS, LIVE, OPENS, PORT_FIELDS, SADDR, STATE, STATE_PORT_FIELDS,
    chain, delete, goto, rule, update,
};
use crate::ruleset::{Chain, Data, Field, Operation, Rule, Statement, Value};

/// Where what may be a knock goes: to the state of its source.
pub(super) const RECALL: &str = "recall";
/// Where it goes with that.
const KNOCK: &str = "knock";

impl Compiler<'_> {
    /// A packet that may be a knock: what state its source is in.
    pub(super) fn recall(&self) -> Chain {
        let mut rules: Vec<Rule> = self.to_bucket().into();
        if self.automaton.forgives() {
            // Forgiving a port renews the element of the state, so that another one keeps the time.
            let late = Statement::In { key: vec![Field::Priority], set: LIVE, member: false };
            rules.push(rule([late, Statement::SetPriority(0), goto(KNOCK)]).because("too late"));
        }
        rules.push(rule([self.state_of_bucket(), goto(KNOCK)]));
        rules.push(rule([Statement::SetPriority(0), goto(KNOCK)]));
        chain(RECALL, rules)
    }

    /// From the state of the source to the next one.
    pub(super) fn knock(&self) -> Chain {
        let forgives = self.automaton.forgives();
        let state_port = || STATE_PORT_FIELDS.to_vec();
        let repeated = Statement::In { key: state_port(), set: "repeat", member: true };
        let repeated = [repeated, Statement::SetPriority(0), self.otherwise()];
        let mut rules = vec![rule(repeated).because("sent again by TCP")];
        // Adding an element does not change one that exists.
        rules.extend(self.forget());
        let step = Statement::SetPriorityFrom { key: state_port(), map: "step" };
        rules.push(rule([step, goto("advance")]));
        let first = Statement::SetPriorityFrom { key: PORT_FIELDS.to_vec(), map: FIRST };
        rules.push(rule([first, goto("advance")]));
        if forgives {
            let forgive = Statement::SetPriorityFrom { key: vec![Field::Priority], map: FORGIVE };
            rules.push(rule([forgive, goto("forgiven")]).because("a wrong port, forgiven"));
        }
        if self.bans().is_some() {
            rules.push(rule([Statement::PriorityNotZero, goto(LOST)]));
        }
        rules.push(self.counted());
        chain(KNOCK, rules)
    }

    /// What a state does on arrival: one chain for each timeout, and for each pair of timeouts that
    /// a door opens with.
    pub(super) fn stages(&self) -> Vec<Chain> {
        let mut seen = BTreeSet::new();
        let mut chains = Vec::new();
        for (_, state) in self.automaton.states() {
            let name = self.chain_of(state);
            if !seen.insert(name.clone()) {
                continue;
            }
            let mut rules = self.remember(state.step_timeout);
            if self.automaton.forgives() {
                let live = |bucket| rule([update(LIVE, vec![bucket], state.step_timeout)]);
                rules.extend(self.buckets.fields().map(live));
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
            chains.push(chain(&name, rules));
        }
        if self.automaton.forgives() {
            let longest = self.automaton.states().map(|(_, state)| state.step_timeout).max();
            let mut rules = self.remember(longest.unwrap_or_default());
            rules.push(self.counted());
            chains.push(chain("forgiven", rules));
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

    /// The bucket of the source into the priority.
    pub(super) fn to_bucket(&self) -> [Rule; 2] {
        self.buckets.fields().map(|bucket| rule([Statement::SetPriorityTo(bucket)]))
    }

    /// From the bucket in the priority to the state that is kept there. Does not match if there is none.
    pub(super) fn state_of_bucket(&self) -> Statement {
        Statement::SetPriorityFrom { key: vec![Field::Priority], map: STATE }
    }

    /// Forgets the state of the source.
    pub(super) fn forget(&self) -> [Rule; 2] {
        let forgotten = |bucket| rule([delete(STATE, bucket, Some(Value::Class(0)))]);
        self.buckets.fields().map(forgotten)
    }

    /// Remembers the state that is in the priority.
    fn remember(&self, timeout: Duration) -> Vec<Rule> {
        let fields = self.buckets.fields().into_iter();
        fields
            .map(|bucket| {
                rule([Statement::Change {
                    operation: Operation::Add,
                    set: STATE,
                    key: vec![bucket],
                    timeout: Some(timeout),
                    limit: None,
                    data: Some(Data::Field(Field::Priority)),
                }])
            })
            .collect()
    }
}
