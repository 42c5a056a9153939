//! What each packet means to the doors, in words that a person can use.
//!
//! The engine decides. This module also remembers the stage of each source, to say *why* a packet did not
//! count. It asks both recognisers. If some doors belong to only one of them, each recogniser has its own
//! engine with its own doors: to a recogniser, a knock at a door that it does not know is a wrong port.
//!
//! A grant of the daemon is an element of a set in the kernel, so the kernel's engine is told of it. The daemon
//! learns nothing of grants that the kernel alone has given, and its engine is not told of them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::automaton::Conflict;
use portcullis_core::engine::{Action, Direction, Engine, Grant, Options, Verdict};
use portcullis_core::limits;
use portcullis_core::policy::{Door, DoorId, Policy, Port, Recogniser, may_have_grants};
use portcullis_core::time::Instant;
use portcullis_core::wire::Packet;

use super::own_addresses::port;

/// How many sources have a remembered stage. If there are more, all are forgotten. Then some late knocks are
/// reported as wrong ports, but no decision changes.
const MAX_REMEMBERED: usize = 262_144;

/// What a packet means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing to any door, for this reason.
    Nothing(Verdict),
    /// It is for a port that this door guards, and ends no attempt.
    Guarded(DoorId),
    /// A knock, and there are more to make.
    Knock {
        /// Of this door.
        door: DoorId,
        /// How many have been made now.
        stage: u8,
        /// It ends another attempt, which was going on.
        anew: bool,
    },
    /// The last knock.
    Opened {
        /// Of this door.
        door: DoorId,
    },
    /// A knock that the attempt has made already.
    Repeated {
        /// Of this door.
        door: DoorId,
        /// Which knock it is, from 1; the latest one if several are at this port.
        stage: u8,
    },
    /// A wrong port, forgiven.
    Forgiven {
        /// By this door.
        door: DoorId,
    },
    /// The next knock, but too late: the attempt was over.
    Late {
        /// Of this door.
        door: DoorId,
        /// Which knock it is, from 1.
        knock: u8,
        /// By how much.
        by: Duration,
    },
    /// A later knock of the same door, but not the next one: the attempt is lost.
    Disordered {
        /// The door.
        door: DoorId,
        /// Which knock it is, from 1.
        knock: u8,
        /// Which one should have come.
        expected: u8,
    },
    /// A wrong port: the attempt is lost.
    Lost {
        /// The door.
        door: DoorId,
        /// Which knock should have come, from 1.
        expected: u8,
    },
    /// A wrong port of a source that has no attempt.
    Wrong,
}

/// What a packet means, to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// What it means.
    pub meaning: Meaning,
    /// A second door that opens with the same knock, by the other recogniser.
    pub also: Option<DoorId>,
    /// The door that guards the port, if the packet needs a grant there. During an attempt at another door such a
    /// packet can be a wrong port too.
    pub guarded: Option<DoorId>,
}

/// Says what packets mean.
pub struct Judge {
    policy: Policy,
    guards: BTreeMap<Port, DoorId>,
    /// By the daemon's engine, or by both where they know the same doors.
    daemon: Walker,
    /// By the kernel's, where it knows others.
    kernel: Option<Walker>,
}

/// One engine, and the stage of each source.
struct Walker {
    engine: Engine,
    attempts: HashMap<IpAddr, Attempt>,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    door: DoorId,
    stage: u8,
    at: Instant,
}

impl Judge {
    /// For the doors of a checked policy, with engines of these options.
    ///
    /// # Errors
    /// The conflicts between doors that the check would have found.
    pub fn new(policy: &Policy, options: Options) -> Result<Self, Vec<Conflict>> {
        let doors = |who| policy.doors_seen_by(who).map(|(id, _)| id);
        let kernel = if doors(Recogniser::Kernel).eq(doors(Recogniser::Daemon)) {
            None
        } else {
            Some(Walker::new(policy, Recogniser::Kernel, options)?)
        };
        let daemon = Walker::new(policy, Recogniser::Daemon, options)?;
        let guards =
            policy.doors().flat_map(|(id, door)| door.guards.iter().map(move |&port| (port, id)));
        Ok(Self { policy: policy.clone(), guards: guards.collect(), daemon, kernel })
    }

