//! Says for a packet which rules it meets and what comes out, without a kernel.
//!
//! It runs the [`Ruleset`] value itself, rule by rule, so what it says holds for what is loaded;
//! tests hold it to the real kernel. Dynamic sets are kept with their timeouts; time is an argument.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use portcullis_core::policy::{Network, Protocol};
use portcullis_core::time::Instant;

use crate::compile::banned_as;
use crate::ruleset::{
    Chain, Data, Destination, Field, HookPoint, Kind, Limit, Operation, Reject, Rule, Ruleset,
    Statement, Tracking, Value, Verdict,
};

const IPPROTO_ICMP: u8 = 1;
const IPPROTO_ICMPV6: u8 = 58;
const IPPROTO_FRAGMENT: u8 = 44;

/// A packet to this host, as the network stack and connection tracking see it: reassembled, with a
/// correct checksum, and with what they know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The interface that it came in on.
    pub interface: String,
    /// Whether it was sent to this host alone (`meta pkttype host`).
    pub for_host: bool,
    /// Whether it still has a fragment header: of IPv6, one that is alone (RFC 6946), or the first of
    /// several, too short for its transport header. Others never get this far.
    pub fragment: bool,
    /// What connection tracking says of it.
    pub tracked: Tracking,
    /// Which socket the network stack has for it.
    pub socket: Socket,
    /// Its hop limit, or time to live.
    pub hop_limit: u8,
    /// Its source address.
    pub source: IpAddr,
    /// Its destination address, of the same family.
    pub destination: IpAddr,
    /// What it carries.
    pub payload: Payload,
}

impl Packet {
    /// A packet that begins a connection, to a port that nothing listens on.
    pub fn new(source: IpAddr, destination: IpAddr, payload: Payload) -> Self {
        Self {
            interface: "eth0".to_owned(),
            for_host: true,
            fragment: false,
            tracked: Tracking::New,
            socket: Socket::None,
            hop_limit: 64,
            source,
            destination,
            payload,
        }
    }

    /// Whether it begins no connection, and may belong to one: a TCP segment with RST or ACK.
    const fn acknowledges(&self) -> bool {
        const RST_OR_ACK: u8 = 0x14;
        matches!(self.payload, Payload::Tcp { flags, .. } if flags & RST_OR_ACK != 0)
    }

    /// It as a part of a connection that both sides have spoken in. A TCP connection has a socket, the
    /// conversations of UDP share one.
    pub fn of_connection(self) -> Self {
        let socket = if self.acknowledges() { Socket::Connection } else { self.socket };
        Self { tracked: Tracking::Established, socket, ..self }
    }
}

/// Which socket the network stack has for a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    /// None: the port is closed.
    None,
    /// One that listens on all addresses, or receives datagrams there.
    Listener,
    /// One that does so on one address.
    BoundListener,
    /// That of a connection.
    Connection,
    /// A handshake that is not complete, or what is left of a closed connection.
    Half,
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

