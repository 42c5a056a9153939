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
    Compiler, FORGIVE, GRANTS, LIVE, OPENS, PORT_FIELDS, SADDR, STATE, STATE_PORT_FIELDS, chain,
    forget, goto, rule, update,
};
use crate::ruleset::{Chain, Data, Field, Operation, Rule, Statement};

impl Compiler<'_> {
    /// A packet that may be a knock: from the state of its source to the next one.
    pub(super) fn knock(&self) -> Chain {
        let forgives = self.automaton.forgives();
        let mut rules = vec![rule([Statement::SetPriority(0)])];
        for (saddr, map) in SADDR.into_iter().zip(STATE) {
            rules.push(rule([Statement::SetPriorityFrom { key: vec![saddr], map }]));
        }
        if forgives {
            // Forgiving a port renews the element of the state, so that another one keeps the time.
            for (saddr, set) in SADDR.into_iter().zip(LIVE) {
                let late = Statement::In { key: vec![saddr], set, member: false };
                rules.push(rule([late, Statement::SetPriority(0)]).because("too late"));
            }
        }
        let state_port = || STATE_PORT_FIELDS.to_vec();
        let repeated = Statement::In { key: state_port(), set: "repeat", member: true };
        let repeated = [repeated, Statement::SetPriority(0), self.otherwise()];
        rules.push(rule(repeated).because("sent again by TCP"));
        rules.extend(forget());
        let step = Statement::SetPriorityFrom { key: state_port(), map: "step" };
        rules.push(rule([step, goto("advance")]));
        let first = Statement::SetPriorityFrom { key: PORT_FIELDS.to_vec(), map: "first" };
        rules.push(rule([first, goto("advance")]));
        if forgives {
            let forgive = Statement::SetPriorityFrom { key: vec![Field::Priority], map: FORGIVE };
            rules.push(rule([forgive, goto("forgiven")]).because("a wrong port, forgiven"));
        }
        if self.bans().is_some() {
            rules.push(rule([Statement::PriorityNotZero, goto(LOST)]));
        }
        rules.push(self.counted());
        chain("knock", rules)
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
            let mut rules = remember(state.step_timeout);
            if self.automaton.forgives() {
                for (saddr, set) in SADDR.into_iter().zip(LIVE) {
                    rules.push(rule([update(set, vec![saddr], state.step_timeout)]));
                }
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
            let mut rules = remember(longest.unwrap_or_default());
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
}

/// Remembers the state that is in the priority.
fn remember(timeout: Duration) -> Vec<Rule> {
    let both = SADDR.into_iter().zip(STATE);
    both.map(|(saddr, set)| {
        rule([Statement::Change {
            operation: Operation::Add,
            set,
            key: vec![saddr],
            timeout: Some(timeout),
            limit: None,
            data: Some(Data::Field(Field::Priority)),
        }])
    })
    .collect()
}