    /// Takes a packet of `now`. One of an allowed source is not looked at by the kernel's recogniser.
    pub fn packet(
        &mut self,
        packet: &Packet,
        direction: Direction,
        allowed: bool,
        now: Instant,
    ) -> Judged {
        let (first, grant) = self.daemon.step(&self.policy, packet, direction, now);
        let guarded = self.guarded(packet, &first);
        let (mut meaning, mut also) = (first, None);
        if let Some(kernel) = &mut self.kernel {
            if direction != Direction::ToHost || !allowed {
                let (second, _) = kernel.step(&self.policy, packet, direction, now);
                let is_at =
                    |walker: &Walker, door| walker.is_at(&self.policy, packet.source, door, now);
                (meaning, also) = together((&self.daemon, first), (kernel, second), is_at);
            }
            // The keeper adds it once the daemon has asked for it, so it comes too late for this packet.
            if let Some(grant) = grant {
                kernel.engine.handle_grant(grant, now);
            }
        }
        if let (Meaning::Wrong, Some(door)) = (meaning, guarded) {
            // It ended what was left of an attempt that had made its last knock.
            meaning = Meaning::Guarded(door);
        }
        Judged { meaning, also, guarded }
    }

    /// Which door guards the port of a packet that means this to a recogniser.
    fn guarded(&self, packet: &Packet, meaning: &Meaning) -> Option<DoorId> {
        match meaning {
            Meaning::Guarded(door) => Some(*door),
            Meaning::Lost { .. } | Meaning::Forgiven { .. } | Meaning::Wrong => {
                self.guards.get(&port(packet)?).copied()
            }
            _ => None,
        }
    }
}

