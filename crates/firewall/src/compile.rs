//! Policy to ruleset, stance `guard`: touch only the guarded ports, leave everything else to
//! whatever firewall is there.
//!
//! The doors' automaton becomes data. A source's state is an element of the map `state4` or
//! `state6`; transitions are the maps `first` and `step`; what a state does is the verdict map `act`.
//! A packet is looked up a fixed number of times, and the rules are as many for one door as for ten
//! thousand; only each further pair of durations adds a small chain, since a timeout must be written
//! in a rule.
//!
//! While the rules walk, the number at hand (a door, a state) is kept in the packet's priority. It
//! means nothing to the receiving side of a host, unlike the packet's mark, which is never touched.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use portcullis_core::automaton::{Automaton, Conflict, State};
use portcullis_core::limits;
use portcullis_core::policy::{DoorId, Policy, Port, Protocol, Recogniser, Refuse};

use crate::ruleset::{
    Chain, Data, Element, Field, Hook, HookPoint, Operation, Reject, Rule, Ruleset, Set, Statement,
    Type, Value, Verdict,
};

/// The number of a door in the kernel. 0 is no door.
pub const fn class_of(door: DoorId) -> u32 {
    door.0.saturating_add(1)
}

/// The set of living grants for an address family.
pub const GRANTS: [&str; 2] = ["grant4", "grant6"];

/// The map of guarded ports to doors; its comments are the doors' names.
pub const GUARDS: &str = "guards";

/// The map of the states that open a door.
pub const OPENS: &str = "opens";

/// The map of what forgiving a wrong port makes of a state. Only there if some door forgives.
pub const FORGIVE: &str = "forgive";

/// The sources that are in time for their next knock, where wrong ports are forgiven.
pub const LIVE: [&str; 2] = ["live4", "live6"];

/// The maps from a source to how far it has come, for each address family.
pub const STATE: [&str; 2] = ["state4", "state6"];

/// The sets and maps that say what a state is and what follows it. As long as these are the same, so is
/// what the numbers in [`STATE`] mean.
pub const AUTOMATON: [&str; 7] = ["knocks", "first", "step", "repeat", FORGIVE, OPENS, "act"];

/// Before the `filter` chains of others (priority 0): what they drop may still be a knock, and what
/// is refused meets the same fate as a packet to a port with nothing behind it.
const INPUT_PRIORITY: i32 = -10;

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

