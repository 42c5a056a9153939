//! Says for a packet which rules it meets and what comes out, without a kernel.
//!
//! It runs the [`Ruleset`] value itself, rule by rule, so what it says holds for what is loaded;
//! tests hold it to the real kernel. Dynamic sets are kept with their timeouts; time is an argument.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use portcullis_core::policy::{Network, Protocol};
use portcullis_core::time::Instant;

use crate::compile::{banned_as, bucket};
use crate::ruleset::{
    Data, Field, HookPoint, Kind, Limit, Operation, Reject, Rule, Ruleset, Statement, Value,
    Verdict,
};

const IPPROTO_ICMP: u8 = 1;
const IPPROTO_ICMPV6: u8 = 58;

/// A packet as the input hook sees it: routed, reassembled, and known to connection tracking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The interface that it came in on.
    pub interface: String,
    /// Whether it was sent to this host alone (`meta pkttype host`).
    pub for_host: bool,
    /// Whether it is a fragment that was not reassembled: of IPv6, the first one, too short for its
    /// transport header. Others never get this far.
    pub fragment: bool,
    /// Whether connection tracking takes it for part of a connection that both sides have spoken in.
    pub established: bool,
    /// Whether connection tracking takes it for something that belongs to such a connection.
    pub related: bool,
    /// Its hop limit, or time to live.
    pub hop_limit: u8,
    /// Its source address.
    pub source: IpAddr,
    /// Its destination address, of the same family.
    pub destination: IpAddr,
    /// What it carries.
    pub payload: Payload,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// A TCP segment.
    Tcp {
        /// From this port.
        source_port: u16,
        /// To this port.
        destination_port: u16,
        /// Byte 13 of its header.
        flags: u8,
    },
    /// A UDP datagram.
    Udp {
        /// From this port.
        source_port: u16,
        /// To this port.
        destination_port: u16,
    },
    /// An ICMP message; ICMPv6 in IPv6.
    Icmp {
        /// Its type.
        kind: u8,
    },
    /// Something else, by its protocol number.
    Other(u8),
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on to other tables and then to whoever listens.
    Passed,
    /// It goes on, readdressed to a port that nobody can listen on: answered as a closed port.
    AnsweredAsClosed,
    /// It is refused.
    Refused(Reject),
    /// It is gone.
    Dropped,
}

/// A rule that a packet met, and how far it matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The chain.
    pub chain: &'a str,
    /// The number of the rule in its chain, from 0.
    pub index: usize,
    /// The rule.
    pub rule: &'a Rule,
    /// Whether every statement of it matched.
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

/// A loaded ruleset with the contents of its dynamic sets.
#[derive(Debug, Clone)]
pub struct Simulator<'a> {
    ruleset: &'a Ruleset,
    fixed: BTreeMap<&'a str, BTreeMap<Vec<Key>, Option<&'a Value>>>,
    networks: BTreeMap<&'a str, Vec<Network>>,
    dynamic: BTreeMap<&'a str, BTreeMap<Vec<Key>, Timed>>,
    /// What is left of the limits, by chain and number of the rule.
    limits: BTreeMap<(&'a str, usize), Bucket>,
}

/// What is left of a limit (`nft_limit_eval` of net/netfilter/nft_limit.c).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    /// In billionths of a packet.
    tokens: u128,
    last: Instant,
}

impl Bucket {
    const PACKET: u128 = 1_000_000_000;

    pub(crate) fn full(limit: Limit, now: Instant) -> Self {
        Self { tokens: Self::PACKET.saturating_mul(limit.burst.into()), last: now }
    }

    /// Takes one packet; whether the limit matches.
    pub(crate) fn take(&mut self, limit: Limit, now: Instant) -> bool {
        let gained = now.since(self.last).as_nanos().saturating_mul(limit.rate.into());
        let gained = gained.checked_div(limit.per.seconds().into()).unwrap_or(0);
        let most = Self::full(limit, now).tokens;
        self.last = now;
        self.tokens = self.tokens.saturating_add(gained).min(most);
        match self.tokens.checked_sub(Self::PACKET) {
            Some(left) => {
                self.tokens = left;
                !limit.over
            }
            None => limit.over,
        }
    }
}

#[derive(Debug, Clone)]
struct Timed {
    data: Option<Value>,
    until: Instant,
    /// What is left of the element's own limit.
    left: Option<Bucket>,
}

/// A value that can be ordered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Address(IpAddr),
    Number(u32),
    Name(String),
}

