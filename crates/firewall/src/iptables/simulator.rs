//! Says for a packet which rules of a [`Filter`] it meets and what comes out, without a kernel.
//!
//! Tests hold it to the real kernel, and to the [simulator of nftables](crate::simulator).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use portcullis_core::policy::Network;
use portcullis_core::time::Instant;

use super::{Chain, Family, Filter, INPUT, Match, Rule, SetKind, Target};
use crate::ruleset::Tracking;
use crate::ruleset::{Limit, Reject, Unit};
use crate::simulator::{Bucket, Fate, Packet, Payload};

/// Addresses in one list of `recent`, if the kernel was not told otherwise when it started
/// (`ip_list_tot` of `net/netfilter/xt_recent.c`).
pub const RECENT_SIZE: usize = 100;

/// More chains than this a packet of ours never walks through.
const MAX_DEPTH: usize = 16;

/// Loaded filters of one or both families, with what their lists hold.
#[derive(Debug, Clone)]
pub struct Simulator<'a> {
    filters: &'a [Filter],
    /// By name: source addresses with the time when they came, the one that came last at the end.
    recent: BTreeMap<String, Vec<(IpAddr, Instant)>>,
    /// By name: source addresses with their last moment.
    sets: BTreeMap<String, BTreeMap<IpAddr, Instant>>,
    /// By name.
    networks: BTreeMap<&'a str, &'a [Network]>,
    /// What is left of the limits, by family, chain and number of the rule.
    limits: BTreeMap<(Family, &'a str, usize), Bucket>,
}

/// A rule that a packet met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The chain.
    pub chain: &'a str,
    /// The number of the rule in its chain, from 0.
    pub index: usize,
    /// The rule.
    pub rule: &'a Rule,
    /// Whether every match of it said yes.
    pub matched: bool,
}

/// What happened to one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace<'a> {
    /// The rules that it met, in order.
    pub steps: Vec<Step<'a>>,
    /// What came out.
    pub fate: Fate,
}

/// How the walk through a chain ends.
enum End {
    /// The chain that jumped here goes on.
    Return,
    Fate(Fate),
}

impl<'a> Simulator<'a> {
    /// Filters just loaded.
    pub fn new(filters: &'a [Filter]) -> Self {
        let (mut sets, mut networks) = (BTreeMap::new(), BTreeMap::new());
        for set in filters.iter().flat_map(|filter| &filter.sets) {
            match &set.kind {
                SetKind::Sources { .. } => {
                    sets.insert(set.name.clone(), BTreeMap::new());
                }
                SetKind::Networks(these) => {
                    networks.insert(set.name.as_str(), these.as_slice());
                }
            }
        }
        Self { filters, recent: BTreeMap::new(), sets, networks, limits: BTreeMap::new() }
    }

    /// Whether this address is in a set, or came into a list of `recent` at most so long ago.
    pub fn has(&self, list: &str, source: IpAddr, time: Duration, now: Instant) -> bool {
        self.left(list, source, time, now).is_some()
    }

    /// How long it still is, or will have come at most so long ago.
    pub fn left(
        &self,
        list: &str,
        source: IpAddr,
        time: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let last = match self.sets.get(list) {
            Some(set) => *set.get(&source)?,
            None => self.came(list, source)?.after(time),
        };
        // It still is at its last moment.
        (now <= last).then(|| last.after(Duration::from_nanos(1)).since(now))
    }

