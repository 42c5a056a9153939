//! `portcullis explain`: which rule sees each packet, which stage follows, what opens.
//!
//! The rules are run by the firewall's own simulator and the daemon's part by the engine itself, so
//! what is said here is what would happen.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use portcullis_core::automaton::{Automaton, StateId};
use portcullis_core::engine::{Direction, Engine, Options, Verdict};
use portcullis_core::policy::{DoorId, Policy, Protocol, Recogniser};
use portcullis_core::time::Instant;
use portcullis_core::wire;
use portcullis_firewall::compile::{Buckets, GRANTS, LIVE, STATE, class_of, compile};
use portcullis_firewall::ruleset::{Ruleset, Value};
use portcullis_firewall::simulator::{Fate, Packet, Payload, Simulator, Trace};

use crate::commands::explain_iptables;
use crate::commands::explain_packet::{Item, Sent};
use crate::config::{self, duration};
use crate::exit::{Exit, Failure, Outcome};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A configuration, then packets in order: `tcp/7431` is a SYN, `tcp/22:ack` has other flags,
    /// `udp/53` is a datagram, `icmp` is neither, and `+6s` lets time pass
    #[arg(value_name = "[FILE] PACKET", required = true, num_args = 1.., allow_hyphen_values = true)]
    items: Vec<String>,
    /// Who sends them
    #[arg(long, value_name = "ADDRESS", default_value = "203.0.113.7")]
    pub(super) from: IpAddr,
    /// The interface that they come in on [default: the first one of the configuration, or eth0]
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// The packets belong to a connection that both sides have spoken in
    #[arg(long)]
    established: bool,
    /// Show every rule that a packet meets, not only those that match it
    #[arg(long)]
    pub(super) rules: bool,
}

/// Time between packets, unless a `+DURATION` stands between them.
pub(super) const GAP: Duration = Duration::from_millis(100);

/// Runs the command.
pub fn run(args: &Args) -> Outcome {
    let (file, items) = match args.items.split_first() {
        Some((first, rest)) if Item::parse(first).is_err() && !Item::looks_like_one(first) => {
            (Some(PathBuf::from(first)), rest)
        }
        _ => (None, args.items.as_slice()),
    };
    let items = items
        .iter()
        .map(|text| {
            Item::parse(text).map_err(|error| {
                Failure::wrong_use(format!("`{}` is no packet: {error}", text.escape_debug()))
                    .hint("write `tcp/7431`, `tcp/22:ack`, `udp/53`, `icmp`, or `+6s` for a pause")
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if items.is_empty() {
        return Err(Failure::wrong_use("there is no packet to explain")
            .hint("write packets behind the configuration, as in `tcp/7431 udp/29117 tcp/22`"));
    }
    let config::Loaded { policy, backend, .. } = config::load_for(file.as_deref())?;
    if let Some(matcher) = backend.matcher() {
        return explain_iptables::run(args, &items, &policy, matcher);
    }
    let conflict = |_| Failure::could_not("the doors cannot be told apart");
    let ruleset = compile(&policy).map_err(conflict)?;
    let mut story = Story {
        args,
        policy: &policy,
        automaton: Automaton::build(policy.doors_seen_by(Recogniser::Kernel)).map_err(conflict)?,
        simulator: Simulator::new(&ruleset),
        texts: texts(&ruleset),
        engine: Engine::new(&policy, Options { max_attempts: 16, seed: 0 }).map_err(conflict)?,
        now: Instant::from_millis(1_000),
    };
    let mut out = anstream::stdout().lock();
    match story.tell(&items, &mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::could_not(format!("cannot write: {error}")))
        }
        _ => Ok(Exit::Done),
    }
}

/// The rules as text, by chain and number.
fn texts(ruleset: &Ruleset) -> BTreeMap<(String, usize), String> {
    let rules = ruleset.chains.iter().flat_map(|chain| {
        let rules = chain.rules.iter().enumerate();
        rules.map(|(index, rule)| ((chain.name.clone(), index), rule.to_string()))
    });
    rules.collect()
}

/// The packet as the rules see it.
pub(super) fn dress(args: &Args, policy: &Policy, sent: Sent) -> Packet {
    let interface = match (&args.interface, policy.gate.interfaces.first()) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) => name.as_str().to_owned(),
        (None, None) => "eth0".to_owned(),
    };
    let destination = match args.from {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    Packet {
        interface,
        for_host: true,
        fragment: false,
        established: args.established,
        related: false,
        hop_limit: 64,
        source: args.from,
        destination,
        payload: sent.payload(args.from.is_ipv4()),
    }
}

struct Story<'a> {
    args: &'a Args,
    policy: &'a Policy,
    automaton: Automaton,
    simulator: Simulator<'a>,
    texts: BTreeMap<(String, usize), String>,
    engine: Engine,
    now: Instant,
}

