//! Why a door did not open, in plain sentences, from the packets that arrived.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_config::duration;
use portcullis_core::policy::{Door, DoorId, Policy, Port};

use super::{Arrival, Evidence, Watched, related};
use crate::replay::judge::Meaning;

/// How many sources are reported at one door if the user named none: those that made most of its knocks.
const MOST_SOURCES: usize = 3;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In one word, for programs.
    pub kind: &'static str,
    /// About which door.
    pub door: Option<DoorId>,
    /// About which source.
    pub source: Option<IpAddr>,
    /// A sentence without period.
    pub text: String,
}

/// The findings, door by door.
pub fn findings(policy: &Policy, watched: Watched, evidence: &Evidence) -> Vec<Finding> {
    let mut found = Vec::new();
    for (id, door) in policy.doors() {
        if watched.door.is_none_or(|wanted| wanted == id) {
            let at = At { policy, id, door, evidence };
            match watched.from {
                Some(from) => at.about(from, true, &mut found),
                None => {
                    for source in at.sources() {
                        at.about(source, false, &mut found);
                    }
                }
            }
        }
    }
    // A finding about two addresses is reported once.
    let mut said: Vec<Finding> = Vec::new();
    for finding in found {
        if !said.iter().any(|before| before.text == finding.text) {
            said.push(finding);
        }
    }
    if said.is_empty() {
        let text = match evidence.arrived {
            0 => "no SYN or datagram arrived; check that this is the right interface",
            _ => "no knock at a watched door arrived, but other packets did",
        };
        said.push(Finding { kind: "nothing", door: None, source: None, text: text.into() });
    }
    if evidence.overflow {
        let text = "too many packets to remember; watch one source with --from".into();
        said.push(Finding { kind: "overflow", door: None, source: None, text });
    }
    said
}

/// One door, and all that was seen.
struct At<'a> {
    policy: &'a Policy,
    id: DoorId,
    door: &'a Door,
    evidence: &'a Evidence,
}

