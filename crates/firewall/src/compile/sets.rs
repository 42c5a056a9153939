//! The sets and maps: the gate's, and the automaton as data.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use portcullis_core::limits;

use super::{
    ADDRESS, Compiler, FIRST, FORGIVE, GRANTS, GUARDS, OPENS, PORT, STATE_PORT, class_of, dynamic,
    element, fixed, port_key, state_port_key,
};
use crate::ruleset::{Set, Type, Value, Verdict};

impl Compiler<'_> {
    pub(super) fn gate_sets(&self) -> Vec<Set> {
        let gate = &self.policy.gate;
        let mut sets = Vec::new();
        if !gate.interfaces.is_empty() {
            let names: BTreeSet<_> = gate.interfaces.iter().collect();
            let elements = names
                .into_iter()
                .map(|name| element(vec![Value::Interface(name.as_str().to_owned())], None));
            sets.push(fixed("interfaces", vec![Type::Ifname], None, elements.collect()));
        }
        sets.extend(self.allow_sets());
        let public: BTreeSet<_> = gate.public.iter().collect();
        let public = public.into_iter().map(|&port| element(port_key(port), None)).collect();
        sets.push(fixed("public", PORT.to_vec(), None, public));
        let mut guarded = BTreeSet::new();
        let mut guards = Vec::new();
        for (id, door) in self.policy.doors() {
            for &port in door.guards.iter().filter(|&&port| guarded.insert(port)) {
                let mut guard = element(port_key(port), Some(Value::Class(class_of(id))));
                guard.comment = Some(door.name.as_str().to_owned());
                guards.push(guard);
            }
        }
        sets.push(fixed(GUARDS, PORT.to_vec(), Some(Type::Classid), guards));
        for (name, address) in GRANTS.into_iter().zip(ADDRESS) {
            sets.push(dynamic(name, vec![address, Type::Classid], None, limits::MAX_GRANTS));
        }
        sets.extend(self.ban_sets());
        sets.extend(self.readdressing_sets());
        sets
    }

    pub(super) fn automaton_sets(&self) -> Vec<Set> {
        let automaton = &self.automaton;
        let class = |number: u32| Value::Class(number);
        let mut sets = Vec::new();
        if self.spares_knocks() {
            let knocks: BTreeSet<_> =
                automaton.states().map(|(_, state)| state.entered_by).collect();
            let knocks = knocks.into_iter().map(|port| element(port_key(port), None)).collect();
            sets.push(fixed("knocks", PORT.to_vec(), None, knocks));
        }
        let first = automaton.first().into_iter();
        let first = first.map(|(port, to)| element(port_key(port), Some(class(to.0)))).collect();
        sets.push(fixed(FIRST, PORT.to_vec(), Some(Type::Classid), first));
        let step = automaton.step().into_iter();
        let step = step
            .map(|(at, port, to)| element(state_port_key(at.0, port), Some(class(to.0))))
            .collect();
        sets.push(fixed("step", STATE_PORT.to_vec(), Some(Type::Classid), step));
        let repeat = automaton.repeat().into_iter();
        let repeat = repeat.map(|(at, port)| element(state_port_key(at.0, port), None)).collect();
        sets.push(fixed("repeat", STATE_PORT.to_vec(), None, repeat));
        if automaton.forgives() {
            let forgive = automaton
                .states()
                .filter_map(|(id, state)| Some((id, state.forgive?)))
                .map(|(id, to)| element(vec![class(id.0)], Some(class(to.0))))
                .collect();
            sets.push(fixed(FORGIVE, vec![Type::Classid], Some(Type::Classid), forgive));
        }
        let opens = automaton
            .states()
            .filter_map(|(id, state)| Some((id, state.opens?)))
            .map(|(id, door)| element(vec![class(id.0)], Some(class(class_of(door)))))
            .collect();
        sets.push(fixed(OPENS, vec![Type::Classid], Some(Type::Classid), opens));
        sets.extend(self.attempt_sets());
        let usual = self.usual_chain();
        let act = automaton
            .states()
            .map(|(id, state)| (id, self.chain_of(state)))
            .filter(|(_, chain)| Some(chain) != usual.as_ref())
            .map(|(id, chain)| {
                element(vec![class(id.0)], Some(Value::Verdict(Verdict::Goto(chain))))
            })
            .collect();
        sets.push(fixed("act", vec![Type::Classid], Some(Type::Verdict), act));
        sets
    }
}
