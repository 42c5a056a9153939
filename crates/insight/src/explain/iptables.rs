//! The same for the back ends of iptables, with their simulator.

use std::time::Duration;

use portcullis_core::automaton::{Automaton, Conflict, State};
use portcullis_core::policy::{Door, Policy, Recogniser};
use portcullis_core::time::Instant;
use portcullis_firewall::iptables::compile::{Generation, compile, grant_list, stage_list};
use portcullis_firewall::iptables::simulator::{Simulator, Trace};
use portcullis_firewall::iptables::{AddressStore, Family, Filter, Match, Target};
use portcullis_firewall::simulator::Fate;

use super::explanation::{Attempt, Event, Met, Open};
use super::packet::{self, Item, Sent};
use super::sender::Sender;

/// Says how the rules treat these packets.
pub fn tell(
    sender: &Sender,
    items: &[Item],
    policy: &Policy,
    store: AddressStore,
) -> Result<Vec<Event>, Vec<Conflict>> {
    let family = if sender.from.is_ipv4() { Family::V4 } else { Family::V6 };
    let filter = compile(policy, store, family, Generation::default())?;
    let mut explainer = Explainer {
        sender,
        policy,
        automaton: Automaton::build(policy.doors_seen_by(Recogniser::Kernel))?,
        simulator: Simulator::new(std::slice::from_ref(&filter)),
        filter: &filter,
        now: Instant::ORIGIN,
    };
    Ok(packet::tell(items, |sent, now| explainer.packet(sent, now)))
}

struct Explainer<'a> {
    sender: &'a Sender,
    policy: &'a Policy,
    automaton: Automaton,
    simulator: Simulator<'a>,
    filter: &'a Filter,
    now: Instant,
}

impl Explainer<'_> {
    fn packet(&mut self, sent: Sent, now: Instant) -> Event {
        self.now = now;
        let packet = self.sender.dress(self.policy, sent);
        let before = self.stage().is_some();
        let trace = self.simulator.receive(&packet, self.now);
        let met = trace.steps.iter().map(|step| Met {
            chain: step.chain.to_owned(),
            number: step.index.saturating_add(1),
            text: self.filter.rule_text(step.rule),
            matched: step.matched,
            shown: step.matched || self.sender.rules,
        });
        let fate = match trace.fate {
            Fate::Passed => "goes on to the other rules of INPUT",
            Fate::Dropped => "dropped without an answer",
            Fate::Refused(_) | Fate::AnsweredAsClosed => "refused",
        };
        Event {
            time: Duration::ZERO,
            sent: sent.to_string(),
            spare: None,
            lost: false,
            met: met.collect(),
            means: self.progress(&trace, before).into_iter().collect(),
            fate: fate.to_owned(),
            passes: trace.fate == Fate::Passed,
            attempts: self.attempt(&trace).into_iter().collect(),
            open: self.open(),
        }
    }

    /// The stage of the sender.
    fn attempt(&self, trace: &Trace<'_>) -> Option<Attempt> {
        let (door, stage, left) = match self.opened(trace) {
            Some(door) => (door, door.sequence.len(), door.step_timeout),
            None => {
                let state = self.stage()?;
                let (list, time) = (self.list(state), state.step_timeout);
                let left = self.simulator.left(&list, self.sender.from, time, self.now)?;
                (self.policy.door(state.door)?, state.stage.into(), left)
            }
        };
        let (knocks, whole) = (door.sequence.len(), door.step_timeout);
        Some(Attempt { who: None, door: door.name.to_string(), stage, knocks, left, whole })
    }

    fn open(&self) -> Vec<Open> {
        let open = self.policy.doors.iter().filter_map(|door| {
            let (list, whole) = (grant_list(self.filter.family, &door.name), door.open_for);
            let left = self.simulator.left(&list, self.sender.from, whole, self.now)?;
            Some(Open { door: door.name.to_string(), left, whole })
        });
        open.collect()
    }

    /// The list of a stage.
    fn list(&self, state: &State) -> String {
        stage_list(self.filter.family, Generation::default(), state.door, state.stage)
    }

    /// The state of the sender that has a list.
    fn stage(&self) -> Option<&State> {
        let states = self.automaton.states().map(|(_, state)| state);
        states.into_iter().find(|state| {
            let (list, time) = (self.list(state), state.step_timeout);
            self.simulator.has(&list, self.sender.from, time, self.now)
        })
    }

    /// The door whose list of grants the packet brought its sender into.
    fn opened(&self, trace: &Trace<'_>) -> Option<&Door> {
        let mut lists = Vec::new();
        for step in trace.steps.iter().filter(|step| step.matched) {
            lists.extend(step.rule.matches.iter().filter_map(|condition| match condition {
                Match::RecentSet(list) => Some(list),
                _ => None,
            }));
            if let Some(Target::Add { set, .. }) = &step.rule.target {
                lists.push(set);
            }
        }
        let grants = |door: &Door| grant_list(self.filter.family, &door.name);
        self.policy.doors.iter().find(|door| lists.iter().any(|&list| *list == grants(door)))
    }

    fn progress(&self, trace: &Trace<'_>, before: bool) -> Option<String> {
        let from = self.sender.from;
        if let Some(door) = self.opened(trace) {
            return Some(format!("door {} opens for {from} for {:?}", door.name, door.open_for));
        }
        let walked = |chain: &str| trace.steps.iter().any(|step| step.chain == chain);
        if !walked("portcullis-knock") {
            let lost = before && walked("portcullis-forget");
            return lost.then(|| "a wrong port; the attempt ends".to_owned());
        }
        let repeated = trace
            .steps
            .iter()
            .any(|step| step.matched && step.rule.comment.as_deref() == Some("sent again"));
        match self.stage() {
            _ if repeated => Some("a knock made already; nothing changes".to_owned()),
            Some(state) => {
                let door = self.policy.door(state.door)?;
                Some(format!(
                    "knock {} of {} of door {}; the next one must come within {:?}",
                    state.stage,
                    door.sequence.len(),
                    door.name,
                    state.step_timeout
                ))
            }
            None => before.then(|| "a wrong port; the attempt ends".to_owned()),
        }
    }
}
