//! Policy to chains: what guards ports and walks the automaton. What else the stance `closed` has is in
//! `base`.
//!
//! Every state of the doors' automaton but the root is a list of source addresses. A packet that may
//! be a knock is taken to the chain of the list that its source is in, which says what the knock
//! means there; a source in no list is in the root. Whoever knocks leaves all lists before entering
//! one, and a packet to any other port takes its source out of all of them. So does one to a guarded port
//! without a grant, unless its source is in the list of a state in which that port changes nothing.
//!
//! The last state of a door needs no list where all its transitions are those of the root. A wrong port
//! has nothing to end there. What changes nothing there, a knock made already or a port that the door
//! guards, begins no sequence, and so means nothing in the root either. (Where the last knock of one door
//! is the first of another, the state has transitions of its own.)

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use core::time::Duration;

use portcullis_core::automaton::{Automaton, Conflict, State, StateId};
use portcullis_core::limits;
use portcullis_core::policy::{
    Door, DoorId, DoorName, Network, Policy, Port, Protocol, Recogniser, Refuse, Stance,
};

use super::text::MAX_PORTS;
use super::{
    AddressStore, Chain, Family, Filter, INPUT, Match, PREFIX, Rule, Set, SetKind, Target,
};
use crate::ruleset::Reject;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

const GATE: &str = "portcullis-gate";
/// Where everything goes that nobody has accepted.
pub(super) const REST: &str = "portcullis-rest";

/// What the gate does with packets that are what they seem. In IPv4 all are.
const PLAIN: &str = "portcullis-plain";
pub(super) const REFUSE: &str = "portcullis-refuse";
/// In the stance `closed`: counts knocks and wrong ports, and comes back.
pub(super) const COUNT: &str = "portcullis-count";
const KNOCK: &str = "portcullis-knock";
const FIRST: &str = "portcullis-first";
const FORGET: &str = "portcullis-forget";
/// For packets to a guarded port without a grant: those that count as wrong ports take their source out of
/// all lists.
const ELSEWHERE: &str = "portcullis-elsewhere";

/// What the name of the set of allowed networks ends with, where those of stages have two numbers.
const ALLOW: &str = "allow";

/// Longest name of a set (`IPSET_MAXNAMELEN` of `linux/netfilter/ipset/ip_set.h`, less the NUL).
const MAX_SET_NAME: usize = 31;

/// Compiles a policy that passed the checks of [`core`](portcullis_core::policy::check()) and of
/// [`super::check`] for this store.
///
/// # Errors
/// The conflicts between doors that `check` would have found.
pub fn compile(
    policy: &Policy,
    store: AddressStore,
    family: Family,
    generation: Generation,
) -> Result<Filter, Vec<Conflict>> {
    let automaton = Automaton::build(policy.doors_seen_by(Recogniser::Kernel))?;
    let listed = listed(&automaton);
    let mut repeats: BTreeMap<StateId, BTreeSet<Port>> = BTreeMap::new();
    for (at, port) in automaton.repeat() {
        repeats.entry(at).or_default().insert(port);
    }
    let compiler = Compiler { policy, store, family, generation, automaton, listed, repeats };
    let mut chains = vec![compiler.input()];
    chains.extend(compiler.gate());
    chains.extend(compiler.doors());
    match policy.gate.stance {
        Stance::Guard => chains.push(compiler.refuse()),
        Stance::Closed => chains.extend(compiler.base()),
    }
    if compiler.recognises() {
        chains.push(compiler.knock());
        chains.extend(compiler.stages());
        chains.push(compiler.first());
        chains.push(compiler.forget());
    }
    let sets = match store {
        AddressStore::Recent => Vec::new(),
        AddressStore::Ipset => compiler.sets(),
    };
    Ok(Filter { family, sets, chains })
}

/// The list of those at this stage. The families have lists of their own: one list of `recent` has
/// one mask for both, and rules that were saved and restored would make it that of IPv4.
pub fn stage_list(family: Family, generation: Generation, door: DoorId, stage: u8) -> String {
    format!("{PREFIX}{}_{}_{}_{stage}", digit(family), generation.0, door.0)
}