impl Payload {
    const fn destination_port(self) -> Option<u16> {
        match self {
            Self::Tcp { destination_port, .. } | Self::Udp { destination_port, .. } => {
                Some(destination_port)
            }
            Self::Icmp { .. } | Self::Other(_) => None,
        }
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on to other tables and then to whoever listens.
    Passed,
    /// It goes on to a port that nobody can listen on, and is answered as by the closed port that it
    /// asked.
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

    /// Whether there is a dynamic set of this name.
    pub fn has(&self, set: &str) -> bool {
        self.dynamic.contains_key(set)
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

    /// Sends a packet through all chains that it meets on its way to this host.
    pub fn receive(&mut self, packet: &Packet, now: Instant) -> Trace<'a> {
        let ruleset = self.ruleset;
        let mut run = Run {
            simulator: self,
            packet,
            now,
            at: ("", 0),
            priority: 0,
            port: packet.payload.destination_port(),
            translated: false,
        };
        let mut steps = Vec::new();
        for chain in at_hook(ruleset, HookPoint::Prerouting) {
            if let Some(fate) = run.chains(ruleset, chain, &mut steps) {
                return Trace { steps, fate };
            }
        }
        // Connection tracking asks for a translation once, when a connection begins.
        if matches!(packet.tracked, Tracking::New | Tracking::Related) {
            for chain in at_hook(ruleset, HookPoint::PreroutingNat) {
                if !run.translated {
                    run.chains(ruleset, chain, &mut steps);
                }
            }
        }
        for chain in at_hook(ruleset, HookPoint::Input) {
            if let Some(fate) = run.chains(ruleset, chain, &mut steps) {
                return Trace { steps, fate };
            }
        }
        let asked = packet.payload.destination_port();
        let fate = if run.port == asked { Fate::Passed } else { Fate::AnsweredAsClosed };
        Trace { steps, fate }
    }
}

/// The chains that the kernel calls there, in its order.
fn at_hook(ruleset: &Ruleset, point: HookPoint) -> Vec<&Chain> {
    let mut chains: Vec<_> = ruleset
        .chains
        .iter()
        .filter_map(|chain| Some((chain.hook.filter(|hook| hook.point == point)?.priority, chain)))
        .collect();
    chains.sort_by_key(|(priority, _)| *priority);
    chains.into_iter().map(|(_, chain)| chain).collect()
}

/// One packet on its way.
struct Run<'s, 'a> {
    simulator: &'s mut Simulator<'a>,
    packet: &'s Packet,
    now: Instant,
    /// The chain and the number of the rule that is being evaluated.
    at: (&'a str, usize),
    priority: u32,
    /// Its destination port, which rules change.
    port: Option<u16>,
    /// Whether its connection goes to another port than it asked.
    translated: bool,
}

enum End {
    /// This chain is done with it.
    Accepted,
    Goto(String),
    Jump(String),
    Return,
    Fate(Fate),
}

impl<'a> Run<'_, 'a> {
    /// From one chain that the kernel calls to where the rules lead. `None` if the packet goes on.
    fn chains(
        &mut self,
        ruleset: &'a Ruleset,
        from: &'a Chain,
        steps: &mut Vec<Step<'a>>,
    ) -> Option<Fate> {
        // The rules that are still to come: of this chain, and of those that have jumped here.
        let rules = |chain: &'a Chain| (chain, chain.rules.iter().enumerate());
        let mut stack = Vec::from([rules(from)]);
        while let Some((chain, rest)) = stack.last_mut() {
            let chain = *chain;
            let Some((index, rule)) = rest.next() else {
                stack.pop();
                continue;
            };
            self.at = (&chain.name, index);
            let (matched, end) = self.rule(rule);
            steps.push(Step { chain: &chain.name, index, rule, matched });
            match end {
                None => {}
                Some(End::Accepted) => return None,
                Some(End::Fate(fate)) => return Some(fate),
                Some(End::Goto(name)) => {
                    stack.pop();
                    stack.extend(ruleset.chain(&name).map(rules));
                }
                // The kernel refuses rules that jump deeper than sixteen times, or in a circle.
                Some(End::Jump(name)) => stack.extend(ruleset.chain(&name).map(rules)),
                Some(End::Return) => {
                    stack.pop();
                }
            }
        }
        // What is behind the last rule is the policy of the base chain, which accepts.
        None
    }

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
            Statement::Tracked(states) => states.contains(&self.packet.tracked),
            Statement::Translated => self.translated,
            Statement::SocketWildcard(is) => match self.packet.socket {
                Socket::None | Socket::Half => false,
                Socket::Listener => *is && !self.translated,
                Socket::BoundListener => !is && !self.translated,
                Socket::Connection => !is,
            },
            // None of ours is transparent, and nothing listens where a packet is sent to be refused.
            Statement::SocketTransparent(is) => {
                let asked = self.packet.payload.destination_port();
                !is && self.packet.socket != Socket::None && self.port == asked && asked != Some(0)
            }
            Statement::To { is, kind } => (self.destination() == *kind) == *is,
            // Packets have no options here, and their checksums are right.
            Statement::IpOptions | Statement::UdpChecksumZero | Statement::TcpHasOptions => false,
            Statement::FromLinkLocal => self.is_link_local(),
            Statement::FromLocalAddress | Statement::MoreFragments => false,
            Statement::ThDportAmong { first, last } => {
                self.port.is_some_and(|port| (*first..=*last).contains(&port))
            }
            Statement::ThDportZero => self.port == Some(0),
            Statement::NotForHost => !self.packet.for_host,
            Statement::FragmentHeader => self.packet.fragment && self.packet.source.is_ipv6(),
            // The one header that a packet of this kind may have is the first.
            Statement::Ip6NextHeader { is, kind } => {
                let first = if self.packet.fragment { IPPROTO_FRAGMENT } else { self.protocol() };
                self.packet.source.is_ipv6() && (first == *kind) == *is
            }
            Statement::HopByHopNextHeader(_) | Statement::FragmentNextHeader(_) => false,
            Statement::Protocol { is, protocol } => (self.protocol() == protocol.number()) == *is,
            Statement::Interface(name) => self.packet.interface == *name,
            Statement::IcmpType(kind) => self.icmp(false) == Some(*kind),
            Statement::Icmpv6Type(kind) => self.icmp(true) == Some(*kind),
            // Messages have no code and no content here: an error quotes nothing but zeros.
            Statement::IcmpTooBig => false,
            Statement::TransportByte { is, value, .. } => (*value == 0) == *is,
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
                self.is_link_local()
                    && matches!(self.packet.payload, Payload::Udp { destination_port: 546, .. })
            }
            Statement::Limit(limit) => {
                let full = Bucket::full(*limit, self.now);
                let bucket = self.simulator.limits.entry(self.at).or_insert(full);
                bucket.take(*limit, self.now)
            }
            Statement::Counter | Statement::Log(_) | Statement::EndTcpOptions => true,
            Statement::TcpFlags { equal, mask, value } => match self.packet.payload {
                Payload::Tcp { flags, .. } => (flags & mask == *value) == *equal,
                _ => false,
            },
            Statement::In { key, set, member } => self.find(key, set)?.is_some() == *member,
            Statement::SetPriority(number) => {
                self.priority = *number;
                true
            }
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
            Statement::SetDportZero => {
                self.port = Some(0);
                true
            }
            Statement::SetDportFrom { map } => match self.find(&[Field::Priority], map)?? {
                Some(Value::Service(port)) => {
                    self.port = Some(port);
                    true
                }
                _ => false,
            },
            // It keeps no memory of connections.
            Statement::SetTimeout(_) => true,
            Statement::DnatToPorts { first, .. } => {
                self.port = Some(*first);
                self.translated = true;
                return Some(Some(End::Accepted));
            }
            // No chain with these is simulated.
            Statement::SnatToPorts { .. } | Statement::ClearFlowLabel => true,
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
            Verdict::Accept => End::Accepted,
            Verdict::Drop => End::Fate(Fate::Dropped),
            Verdict::Goto(chain) => End::Goto(chain.to_owned()),
            Verdict::Jump(chain) => End::Jump(chain.to_owned()),
            Verdict::Return => End::Return,
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

    fn destination(&self) -> Destination {
        match self.packet.destination {
            address if address.is_multicast() => Destination::Multicast,
            IpAddr::V4(Ipv4Addr::BROADCAST) => Destination::Broadcast,
            _ => Destination::Local,
        }
    }

    fn is_link_local(&self) -> bool {
        matches!(self.packet.source, IpAddr::V6(source) if source.is_unicast_link_local())
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
            Field::Ip6Saddr => address(self.packet.source, false),
            Field::Ip6SaddrNetwork => address(banned_as(self.packet.source), false),
            Field::L4Proto => match self.protocol() {
                6 => Some(Value::Proto(Protocol::Tcp)),
                17 => Some(Value::Proto(Protocol::Udp)),
                _ => None,
            },
            Field::ThDport => self.port.map(Value::Service),
            Field::OriginalDport => self.packet.payload.destination_port().map(Value::Service),
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