impl<'a> Story<'a> {
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
        let before = self.state();
        let trace = self.simulator.receive(&packet, self.now);
        for step in trace.steps.iter().filter(|step| step.matched || self.args.rules) {
            let text = self.texts.get(&(step.chain.to_owned(), step.index));
            let text = text.map_or("", String::as_str);
            let mark = if step.matched { '*' } else { '-' };
            writeln!(out, "          {mark} {:<14} {text}", step.chain)?;
        }
        let daemon = self.ask_daemon(&packet);
        for line in self.conclude(&trace, before, daemon) {
            writeln!(out, "          => {line}")?;
        }
        Ok(())
    }

    /// What the daemon makes of it; `None` where it does not look.
    fn ask_daemon(&mut self, packet: &Packet) -> Option<Verdict> {
        let watched = self.policy.gate.interfaces.iter().any(|i| i.as_str() == packet.interface)
            || (self.policy.gate.interfaces.is_empty() && packet.interface != "lo");
        if self.args.established || !watched {
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
        Some(verdict)
    }

    /// The set of grants and the key for the sender.
    fn address(&self) -> (&'static str, Value) {
        let [four, six] = GRANTS;
        match self.args.from {
            IpAddr::V4(address) => (four, Value::Ipv4(address)),
            IpAddr::V6(address) => (six, Value::Ipv6(address)),
        }
    }

    /// The state of the sender in the kernel.
    fn state(&self) -> StateId {
        let key = [Buckets::of(&self.automaton).key(self.args.from)];
        if self.automaton.forgives() && self.simulator.get(LIVE, &key, self.now).is_none() {
            return StateId::ROOT;
        }
        match self.simulator.get(STATE, &key, self.now) {
            Some(Some(Value::Class(state))) => StateId(*state),
            _ => StateId::ROOT,
        }
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
                "that makes {} strikes: {} is banned for {}",
                ban.strikes,
                self.args.from,
                duration::format(ban.time)
            )),
            Some(ban) if comes_to("strike", false) => {
                lines.push(format!(
                    "a strike; {} within {} ban",
                    ban.strikes,
                    duration::format(ban.within)
                ));
            }
            Some(_) if comes_to("banned", true) => {
                lines.push(format!("{} is banned", self.args.from));
            }
            _ => {}
        }
        let door = met("door");
        lines.push(match trace.fate {
            Fate::Passed if trace.steps.iter().any(|step| step.chain == "refuse") => {
                "it starts no connection, and is answered as by a closed port".to_owned()
            }
            Fate::Passed if door => self.passed_door(),
            Fate::Passed => "it goes on, as if the gate were not there".to_owned(),
            Fate::AnsweredAsClosed => {
                "refused, exactly as a closed port of this host does".to_owned()
            }
            Fate::Refused(reject) => {
                format!("refused ({})", portcullis_firewall::ruleset::Statement::Reject(reject))
            }
            Fate::Dropped => "dropped without an answer".to_owned(),
        });
        lines
    }

    /// What the daemon runs when this door opens.
    fn runs(&self, id: DoorId) -> Option<String> {
        let door = self.policy.door(id)?;
        Some(match &door.hooks.as_ref()?.on_close {
            Some(_) => format!("daemon: runs on_open, and on_close {:?} after it", door.open_for),
            None => "daemon: runs on_open".to_owned(),
        })
    }

    fn passed_door(&self) -> String {
        let open = self.policy.doors().find(|(id, _)| {
            let (set, address) = self.address();
            self.simulator.get(set, &[address, Value::Class(class_of(*id))], self.now).is_some()
        });
        match open {
            Some((_, door)) => format!("let in: door {} is open for {}", door.name, self.args.from),
            None => "it starts no connection, and is answered as by a closed port".to_owned(),
        }
    }

    fn progress(&self, trace: &Trace<'_>, before: StateId, after: StateId) -> Option<String> {
        let counted = trace.steps.iter().any(|step| step.chain == "knock" && step.matched);
        let repeated = trace
            .steps
            .iter()
            .any(|step| step.matched && step.rule.comment == Some("sent again by TCP"));
        let forgiven = trace.steps.iter().any(|step| step.chain == "forgiven");
        match (self.automaton.state(after), self.automaton.state(before)) {
            (Some(state), _) if repeated => Some(self.sentence(Verdict::Repeated(state.door))),
            (Some(state), _) if forgiven => Some(self.sentence(Verdict::Forgiven(state.door))),
            (Some(state), _) if counted => Some(self.sentence(match state.opens {
                Some(door) => Verdict::Opened { door, stage: state.stage },
                None => Verdict::Stage { door: state.door, stage: state.stage },
            })),
            (None, Some(_)) => Some(self.sentence(Verdict::Wrong { lost: true })),
            _ => None,
        }
    }

    /// What the daemon's verdict is worth saying.
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
            Verdict::Wrong { .. } => "a wrong port: the attempt is lost".to_owned(),
            Verdict::Forgiven(_) => "a wrong port, forgiven".to_owned(),
            Verdict::Repeated(_) => "the same knock again: nothing changes".to_owned(),
            Verdict::Stage { door: id, stage } => match door(id) {
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
                    format!("the last knock of door {}, which guards nothing", door.name)
                }
                Some(door) => format!(
                    "door {} opens for {} for {:?}",
                    door.name, self.args.from, door.open_for
                ),
                None => String::new(),
            },
            _ => String::new(),
        }
    }
}

impl Sent {
    /// As the rules see it.
    fn payload(self, four: bool) -> Payload {
        const SOURCE_PORT: u16 = 40_000;
        match self {
            Self::Port { port, flags } => match port.protocol {
                Protocol::Tcp => Payload::Tcp {
                    source_port: SOURCE_PORT,
                    destination_port: port.number.get(),
                    flags: flags.unwrap_or(0x02),
                },
                Protocol::Udp => {
                    Payload::Udp { source_port: SOURCE_PORT, destination_port: port.number.get() }
                }
            },
            Self::Icmp => Payload::Icmp { kind: if four { 8 } else { 128 } },
        }
    }
}