impl At<'_> {
    /// The sources that made most of its knocks; of equal ones, the first that arrived.
    fn sources(&self) -> Vec<IpAddr> {
        let mut sources: Vec<(IpAddr, usize)> = Vec::new();
        for hit in self.evidence.hits.iter().filter(|hit| self.place(hit.port).is_some()) {
            if !sources.iter().any(|(source, _)| *source == hit.source) {
                let missing = self.missing(hit.source).len();
                sources.push((hit.source, missing));
            }
            // In a flood of first knocks this must still end soon.
            if sources.len() == 1_000 {
                break;
            }
        }
        sources.sort_by_key(|(_, missing)| *missing);
        sources.into_iter().map(|(source, _)| source).take(MOST_SOURCES).collect()
    }

    fn about(&self, source: IpAddr, chosen: bool, found: &mut Vec<Finding>) {
        let name = &self.door.name;
        let mut say = |kind, text| {
            found.push(Finding { kind, door: Some(self.id), source: Some(source), text });
        };
        let opened = |hit: &&Arrival| hit.meaning == Meaning::Opened { door: self.id };
        if let Some(opening) = self.of(source).find(opened) {
            say("opened", format!("door {name} opened: all knocks of {source} arrived correctly"));
            let later = self.of(source).filter(|hit| hit.at >= opening.at);
            if let Some(hit) = later.clone().find(|hit| self.door.guards.contains(&hit.port)) {
                let (port, pass) =
                    (hit.port, if hit.passes { "let it pass" } else { "refused it" });
                say(
                    "connected",
                    format!("{source} then sent a packet to {port}; door {name} {pass}"),
                );
            }
            return;
        }
        let missing = self.missing(source);
        if missing.len() == self.door.sequence.len()
            && self.of(source).all(|hit| !self.is_near(hit))
        {
            if chosen {
                let (kind, text) = self.nothing_from(source);
                say(kind, text);
            }
            return;
        }
        if let Some(other) = self.other(source, &missing) {
            let (first, second) = (source.min(other), source.max(other));
            return say(
                "two-addresses",
                format!(
                    "knocks at door {name} came from two addresses, {first} and {second}; a NAT on \
                     the way changes the source"
                ),
            );
        }
        for (number, port) in &missing {
            let near = self.of(source).find(|hit| hit.port.number == port.number);
            match near {
                Some(hit) => say(
                    "protocol",
                    format!(
                        "{source} sent {} instead of {port}, knock {number} of door {name}",
                        hit.port
                    ),
                ),
                None => say(
                    "missing",
                    format!(
                        "{port} never arrived from {source}; a provider or firewall on the way may \
                         block it"
                    ),
                ),
            }
        }
        let order = if missing.is_empty() { self.disorder(source) } else { None };
        if let Some((early, late)) = order {
            say(
                "reordered",
                format!(
                    "knock {early} of {source} arrived before knock {late}; the network may have \
                     reordered them, so try a longer delay between knocks"
                ),
            );
        }
        let mut said = (false, false);
        for hit in self.of(source) {
            match hit.meaning {
                Meaning::Late { door, knock, by } if self.is(door) && !said.0 => {
                    said.0 = true;
                    say("late", self.late(source, knock, by));
                }
                Meaning::Lost { door, expected } if self.is(door) && !said.1 => {
                    said.1 = true;
                    // A port that a door guards cannot be public.
                    let hint = match hit.guarded.and_then(|id| self.policy.door(id)) {
                        Some(other) => format!(
                            "door {} guards it, so connect there only before or after the knocks",
                            other.name
                        ),
                        None => "if it is a service of this host, list it in `public`".to_owned(),
                    };
                    say(
                        "wrong-port",
                        format!(
                            "{source} sent {} before knock {expected} of door {name}, and a wrong \
                             port ends the attempt; {hint}",
                            hit.port
                        ),
                    );
                }
                _ => {}
            }
        }
        if missing.is_empty() && order.is_none() && said == (false, false) {
            let step = duration::format(self.door.step_timeout);
            say(
                "apart",
                format!(
                    "all knocks at door {name} arrived from {source}, but not in one attempt; each \
                     must come within {step} of the one before"
                ),
            );
        }
    }

    fn late(&self, source: IpAddr, knock: u8, by: Duration) -> String {
        let step = duration::format(self.door.step_timeout);
        let (by, name) = (duration::to_the_tenth(by), &self.door.name);
        format!(
            "knock {knock} of {source} was late by {by}, because door {name} waits {step} for each \
             knock; knock faster, or give the door a longer `step_timeout`"
        )
    }

    /// Nothing arrived from the watched source.
    fn nothing_from(&self, source: IpAddr) -> (&'static str, String) {
        let name = &self.door.name;
        let all: Vec<(usize, Port)> = (1..).zip(self.door.sequence.iter().copied()).collect();
        // A scanner makes a knock now and then by accident; a source that makes several means it.
        let others = self.sources().into_iter().filter(|other| {
            *other != source && self.missing(*other).len().saturating_add(1) < all.len()
        });
        let same_family = |other: &IpAddr| other.is_ipv4() == source.is_ipv4();
        let others: Vec<IpAddr> = others.collect();
        let other = others.iter().find(|other| same_family(other)).or(others.first());
        match (other, self.evidence.arrived) {
            (Some(other), _) => (
                "other-address",
                format!(
                    "knocks at door {name} came from {other}, none from {source}; a NAT on the way \
                     changes the source, or another client knocks"
                ),
            ),
            (None, 0) => (
                "nothing",
                format!(
                    "nothing arrived from {source}; a NAT may change the source, or a firewall on \
                     the way blocks all its packets"
                ),
            ),
            (None, _) => (
                "missing",
                format!(
                    "no knock at door {name} arrived from {source}, but other packets did; a \
                     provider or firewall on the way may block these ports"
                ),
            ),
        }
    }

    /// Another source of the same address family that made the missing knocks at about the same time.
    fn other(&self, source: IpAddr, missing: &[(usize, Port)]) -> Option<IpAddr> {
        let knocks = u32::try_from(self.door.sequence.len()).unwrap_or(u32::MAX);
        let near = self.door.step_timeout.saturating_mul(knocks);
        let mut own = self.of(source).filter(|hit| self.place(hit.port).is_some());
        let (first, last) = (own.next()?.at, self.of(source).last()?.at);
        let made = |hit: &&Arrival| {
            let in_time = hit.at.after(near) >= first && last.after(near) >= hit.at;
            let family = hit.source.is_ipv4() == source.is_ipv4();
            hit.source != source && family && in_time
        };
        let others = || self.evidence.hits.iter().filter(made);
        let candidates = others().filter(|hit| missing.iter().any(|(_, port)| *port == hit.port));
        // It must have made all missing knocks, and must not have opened the door itself.
        candidates.map(|hit| hit.source).find(|other| {
            let made = |port: &Port| others().any(|hit| hit.source == *other && hit.port == *port);
            missing.iter().all(|(_, port)| made(port)) && !self.missing(*other).is_empty()
        })
    }

    /// The first knock that arrived before an earlier knock of the sequence.
    fn disorder(&self, source: IpAddr) -> Option<(usize, usize)> {
        let mut expected = 1usize;
        for hit in self.of(source) {
            let Some(place) = self.place(hit.port) else { continue };
            if place > expected {
                return Some((place, expected));
            }
            if place == expected {
                expected = expected.saturating_add(1);
            }
        }
        None
    }

    /// The knocks that this source did not make, with their numbers from 1.
    fn missing(&self, source: IpAddr) -> Vec<(usize, Port)> {
        let all = (1..).zip(self.door.sequence.iter().copied());
        all.filter(|(_, port)| !self.of(source).any(|hit| hit.port == *port)).collect()
    }

    fn of(&self, source: IpAddr) -> impl Iterator<Item = &Arrival> + Clone {
        self.evidence.hits.iter().filter(move |hit| hit.source == source)
    }

    /// Which knock this port is, from 1.
    fn place(&self, port: Port) -> Option<usize> {
        (1..)
            .zip(&self.door.sequence)
            .find_map(|(number, &knock)| (knock == port).then_some(number))
    }

    fn is_near(&self, hit: &Arrival) -> bool {
        self.door.sequence.iter().any(|knock| knock.number == hit.port.number)
    }

    fn is(&self, door: DoorId) -> bool {
        related(self.policy, self.id, door)
    }
}
