//! The same for the back end of nftables: its simulator plays the kernel, and the engine itself plays the
//! daemon.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use portcullis_config::duration;
use portcullis_core::automaton::{Automaton, Conflict, StateId};
use portcullis_core::engine::{Direction, Engine, Options, Verdict};
use portcullis_core::policy::{DoorId, Policy, Recogniser};
use portcullis_core::time::Instant;
use portcullis_core::wire;
use portcullis_firewall::compile::{
    CLOSED_OR_NOT, GRANTS, PUT_BACK, attempt_of, class_of, compile,
};
use portcullis_firewall::ruleset::{Ruleset, Value};
use portcullis_firewall::simulator::{Fate, Packet, Payload, Simulator, Trace};

use super::explanation::{Attempt, Event, Met, Open};
use super::packet::{self, Item, Sent};
use super::sender::Sender;

/// Says how the rules treat these packets.
pub fn tell(sender: &Sender, items: &[Item], policy: &Policy) -> Result<Vec<Event>, Vec<Conflict>> {
    let ruleset = compile(policy)?;
    let mut explainer = Explainer {
        sender,
        policy,
        automaton: Automaton::build(policy.doors_seen_by(Recogniser::Kernel))?,
        simulator: Simulator::new(&ruleset),
        texts: texts(&ruleset),
        engine: Engine::new(policy, Options { max_attempts: 16, seed: 0, ..Options::default() })?,
        daemon: None,
        now: Instant::ORIGIN,
    };
    Ok(packet::tell(items, |sent, now| explainer.packet(sent, now)))
}

/// The rules as text, by chain and number.
fn texts(ruleset: &Ruleset) -> BTreeMap<(String, usize), String> {
    let rules = ruleset.chains.iter().flat_map(|chain| {
        let rules = chain.rules.iter().enumerate();
        rules.map(|(index, rule)| ((chain.name.clone(), index), rule.to_string()))
    });
    rules.collect()
}

struct Explainer<'a> {
    sender: &'a Sender,
    policy: &'a Policy,
    automaton: Automaton,
    simulator: Simulator<'a>,
    texts: BTreeMap<(String, usize), String>,
    engine: Engine,
    /// The stage of the sender, as the daemon sees it.
    daemon: Option<Reached>,
    now: Instant,
}

/// A stage, and until when it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reached {
    door: DoorId,
    stage: u8,
    until: Instant,
}

impl<'a> Explainer<'a> {
    fn packet(&mut self, sent: Sent, now: Instant) -> Event {
        self.now = now;
        let packet = self.sender.dress(self.policy, sent);
        let before = self.state();
        let trace = self.simulator.receive(&packet, self.now);
        let daemon = self.ask_daemon(&packet);
        let (fate, passes) = self.fate(&trace);
        Event {
            time: Duration::ZERO,
            sent: sent.to_string(),
            spare: None,
            lost: false,
            met: self.met(&trace),
            means: self.conclude(&trace, before, daemon),
            fate,
            passes,
            attempts: self.attempts(),
            open: self.open(),
        }
    }

    fn met(&self, trace: &Trace<'_>) -> Vec<Met> {
        let met = trace.steps.iter().map(|step| Met {
            chain: step.chain.to_owned(),
            number: step.index.saturating_add(1),
            text: self.texts.get(&(step.chain.to_owned(), step.index)).cloned().unwrap_or_default(),
            matched: step.matched,
            shown: step.matched || self.sender.rules,
        });
        met.collect()
    }

    /// The stage of the sender. After the last knock, the sender has no stage any more.
    fn attempts(&self) -> Vec<Attempt> {
        let kernel = attempt_of(&self.simulator, self.sender.from, self.now)
            .and_then(|(state, left)| Some((self.automaton.state(StateId(state))?, left)));
        let kernel =
            kernel.map(|(state, left)| (state.opens.unwrap_or(state.door), state.stage, left));
        let daemon = self.daemon.filter(|reached| self.now < reached.until);
        let daemon = daemon.map(|it| (it.door, it.stage, it.until.since(self.now)));
        let attempt = |who, (door, stage, left): (DoorId, u8, Duration)| {
            let door = self.policy.door(door)?;
            let (stage, knocks, whole) = (stage.into(), door.sequence.len(), door.step_timeout);
            let attempt = Attempt { who, door: door.name.to_string(), stage, knocks, left, whole };
            (stage < knocks || attempt.is_fresh()).then_some(attempt)
        };
        if kernel == daemon {
            return kernel.and_then(|both| attempt(None, both)).into_iter().collect();
        }
        let kernel = kernel.and_then(|it| attempt(Some("kernel"), it));
        let daemon = daemon.and_then(|it| attempt(Some("daemon"), it));
        kernel.into_iter().chain(daemon).collect()
    }