/// The list of those who may enter. It bears the door's name and not its number, so that a grant
/// is for the same door after the configuration has changed.
pub fn grant_list(family: Family, door: &DoorName) -> String {
    let prefix = format!("{PREFIX}{}_open_", digit(family));
    let name = door.as_str();
    if prefix.len().saturating_add(name.len()) <= MAX_SET_NAME {
        return format!("{prefix}{name}");
    }
    // FNV-1a, of which 56 bits fit. `check` refuses doors for which it is the same.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{prefix}{:014x}", hash >> 8)
}

/// The set of the networks that are allowed. It is another one after each change, and so is never half
/// of what was allowed before and half of what is allowed now.
pub(super) fn allow_list(family: Family, generation: Generation) -> String {
    format!("{PREFIX}{}_{}_{ALLOW}", digit(family), generation.0)
}

/// How many lists of stages the doors need, per family.
pub(super) fn stage_count(automaton: &Automaton) -> usize {
    listed(automaton).len()
}

fn listed(automaton: &Automaton) -> BTreeSet<StateId> {
    let steps: BTreeSet<StateId> = automaton.step().into_iter().map(|(at, _, _)| at).collect();
    let states = automaton.states();
    states.filter(|(id, s)| s.opens.is_none() || steps.contains(id)).map(|(id, _)| id).collect()
}

const fn digit(family: Family) -> char {
    match family {
        Family::V4 => '4',
        Family::V6 => '6',
    }
}

/// Tells the lists of stages apart from those of the rules before, which the kernel keeps while the
/// one is replaced by the other: half a knock at the old sequence is none at the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Generation(u8);

impl Generation {
    /// Of a list's name, if it is that of a stage or of those who are allowed.
    pub fn of(list: &str) -> Option<Self> {
        let mut parts = list.strip_prefix(PREFIX)?.get(1..)?.strip_prefix('_')?.split('_');
        let generation = parts.next()?.parse().ok().filter(|&generation| generation < 10)?;
        let number = |part: &str| part.parse::<u32>().is_ok();
        let known = match (parts.next()?, parts.next()) {
            (ALLOW, None) => true,
            (door, Some(stage)) => number(door) && number(stage),
            _ => false,
        };
        (known && parts.next().is_none()).then_some(Self(generation))
    }

    /// One that differs from the newest of these, and from all if there are fewer than ten.
    pub fn after(used: &[Self]) -> Self {
        let newest = used.iter().max().map_or(0, |newest| newest.0.saturating_add(1));
        let mut all = (0..10_u8).map(|n| Self(newest.saturating_add(n) % 10));
        all.find(|generation| !used.contains(generation)).unwrap_or_default()
    }
}

pub(super) struct Compiler<'a> {
    pub(super) policy: &'a Policy,
    pub(super) store: AddressStore,
    pub(super) family: Family,
    pub(super) generation: Generation,
    automaton: Automaton,
    /// The states that have a list.
    listed: BTreeSet<StateId>,
    /// The ports that change nothing in a state.
    repeats: BTreeMap<StateId, BTreeSet<Port>>,
}

