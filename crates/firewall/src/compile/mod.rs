//! Policy to ruleset.
//!
//! | module | what it makes |
//! |---|---|
//! | `sets` | the sets and maps: the gate's, and the automaton as data |
//! | `allow` | sources that need no knock |
//! | `ban` | strikes and bans |
//! | `base` | the chains for incoming packets; the base firewall of the stance `closed` |
//! | `attempts` | the maps that hold the state of each source |
//! | `fragments` | drops packets that hide their port |
//! | `door` | which packets a guarded port accepts |
//! | `refuse` | how the others are answered: like at a closed port, if configured |
//! | `knock` | how a knock changes the state of its source |
//!
//! The doors' automaton becomes data. A source's state is an element of a map; transitions are the maps `first` and `step`; what a state does is the verdict map `act`.
//! The rules look up each packet a fixed number of times. One door needs as many rules as ten thousand
//! doors. Only each further pair of durations adds a small chain, because a timeout must be written in a
//! rule.
//!
//! The rules keep the current number (a door or a state) in the priority of the packet. The receiving side
//! of a host does not use the priority. It does use the mark, so the rules never change the mark.

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

/// The set of active grants for an address family.
pub const GRANTS: [&str; 2] = ["grant4", "grant6"];

/// The map of first knocks to states.
pub const FIRST: &str = "first";

/// The map of guarded ports to doors; its comments are the doors' names.
pub const GUARDS: &str = "guards";

/// The map of the states that open a door.
pub const OPENS: &str = "opens";

/// The map from a state to the state after a forgiven wrong port. It exists only if some door forgives.
pub const FORGIVE: &str = "forgive";

/// The sets and maps that define the states and their order. While these stay the same, the numbers in
/// [`ATTEMPTS`] keep their meaning.
pub const AUTOMATON: [&str; 6] = [FIRST, "step", "repeat", FORGIVE, OPENS, "act"];

pub use allow::{ALLOWED, HOSTS, Hosts, admit};
pub use attempts::{ATTEMPTS, IN_TIME, LATE_ATTEMPTS, LATE_IN_TIME, attempt_of};
pub use ban::{BANS, LATE_BANS, LATE_STRIKES, STRIKES, banned_as};
pub use knock::{CHANGES_NOTHING, FORGIVEN, KNOCK};
pub use refuse::{CLOSED_OR_NOT, PUT_BACK};

/// The chain of the input hook.
pub const INPUT: &str = "input";

/// The priorities at which the chain [`INPUT`] does the same. All are before the `filter` chains of others
/// (0). So a packet that these chains drop can still be a knock, and they treat a refused packet like a
/// packet to a closed port. All are after `mangle` (-150).
pub const INPUT_PRIORITIES: core::ops::RangeInclusive<i32> = INPUT_PRIORITY..=-1;

/// The first of them. To replace a loaded table, use another one.
pub const INPUT_PRIORITY: i32 = -99;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The source address, in IPv4 and in IPv6 packets.
const SADDR: [Field; 2] = [Field::IpSaddr, Field::Ip6Saddr];
const ADDRESS: [Type; 2] = [Type::Ipv4Addr, Type::Ipv6Addr];

/// In the stance `closed`: the chain for packets that no rule has accepted.
const REST: &str = "rest";
/// In the stance `closed`: the chain that refuses everything.
const REFUSE: &str = "refuse";

/// To a unicast address of this host; and to all other addresses.
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
    chains.push(compiler.door());
    chains.extend(compiler.refusal_chains());
    chains.extend(compiler.ban_chains());
    if policy.gate.stance == Stance::Closed {
        chains.extend([compiler.rest(), compiler.refuse()]);
    }
    if compiler.recognises() {
        sets.extend(compiler.automaton_sets());
        chains.extend([compiler.recall(), compiler.knock()]);
        chains.extend(compiler.wrong());
        chains.push(compiler.advance());
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

    /// Whether the network stack answers refused packets, as it does for a closed port.
    fn answers_as_closed(&self) -> bool {
        self.policy.gate.refuse == Refuse::LikeClosed
    }
}

const ACCEPT: Statement = Statement::Verdict(Verdict::Accept);
const RETURN: Statement = Statement::Verdict(Verdict::Return);
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

fn jump(chain: &str) -> Statement {
    Statement::Verdict(Verdict::Jump(chain.to_owned()))
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