    fn open(&self) -> Vec<Open> {
        let (set, address) = self.address();
        let open = self.policy.doors().filter_map(|(id, door)| {
            let key = [address.clone(), Value::Class(class_of(id))];
            let left = self.simulator.left(set, &key, self.now)?;
            Some(Open { door: door.name.to_string(), left, whole: door.open_for })
        });
        open.collect()
    }

    /// The daemon's verdict; `None` where it does not look.
    fn ask_daemon(&mut self, packet: &Packet) -> Option<Verdict> {
        let watched = self.policy.gate.interfaces.iter().any(|i| i.as_str() == packet.interface)
            || (self.policy.gate.interfaces.is_empty() && packet.interface != "lo");
        if self.sender.established || !watched {
            return None;
        }
        let segment = match packet.payload {
            Payload::Tcp { source_port, destination_port, flags } => wire::Segment::Tcp {
                source_port,
                destination_port,
                sequence: 0,
                flags: wire::TcpFlags::from_bits(flags),
            },
            Payload::Udp { source_port, destination_port } => {
                wire::Segment::Udp { source_port, destination_port }
            }
            Payload::Icmp { .. } if packet.source.is_ipv4() => wire::Segment::Other(1),
            Payload::Icmp { .. } => wire::Segment::Other(58),
            Payload::Other(number) => wire::Segment::Other(number),
        };
        let (source, destination) = (packet.source, packet.destination);
        let packet = wire::Packet { source, destination, segment };
        let verdict = self.engine.handle_parsed(packet, Direction::ToHost, self.now);
        if let Verdict::Opened { door: id, .. } = verdict
            && let Some(door) = self.policy.door(id).filter(|door| !door.guards.is_empty())
        {
            let until = self.now.after(door.open_for);
            // As the keeper does it, so that the rules see the grant.
            let (set, address) = self.address();
            self.simulator.add(set, &[address, Value::Class(class_of(id))], None, until);
        }
        self.follow(verdict);
        Some(verdict)
    }

    /// Remembers the stage that the daemon sees.
    fn follow(&mut self, verdict: Verdict) {
        let (door, stage) = match verdict {
            Verdict::Stage { door, stage, .. } | Verdict::Opened { door, stage, .. } => {
                (door, stage)
            }
            Verdict::Wrong { .. } => return self.daemon = None,
            _ => return,
        };
        if let Some(left) = self.policy.door(door).map(|door| door.step_timeout) {
            self.daemon = Some(Reached { door, stage, until: self.now.after(left) });
        }
    }

    /// The set of grants and the key for the sender.
    fn address(&self) -> (&'static str, Value) {
        let [four, six] = GRANTS;
        match self.sender.from {
            IpAddr::V4(address) => (four, Value::Ipv4(address)),
            IpAddr::V6(address) => (six, Value::Ipv6(address)),
        }
    }

    /// The state of the sender in the kernel.
    fn state(&self) -> StateId {
        attempt_of(&self.simulator, self.sender.from, self.now)
            .map_or(StateId::ROOT, |(state, _)| StateId(state))
    }

    /// What to say about it, in sentences.
    fn conclude(&self, trace: &Trace<'_>, before: StateId, daemon: Option<Verdict>) -> Vec<String> {
        let mut lines = Vec::new();
        let after = self.state();
        let kernel = self.progress(trace, before, after);
        let said = daemon.and_then(|verdict| self.says(verdict));
        match (kernel, said) {
            (Some(kernel), Some(daemon)) if kernel == daemon => lines.push(kernel),
            (kernel, daemon) => {
                lines.extend(kernel.map(|text| format!("kernel: {text}")));
                lines.extend(daemon.map(|text| format!("daemon: {text}")));
            }
        }
        if let Some(Verdict::Opened { door, .. }) = daemon {
            lines.extend(self.runs(door));
        }
        let met = |chain: &str| trace.steps.iter().any(|step| step.chain == chain && step.matched);
        let comes_to = |comment: &str, matched: bool| {
            let mut steps = trace.steps.iter();
            steps.any(|step| step.rule.comment == Some(comment) && (step.matched || !matched))
        };
        match self.policy.gate.ban {
            Some(ban) if met("ban") => lines.push(format!(
                "strike {}: {} is banned for {}",
                ban.strikes,
                self.sender.from,
                duration::format(ban.time)
            )),
            Some(ban) if comes_to("strike", false) => {
                lines.push(format!(
                    "a strike; {} strikes within {} trigger a ban",
                    ban.strikes,
                    duration::format(ban.within)
                ));
            }
            Some(_) if comes_to("banned", true) => {
                lines.push(format!("{} is banned", self.sender.from));
            }
            _ => {}
        }
        lines
    }