impl Compiler<'_> {
    pub(super) fn recognises(&self) -> bool {
        self.automaton.states().next().is_some()
    }

    /// The states that have a list, the furthest first.
    fn lists(&self) -> impl Iterator<Item = (StateId, &State, String)> {
        let mut states: Vec<_> =
            self.automaton.states().filter(|(id, _)| self.listed.contains(id)).collect();
        states.sort_by_key(|(id, state)| (core::cmp::Reverse(state.stage), *id));
        states.into_iter().map(|(id, state)| (id, state, self.stage(state)))
    }

    fn stage(&self, state: &State) -> String {
        stage_list(self.family, self.generation, state.door, state.stage)
    }

    fn grants(&self, door: &Door) -> String {
        grant_list(self.family, &door.name)
    }

    fn sets(&self) -> Vec<Set> {
        let stage = |(_, _, name)| {
            let size = limits::MAX_IPSET_ATTEMPTS;
            Set { name, size, kind: SetKind::Sources { default_timeout: 5 } }
        };
        let grants = self.policy.doors.iter().map(|door| {
            let size = limits::MAX_GRANTS;
            Set { name: self.grants(door), size, kind: SetKind::Sources { default_timeout: 30 } }
        });
        self.allow_set().into_iter().chain(grants).chain(self.lists().map(stage)).collect()
    }

    fn input(&self) -> Chain {
        let mut rules = Vec::from(self.already_made());
        if self.policy.gate.interfaces.is_empty() {
            rules.push(rule([Match::Interface("lo".to_owned())], Target::Return));
            rules.push(rule([], goto(GATE)));
        } else {
            let names: BTreeSet<_> = self.policy.gate.interfaces.iter().collect();
            for name in names {
                rules.push(rule([Match::Interface(name.as_str().to_owned())], goto(GATE)));
            }
        }
        Chain { name: INPUT.to_owned(), rules }
    }

    /// Part of a connection already made. A SYN begins one, whatever connection tracking says: it
    /// takes no notice of a segment with SYN and RST by which the network stack ends a connection, and
    /// then holds each new SYN from there to be part of the old one.
    fn already_made(&self) -> [Rule; 2] {
        [vec![Match::Protocol(Protocol::Tcp), not_bare_syn()], vec![Match::NotTcp]].map(|kind| {
            let mut matches = kind;
            matches.push(Match::Established);
            if self.family == Family::V6 {
                matches.push(Match::Plain);
            }
            let rule = Rule { matches, target: Some(Target::Return), comment: None };
            rule.because("connections already made")
        })
    }

    /// What comes in where the gate stands.
    fn gate(&self) -> Vec<Chain> {
        let mut rules = self.allow();
        match self.family {
            Family::V4 => {
                rules.extend(self.plain());
                vec![chain(GATE, rules)]
            }
            Family::V6 => {
                rules.push(rule([Match::Plain], goto(PLAIN)));
                let disguised = rule([], self.disguised());
                rules.push(disguised.because("headers that may hide another packet"));
                vec![chain(GATE, rules), chain(PLAIN, self.plain())]
            }
        }
    }

    /// For packets that are what they seem.
    fn plain(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        rules.extend(to_ports(&self.policy.gate.public, &Target::Return));
        for (id, door) in self.policy.doors() {
            let to_door = to_ports(&door.guards, &goto(&door_chain(id)));
            rules.extend(to_door.into_iter().map(|rule| rule.because(door.name.as_str())));
        }
        if self.policy.gate.stance == Stance::Closed {
            let related = rule([Match::Related], Target::Return);
            rules.push(related.because("belongs to a connection"));
        }
        if self.recognises() {
            rules.push(rule([Match::NotForHost], self.otherwise()));
            rules.push(
                rule([Match::Protocol(Protocol::Tcp), not_bare_syn()], self.otherwise())
                    .because("only a bare SYN is a knock"),
            );
            match self.policy.gate.stance {
                Stance::Guard => rules.extend(self.count()),
                Stance::Closed => rules.push(rule([], Target::Call(COUNT.to_owned()))),
            }
        }
        if self.policy.gate.stance == Stance::Closed {
            rules.push(rule([], goto(REST)));
        }
        rules
    }

    /// A knock, or a wrong port.
    pub(super) fn count(&self) -> Vec<Rule> {
        let knocks: BTreeSet<Port> =
            self.automaton.states().map(|(_, state)| state.entered_by).collect();
        let mut rules = to_ports(&Vec::from_iter(knocks), &goto(KNOCK));
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let forget = rule([Match::Protocol(protocol)], goto(FORGET));
            rules.push(forget.because("a wrong port ends the attempt"));
        }
        rules
    }

    /// For packets to the guarded ports of a door. Without a grant they are refused, and end an attempt
    /// at another door.
    fn doors(&self) -> Vec<Chain> {
        let mut chains = Vec::new();
        let mut ends_attempts = false;
        for (id, door) in self.policy.doors() {
            let granted = rule([self.is_in(self.grants(door), door.open_for)], Target::Return);
            let mut rules = vec![granted.because("knocked")];
            // A port is guarded by one door and is no knock: what one of them means, all of them mean.
            let changes_nothing = |at: &StateId| {
                let ports = self.repeats.get(at);
                door.guards.iter().all(|port| ports.is_some_and(|ports| ports.contains(port)))
            };
            let (own, others): (Vec<_>, Vec<_>) =
                self.lists().partition(|(at, _, _)| changes_nothing(at));
            if !others.is_empty() {
                rules.extend(own.into_iter().map(|(_, state, list)| {
                    let own = rule([self.is_in(list, state.step_timeout)], goto(REFUSE));
                    own.because("people connect while they knock")
                }));
                rules.push(rule([], Target::Call(ELSEWHERE.to_owned())));
                ends_attempts = true;
            }
            rules.push(rule([], goto(REFUSE)));
            chains.push(chain(&door_chain(id), rules));
        }
        if ends_attempts {
            chains.push(self.elsewhere());
        }
        chains
    }

    /// The same packets count here as at other ports. Link-local addresses are in no list.
    fn elsewhere(&self) -> Chain {
        let mut rules = Vec::new();
        if self.policy.gate.stance == Stance::Closed {
            rules.push(rule([Match::Related], Target::Return).because("belongs to a connection"));
        }
        rules.push(rule([Match::NotForHost], Target::Return));
        rules.push(
            rule([Match::Protocol(Protocol::Tcp), not_bare_syn()], Target::Return)
                .because("only a bare SYN is a knock"),
        );
        rules.push(rule([], goto(FORGET)).because("a wrong port ends the attempt"));
        chain(ELSEWHERE, rules)
    }

    /// In the stance `guard`: refuses who has no grant.
    fn refuse(&self) -> Chain {
        let tcp = || Match::Protocol(Protocol::Tcp);
        let rules = match self.policy.gate.refuse {
            Refuse::Drop => vec![rule([], Target::Drop)],
            Refuse::Reject => vec![rule([], Target::Reject(Reject::AdminProhibited))],
            Refuse::LikeClosed => {
                let ongoing = Match::TcpFlags { is: false, mask: RST | ACK, value: 0 };
                vec![
                    // A listening socket answers these as a closed port does, or they belong to a
                    // connection that is older than the connection tracking.
                    rule([tcp(), ongoing], Target::Return).because("starts no connection"),
                    rule([tcp()], Target::Reject(Reject::TcpReset)),
                    rule([], Target::Reject(Reject::PortUnreachable)),
                ]
            }
        };
        chain(REFUSE, rules)
    }

    /// A bare SYN or a datagram to a port of some sequence.
    fn knock(&self) -> Chain {
        let stages = self.lists().map(|(_, state, list)| {
            rule([self.is_in(list, state.step_timeout)], goto(&stage_chain(state)))
        });
        let mut rules = Vec::new();
        if self.family == Family::V6 {
            // It is another host on each interface, and a list has no place for the interface.
            let nobody = link_local().map(|network| rule([Match::From(network)], Target::Return));
            rules.extend(nobody.map(|rule| rule.because("opens nothing for link-local addresses")));
        }
        rules.extend(stages);
        rules.push(rule([], goto(FIRST)));
        chain(KNOCK, rules)
    }

    /// What a knock means to a source in a list.
    fn stages(&self) -> Vec<Chain> {
        let mut steps: BTreeMap<StateId, Vec<(Port, StateId)>> = BTreeMap::new();
        for (at, port, to) in self.automaton.step() {
            steps.entry(at).or_default().push((port, to));
        }
        let guards: BTreeSet<_> = self.policy.doors.iter().flat_map(|door| &door.guards).collect();
        let stages = self.lists().map(|(id, state, _)| {
            // Guarded ports do not come as far as here.
            let made = self.repeats.get(&id).into_iter().flatten();
            let made: Vec<_> = made.filter(|port| !guards.contains(port)).copied().collect();
            let again = to_ports(&made, &Target::Return).into_iter();
            let mut rules: Vec<_> = again.map(|rule| rule.because("sent again")).collect();
            rules.push(rule([], Target::Call(FORGET.to_owned())));
            for &(port, to) in steps.get(&id).into_iter().flatten() {
                rules.extend(self.enter(port, to));
            }
            rules.push(rule([], goto(FIRST)));
            chain(&stage_chain(state), rules)
        });
        stages.collect()
    }

    /// What a knock means to a source in no list.
    fn first(&self) -> Chain {
        let first = self.automaton.first().into_iter();
        chain(FIRST, first.flat_map(|(port, to)| self.enter(port, to)).collect())
    }

    /// Takes the source out of all lists.
    fn forget(&self) -> Chain {
        let rules = self.lists().map(|(_, _, list)| match self.store {
            AddressStore::Recent => {
                Rule { matches: vec![Match::RecentRemove(list)], target: None, comment: None }
            }
            AddressStore::Ipset => rule([], Target::Delete(list)),
        });
        chain(FORGET, rules.collect())
    }

    /// A knock at this port brings the source, which is in no list, to this state.
    fn enter(&self, at: Port, to: StateId) -> Vec<Rule> {
        let Some(state) = self.automaton.state(to) else { return Vec::new() };
        let mut lists = Vec::new();
        if self.listed.contains(&to) {
            lists.push((self.stage(state), state.step_timeout));
        }
        let door = state.opens.and_then(|door| self.policy.door(door));
        lists.extend(door.map(|door| (self.grants(door), door.open_for)));
        let mut rules = Vec::new();
        let mut matches = Vec::from(port(at));
        for (list, time) in lists {
            match self.store {
                AddressStore::Recent => matches.push(Match::RecentSet(list)),
                AddressStore::Ipset => {
                    rules.push(rule(port(at), Target::Add { set: list, seconds: seconds(time) }));
                }
            }
        }
        rules.push(Rule { matches, target: Some(Target::Return), comment: None });
        let comment = door.map(|door| format!("opens {}", door.name));
        match comment {
            Some(comment) => rules.into_iter().map(|rule| rule.because(&comment)).collect(),
            None => rules,
        }
    }

    fn is_in(&self, list: String, time: Duration) -> Match {
        match self.store {
            AddressStore::Recent => Match::Recent { list, seconds: seconds(time) },
            AddressStore::Ipset => Match::InSet(list),
        }
    }
}

