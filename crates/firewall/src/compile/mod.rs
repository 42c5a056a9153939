//! Policy to ruleset.
//!
//! | module | what it makes |
//! |---|---|
//! | `sets` | the sets and maps: the gate's, and the automaton as data |
//! | `allow` | who needs no knock |
//! | `ban` | strikes and bans |
//! | `base` | the way of a packet that comes in; the base firewall of the stance `closed` |
//! | `buckets` | where the state of a source is kept |
//! | `door` | who is let in at a guarded port, and how all others are answered |
//! | `knock` | what a knock does to the state of its source |
//!
//! The doors' automaton becomes data. A source's state is an element of the map `state`; transitions are the maps `first` and `step`; what a state does is the verdict map `act`.
//! A packet is looked up a fixed number of times, and the rules are as many for one door as for ten
//! thousand; only each further pair of durations adds a small chain, since a timeout must be written
//! in a rule.
//!
//! While the rules walk, the number at hand (a door, a state) is kept in the packet's priority. It
//! means nothing to the receiving side of a host, unlike the packet's mark, which is never touched.

pub(crate) mod allow;
mod ban;
pub(crate) mod base;
mod buckets;
mod door;
mod knock;
mod sets;

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use portcullis_core::automaton::{Automaton, Conflict};
use portcullis_core::policy::{DoorId, Policy, Port, Protocol, Recogniser, Refuse, Stance};

use crate::ruleset::{
    Chain, Data, Element, Field, Kind, Operation, Rule, Ruleset, Set, Statement, Type, Value,
    Verdict,
};

/// The number of a door in the kernel. 0 is no door.
pub const fn class_of(door: DoorId) -> u32 {
    door.0.saturating_add(1)
}

/// The set of living grants for an address family.
pub const GRANTS: [&str; 2] = ["grant4", "grant6"];

/// The map of first knocks to states.
pub const FIRST: &str = "first";

/// The map of guarded ports to doors; its comments are the doors' names.
pub const GUARDS: &str = "guards";

/// The map of the states that open a door.
pub const OPENS: &str = "opens";

/// The map of what forgiving a wrong port makes of a state. Only there if some door forgives.
pub const FORGIVE: &str = "forgive";

/// The [buckets](Buckets) that are in time for their next knock, where wrong ports are forgiven.
pub const LIVE: &str = "live";

/// The map from the [bucket](Buckets) of a source to how far it has come.
pub const STATE: &str = "state";

/// The sets and maps that say what a state is and what follows it. As long as these are the same, so is
/// what the numbers in [`STATE`] mean.
pub const AUTOMATON: [&str; 7] = ["knocks", FIRST, "step", "repeat", FORGIVE, OPENS, "act"];

pub use allow::{ALLOWED, HOSTS, Hosts, admit};
pub use ban::{BANS, LATE_BANS, LATE_STRIKES, STRIKES, banned_as};
pub use buckets::Buckets;
pub(crate) use buckets::bucket;

/// The chain of the input hook.
pub const INPUT: &str = "input";

/// The priorities at which the chain [`INPUT`] does the same. All are before the `filter` chains of
/// others (0): what they drop may still be a knock, and what is refused meets the same fate as a packet
/// to a port with nothing behind it. And all are behind `mangle` (-150).
pub const INPUT_PRIORITIES: core::ops::RangeInclusive<i32> = INPUT_PRIORITY..=-1;

/// The first of them; whoever replaces a loaded table uses another one.
pub const INPUT_PRIORITY: i32 = -99;

/// Before everything else that sees packets of this host (`raw` is -300), conntrack (-200) included:
/// nobody but us sees an answer before it has its port back.
const OUTPUT_PRIORITY: i32 = -310;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The source address, in IPv4 and in IPv6 packets.
const SADDR: [Field; 2] = [Field::IpSaddr, Field::Ip6Saddr];
const DADDR: [Field; 2] = [Field::IpDaddr, Field::Ip6Daddr];
const ADDRESS: [Type; 2] = [Type::Ipv4Addr, Type::Ipv6Addr];
const ASKED: [&str; 2] = ["asked4", "asked6"];

/// In the stance `closed`: where everything goes that nobody has accepted.
const REST: &str = "rest";
/// In the stance `closed`: where everything is refused.
const REFUSE: &str = "refuse";

