//! `replay`: what the doors would have made of the packets in a capture.
//!
//! ```text
//! file ──► frames ──► whose way, what moment ──► judge (the engines) ──► gate (grants, strikes, bans)
//!                                                        └──► report: openings, sources, strikes
//! ```
//!
//! A capture is a stream: however long it is, the replay keeps a bounded part of it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`file`](mod@file) | pcap and pcapng, also behind gzip |
//! | [`clock`] | the capture's own time |
//! | [`own_addresses`] | whose addresses are the host's |
//! | [`judge`] | what a packet means |
//! | [`strikes`] | grants, strikes and bans as the kernel counts them |
//! | [`sources`] | the stage that each source reached |
//! | [`report`] | what was found |

pub mod clock;
pub mod file;
pub mod judge;
pub mod own_addresses;
pub mod report;
pub mod sources;
pub mod strikes;

use std::net::IpAddr;

use portcullis_core::automaton::Conflict;
use portcullis_core::engine::{Options, Verdict};
use portcullis_core::policy::{Allowed, Door, DoorId, Network, Policy};
use portcullis_core::time::Instant;
use portcullis_core::wire::{Captured, Checksum, Packet, Segment, Unreadable};

use clock::Clock;
use file::link::{self, Kind, Place, Places, Way};
use file::{Capture, Record};
use judge::{Judge, Judged, Meaning};
use own_addresses::{OwnAddresses, SAMPLE};
use report::{MAX_OPENINGS, MAX_STRIKES, Opening, Report, Strike, Why};
use sources::Sources;
use strikes::{GateState, Struck};

/// What a person may say about a capture.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The host's addresses; if there are none, they are detected.
    pub host: Vec<IpAddr>,
    /// Frames tagged for another network are not for the host.
    pub untagged: bool,
    /// What may be chosen about the engines: as the daemon's, unless a test has many.
    pub engine: Options,
}

/// The interfaces of a capture on which the gate of this policy is active.
pub fn places(policy: &Policy, any: bool) -> Places {
    let allowed = policy.gate.allow.iter().filter_map(|allowed| match allowed {
        Allowed::Interface(name) => Some(name.clone()),
        Allowed::Network(_) | Allowed::Host(_) => None,
    });
    Places { gate: policy.gate.interfaces.clone(), allowed: allowed.collect(), any }
}

/// Feeds a capture to the doors of a policy.
pub struct Replay<'p> {
    policy: &'p Policy,
    settings: Settings,
    allowed: Vec<Network>,
    clock: Clock,
    judge: Judge,
    gate: GateState,
    /// Nothing until the host's addresses are known.
    host: Option<OwnAddresses>,
    /// What waits for that.
    waiting: Vec<Moment>,
    sources: Sources,
    report: Report,
}

/// A packet with what is known about it.
#[derive(Debug, Clone, Copy)]
struct Moment {
    packet: Packet,
    way: Option<Way>,
    place: Place,
    /// In nanoseconds since 1970.
    time: u64,
    now: Instant,
}

impl<'p> Replay<'p> {
    /// For the doors of a checked policy.
    ///
    /// # Errors
    /// The conflicts between doors that the check would have found.
    pub fn new(policy: &'p Policy, settings: Settings) -> Result<Self, Vec<Conflict>> {
        let allowed = policy.gate.allow.iter().filter_map(|allowed| match allowed {
            Allowed::Network(network) => Some(*network),
            Allowed::Interface(_) | Allowed::Host(_) => None,
        });
        let host = (!settings.host.is_empty()).then(|| OwnAddresses::told(settings.host.clone()));
        Ok(Self {
            policy,
            allowed: allowed.collect(),
            clock: Clock::default(),
            judge: Judge::new(policy, settings.engine)?,
            gate: GateState::new(policy),
            host,
            waiting: Vec::new(),
            settings,
            sources: Sources::default(),
            report: Report::default(),
        })
    }

    /// Feeds all frames that can be read, and tells after each how many those are.
    pub fn feed(&mut self, capture: &mut Capture<'_>, mut told: impl FnMut(u64)) {
        loop {
            match capture.record() {
                Ok(Some(record)) => self.frame(&record),
                Ok(None) => return,
                Err(damage) => {
                    self.report.damage = Some(damage);
                    return;
                }
            }
            told(self.report.frames);
        }
    }