impl Rule {
    pub(super) fn because(mut self, comment: &str) -> Self {
        self.comment = Some(comment.to_owned());
        self
    }
}

/// Whole seconds, as `check` made sure. 0 would be for ever.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(1)
}

pub(super) fn rule<const N: usize>(matches: [Match; N], target: Target) -> Rule {
    Rule { matches: matches.into(), target: Some(target), comment: None }
}

/// A segment that cannot begin a connection: SYN with neither of FIN, RST and ACK is what can.
const fn not_bare_syn() -> Match {
    Match::TcpFlags { is: false, mask: FIN | SYN | RST | ACK, value: SYN }
}

pub(super) fn chain(name: &str, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), rules }
}

pub(super) fn goto(chain: &str) -> Target {
    Target::Goto(chain.to_owned())
}

fn door_chain(door: DoorId) -> String {
    format!("{PREFIX}-door-{}", door.0)
}

fn stage_chain(state: &State) -> String {
    format!("{PREFIX}-at-{}-{}", state.door.0, state.stage)
}

fn port(port: Port) -> [Match; 2] {
    [Match::Protocol(port.protocol), Match::Ports(vec![port.number.get()])]
}

/// The target for packets to these ports, in as few rules as can be.
fn to_ports(ports: &[Port], target: &Target) -> Vec<Rule> {
    let mut rules = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let of_protocol = ports.iter().filter(|port| port.protocol == protocol);
        let numbers: BTreeSet<u16> = of_protocol.map(|port| port.number.get()).collect();
        for some in Vec::from_iter(numbers).chunks(MAX_PORTS) {
            let matches = [Match::Protocol(protocol), Match::Ports(some.to_vec())];
            rules.push(rule(matches, target.clone()));
        }
    }
    rules
}

/// Link-local addresses, from which DHCPv6 servers and relays answer (RFC 8415, section 18.2.9).
pub(super) fn link_local() -> Option<Network> {
    Network::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).into(), 10).ok()
}