/// Compiles a policy that passed [`check`](portcullis_core::policy::check()).
///
/// # Errors
/// The conflicts between doors that `check` would have found.
pub fn compile(policy: &Policy) -> Result<Ruleset, Vec<Conflict>> {
    let automaton = Automaton::build(policy.doors_seen_by(Recogniser::Kernel))?;
    let buckets = Buckets::of(&automaton);
    let compiler = Compiler { policy, automaton, buckets };
    let mut sets = compiler.gate_sets();
    let mut chains = vec![compiler.input()];
    chains.extend(compiler.door());
    chains.extend(compiler.ban_chains());
    if policy.gate.stance == Stance::Closed {
        chains.extend([compiler.rest(), compiler.refuse()]);
    }
    if compiler.answers_as_closed() {
        chains.push(compiler.output());
    }
    if compiler.recognises() {
        sets.extend(compiler.automaton_sets());
        chains.extend([compiler.recall(), compiler.knock()]);
        chains.push(chain(
            "advance",
            vec![rule([Statement::Dispatch { key: vec![Field::Priority], map: "act" }])],
        ));
        chains.extend(compiler.stages());
    }
    let comment = "made by portcullis: change its configuration, not this".to_owned();
    Ok(Ruleset { comment, sets, chains })
}

struct Compiler<'a> {
    policy: &'a Policy,
    automaton: Automaton,
    buckets: Buckets,
}

impl Compiler<'_> {
    /// Whether the kernel recognises any door.
    fn recognises(&self) -> bool {
        self.automaton.states().next().is_some()
    }

    /// Whether a refused TCP port is answered by the network stack, as a closed one would be.
    fn answers_as_closed(&self) -> bool {
        let mut guards = self.policy.doors.iter().flat_map(|door| &door.guards);
        self.policy.gate.refuse == Refuse::LikeClosed
            && (self.policy.gate.stance == Stance::Closed
                || guards.any(|port| port.protocol == Protocol::Tcp))
    }
}

const ACCEPT: Statement = Statement::Verdict(Verdict::Accept);
const PORT: [Type; 2] = [Type::InetProto, Type::InetService];
const PORT_FIELDS: [Field; 2] = [Field::L4Proto, Field::ThDport];
const STATE_PORT: [Type; 3] = [Type::Classid, Type::InetProto, Type::InetService];
const STATE_PORT_FIELDS: [Field; 3] = [Field::Priority, Field::L4Proto, Field::ThDport];

impl Rule {
    fn because(mut self, comment: &'static str) -> Self {
        self.comment = Some(comment);
        self
    }
}

fn rule<const N: usize>(statements: [Statement; N]) -> Rule {
    Rule { statements: statements.into(), comment: None }
}

fn chain(name: &str, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), hook: None, rules }
}

fn fixed(name: &str, key: Vec<Type>, data: Option<Type>, elements: Vec<Element>) -> Set {
    Set { name: name.to_owned(), key, data, kind: Kind::Fixed, size: None, elements }
}

fn dynamic(name: &str, key: Vec<Type>, data: Option<Type>, size: u32) -> Set {
    let elements = Vec::new();
    Set { name: name.to_owned(), key, data, kind: Kind::Dynamic, size: Some(size), elements }
}

fn element(key: Vec<Value>, data: Option<Value>) -> Element {
    Element { key, data, comment: None }
}

fn port_key(port: Port) -> Vec<Value> {
    vec![Value::Proto(port.protocol), Value::Service(port.number.get())]
}

fn state_port_key(state: u32, port: Port) -> Vec<Value> {
    let mut key = vec![Value::Class(state)];
    key.extend(port_key(port));
    key
}

fn is_in(set: &'static str) -> Statement {
    Statement::In { key: PORT_FIELDS.to_vec(), set, member: true }
}

fn not(protocol: Protocol) -> Statement {
    Statement::Protocol { is: false, protocol }
}

fn goto(chain: &str) -> Statement {
    Statement::Verdict(Verdict::Goto(chain.to_owned()))
}

fn delete(set: &'static str, key: Field, data: Option<Value>) -> Statement {
    let data = data.map(Data::Value);
    let (operation, key) = (Operation::Delete, vec![key]);
    Statement::Change { operation, set, key, timeout: None, limit: None, data }
}

fn update(set: &'static str, key: Vec<Field>, timeout: Duration) -> Statement {
    let timeout = Some(timeout);
    let operation = Operation::Update;
    Statement::Change { operation, set, key, timeout, limit: None, data: None }
}
