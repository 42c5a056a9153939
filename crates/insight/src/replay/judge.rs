//! What each packet means to the doors, in words that a person can use.
//!
//! The engine decides. This module also remembers the stage of each source, to say *why* a packet did not
//! count. It asks both recognisers. If some doors belong to only one of them, each recogniser has its own
//! engine with its own doors: to a recogniser, a knock at a door that it does not know is a wrong port.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::automaton::Conflict;
use portcullis_core::engine::{Action, Direction, Engine, Options, Verdict};
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
    /// It is for a port that this door guards.
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
    /// The knock just made, again.
    Repeated {
        /// Of this door.
        door: DoorId,
        /// How many have been made.
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
    /// A knock of the same door, but not the next one: the attempt is lost.
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
}

/// Says what packets mean.
pub struct Judge {
    policy: Policy,
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
        Ok(Self { policy: policy.clone(), daemon, kernel })
    }

    /// Takes a packet of `now`. One of an allowed source is not looked at by the kernel's recogniser.
    pub fn packet(
        &mut self,
        packet: &Packet,
        direction: Direction,
        allowed: bool,
        now: Instant,
    ) -> Judged {
        let first = self.daemon.step(&self.policy, packet, direction, now);
        let Some(kernel) = &mut self.kernel else {
            return Judged { meaning: first, also: None };
        };
        if direction == Direction::ToHost && allowed {
            return Judged { meaning: first, also: None };
        }
        let second = kernel.step(&self.policy, packet, direction, now);
        let (meaning, other) =
            if weight(&first) >= weight(&second) { (first, second) } else { (second, first) };
        let also = match (meaning, other) {
            (Meaning::Opened { door }, Meaning::Opened { door: other }) if door != other => {
                Some(other)
            }
            _ => None,
        };
        Judged { meaning, also }
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

    /// What a packet means.
    fn step(
        &mut self,
        policy: &Policy,
        packet: &Packet,
        direction: Direction,
        now: Instant,
    ) -> Meaning {
        let verdict = self.engine.handle_parsed(*packet, direction, now);
        let mut opened = false;
        while let Some(Action::Open(grant)) = self.engine.next_action() {
            opened = may_have_grants(grant.address);
        }
        let source = packet.source;
        match verdict {
            Verdict::Guarded(door) => Meaning::Guarded(door),
            Verdict::Repeated(door) => {
                let stage = self.attempts.get(&source).map_or(1, |attempt| attempt.stage);
                Meaning::Repeated { door, stage }
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
                if opened { Meaning::Opened { door } } else { Meaning::Nothing(verdict) }
            }
            Verdict::Wrong { lost } => {
                let before = self.attempts.remove(&source);
                let why = before.and_then(|before| before.explain(policy, port(packet), lost, now));
                why.unwrap_or(Meaning::Wrong)
            }
            other => Meaning::Nothing(other),
        }
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
        let next = self.next(door)?;
        let expected = stage.saturating_add(1);
        if !lost {
            let by = now.since(at.after(door.step_timeout));
            let is_late = port == Some(next) && by <= limits::MAX_STEP_TIMEOUT;
            return is_late.then_some(Meaning::Late { door: id, knock: expected, by });
        }
        // The next one in the sequence that this port is, else any.
        let later = door.sequence.iter().skip(usize::from(stage)).position(|&p| Some(p) == port);
        let later = later.map(|at| at.saturating_add(usize::from(stage)));
        let place = later.or_else(|| door.sequence.iter().position(|&p| Some(p) == port));
        let knock = place.and_then(|place| u8::try_from(place.saturating_add(1)).ok());
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
    "#;

    /// What SYNs to these ports at these tenths of seconds mean.
    fn judge(recogniser: &str, ports: &[(u64, u16)]) -> Vec<Judged> {
        let text = DOORS.replace("RECOGNISER", recogniser);
        let policy = parse_str("test", &text).unwrap().policy;
        let mut judge = Judge::new(&policy, Options::default()).unwrap();
        assert_eq!(judge.kernel.is_some(), !recogniser.is_empty());
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

    #[test]
    fn every_packet_has_a_meaning() {
        use Meaning::{Disordered, Forgiven, Guarded, Knock, Late, Lost, Opened, Repeated, Wrong};
        let knock = |stage| Knock { door: SSH, stage, anew: false };
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
            (92, 7431, Knock { door: SSH, stage: 1, anew: true }),
            (100, 1009, Knock { door: KIND, stage: 1, anew: true }),
            (101, 9, Forgiven { door: KIND }),
            (102, 9, Lost { door: KIND, expected: 2 }),
        ];
        let ports: Vec<(u64, u16)> = script.iter().map(|&(at, port, _)| (at, port)).collect();
        let expected: Vec<Meaning> = script.iter().map(|&(_, _, meaning)| meaning).collect();
        assert_eq!(meanings(&ports), expected);
    }
}