    /// Sends a packet through the chains. Of an IPv6 packet, `fragment` stands for each of the
    /// headers that [`Match::Plain`] looks for.
    pub fn receive(&mut self, packet: &Packet, now: Instant) -> Trace<'a> {
        let family = if packet.source.is_ipv4() { Family::V4 } else { Family::V6 };
        let mut steps = Vec::new();
        let filters = self.filters;
        let fate = match filters.iter().find(|filter| filter.family == family) {
            Some(filter) => match self.walk(filter, INPUT, packet, now, &mut steps, 0) {
                End::Return => Fate::Passed,
                End::Fate(fate) => fate,
            },
            None => Fate::Passed,
        };
        Trace { steps, fate }
    }

    fn walk(
        &mut self,
        filter: &'a Filter,
        chain: &str,
        packet: &Packet,
        now: Instant,
        steps: &mut Vec<Step<'a>>,
        depth: usize,
    ) -> End {
        let Some(chain): Option<&Chain> = filter.chain(chain) else { return End::Return };
        if depth > MAX_DEPTH {
            return End::Return;
        }
        let deeper = depth.saturating_add(1);
        for (index, rule) in chain.rules.iter().enumerate() {
            let at = (filter.family, chain.name.as_str(), index);
            let matched = rule.matches.iter().all(|condition| self.is(condition, packet, now, at));
            steps.push(Step { chain: &chain.name, index, rule, matched });
            let Some(target) = rule.target.as_ref().filter(|_| matched) else { continue };
            match target {
                Target::Return => return End::Return,
                Target::Log(_) => {}
                Target::Drop => return End::Fate(Fate::Dropped),
                Target::Reject(Reject::TcpReset) if !is_tcp(packet) => {}
                Target::Reject(how) => return End::Fate(Fate::Refused(*how)),
                Target::Goto(next) => return self.walk(filter, next, packet, now, steps, deeper),
                Target::Call(next) => {
                    if let End::Fate(fate) = self.walk(filter, next, packet, now, steps, deeper) {
                        return End::Fate(fate);
                    }
                }
                Target::Add { set, seconds } => {
                    let size = filter.sets.iter().find(|s| s.name == *set).map_or(0, |s| s.size);
                    let until = now.after(Duration::from_secs(u64::from(*seconds)));
                    if let Some(set) = self.sets.get_mut(set) {
                        set.retain(|_, last| now <= *last);
                        if set.contains_key(&packet.source) || set.len() < size as usize {
                            set.insert(packet.source, until);
                        }
                    }
                }
                Target::Delete(set) => {
                    if let Some(set) = self.sets.get_mut(set) {
                        set.remove(&packet.source);
                    }
                }
            }
        }
        End::Return
    }

    fn came(&self, list: &str, source: IpAddr) -> Option<Instant> {
        let list = self.recent.get(list)?;
        list.iter().find(|(address, _)| *address == source).map(|&(_, came)| came)
    }

    /// Whether a match says yes; changes what it changes.
    fn is(
        &mut self,
        condition: &Match,
        packet: &Packet,
        now: Instant,
        at: (Family, &'a str, usize),
    ) -> bool {
        let source = packet.source;
        match condition {
            Match::Interface(name) => packet.interface == *name,
            Match::From(network) => network.contains(source),
            Match::Established => packet.tracked == Tracking::Established,
            Match::Related => packet.tracked == Tracking::Related,
            Match::HopLimit255 => packet.hop_limit == u8::MAX,
            Match::IcmpType(kind) => packet.payload == Payload::Icmp { kind: *kind },
            Match::SourcePort(port) => match packet.payload {
                Payload::Tcp { source_port, .. } | Payload::Udp { source_port, .. } => {
                    source_port == *port
                }
                Payload::Icmp { .. } | Payload::Other(_) => false,
            },
            Match::Limit { per_second, burst } => {
                let (rate, burst) = (*per_second, *burst);
                let limit = Limit { rate, per: Unit::Second, burst, over: false };
                self.limits.entry(at).or_insert(Bucket::full(limit, now)).take(limit, now)
            }
            Match::NotForHost => !packet.for_host,
            Match::Plain => !packet.fragment,
            Match::NotTcp => !is_tcp(packet),
            Match::Protocol(protocol) => match packet.payload {
                Payload::Tcp { .. } => protocol.number() == 6,
                Payload::Udp { .. } => protocol.number() == 17,
                Payload::Icmp { .. } | Payload::Other(_) => false,
            },
            Match::Ports(ports) => match packet.payload {
                Payload::Tcp { destination_port, .. } | Payload::Udp { destination_port, .. } => {
                    ports.contains(&destination_port)
                }
                Payload::Icmp { .. } | Payload::Other(_) => false,
            },
            Match::TcpFlags { is, mask, value } => match packet.payload {
                Payload::Tcp { flags, .. } => (flags & mask == *value) == *is,
                _ => false,
            },
            Match::Recent { list, seconds } => self.came(list, source).is_some_and(|came| {
                *seconds == 0 || now <= came.after(Duration::from_secs(u64::from(*seconds)))
            }),
            Match::RecentSet(list) => {
                let list = self.recent.entry(list.clone()).or_default();
                let known = list.len();
                list.retain(|(address, _)| *address != source);
                if list.len() == known && known >= RECENT_SIZE {
                    list.remove(0);
                }
                list.push((source, now));
                true
            }
            Match::RecentRemove(list) => {
                let Some(list) = self.recent.get_mut(list) else { return false };
                let known = list.len();
                list.retain(|(address, _)| *address != source);
                list.len() < known
            }
            Match::InSet(set) => {
                if let Some(networks) = self.networks.get(set.as_str()) {
                    return networks.iter().any(|network| network.contains(source));
                }
                let set = self.sets.get(set);
                set.and_then(|set| set.get(&source)).is_some_and(|&last| now <= last)
            }
        }
    }
}

const fn is_tcp(packet: &Packet) -> bool {
    matches!(packet.payload, Payload::Tcp { .. })
}
