//! Policy to ruleset.
//!
//! | module | what it makes |
//! |---|---|
//! | `sets` | the sets and maps: the gate's, and the automaton as data |
//! | `allow` | who needs no knock |
//! | `ban` | strikes and bans |
//! | `base` | the way of a packet that comes in; the base firewall of the stance `closed` |
//! | `attempts` | where the state of a source is kept |
//! | `fragments` | what hides its port is dropped |
//! | `door` | who is let in at a guarded port |
//! | `refuse` | how all others are answered: as by a closed port, if that is wanted |
//! | `knock` | what a knock does to the state of its source |
//!
//! The doors' automaton becomes data. A source's state is an element of a map; transitions are the maps `first` and `step`; what a state does is the verdict map `act`.
//! A packet is looked up a fixed number of times, and the rules are as many for one door as for ten
//! thousand; only each further pair of durations adds a small chain, since a timeout must be written
//! in a rule.
//!
//! While the rules walk, the number at hand (a door, a state) is kept in the packet's priority. It
//! means nothing to the receiving side of a host, unlike the packet's mark, which is never touched.

pub(crate) mod allow;
mod attempts;
mod ban;
pub(crate) mod base;
mod door;
mod fragments;
mod knock;
mod refuse;
mod sets;
pub(crate) mod shared;

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use portcullis_core::automaton::{Automaton, Conflict};
use portcullis_core::policy::{DoorId, Policy, Port, Protocol, Recogniser, Refuse, Stance};

use crate::ruleset::{
    Chain, Data, Destination, Element, Field, Kind, Operation, Rule, Ruleset, Set, Statement, Type,
    Value, Verdict,
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

/// The sets and maps that say what a state is and what follows it. As long as these are the same, so is
/// what the numbers in [`ATTEMPTS`] mean.
pub const AUTOMATON: [&str; 6] = [FIRST, "step", "repeat", FORGIVE, OPENS, "act"];

pub use allow::{ALLOWED, HOSTS, Hosts, admit};
pub use attempts::{ATTEMPTS, IN_TIME, LATE_ATTEMPTS, LATE_IN_TIME, attempt_of};
pub use ban::{BANS, LATE_BANS, LATE_STRIKES, STRIKES, banned_as};
pub use refuse::{CLOSED_OR_NOT, PUT_BACK};

/// The chain of the input hook.
pub const INPUT: &str = "input";

/// The priorities at which the chain [`INPUT`] does the same. All are before the `filter` chains of
/// others (0): what they drop may still be a knock, and what is refused meets the same fate as a packet
/// to a port with nothing behind it. And all are behind `mangle` (-150).
pub const INPUT_PRIORITIES: core::ops::RangeInclusive<i32> = INPUT_PRIORITY..=-1;

/// The first of them; whoever replaces a loaded table uses another one.
pub const INPUT_PRIORITY: i32 = -99;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The source address, in IPv4 and in IPv6 packets.
const SADDR: [Field; 2] = [Field::IpSaddr, Field::Ip6Saddr];
const ADDRESS: [Type; 2] = [Type::Ipv4Addr, Type::Ipv6Addr];

/// In the stance `closed`: where everything goes that nobody has accepted.
const REST: &str = "rest";
/// In the stance `closed`: where everything is refused.
const REFUSE: &str = "refuse";

/// To an address of this host, and of it alone; and to all others.
const TO_LOCAL: Statement = Statement::To { is: true, kind: Destination::Local };
const NOT_LOCAL: Statement = Statement::To { is: false, kind: Destination::Local };

/// A bare SYN, or something else than a TCP segment, does not match.
const NOT_BARE_SYN: Statement =
    Statement::TcpFlags { equal: false, mask: FIN | SYN | RST | ACK, value: SYN };

/// A TCP segment that could belong to a connection.
const NO_SYN: Statement = Statement::TcpFlags { equal: true, mask: SYN, value: 0 };

/// A TCP segment that has one of these begins no connection.
const RST_OR_ACK: Statement = Statement::TcpFlags { equal: false, mask: RST | ACK, value: 0 };

/// Compiles a policy that passed [`check`](portcullis_core::policy::check()).
///
/// # Errors
/// The conflicts between doors that `check` would have found.
pub fn compile(policy: &Policy) -> Result<Ruleset, Vec<Conflict>> {
    let automaton = Automaton::build(policy.doors_seen_by(Recogniser::Kernel))?;
    let compiler = Compiler { policy, automaton };
    let mut sets = compiler.gate_sets();
    let mut chains = compiler.fragment_chains();
    chains.extend(compiler.translation());
    chains.push(compiler.input());
    chains.extend(compiler.without_ports());
    chains.extend(compiler.door());
    chains.extend(compiler.refusal_chains());
    chains.extend(compiler.ban_chains());
    if policy.gate.stance == Stance::Closed {
        chains.extend([compiler.rest(), compiler.refuse()]);
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
    Ok(Ruleset { comment, timeouts: compiler.timeouts(), sets, chains })
}

struct Compiler<'a> {
    policy: &'a Policy,
    automaton: Automaton,
}

impl Compiler<'_> {
    /// Whether the kernel recognises any door.
    fn recognises(&self) -> bool {
        self.automaton.states().next().is_some()
    }

    /// Whether what is refused is answered by the network stack, as a closed port would be.
    fn answers_as_closed(&self) -> bool {
        self.policy.gate.refuse == Refuse::LikeClosed
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

const fn is(protocol: Protocol) -> Statement {
    Statement::Protocol { is: true, protocol }
}

const fn not(protocol: Protocol) -> Statement {
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