/// What a packet means that has these meanings to two recognisers, and the second door that it opens.
fn together<'a>(
    (one, first): (&'a Walker, Meaning),
    (two, second): (&'a Walker, Meaning),
    is_at: impl Fn(&'a Walker, DoorId) -> bool,
) -> (Meaning, Option<DoorId>) {
    use Meaning::{Forgiven, Guarded, Lost, Opened};
    let (meaning, other, by) = match weight(&first) >= weight(&second) {
        true => (first, second, two),
        false => (second, first, one),
    };
    match (meaning, other) {
        (Opened { door }, Opened { door: other }) if door != other => (meaning, Some(other)),
        // The kernel knows a grant that the daemon does not know. The kernel can still open the door.
        (Lost { door, .. } | Forgiven { door }, Guarded(_)) if is_at(by, door) => (other, None),
        _ => (meaning, None),
    }
}

/// Of two meanings, the one that says more.
const fn weight(meaning: &Meaning) -> u16 {
    match meaning {
        Meaning::Opened { .. } => 2_000,
        Meaning::Knock { stage, anew, .. } => 500 + 2 * *stage as u16 + *anew as u16,
        Meaning::Disordered { .. } | Meaning::Late { .. } => 400,
        Meaning::Repeated { stage, .. } => 300 + *stage as u16,
        Meaning::Lost { .. } => 200,
        Meaning::Forgiven { .. } => 100,
        Meaning::Guarded(_) => 50,
        Meaning::Wrong => 10,
        Meaning::Nothing(_) => 0,
    }
}

impl Walker {
    fn new(
        policy: &Policy,
        recogniser: Recogniser,
        options: Options,
    ) -> Result<Self, Vec<Conflict>> {
        let options = Options { recogniser, ..options };
        Ok(Self { engine: Engine::new(policy, options)?, attempts: HashMap::new() })
    }

    /// What a packet means, and the grant that it leads to.
    fn step(
        &mut self,
        policy: &Policy,
        packet: &Packet,
        direction: Direction,
        now: Instant,
    ) -> (Meaning, Option<Grant>) {
        let verdict = self.engine.handle_parsed(*packet, direction, now);
        let mut opened = None;
        while let Some(Action::Open(grant)) = self.engine.next_action() {
            opened = Some(grant).filter(|grant| may_have_grants(grant.address));
        }
        let source = packet.source;
        let meaning = match verdict {
            Verdict::Guarded(door) => Meaning::Guarded(door),
            Verdict::Repeated(door) => {
                let attempt = self.attempts.get(&source);
                let stage = attempt.and_then(|attempt| attempt.latest(policy, port(packet)?));
                Meaning::Repeated { door, stage: stage.unwrap_or(1) }
            }
            Verdict::Forgiven(door) => Meaning::Forgiven { door },
            Verdict::Stage { door, stage, .. } => {
                let before = self.remember(source, Attempt { door, stage, at: now });
                let anew = before
                    .is_some_and(|before| stage <= before.stage && before.is_going_on(policy, now));
                Meaning::Knock { door, stage, anew }
            }
            Verdict::Opened { door, stage, .. } => {
                self.remember(source, Attempt { door, stage, at: now });
                match opened {
                    Some(_) => Meaning::Opened { door },
                    None => Meaning::Nothing(verdict),
                }
            }
            Verdict::Wrong { lost } => {
                let before = self.attempts.remove(&source);
                let why = before.and_then(|before| before.explain(policy, port(packet), lost, now));
                if let (Some(Meaning::Repeated { .. }), Some(before)) = (why, before) {
                    self.remember(source, before);
                }
                why.unwrap_or(Meaning::Wrong)
            }
            other => Meaning::Nothing(other),
        };
        (meaning, opened)
    }

    /// Whether this source is in an attempt at this door.
    fn is_at(&self, policy: &Policy, source: IpAddr, door: DoorId, now: Instant) -> bool {
        let attempt = self.attempts.get(&source);
        attempt.is_some_and(|attempt| attempt.door == door && attempt.is_going_on(policy, now))
    }

    fn remember(&mut self, source: IpAddr, attempt: Attempt) -> Option<Attempt> {
        if self.attempts.len() >= MAX_REMEMBERED && !self.attempts.contains_key(&source) {
            self.attempts.clear();
        }
        self.attempts.insert(source, attempt)
    }
}

impl Attempt {
    /// Whether more knocks were to come, and in time.
    fn is_going_on(&self, policy: &Policy, now: Instant) -> bool {
        policy
            .door(self.door)
            .is_some_and(|door| self.next(door).is_some() && now.since(self.at) < door.step_timeout)
    }

    fn next(&self, door: &Door) -> Option<Port> {
        door.sequence.get(usize::from(self.stage)).copied()
    }

    /// Which of the knocks made is at this port, from 1: the latest of them.
    fn latest(&self, policy: &Policy, port: Port) -> Option<u8> {
        let door = policy.door(self.door)?;
        let mut made = door.sequence.iter().zip(1..=self.stage);
        made.rfind(|&(&knock, _)| knock == port).map(|(_, number)| number)
    }

    /// Why a packet to a wrong port, or none, was not the next knock.
    fn explain(
        &self,
        policy: &Policy,
        port: Option<Port>,
        lost: bool,
        now: Instant,
    ) -> Option<Meaning> {
        let Self { door: id, stage, at } = *self;
        let door = policy.door(id)?;
        let Some(next) = self.next(door) else {
            // The door is open, and a copy of a knock comes late.
            let stage = self.latest(policy, port?)?;
            let again = Meaning::Repeated { door: id, stage };
            return (now.since(at) < door.step_timeout).then_some(again);
        };
        let expected = stage.saturating_add(1);
        if !lost {
            let by = now.since(at.after(door.step_timeout));
            let is_late = port == Some(next) && by <= limits::MAX_STEP_TIMEOUT;
            return is_late.then_some(Meaning::Late { door: id, knock: expected, by });
        }
        // The knocks made already end no attempt.
        let mut later = door.sequence.iter().zip(1u8..).skip(usize::from(stage));
        let knock = later.find(|&(&knock, _)| Some(knock) == port).map(|(_, number)| number);
        Some(match knock {
            Some(knock) => Meaning::Disordered { door: id, knock, expected },
            None => Meaning::Lost { door: id, expected },
        })
    }
}

#[cfg(test)]
mod tests {
    use portcullis_config::parse_str;
    use portcullis_core::wire::{Segment, TcpFlags};

    use super::*;

    const DOORS: &str = r#"
        [door.ssh]
        guards = ["tcp/22"]
        sequence = ["tcp/7431", "tcp/29117", "tcp/1123"]
        step_timeout = "5s"
        RECOGNISER
        [door.kind]
        guards = ["tcp/23"]
        sequence = ["tcp/1009", "tcp/4001", "tcp/2003"]
        tolerate = 1
        [door.twice]
        guards = ["tcp/24"]
        sequence = ["tcp/3001", "tcp/3000", "tcp/3001", "tcp/3002"]
    "#;

    /// What SYNs to these ports at these tenths of seconds mean.
    fn judge(recogniser: &str, ports: &[(u64, u16)]) -> Vec<Judged> {
        let text = DOORS.replace("RECOGNISER", recogniser);
        let policy = parse_str("test", &text).unwrap().policy;
        let judge = Judge::new(&policy, Options::default()).unwrap();
        assert_eq!(judge.kernel.is_some(), !recogniser.is_empty());
        judge_by(judge, ports)
    }

    fn judge_by(mut judge: Judge, ports: &[(u64, u16)]) -> Vec<Judged> {
        let judge = |&(tenths, destination_port): &(u64, u16)| {
            let flags = TcpFlags::SYN;
            let packet = Packet {
                source: "192.0.2.7".parse().unwrap(),
                destination: "198.51.100.1".parse().unwrap(),
                segment: Segment::Tcp { source_port: 1, destination_port, sequence: 1, flags },
            };
            let now = Instant::from_millis(tenths * 100);
            judge.packet(&packet, Direction::ToHost, false, now)
        };
        ports.iter().map(judge).collect()
    }

    fn meanings(ports: &[(u64, u16)]) -> Vec<Meaning> {
        let of =
            |recogniser| judge(recogniser, ports).iter().map(|judged| judged.meaning).collect();
        let all: Vec<Meaning> = of("");
        // The packets mean the same, whichever recogniser may open the door.
        for recogniser in ["recogniser = \"kernel\"", "recogniser = \"daemon\""] {
            assert_eq!(all, of(recogniser) as Vec<Meaning>, "{recogniser}");
        }
        all
    }

    const SSH: DoorId = DoorId(0);
    const KIND: DoorId = DoorId(1);
    const TWICE: DoorId = DoorId(2);

    #[test]
    fn every_packet_has_a_meaning() {
        use Meaning::{Disordered, Forgiven, Guarded, Knock, Late, Lost, Opened, Repeated, Wrong};
        let knock = |stage| Knock { door: SSH, stage, anew: false };
        let kind = |stage| Knock { door: KIND, stage, anew: false };
        let twice = |stage| Knock { door: TWICE, stage, anew: false };
        let again = |stage| Repeated { door: TWICE, stage };
        let script = [
            (0, 7431, knock(1)),
            (1, 7431, Repeated { door: SSH, stage: 1 }),
            (2, 29117, knock(2)),
            (3, 1123, Opened { door: SSH }),
            (4, 22, Guarded(SSH)),
            (5, 9, Wrong),
            (10, 7431, knock(1)),
            (11, 1123, Disordered { door: SSH, knock: 3, expected: 2 }),
            (12, 29117, Wrong),
            (20, 7431, knock(1)),
            (21, 9, Lost { door: SSH, expected: 2 }),
            (30, 7431, knock(1)),
            (83, 29117, Late { door: SSH, knock: 2, by: Duration::from_millis(300) }),
            (84, 1123, Wrong),
            (90, 7431, knock(1)),
            (91, 29117, knock(2)),
            (92, 7431, Repeated { door: SSH, stage: 1 }),
            (93, 29117, Repeated { door: SSH, stage: 2 }),
            (100, 1009, Knock { door: KIND, stage: 1, anew: true }),
            (101, 9, Forgiven { door: KIND }),
            (102, 9, Lost { door: KIND, expected: 2 }),
            // Without a grant, only the port of the door itself does not count.
            (410, 1009, kind(1)),
            (411, 23, Guarded(KIND)),
            (412, 22, Forgiven { door: KIND }),
            (413, 22, Lost { door: KIND, expected: 2 }),
            (414, 22, Guarded(SSH)),
            // With a grant it does not count at all.
            (420, 7431, knock(1)),
            (421, 23, Lost { door: SSH, expected: 2 }),
            (422, 7431, knock(1)),
            (423, 29117, knock(2)),
            (424, 1123, Opened { door: SSH }),
            (425, 23, Guarded(KIND)),
            (426, 1009, kind(1)),
            (427, 22, Guarded(SSH)),
            (428, 22, Guarded(SSH)),
            (429, 4001, kind(2)),
            (430, 2003, Opened { door: KIND }),
            // Behind the last knock, the first one begins an attempt.
            (431, 2003, Repeated { door: KIND, stage: 3 }),
            (432, 4001, Repeated { door: KIND, stage: 2 }),
            (433, 1009, kind(1)),
            (500, 3001, twice(1)),
            (501, 3000, twice(2)),
            (502, 3000, again(2)),
            (503, 3001, twice(3)),
            (504, 3000, again(2)),
            (505, 3001, again(3)),
            (506, 3002, Opened { door: TWICE }),
        ];
        let ports: Vec<(u64, u16)> = script.iter().map(|&(at, port, _)| (at, port)).collect();
        let expected: Vec<Meaning> = script.iter().map(|&(_, _, meaning)| meaning).collect();
        assert_eq!(meanings(&ports), expected);
        for (judged, (at, port)) in judge("", &ports).iter().zip(&ports) {
            let guards = [(22, SSH), (23, KIND)];
            let door = guards.iter().find(|(guarded, _)| guarded == port).map(|&(_, door)| door);
            assert_eq!(judged.guarded, door, "{at}");
        }
    }

    /// Each door belongs to one recogniser. What packets mean to the doors `ssh` and `kind`.
    fn apart(ssh: &str, kind: &str, ports: &[(u64, u16)]) -> Vec<Meaning> {
        let kind = format!("tolerate = 0\nrecogniser = \"{kind}\"");
        let text = DOORS.replace("RECOGNISER", &format!("recogniser = \"{ssh}\""));
        let policy = parse_str("test", &text.replace("tolerate = 1", &kind)).unwrap().policy;
        let judged = judge_by(Judge::new(&policy, Options::default()).unwrap(), ports);
        judged.iter().map(|judged| judged.meaning).collect()
    }

    #[test]
    fn grant_of_the_kernel_is_unknown_to_the_daemon_but_not_the_other_way_round() {
        use Meaning::{Guarded, Knock, Lost, Opened, Wrong};
        let knock = |door, stage| Knock { door, stage, anew: false };
        let ports = [7431, 29117, 1123, 1009, 22, 4001, 2003];
        let ports: Vec<(u64, u16)> = (0..).zip(ports).collect();
        let opened = [knock(SSH, 1), knock(SSH, 2), Opened { door: SSH }, knock(KIND, 1)];
        let ended = [Lost { door: KIND, expected: 2 }, Wrong, Wrong];
        let unchanged = [Guarded(SSH), knock(KIND, 2), Opened { door: KIND }];
        assert_eq!(apart("kernel", "daemon", &ports), [&opened[..], &ended].concat());
        assert_eq!(apart("daemon", "kernel", &ports), [&opened[..], &unchanged].concat());
        // Either can open the door: the kernel does.
        assert_eq!(apart("kernel", "both", &ports), [&opened[..], &unchanged].concat());
        assert_eq!(apart("both", "daemon", &ports), [&opened[..], &unchanged].concat());
    }
}
