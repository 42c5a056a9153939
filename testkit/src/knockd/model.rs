//! What a knock means, as plainly as it can be written.
//!
//! Everybody who knocks is kept in a list, with the attempts that one packet began. Nothing is
//! looked up, nothing is forgotten for want of room, and no timer is set.

use std::net::IpAddr;

use portcullis_core::knockd::{Door, Event, Seen};
use portcullis_core::policy::{Port, Protocol};
use portcullis_core::time::Instant;
use portcullis_core::wire::{Packet, Segment, TcpFlags};

/// The model: doors, and who knocks at them.
#[derive(Debug)]
pub struct Model {
    doors: Vec<Door>,
    /// Doors whose sequence opens once, and has.
    shut: Vec<bool>,
    local: Vec<IpAddr>,
    allow_loopback: bool,
    knockers: Vec<Knocker>,
    packets: usize,
}

/// A source that knocks at the doors of one target.
#[derive(Debug)]
struct Knocker {
    source: IpAddr,
    target: Option<IpAddr>,
    since: Instant,
    /// By the how-manieth packet of all.
    began: usize,
    attempts: Vec<Attempt>,
    counted: Vec<Segment>,
    strays: Vec<(Protocol, u16)>,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    door: usize,
    stage: usize,
}

impl Model {
    /// A model of these doors, on a host with these addresses.
    pub fn new(doors: Vec<Door>, local: &[IpAddr], allow_loopback: bool) -> Self {
        let shut = vec![false; doors.len()];
        Self {
            doors,
            shut,
            local: local.to_vec(),
            allow_loopback,
            knockers: Vec::new(),
            packets: 0,
        }
    }

    /// How many sources and targets have an attempt.
    pub fn knockers(&self) -> usize {
        self.knockers.len()
    }