/// Compiles a policy that passed [`check`](portcullis_core::policy::check()).
///
/// # Errors
/// The conflicts between doors that `check` would have found.
pub fn compile(policy: &Policy) -> Result<Ruleset, Vec<Conflict>> {
    let automaton = Automaton::build(policy.doors_seen_by(Recogniser::Kernel))?;
    let compiler = Compiler { policy, automaton };
    let mut sets = compiler.gate_sets();
    let mut chains = vec![compiler.input(), compiler.door()];
    if compiler.answers_as_closed() {
        chains.push(compiler.output());
    }
    if compiler.recognises() {
        sets.extend(compiler.automaton_sets());
        chains.push(compiler.knock());
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
}

impl Compiler<'_> {
    /// Whether the kernel recognises any door.
    fn recognises(&self) -> bool {
        self.automaton.states().next().is_some()
    }

    /// Whether a guarded TCP port is answered by the network stack, as a closed one would be.
    fn answers_as_closed(&self) -> bool {
        let mut guards = self.policy.doors.iter().flat_map(|door| &door.guards);
        self.policy.gate.refuse == Refuse::LikeClosed
            && guards.any(|port| port.protocol == Protocol::Tcp)
    }

    fn gate_sets(&self) -> Vec<Set> {
        let gate = &self.policy.gate;
        let mut sets = Vec::new();
        if !gate.interfaces.is_empty() {
            let names: BTreeSet<_> = gate.interfaces.iter().collect();
            let elements = names
                .into_iter()
                .map(|name| element(vec![Value::Interface(name.as_str().to_owned())], None));
            sets.push(fixed("interfaces", vec![Type::Ifname], None, elements.collect()));
        }
        let public: BTreeSet<_> = gate.public.iter().collect();
        let public = public.into_iter().map(|&port| element(port_key(port), None)).collect();
        sets.push(fixed("public", PORT.to_vec(), None, public));
        let mut guarded = BTreeSet::new();
        let mut guards = Vec::new();
        for (id, door) in self.policy.doors() {
            for &port in door.guards.iter().filter(|&&port| guarded.insert(port)) {
                let mut guard = element(port_key(port), Some(Value::Class(class_of(id))));
                guard.comment = Some(door.name.as_str().to_owned());
                guards.push(guard);
            }
        }
        sets.push(fixed(GUARDS, PORT.to_vec(), Some(Type::Classid), guards));
        for (name, address) in GRANTS.into_iter().zip(ADDRESS) {
            sets.push(dynamic(name, vec![address, Type::Classid], None, limits::MAX_GRANTS));
        }
        if self.answers_as_closed() {
            for (name, address) in ASKED.into_iter().zip(ADDRESS) {
                let data = Some(Type::InetService);
                sets.push(dynamic(name, vec![address], data, limits::MAX_REFUSALS));
            }
        }
        sets
    }

    fn automaton_sets(&self) -> Vec<Set> {
        let automaton = &self.automaton;
        let class = |number: u32| Value::Class(number);
        let mut sets = Vec::new();
        if !automaton.forgives() {
            let knocks: BTreeSet<_> =
                automaton.states().map(|(_, state)| state.entered_by).collect();
            let knocks = knocks.into_iter().map(|port| element(port_key(port), None)).collect();
            sets.push(fixed("knocks", PORT.to_vec(), None, knocks));
        }
        let first = automaton.first().into_iter();
        let first = first.map(|(port, to)| element(port_key(port), Some(class(to.0)))).collect();
        sets.push(fixed("first", PORT.to_vec(), Some(Type::Classid), first));
        let step = automaton.step().into_iter();
        let step = step
            .map(|(at, port, to)| element(state_port_key(at.0, port), Some(class(to.0))))
            .collect();
        sets.push(fixed("step", STATE_PORT.to_vec(), Some(Type::Classid), step));
        let repeat = automaton.states();
        let repeat = repeat
            .map(|(id, state)| element(state_port_key(id.0, state.entered_by), None))
            .collect();
        sets.push(fixed("repeat", STATE_PORT.to_vec(), None, repeat));
        if automaton.forgives() {
            let forgive = automaton
                .states()
                .filter_map(|(id, state)| Some((id, state.forgive?)))
                .map(|(id, to)| element(vec![class(id.0)], Some(class(to.0))))
                .collect();
            sets.push(fixed(FORGIVE, vec![Type::Classid], Some(Type::Classid), forgive));
        }
        let opens = automaton
            .states()
            .filter_map(|(id, state)| Some((id, state.opens?)))
            .map(|(id, door)| element(vec![class(id.0)], Some(class(class_of(door)))))
            .collect();
        sets.push(fixed(OPENS, vec![Type::Classid], Some(Type::Classid), opens));
        for (name, address) in STATE.into_iter().zip(ADDRESS) {
            let data = Some(Type::Classid);
            sets.push(dynamic(name, vec![address], data, limits::MAX_KERNEL_ATTEMPTS));
        }
        if automaton.forgives() {
            for (name, address) in LIVE.into_iter().zip(ADDRESS) {
                sets.push(dynamic(name, vec![address], None, limits::MAX_KERNEL_ATTEMPTS));
            }
        }
        let act = automaton
            .states()
            .map(|(id, state)| {
                let verdict = Verdict::Goto(self.chain_of(state));
                element(vec![class(id.0)], Some(Value::Verdict(verdict)))
            })
            .collect();
        sets.push(fixed("act", vec![Type::Classid], Some(Type::Verdict), act));
        sets
    }

    fn input(&self) -> Chain {
        let mut rules = vec![
            rule([Statement::CtEstablished, ACCEPT]).because("connections already made"),
            if self.policy.gate.interfaces.is_empty() {
                rule([Statement::Interface("lo".to_owned()), ACCEPT])
            } else {
                let key = vec![Field::Iifname];
                rule([Statement::In { key, set: "interfaces", member: false }, ACCEPT])
            },
            rule([is_in("public"), ACCEPT]),
            rule([
                Statement::SetPriorityFrom { key: PORT_FIELDS.to_vec(), map: GUARDS },
                goto("door"),
            ]),
        ];
        if self.recognises() {
            let bare_syn =
                Statement::TcpFlags { equal: false, mask: FIN | SYN | RST | ACK, value: SYN };
            rules.push(rule([Statement::NotForHost, ACCEPT]));
            // Whole datagrams have been put together by now. What is left is a first fragment that
            // breaks off inside its TCP header (RFC 8200, section 4.5), and yet shows a port.
            rules.push(rule([Statement::FragmentHeader, ACCEPT]));
            rules.push(rule([bare_syn, ACCEPT]).because("only a bare SYN is a knock"));
            let other = rule([not(Protocol::Tcp), not(Protocol::Udp), ACCEPT]);
            if self.automaton.forgives() {
                rules.push(other);
                rules.push(rule([goto("knock")]));
            } else {
                rules.push(rule([is_in("knocks"), goto("knock")]));
                rules.push(other);
                rules.extend(forget().map(|rule| rule.because("a wrong port ends the attempt")));
            }
        }
        let hook = Some(Hook { point: HookPoint::Input, priority: INPUT_PRIORITY });
        Chain { name: "input".to_owned(), hook, rules }
    }

    /// To a guarded port, its door in the priority.
    fn door(&self) -> Chain {
        let mut rules = Vec::new();
        for (saddr, set) in SADDR.into_iter().zip(GRANTS) {
            let granted = Statement::In { key: vec![saddr, Field::Priority], set, member: true };
            rules.push(rule([granted, Statement::SetPriority(0), ACCEPT]));
        }
        rules.push(rule([Statement::SetPriority(0)]));
        match self.policy.gate.refuse {
            Refuse::Drop => rules.push(rule([Statement::Verdict(Verdict::Drop)])),
            Refuse::Reject => rules.push(rule([Statement::Reject(Reject::AdminProhibited)])),
            Refuse::LikeClosed => {
                if self.answers_as_closed() {
                    rules.extend(self.answer_as_closed());
                } else {
                    rules.push(rule([Statement::Reject(Reject::PortUnreachable)]));
                }
            }
        }
        chain("door", rules)
    }

    /// Lets the network stack itself refuse a segment to a guarded port: it is readdressed to port
    /// 0, which nobody can listen on, and the answer gets the right port back in [`Self::output`].
    /// An answer made by the firewall would differ from that of a closed port in its type of service
    /// and, in every IPv6 scan, in its flow label; and it would be an answer even where the rest of
    /// the firewall is silent.
    fn answer_as_closed(&self) -> Vec<Rule> {
        let udp = Statement::Protocol { is: true, protocol: Protocol::Udp };
        let ongoing = Statement::TcpFlags { equal: false, mask: RST | ACK, value: 0 };
        let mut rules = vec![
            rule([udp, Statement::Reject(Reject::PortUnreachable)]),
            // A listening socket answers these as a closed port does, or they belong to a connection
            // that is older than the connection tracking.
            rule([ongoing, ACCEPT]).because("starts no connection"),
        ];
        for (saddr, set) in SADDR.into_iter().zip(ASKED) {
            rules.push(rule([delete(set, saddr, Some(Value::Service(0)))]));
        }
        for (saddr, set) in SADDR.into_iter().zip(ASKED) {
            let ask = Statement::Change {
                operation: Operation::Add,
                set,
                key: vec![saddr],
                timeout: Some(Duration::from_secs(1)),
                data: Some(Data::Field(Field::TcpDport)),
            };
            rules.push(
                rule([ask, Statement::SetTcpDportZero, ACCEPT])
                    .because("answered as a closed port"),
            );
        }
        // Only when there is no room to remember who asked.
        rules.push(rule([Statement::Reject(Reject::TcpReset)]));
        rules
    }

    /// Gives answers from port 0 the port back that was asked.
    fn output(&self) -> Chain {
        let mut rules =
            vec![rule([Statement::TcpSportNotZero, ACCEPT]), rule([not(Protocol::Tcp), ACCEPT])];
        for (daddr, map) in DADDR.into_iter().zip(ASKED) {
            rules.push(rule([Statement::SetTcpSportFrom { key: vec![daddr], map }]));
        }
        let hook = Some(Hook { point: HookPoint::Output, priority: OUTPUT_PRIORITY });
        Chain { name: "output".to_owned(), hook, rules }
    }

    /// A packet that may be a knock: from the state of its source to the next one.
    fn knock(&self) -> Chain {
        let forgives = self.automaton.forgives();
        let mut rules = vec![rule([Statement::SetPriority(0)])];
        for (saddr, map) in SADDR.into_iter().zip(STATE) {
            rules.push(rule([Statement::SetPriorityFrom { key: vec![saddr], map }]));
        }
        if forgives {
            // Forgiving a port renews the element of the state, so that another one keeps the time.
            for (saddr, set) in SADDR.into_iter().zip(LIVE) {
                let late = Statement::In { key: vec![saddr], set, member: false };
                rules.push(rule([late, Statement::SetPriority(0)]).because("too late"));
            }
        }
        let state_port = || STATE_PORT_FIELDS.to_vec();
        let repeated = Statement::In { key: state_port(), set: "repeat", member: true };
        rules
            .push(rule([repeated, Statement::SetPriority(0), ACCEPT]).because("sent again by TCP"));
        rules.extend(forget());
        let step = Statement::SetPriorityFrom { key: state_port(), map: "step" };
        rules.push(rule([step, goto("advance")]));
        let first = Statement::SetPriorityFrom { key: PORT_FIELDS.to_vec(), map: "first" };
        rules.push(rule([first, goto("advance")]));
        if forgives {
            let forgive = Statement::SetPriorityFrom { key: vec![Field::Priority], map: FORGIVE };
            rules.push(rule([forgive, goto("forgiven")]).because("a wrong port, forgiven"));
        }
        rules.push(rule([Statement::SetPriority(0)]));
        chain("knock", rules)
    }

    /// What a state does on arrival: one chain for each timeout, and for each pair of timeouts that
    /// a door opens with.
    fn stages(&self) -> Vec<Chain> {
        let mut seen = BTreeSet::new();
        let mut chains = Vec::new();
        for (_, state) in self.automaton.states() {
            let name = self.chain_of(state);
            if !seen.insert(name.clone()) {
                continue;
            }
            let mut rules = remember(state.step_timeout);
            if self.automaton.forgives() {
                for (saddr, set) in SADDR.into_iter().zip(LIVE) {
                    rules.push(rule([update(set, vec![saddr], state.step_timeout)]));
                }
            }
            if let Some(door) = state.opens.and_then(|door| self.policy.door(door)) {
                let door_of_state =
                    Statement::SetPriorityFrom { key: vec![Field::Priority], map: OPENS };
                rules.push(rule([door_of_state]));
                for (saddr, set) in SADDR.into_iter().zip(GRANTS) {
                    let key = vec![saddr, Field::Priority];
                    rules.push(rule([update(set, key, door.open_for)]));
                }
            }
            rules.push(rule([Statement::SetPriority(0)]));
            chains.push(chain(&name, rules));
        }
        if self.automaton.forgives() {
            let longest = self.automaton.states().map(|(_, state)| state.step_timeout).max();
            let mut rules = remember(longest.unwrap_or_default());
            rules.push(rule([Statement::SetPriority(0)]));
            chains.push(chain("forgiven", rules));
        }
        chains
    }

    fn chain_of(&self, state: &State) -> String {
        let step = state.step_timeout.as_millis();
        match state.opens.and_then(|door| self.policy.door(door)) {
            Some(door) => format!("open_{step}_{}", door.open_for.as_millis()),
            None => format!("stage_{step}"),
        }
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
    Set { name: name.to_owned(), key, data, dynamic: false, size: None, elements }
}

fn dynamic(name: &str, key: Vec<Type>, data: Option<Type>, size: u32) -> Set {
    let elements = Vec::new();
    Set { name: name.to_owned(), key, data, dynamic: true, size: Some(size), elements }
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
    Statement::Change { operation: Operation::Delete, set, key: vec![key], timeout: None, data }
}

fn update(set: &'static str, key: Vec<Field>, timeout: Duration) -> Statement {
    let timeout = Some(timeout);
    Statement::Change { operation: Operation::Update, set, key, timeout, data: None }
}

/// Forgets the state of the source. Adding an element does not change one that exists, so this
/// comes before every change, too.
fn forget() -> [Rule; 2] {
    let [four, six] = SADDR;
    let [state4, state6] = STATE;
    let nothing = || Some(Value::Class(0));
    [rule([delete(state4, four, nothing())]), rule([delete(state6, six, nothing())])]
}

/// Remembers the state that is in the priority.
fn remember(timeout: Duration) -> Vec<Rule> {
    let both = SADDR.into_iter().zip(STATE);
    both.map(|(saddr, set)| {
        rule([Statement::Change {
            operation: Operation::Add,
            set,
            key: vec![saddr],
            timeout: Some(timeout),
            data: Some(Data::Field(Field::Priority)),
        }])
    })
    .collect()
}