    /// Takes one frame.
    pub fn frame(&mut self, record: &Record<'_>) {
        let report = &mut self.report;
        count(&mut report.frames);
        let now = self.clock.tick(record.time);
        let time = record.time.unwrap_or_else(|| report.times.map_or(0, |(_, last)| last));
        let (first, last) = report.times.unwrap_or((time, time));
        report.times = Some((first.min(time), last.max(time)));
        let (link, skip) = match record.kind {
            Kind::Read(link, skip) => (link, skip),
            Kind::Unread(number) => return count(report.unread.entry(number).or_default()),
        };
        if record.place == Place::Elsewhere {
            return count(&mut report.elsewhere);
        }
        let bytes = record.bytes.get(usize::from(skip)..).unwrap_or_default();
        let way = record.way.or_else(|| link::way(link, bytes));
        if way == Some(Way::Loopback) {
            return count(&mut report.loopback);
        }
        let length = (record.length as usize).saturating_sub(skip.into());
        // A checksum over missing bytes cannot be checked. On the sending host, the network card fills it in
        // only later.
        let is_cut = bytes.len() < length;
        let checksum = if is_cut { Checksum::Trust } else { Checksum::VerifyUnlessPartial };
        let packet = match (Captured { link, bytes, length, checksum }).parse() {
            Ok(packet) => packet,
            Err(Unreadable::NotIp) => return,
            Err(Unreadable::Truncated) if is_cut => return count(&mut report.cut),
            Err(Unreadable::Extended) => return count(&mut report.extended),
            Err(_) => return count(&mut report.broken),
        };
        if link::network(link, bytes).is_some() {
            if self.settings.untagged {
                return count(&mut report.tagged_ignored);
            }
            count(&mut report.tagged);
        }
        let moment = Moment { packet, way, place: record.place, time, now };
        if self.host.is_some() {
            return self.judge(&moment);
        }
        self.waiting.push(moment);
        if self.waiting.len() >= SAMPLE {
            self.find_host();
        }
    }

    /// What was found.
    pub fn finish(mut self) -> Report {
        if self.host.is_none() {
            self.find_host();
        }
        let mut report = self.report;
        if let Some(host) = self.host {
            report.host_source = Some(host.source());
            report.host = host.addresses().to_vec();
        }
        report.sources = self.sources.sorted();
        report.floor = self.sources.floor();
        report.oddities = self.clock.oddities;
        report
    }

    fn find_host(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let sample = waiting.iter().map(|moment| (&moment.packet, moment.way));
        self.host = Some(OwnAddresses::find(self.policy, sample));
        for moment in &waiting {
            self.judge(moment);
        }
    }

    fn judge(&mut self, moment: &Moment) {
        let Moment { packet, way, place, time, now } = moment;
        let Some(host) = &mut self.host else { return };
        let direction = host.direction(packet, *way);
        let (source, now) = (packet.source, *now);
        count(&mut self.report.judged);
        let allowed =
            *place == Place::Allowed || self.allowed.iter().any(|network| network.contains(source));
        let Judged { meaning, also, guarded } = self.judge.packet(packet, direction, allowed, now);
        let sources = &mut self.sources;
        match meaning {
            Meaning::Nothing(verdict) => {
                if verdict == Verdict::NotForHost {
                    count(&mut self.report.not_for_host);
                } else if packet.segment == Segment::Fragment {
                    count(&mut self.report.fragments);
                }
            }
            Meaning::Knock { door, stage, .. } => sources.note(source, stage, |deeds| {
                count(&mut deeds.knocks);
                deeds.reach(stage, door, *time);
            }),
            Meaning::Opened { door } => {
                for door in [Some(door), also].into_iter().flatten() {
                    self.open(door, source, *time, now);
                }
            }
            // Knocks that came too late count for those who had made some before, and are known.
            Meaning::Late { .. } => sources.note(source, 0, |deeds| count(&mut deeds.late)),
            Meaning::Lost { .. } | Meaning::Disordered { .. } => {
                sources.note(source, 0, |deeds| count(&mut deeds.lost));
            }
            Meaning::Repeated { .. }
            | Meaning::Forgiven { .. }
            | Meaning::Wrong
            | Meaning::Guarded(_) => {}
        }
        if let Some(door) = guarded {
            if !allowed && !self.gate.passes(door, source, now) {
                self.strike(moment, Why::Refused(door));
            }
            return;
        }
        // A capture does not say where a service listens: every port that is not public counts as closed.
        let refused = !matches!(meaning, Meaning::Nothing(_));
        if refused && self.gate.bans() && !allowed {
            self.strike(moment, Why::Closed);
        }
    }

    fn open(&mut self, id: DoorId, source: IpAddr, time: u64, now: Instant) {
        let Some(Door { open_for, sequence, .. }) = self.policy.door(id) else { return };
        let stage = u8::try_from(sequence.len()).unwrap_or(u8::MAX);
        self.gate.grant(id, source, now, now.after(*open_for));
        self.sources.note(source, u8::MAX, |deeds| {
            count(&mut deeds.knocks);
            count(&mut deeds.opened);
            deeds.reach(stage, id, time);
        });
        count(&mut self.report.opened);
        if self.report.openings.len() < MAX_OPENINGS {
            let opening = Opening { at: time, door: id, source, open_for: *open_for };
            self.report.openings.push(opening);
        }
    }

    fn strike(&mut self, moment: &Moment, why: Why) {
        let Moment { packet, time: at, now, .. } = *moment;
        let source = packet.source;
        let bans = match self.gate.strike(source, now) {
            Struck::Refused => return,
            Struck::Counted => false,
            Struck::Banned => true,
        };
        self.report.bans = self.report.bans.saturating_add(bans.into());
        count(&mut self.report.struck);
        self.sources.note(source, 0, |deeds| {
            count(&mut deeds.strikes);
            if bans {
                deeds.banned = deeds.banned.or(Some(at));
            }
        });
        if self.report.strikes.len() < MAX_STRIKES {
            let port = own_addresses::port(&packet);
            self.report.strikes.push(Strike { at, source, port, why, bans });
        }
    }
}

fn count(what: &mut u64) {
    *what = what.saturating_add(1);
}

#[cfg(test)]
mod tests;