    /// How a packet ends, and whether it passes.
    fn fate(&self, trace: &Trace<'_>) -> (String, bool) {
        const NONE: &str = "cannot start a connection; answered like a packet to a closed port";
        const AS_CLOSED: &str = "refused, exactly like a packet to a closed port of this host";
        const ON: &str = "goes on; the gate does not change it";
        const NOBODY: &str =
            "goes on to the program that listens there; without one, answered like a closed port";
        let last = trace.steps.iter().rev().find(|step| step.matched).map(|step| step.chain);
        let met = |chain: &str| trace.steps.iter().any(|step| step.chain == chain && step.matched);
        let fate = match trace.fate {
            Fate::Passed if trace.steps.iter().any(|step| step.chain == "refuse") => {
                NONE.to_owned()
            }
            Fate::Passed if met("door") => self.passed_door().unwrap_or_else(|| NONE.to_owned()),
            // The rule that answers at the end of all chains answers for every port without a socket.
            Fate::Refused(_) | Fate::Dropped if last == Some(CLOSED_OR_NOT) => NOBODY.to_owned(),
            Fate::Passed => ON.to_owned(),
            Fate::AnsweredAsClosed => AS_CLOSED.to_owned(),
            Fate::Refused(_) if last == Some(PUT_BACK) => AS_CLOSED.to_owned(),
            Fate::Refused(reject) => {
                format!("refused ({})", portcullis_firewall::ruleset::Statement::Reject(reject))
            }
            Fate::Dropped => "dropped without an answer".to_owned(),
        };
        let passes = fate == ON || fate == NOBODY || trace.fate == Fate::Passed && fate != NONE;
        (fate, passes)
    }

    /// What the daemon runs when this door opens.
    fn runs(&self, id: DoorId) -> Option<String> {
        let door = self.policy.door(id)?;
        Some(match &door.hooks.as_ref()?.on_close {
            Some(_) => format!("daemon: runs on_open, then on_close after {:?}", door.open_for),
            None => "daemon: runs on_open".to_owned(),
        })
    }

    fn passed_door(&self) -> Option<String> {
        let open = self.policy.doors().find(|(id, _)| {
            let (set, address) = self.address();
            self.simulator.get(set, &[address, Value::Class(class_of(*id))], self.now).is_some()
        });
        let (_, door) = open?;
        Some(format!("let in: door {} is open for {}", door.name, self.sender.from))
    }

    fn progress(&self, trace: &Trace<'_>, before: StateId, after: StateId) -> Option<String> {
        let source = self.sender.from;
        let counted = trace.steps.iter().any(|step| step.chain == "knock" && step.matched);
        let repeated =
            trace.steps.iter().any(|step| step.matched && step.rule.comment == Some("sent again"));
        let forgiven = trace.steps.iter().any(|step| step.chain == "forgiven");
        match (self.automaton.state(after), self.automaton.state(before)) {
            (Some(state), _) if repeated => Some(self.sentence(Verdict::Repeated(state.door))),
            (Some(state), _) if forgiven => Some(self.sentence(Verdict::Forgiven(state.door))),
            (Some(state), _) if counted => Some(self.sentence(match state.opens {
                Some(door) => Verdict::Opened { door, source, stage: state.stage },
                None => Verdict::Stage { door: state.door, source, stage: state.stage },
            })),
            (None, Some(_)) => Some(self.sentence(Verdict::Wrong { lost: true })),
            _ => None,
        }
    }

    /// The part of the daemon's verdict that is worth saying.
    fn says(&self, verdict: Verdict) -> Option<String> {
        match verdict {
            Verdict::Wrong { lost: true }
            | Verdict::Forgiven(_)
            | Verdict::Repeated(_)
            | Verdict::Stage { .. }
            | Verdict::Opened { .. } => Some(self.sentence(verdict)),
            _ => None,
        }
    }

    fn sentence(&self, verdict: Verdict) -> String {
        let door = |id: DoorId| self.policy.door(id);
        match verdict {
            Verdict::Wrong { .. } => "a wrong port; the attempt ends".to_owned(),
            Verdict::Forgiven(_) => "a wrong port, forgiven".to_owned(),
            Verdict::Repeated(_) => "a knock made already; nothing changes".to_owned(),
            Verdict::Stage { door: id, stage, .. } => match door(id) {
                Some(door) => format!(
                    "knock {stage} of {} of door {}; the next one must come within {:?}",
                    door.sequence.len(),
                    door.name,
                    door.step_timeout
                ),
                None => String::new(),
            },
            Verdict::Opened { door: id, .. } => match door(id) {
                Some(door) if door.guards.is_empty() => {
                    format!("the last knock of door {}, which guards no port", door.name)
                }
                Some(door) => format!(
                    "door {} opens for {} for {:?}",
                    door.name, self.sender.from, door.open_for
                ),
                None => String::new(),
            },
            _ => String::new(),
        }
    }
}