impl From<&Value> for Key {
    fn from(value: &Value) -> Self {
        match value {
            Value::Ipv4(address) => Self::Address((*address).into()),
            Value::Ipv6(address) => Self::Address((*address).into()),
            Value::Proto(protocol) => Self::Number(protocol.number().into()),
            Value::Service(number) => Self::Number((*number).into()),
            Value::Class(number) => Self::Number(*number),
            Value::Interface(name) => Self::Name(name.clone()),
            // No set of ours is keyed by verdicts, and those of networks are kept elsewhere.
            Value::Verdict(_) | Value::Network(_) => Self::Name(String::new()),
        }
    }
}

impl<'a> Simulator<'a> {
    /// A ruleset just loaded.
    pub fn new(ruleset: &'a Ruleset) -> Self {
        let mut fixed = BTreeMap::new();
        let mut networks = BTreeMap::new();
        let mut dynamic = BTreeMap::new();
        for set in &ruleset.sets {
            if set.kind == Kind::Dynamic {
                dynamic.insert(set.name.as_str(), BTreeMap::new());
            } else if set.kind == Kind::Networks {
                let elements = set.elements.iter().filter_map(|e| match e.key.as_slice() {
                    [Value::Network(network)] => Some(*network),
                    _ => None,
                });
                networks.insert(set.name.as_str(), elements.collect());
            } else {
                let elements = set.elements.iter();
                let elements = elements
                    .map(|e| (e.key.iter().map(Key::from).collect(), e.data.as_ref()))
                    .collect();
                fixed.insert(set.name.as_str(), elements);
            }
        }
        Self { ruleset, fixed, networks, dynamic, limits: BTreeMap::new() }
    }

    /// Puts an element into a dynamic set, as the daemon does with grants.
    pub fn add(&mut self, set: &str, key: &[Value], data: Option<Value>, until: Instant) {
        if let Some(set) = self.dynamic.get_mut(set) {
            let left = None;
            set.insert(key.iter().map(Key::from).collect(), Timed { data, until, left });
        }
    }

    /// The data of a living element of a dynamic map: `Some(None)` if the set has it without data.
    pub fn get(&self, set: &str, key: &[Value], now: Instant) -> Option<Option<&Value>> {
        let key: Vec<Key> = key.iter().map(Key::from).collect();
        let element = self.dynamic.get(set)?.get(&key)?;
        (now < element.until).then_some(element.data.as_ref())
    }

    /// How long a living element of a dynamic set still lives.
    pub fn left(&self, set: &str, key: &[Value], now: Instant) -> Option<Duration> {
        let key: Vec<Key> = key.iter().map(Key::from).collect();
        let element = self.dynamic.get(set)?.get(&key)?;
        (now < element.until).then(|| element.until.since(now))
    }

    /// Sends a packet through the chains of the input hook.
    pub fn receive(&mut self, packet: &Packet, now: Instant) -> Trace<'a> {
        let ruleset = self.ruleset;
        let input = ruleset
            .chains
            .iter()
            .find(|chain| chain.hook.is_some_and(|hook| hook.point == HookPoint::Input));
        let mut run =
            Run { simulator: self, packet, now, at: ("", 0), priority: 0, readdressed: false };
        let mut steps = Vec::new();
        let mut next = input;
        while let Some(chain) = next.take() {
            for (index, rule) in chain.rules.iter().enumerate() {
                run.at = (&chain.name, index);
                let (matched, end) = run.rule(rule);
                steps.push(Step { chain: &chain.name, index, rule, matched });
                let fate = match end {
                    None => continue,
                    Some(End::Goto(name)) => {
                        next = ruleset.chain(&name);
                        break;
                    }
                    Some(End::Fate(fate)) => fate,
                };
                return Trace { steps, fate };
            }
        }
        // The end of a chain that was gone to is the policy of the base chain, which accepts.
        let fate = if run.readdressed { Fate::AnsweredAsClosed } else { Fate::Passed };
        Trace { steps, fate }
    }
}

/// One packet on its way.
struct Run<'s, 'a> {
    simulator: &'s mut Simulator<'a>,
    packet: &'s Packet,
    now: Instant,
    /// The chain and the number of the rule that is being evaluated.
    at: (&'a str, usize),
    priority: u32,
    readdressed: bool,
}

enum End {
    Goto(String),
    Fate(Fate),
}

impl Run<'_, '_> {
    /// Whether all of the rule matched, and how the evaluation ends if it does.
    fn rule(&mut self, rule: &Rule) -> (bool, Option<End>) {
        for statement in &rule.statements {
            match self.statement(statement) {
                None => return (false, None),
                Some(None) => {}
                Some(Some(end)) => return (true, Some(end)),
            }
        }
        (true, None)
    }

