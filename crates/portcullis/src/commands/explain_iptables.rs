//! `portcullis explain` with the back ends of iptables: the same, by their simulator.

use std::io::{self, Write};

use portcullis_core::automaton::{Automaton, State};
use portcullis_core::policy::{Door, Policy, Recogniser};
use portcullis_core::time::Instant;
use portcullis_firewall::iptables::compile::{Generation, compile, grant_list, stage_list};
use portcullis_firewall::iptables::simulator::{Simulator, Trace};
use portcullis_firewall::iptables::{Family, Filter, Match, Matcher, Target};
use portcullis_firewall::simulator::Fate;

use super::explain::{Args, GAP, dress};
use super::explain_packet::{Item, Sent};
use crate::exit::{Exit, Failure, Outcome};

/// Tells what becomes of these packets.
pub fn run(args: &Args, items: &[Item], policy: &Policy, matcher: Matcher) -> Outcome {
    let conflict = |_| Failure::could_not("the doors cannot be told apart");
    let family = if args.from.is_ipv4() { Family::V4 } else { Family::V6 };
    let filter = compile(policy, matcher, family, Generation::default()).map_err(conflict)?;
    let mut story = Story {
        args,
        policy,
        automaton: Automaton::build(policy.doors_seen_by(Recogniser::Kernel)).map_err(conflict)?,
        simulator: Simulator::new(std::slice::from_ref(&filter)),
        filter: &filter,
        now: Instant::from_millis(1_000),
    };
    let mut out = anstream::stdout().lock();
    match story.tell(items, &mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::could_not(format!("cannot write: {error}")))
        }
        _ => Ok(Exit::Done),
    }
}

struct Story<'a> {
    args: &'a Args,
    policy: &'a Policy,
    automaton: Automaton,
    simulator: Simulator<'a>,
    filter: &'a Filter,
    now: Instant,
}

impl Story<'_> {
    fn tell(&mut self, items: &[Item], out: &mut impl Write) -> io::Result<()> {
        let start = self.now;
        let mut paused = true;
        for item in items {
            match item {
                Item::Pause(duration) => {
                    self.now = self.now.after(*duration);
                    paused = true;
                }
                Item::Packet(sent) => {
                    if !std::mem::take(&mut paused) {
                        self.now = self.now.after(GAP);
                    }
                    let time = self.now.since(start).as_secs_f64();
                    writeln!(out, "{time:>7.1}s  {sent} from {}", self.args.from)?;
                    self.packet(*sent, out)?;
                }
            }
        }
        Ok(())
    }

    fn packet(&mut self, sent: Sent, out: &mut impl Write) -> io::Result<()> {
        let packet = dress(self.args, self.policy, sent);
        let before = self.stage().is_some();
        let trace = self.simulator.receive(&packet, self.now);
        for step in trace.steps.iter().filter(|step| step.matched || self.args.rules) {
            let mark = if step.matched { '*' } else { '-' };
            let text = self.filter.rule_text(step.rule);
            writeln!(out, "          {mark} {:<20} {text}", step.chain)?;
        }
        if let Some(line) = self.progress(&trace, before) {
            writeln!(out, "          => {line}")?;
        }
        let fate = match trace.fate {
            Fate::Passed => "it goes on to the other rules of INPUT".to_owned(),
            Fate::Dropped => "dropped without an answer".to_owned(),
            Fate::Refused(_) | Fate::AnsweredAsClosed => "refused".to_owned(),
        };
        writeln!(out, "          => {fate}")
    }

    /// The state of the sender that has a list.
    fn stage(&self) -> Option<&State> {
        let states = self.automaton.states().map(|(_, state)| state);
        states.into_iter().find(|state| {
            let list =
                stage_list(self.filter.family, Generation::default(), state.door, state.stage);
            self.simulator.has(&list, self.args.from, state.step_timeout, self.now)
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
        let from = self.args.from;
        if let Some(door) = self.opened(trace) {
            return Some(format!("door {} opens for {from} for {:?}", door.name, door.open_for));
        }
        let walked = |chain: &str| trace.steps.iter().any(|step| step.chain == chain);
        if !walked("portcullis-knock") {
            let lost = before && walked("portcullis-forget");
            return lost.then(|| "a wrong port: the attempt is lost".to_owned());
        }
        let repeated = trace
            .steps
            .iter()
            .any(|step| step.matched && step.rule.comment.as_deref() == Some("sent again by TCP"));
        match self.stage() {
            _ if repeated => Some("the same knock again: nothing changes".to_owned()),
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
            None => before.then(|| "a wrong port: the attempt is lost".to_owned()),
        }
    }
}