    /// When the next attempt is late.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines().into_iter().map(|(deadline, _)| deadline).min()
    }

    /// Other addresses of the host.
    pub fn set_local_addresses(&mut self, local: &[IpAddr]) {
        self.local = local.to_vec();
    }

    /// Time has passed: whoever is late now.
    pub fn look(&mut self, now: Instant) -> Vec<Event> {
        let mut late = self.deadlines();
        late.retain(|&(deadline, _)| deadline <= now);
        // In the order of deadlines; then as the attempts began; then of the doors.
        late.sort_by_key(|&(deadline, (began, door, ..))| (deadline, began, door));
        for knocker in &mut self.knockers {
            let doors = &self.doors;
            let since = knocker.since;
            knocker.attempts.retain(|attempt| since.after(doors[attempt.door].timeout) > now);
        }
        self.knockers.retain(|knocker| !knocker.attempts.is_empty());
        let event = |(_, (_, door, source, stage))| Event::TimedOut { door, source, stage };
        late.into_iter().map(event).collect()
    }

    /// Of each attempt: when it is late, and which packet began it, its door, source and stage.
    fn deadlines(&self) -> Vec<(Instant, (usize, usize, IpAddr, u8))> {
        let mut all = Vec::new();
        for knocker in &self.knockers {
            for attempt in &knocker.attempts {
                let deadline = knocker.since.after(self.doors[attempt.door].timeout);
                let stage = attempt.stage as u8;
                all.push((deadline, (knocker.began, attempt.door, knocker.source, stage)));
            }
        }
        all
    }

    /// A packet has come: what it is taken for, and what there is to tell.
    pub fn packet(&mut self, packet: &Packet, now: Instant) -> (Seen, Vec<Event>) {
        self.packets += 1;
        let mut events = self.look(now);
        let (seen, more) = self.judge(packet, now);
        events.extend(more);
        (seen, events)
    }

    fn judge(&mut self, packet: &Packet, now: Instant) -> (Seen, Vec<Event>) {
        let nothing = (Seen::Ignored, Vec::new());
        let Packet { source, destination, segment } = *packet;
        let (protocol, number, flags) = match segment {
            Segment::Tcp { destination_port, flags, .. } => {
                (Protocol::Tcp, destination_port, Some(flags))
            }
            Segment::Udp { destination_port, .. } => (Protocol::Udp, destination_port, None),
            _ => return nothing,
        };
        let nobody = match source {
            IpAddr::V4(v4) => v4.is_broadcast(),
            IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
        };
        let loopback = source.is_loopback() && !self.allow_loopback;
        if nobody || loopback || source.is_unspecified() || source.is_multicast() {
            return nothing;
        }
        let local = self.local.contains(&destination);
        let for_target = |target: Option<IpAddr>| match target {
            None => local,
            Some(target) => target == destination,
        };
        let port = Port::new(protocol, number);
        let sees = |door: &Door| flags.is_none_or(|flags| door.flags.admits(flags));
        // A shut door, and one whose sequence is none, are as if they were not there.
        let there = |index: usize, door: &Door| {
            !self.shut[index] && (1..=32).contains(&door.sequence.len())
        };
        let candidates = || {
            let all = self.doors.iter().enumerate();
            all.filter(|&(index, door)| there(index, door) && for_target(door.target))
        };
        let mut with_port =
            candidates().filter(|(_, door)| door.sequence.iter().any(|&p| Some(p) == port));
        let is_stray = with_port.clone().next().is_none();
        let visible = with_port.any(|(_, door)| sees(door));

        let mine = |knocker: &Knocker| knocker.source == source && for_target(knocker.target);
        if is_stray {
            let mut seen = Seen::Ignored;
            for knocker in self.knockers.iter_mut().filter(|knocker| mine(knocker)) {
                if !knocker.strays.contains(&(protocol, number)) {
                    knocker.strays.push((protocol, number));
                }
                if knocker.strays.len() > 4 {
                    knocker.attempts.clear();
                    seen = Seen::Wrong;
                } else if seen == Seen::Ignored {
                    seen = Seen::Stray;
                }
            }
            self.knockers.retain(|knocker| !knocker.attempts.is_empty());
            return (seen, Vec::new());
        }
        if !visible {
            return nothing;
        }

        let mut events = Vec::new();
        let (mut lost, mut repeated) = (false, false);
        let mut used = Vec::new();
        if self.knockers.iter().any(mine) {
            let is_syn = flags.is_some_and(|flags| flags.contains(TcpFlags::SYN));
            for knocker in self.knockers.iter_mut().filter(|knocker| mine(knocker)) {
                if is_syn && knocker.counted.iter().rev().take(8).any(|&known| known == segment) {
                    repeated = true;
                    continue;
                }
                let mut counts = false;
                knocker.attempts.retain_mut(|attempt| {
                    let door = &self.doors[attempt.door];
                    if !sees(door) {
                        return true;
                    }
                    if door.sequence.get(attempt.stage).copied() != port {
                        lost = true;
                        return false;
                    }
                    attempt.stage += 1;
                    counts = true;
                    let opens = attempt.stage == door.sequence.len();
                    events.push((attempt.door, attempt.stage, opens));
                    !opens
                });
                if counts && is_syn {
                    knocker.counted.push(segment);
                }
            }
            self.knockers.retain(|knocker| !knocker.attempts.is_empty());
        } else {
            let mut targets = vec![None, Some(destination)];
            targets.retain(|&target| for_target(target));
            let begin = |door: &Door| door.sequence.first().copied() == port && sees(door);
            let mut begun = Vec::new();
            for target in targets {
                let mut attempts = Vec::new();
                for (index, door) in candidates().filter(|(_, door)| door.target == target) {
                    if begin(door) {
                        events.push((index, 1, door.sequence.len() == 1));
                        if door.sequence.len() > 1 {
                            attempts.push(Attempt { door: index, stage: 1 });
                        }
                    }
                }
                let (counted, strays) = (vec![segment], Vec::new());
                let (since, began) = (now, self.packets);
                begun.push(Knocker { source, target, since, began, attempts, counted, strays });
            }
            begun.retain(|knocker| !knocker.attempts.is_empty());
            self.knockers.extend(begun);
        }

        events.sort();
        let mut told = Vec::new();
        for (door, stage, opens) in events {
            told.push(Event::Stage { door, source, stage: stage as u8 });
            if opens {
                told.push(Event::Opened { door, source });
                if self.doors[door].once {
                    used.push(door);
                }
            }
        }
        for door in used {
            self.shut[door] = true;
            for knocker in &mut self.knockers {
                knocker.attempts.retain(|attempt| attempt.door != door);
            }
            self.knockers.retain(|knocker| !knocker.attempts.is_empty());
        }
        let seen = match (told.is_empty(), lost, repeated) {
            (false, ..) => Seen::Knock,
            (true, true, _) => Seen::Wrong,
            (true, false, true) => Seen::Repeated,
            (true, false, false) => Seen::Ignored,
        };
        (seen, told)
    }

    /// Other doors: the attempts at those that are still there go on.
    pub fn replace_doors(&mut self, doors: Vec<Door>) {
        let how_many_before = |all: &[Door], index: usize| {
            all[..index].iter().filter(|&door| *door == all[index]).count()
        };
        let was: Vec<Option<usize>> = (0..doors.len())
            .map(|new| {
                (0..self.doors.len()).find(|&old| {
                    self.doors[old] == doors[new]
                        && how_many_before(&self.doors, old) == how_many_before(&doors, new)
                })
            })
            .collect();
        let old = std::mem::replace(&mut self.doors, doors);
        let old_shut = std::mem::take(&mut self.shut);
        for (index, door) in self.doors.iter().enumerate() {
            self.shut.push(match was[index] {
                Some(was) => old_shut[was],
                None => old.iter().zip(&old_shut).any(|(old, &shut)| {
                    shut && door.once
                        && (&old.sequence, old.target) == (&door.sequence, door.target)
                }),
            });
        }
        for knocker in &mut self.knockers {
            let attempts = std::mem::take(&mut knocker.attempts);
            knocker.attempts = (0..self.doors.len())
                .filter_map(|door| {
                    let known = attempts.iter().find(|attempt| was[door] == Some(attempt.door))?;
                    Some(Attempt { door, stage: known.stage })
                })
                .collect();
        }
        self.knockers.retain(|knocker| !knocker.attempts.is_empty());
    }
}