    /// `None` if it does not match.
    fn statement(&mut self, statement: &Statement) -> Option<Option<End>> {
        let matched = match statement {
            Statement::CtEstablished => self.packet.established,
            Statement::CtEstablishedOrRelated => self.packet.established || self.packet.related,
            Statement::NotForHost => !self.packet.for_host,
            Statement::FragmentHeader => self.packet.fragment && self.packet.source.is_ipv6(),
            Statement::Protocol { is, protocol } => (self.protocol() == protocol.number()) == *is,
            Statement::Interface(name) => self.packet.interface == *name,
            Statement::IcmpType(kind) => self.icmp(false) == Some(*kind),
            Statement::Icmpv6Type(kind) => self.icmp(true) == Some(*kind),
            Statement::HopLimit255 => {
                self.packet.source.is_ipv6() && self.packet.hop_limit == u8::MAX
            }
            Statement::DhcpReply => {
                self.packet.source.is_ipv4()
                    && matches!(
                        self.packet.payload,
                        Payload::Udp { source_port: 67, destination_port: 68 }
                    )
            }
            Statement::Dhcpv6Reply => {
                let on_link = matches!(
                    self.packet.source,
                    IpAddr::V6(source) if source.is_unicast_link_local()
                );
                on_link && matches!(self.packet.payload, Payload::Udp { destination_port: 546, .. })
            }
            Statement::Limit(limit) => {
                let full = Bucket::full(*limit, self.now);
                let bucket = self.simulator.limits.entry(self.at).or_insert(full);
                bucket.take(*limit, self.now)
            }
            Statement::Counter | Statement::Log(_) => true,
            Statement::TcpSportNotZero => match self.packet.payload {
                Payload::Tcp { source_port, .. } => source_port != 0,
                _ => false,
            },
            Statement::TcpFlags { equal, mask, value } => match self.packet.payload {
                Payload::Tcp { flags, .. } => (flags & mask == *value) == *equal,
                _ => false,
            },
            Statement::In { key, set, member } => self.find(key, set)?.is_some() == *member,
            Statement::PriorityNotZero => self.priority != 0,
            Statement::SetPriority(number) => {
                self.priority = *number;
                true
            }
            Statement::SetPriorityTo(field) => match self.value(*field)? {
                Value::Class(number) => {
                    self.priority = number;
                    true
                }
                _ => false,
            },
            Statement::SetPriorityFrom { key, map } => match self.find(key, map)?? {
                Some(Value::Class(number)) => {
                    self.priority = number;
                    true
                }
                _ => false,
            },
            Statement::Dispatch { key, map } => match self.find(key, map)?? {
                Some(Value::Verdict(verdict)) => return Some(Some(self.end(&verdict))),
                _ => false,
            },
            Statement::Change { operation, set, key, timeout, limit, data } => {
                let key = self.key(key)?;
                let data = match data {
                    Some(Data::Field(field)) => Some(self.value(*field)?),
                    Some(Data::Value(value)) => Some(value.clone()),
                    None => None,
                };
                let changed = self.change(*operation, set, &key, *timeout, data);
                changed && limit.is_none_or(|limit| self.within(set, &key, limit))
            }
            Statement::SetTcpDportZero => {
                let tcp = self.protocol() == Protocol::Tcp.number();
                self.readdressed |= tcp;
                tcp
            }
            // Only packets of this host meet this.
            Statement::SetTcpSportFrom { .. } => false,
            Statement::Reject(reject) => {
                let possible =
                    *reject != Reject::TcpReset || self.protocol() == Protocol::Tcp.number();
                return possible.then_some(Some(End::Fate(Fate::Refused(*reject))));
            }
            Statement::Verdict(verdict) => return Some(Some(self.end(verdict))),
        };
        matched.then_some(None)
    }

    fn end(&self, verdict: &Verdict) -> End {
        match verdict {
            Verdict::Accept if self.readdressed => End::Fate(Fate::AnsweredAsClosed),
            Verdict::Accept => End::Fate(Fate::Passed),
            Verdict::Drop => End::Fate(Fate::Dropped),
            Verdict::Goto(chain) => End::Goto(chain.to_owned()),
        }
    }

    fn protocol(&self) -> u8 {
        match self.packet.payload {
            Payload::Tcp { .. } => Protocol::Tcp.number(),
            Payload::Udp { .. } => Protocol::Udp.number(),
            Payload::Icmp { .. } if self.packet.source.is_ipv4() => IPPROTO_ICMP,
            Payload::Icmp { .. } => IPPROTO_ICMPV6,
            Payload::Other(number) => number,
        }
    }

    /// The type of an ICMP message in a packet of that family.
    fn icmp(&self, six: bool) -> Option<u8> {
        match self.packet.payload {
            Payload::Icmp { kind } if self.packet.source.is_ipv6() == six => Some(kind),
            _ => None,
        }
    }

    /// What the packet has there; `None` if it has no such field.
    fn value(&self, field: Field) -> Option<Value> {
        let address = |address: IpAddr, four: bool| match address {
            IpAddr::V4(address) if four => Some(Value::Ipv4(address)),
            IpAddr::V6(address) if !four => Some(Value::Ipv6(address)),
            _ => None,
        };
        match field {
            Field::IpSaddr => address(self.packet.source, true),
            Field::IpDaddr => address(self.packet.destination, true),
            Field::Ip6Saddr => address(self.packet.source, false),
            Field::Ip6Daddr => address(self.packet.destination, false),
            Field::Ip6SaddrNetwork => address(banned_as(self.packet.source), false),
            Field::IpSaddrBucket { seed } => {
                let source = Some(self.packet.source).filter(IpAddr::is_ipv4)?;
                Some(Value::Class(bucket(source, seed)))
            }
            Field::Ip6SaddrBucket { seed } => {
                let source = Some(self.packet.source).filter(IpAddr::is_ipv6)?;
                Some(Value::Class(bucket(source, seed)))
            }
            Field::L4Proto => match self.protocol() {
                6 => Some(Value::Proto(Protocol::Tcp)),
                17 => Some(Value::Proto(Protocol::Udp)),
                _ => None,
            },
            Field::ThDport | Field::TcpDport => match self.packet.payload {
                Payload::Tcp { destination_port, .. } => Some(Value::Service(destination_port)),
                Payload::Udp { destination_port, .. } if field == Field::ThDport => {
                    Some(Value::Service(destination_port))
                }
                _ => None,
            },
            Field::Priority => Some(Value::Class(self.priority)),
            Field::Iifname => Some(Value::Interface(self.packet.interface.clone())),
        }
    }

    fn key(&self, fields: &[Field]) -> Option<Vec<Key>> {
        fields.iter().map(|&field| Some(Key::from(&self.value(field)?))).collect()
    }

    /// `None` if the packet has no such key, `Some(None)` if the set has not, else the data.
    fn find(&self, key: &[Field], set: &str) -> Option<Option<Option<Value>>> {
        let key = self.key(key)?;
        if let Some(set) = self.simulator.fixed.get(set) {
            return Some(set.get(&key).map(|data| data.cloned()));
        }
        if let Some(networks) = self.simulator.networks.get(set) {
            let [Key::Address(address)] = key.as_slice() else { return Some(None) };
            return Some(networks.iter().any(|it| it.contains(*address)).then_some(None));
        }
        let element = self.simulator.dynamic.get(set).and_then(|set| set.get(&key));
        Some(element.filter(|e| self.now < e.until).map(|element| element.data.clone()))
    }

    /// Whether the statement matches: adding does not where the set is full.
    fn change(
        &mut self,
        operation: Operation,
        name: &str,
        key: &[Key],
        timeout: Option<Duration>,
        data: Option<Value>,
    ) -> bool {
        let size = self.simulator.ruleset.set(name).and_then(|set| set.size);
        let size = size.map_or(usize::MAX, |size| size as usize);
        let now = self.now;
        let Some(set) = self.simulator.dynamic.get_mut(name) else { return false };
        if operation == Operation::Delete {
            set.remove(key);
            return true;
        }
        let until = now.after(timeout.unwrap_or(Duration::MAX));
        if let Some(element) = set.get_mut(key).filter(|element| now < element.until) {
            if operation == Operation::Update {
                element.until = until;
            }
            return true;
        }
        if set.len() >= size {
            set.retain(|_, element| now < element.until);
        }
        let room = set.len() < size;
        if room {
            set.insert(key.to_vec(), Timed { data, until, left: None });
        }
        room
    }

    /// Whether the own limit of an element that is there matches.
    fn within(&mut self, set: &str, key: &[Key], limit: Limit) -> bool {
        let now = self.now;
        let element = self.simulator.dynamic.get_mut(set).and_then(|set| set.get_mut(key));
        element.is_some_and(|element| {
            element.left.get_or_insert(Bucket::full(limit, now)).take(limit, now)
        })
    }
}
