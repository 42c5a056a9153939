//! Rulesets with everything in them that there can be.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use portcullis_core::policy::{
    Ban, Door, DoorName, GatePolicy, HostName, InterfaceName, Network, Policy, Port, Protocol,
    Recogniser, Refuse, Stance,
};
use portcullis_firewall::compile::{admit, compile};
use portcullis_firewall::ruleset::{
    Chain, Data, Destination, Element, Field, Hook, HookPoint, Kind, Limit, Operation, Reject,
    Rule, Ruleset, Set, Statement, Timeout, Tracking, Type, Unit, Value, Verdict,
};

/// All of them, with names.
pub fn all() -> Vec<(String, Ruleset)> {
    let mut all = vec![
        ("empty".to_owned(), ruleset(vec![], vec![])),
        ("statements".to_owned(), statements()),
        ("sets".to_owned(), sets()),
        ("timeouts".to_owned(), timeouts()),
        ("hooks".to_owned(), hooks()),
        ("networks".to_owned(), networks()),
        ("allowed".to_owned(), allowed()),
    ];
    for (name, policy) in policies() {
        all.push((name, compile(&policy).unwrap()));
    }
    all
}

pub fn ruleset(sets: Vec<Set>, chains: Vec<Chain>) -> Ruleset {
    let comment = "a test, of nothing in particular".to_owned();
    Ruleset { comment, timeouts: vec![], sets, chains }
}

pub fn fixed(name: &str, key: &[Type], data: Option<Type>, elements: Vec<Element>) -> Set {
    let (kind, size) = (Kind::Fixed, None);
    Set { name: name.to_owned(), key: key.to_vec(), data, kind, size, elements }
}

pub fn dynamic(name: &str, key: &[Type], data: Option<Type>) -> Set {
    let (kind, size) = (Kind::Dynamic, Some(1024));
    Set { name: name.to_owned(), key: key.to_vec(), data, kind, size, elements: vec![] }
}

pub fn element(key: Vec<Value>, data: Option<Value>) -> Element {
    Element { key, data, comment: None }
}

pub fn chain(name: &str, rules: Vec<Vec<Statement>>) -> Chain {
    let rules = rules.into_iter().map(|statements| Rule { statements, comment: None }).collect();
    Chain { name: name.to_owned(), hook: None, rules }
}

/// A value of a type; others for other seeds.
pub fn value(kind: Type, seed: u32) -> Value {
    let port = u16::try_from(seed % 65_535).unwrap() + 1;
    match kind {
        Type::Ipv4Addr => Value::Ipv4(Ipv4Addr::from(0x0a00_0000 + seed)),
        Type::Ipv6Addr => Value::Ipv6(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(seed))),
        Type::InetProto if seed.is_multiple_of(2) => Value::Proto(Protocol::Tcp),
        Type::InetProto => Value::Proto(Protocol::Udp),
        Type::InetService => Value::Service(port),
        Type::Classid => Value::Class(seed.wrapping_mul(0x0001_0001)),
        Type::Ifname => Value::Interface(format!("eth{}", seed % 1_000_000)),
        Type::Verdict if seed.is_multiple_of(3) => Value::Verdict(Verdict::Accept),
        Type::Verdict if seed % 3 == 1 => Value::Verdict(Verdict::Drop),
        Type::Verdict => Value::Verdict(Verdict::Goto("elsewhere".to_owned())),
    }
}

const ACCEPT: Statement = Statement::Verdict(Verdict::Accept);

const fn to(is: bool, kind: Destination) -> Statement {
    Statement::To { is, kind }
}

/// Every statement, in every form.
fn statements() -> Ruleset {
    use Field::{Iifname, Ip6Saddr, Ip6SaddrNetwork, IpSaddr, L4Proto, Priority, ThDport};
    let mut sets = vec![];
    let mut rules = vec![
        vec![Statement::Translated, ACCEPT],
        vec![Statement::Translated, Statement::ThDportZero, ACCEPT],
        vec![to(true, Destination::Local), ACCEPT],
        vec![to(false, Destination::Local), ACCEPT],
        vec![to(false, Destination::Unicast), Statement::Verdict(Verdict::Drop)],
        vec![to(true, Destination::Broadcast), ACCEPT],
        vec![to(true, Destination::Multicast), ACCEPT],
        vec![Statement::IcmpTooBig, ACCEPT],
        vec![
            Statement::Tracked(&[Tracking::Invalid, Tracking::Untracked]),
            Statement::IcmpTooBig,
            ACCEPT,
        ],
        vec![Statement::TransportByte { is: false, at: 8, value: 0x45 }, ACCEPT],
        vec![Statement::TransportByte { is: true, at: 14, value: 6 }, ACCEPT],
        vec![Statement::FromLocalAddress, ACCEPT],
        vec![tcp_flags(false, 0x04, 0), Statement::FromLocalAddress, Statement::ClearFlowLabel],
        vec![Statement::ClearFlowLabel],
        vec![Statement::IpOptions, ACCEPT],
        vec![Statement::UdpChecksumZero, ACCEPT],
        vec![Statement::ThDportZero, Statement::SetDportFrom { map: "ports" }, ACCEPT],
        vec![Statement::MoreFragments, Statement::Verdict(Verdict::Drop)],
        vec![Statement::ThDportAmong { first: 225, last: 241 }, ACCEPT],
        vec![
            Statement::Translated,
            protocol(true, Protocol::Tcp),
            Statement::ThDportAmong { first: 1, last: u16::MAX },
            ACCEPT,
        ],
        vec![
            Statement::Ip6NextHeader { is: false, kind: 6 },
            Statement::Ip6NextHeader { is: false, kind: 17 },
            ACCEPT,
        ],
        vec![Statement::Ip6NextHeader { is: true, kind: 17 }, Statement::UdpChecksumZero, ACCEPT],
        vec![Statement::FragmentNextHeader(60), to(true, Destination::Local), ACCEPT],
        vec![Statement::FromLinkLocal, ACCEPT],
        vec![Statement::HopLimit255, Statement::FromLinkLocal, ACCEPT],
        vec![Statement::ThDportZero, ACCEPT],
        vec![Statement::NotForHost, ACCEPT],
        vec![Statement::TcpHasOptions, Statement::EndTcpOptions],
        vec![tcp_flags(true, 0x12, 0x02), Statement::TcpHasOptions, ACCEPT],
        vec![
            protocol(true, Protocol::Tcp),
            Statement::TcpHasOptions,
            Statement::EndTcpOptions,
            ACCEPT,
        ],
        vec![
            Statement::Tracked(&[Tracking::New, Tracking::Established]),
            Statement::TcpHasOptions,
            Statement::EndTcpOptions,
        ],
        vec![protocol(true, Protocol::Tcp), Statement::IpOptions, ACCEPT],
        vec![Statement::FragmentHeader, ACCEPT],
        vec![Statement::Interface("lo".to_owned()), ACCEPT],
        vec![Statement::IcmpType(3), ACCEPT],
        vec![Statement::Icmpv6Type(135), Statement::HopLimit255, ACCEPT],
        vec![Statement::HopLimit255, Statement::Icmpv6Type(143), ACCEPT],
        vec![Statement::DhcpReply, ACCEPT],
        vec![Statement::Dhcpv6Reply, ACCEPT],
        vec![Statement::Counter],
        vec![Statement::Counter, Statement::Verdict(Verdict::Drop)],
        vec![Statement::Log("portcullis refused: ")],
        vec![Statement::Interface("fifteen-letters".to_owned()), ACCEPT],
        vec![Statement::SetPriority(0)],
        vec![Statement::SetPriority(0x8000_0006), Statement::Verdict(Verdict::Drop)],
        vec![Statement::SetDportZero, ACCEPT],
        vec![Statement::SetDportFrom { map: "ports" }, Statement::SetPriority(0)],
        vec![Statement::Reject(Reject::TcpReset)],
        vec![Statement::Reject(Reject::PortUnreachable)],
        vec![Statement::Reject(Reject::AdminProhibited)],
        vec![protocol(true, Protocol::Tcp), Statement::Reject(Reject::TcpReset)],
        vec![protocol(true, Protocol::Udp), Statement::Reject(Reject::PortUnreachable)],
        vec![Statement::Verdict(Verdict::Goto("elsewhere".to_owned()))],
        vec![Statement::Verdict(Verdict::Jump("elsewhere".to_owned()))],
        vec![Statement::Verdict(Verdict::Return)],
    ];
    for before in [
        protocol(true, Protocol::Udp),
        tcp_flags(true, 0x14, 0x00),
        Statement::Tracked(TRACKED[0]),
        Statement::FromLinkLocal,
    ] {
        for extension in [Statement::FragmentHeader, Statement::HopByHopNextHeader(44)] {
            rules.push(vec![before.clone(), extension.clone(), ACCEPT]);
            rules.push(vec![extension, before.clone()]);
        }
    }
    let reset = Statement::Reject(Reject::TcpReset);
    rules.push(vec![Statement::SetPriority(0), Statement::FragmentHeader, reset]);
    for kind in [0, 6, 44] {
        let next =
            [Statement::Ip6NextHeader { is: true, kind }, Statement::HopByHopNextHeader(kind)];
        rules.extend(next.iter().map(|it| vec![it.clone(), ACCEPT]));
        rules.push(next.into());
    }
    rules.extend(original_ports(&mut sets));
    sets.push(fixed("ports", &[Type::Classid], Some(Type::InetService), vec![]));
    for states in TRACKED {
        rules.push(vec![Statement::Tracked(states), ACCEPT]);
        rules.push(vec![protocol(true, Protocol::Udp), Statement::Tracked(states), ACCEPT]);
    }
    for (rate, burst) in [(1, 5), (1, 1), (10, 20), (1000, 5)] {
        let per = if burst == 1 { Unit::Day } else { Unit::Second };
        let limit = Statement::Limit(Limit { rate, per, burst, over: rate == 10 });
        rules.push(vec![Statement::IcmpType(8), limit.clone(), ACCEPT]);
        rules.push(vec![limit, Statement::Log("x")]);
    }
    for is in [true, false] {
        for socket in [Statement::SocketWildcard(is), Statement::SocketTransparent(is)] {
            rules.push(vec![socket.clone(), ACCEPT]);
            rules.push(vec![tcp_flags(true, 0x14, 0x00), socket, ACCEPT]);
        }
        rules.push(vec![protocol(is, Protocol::Tcp), ACCEPT]);
        rules.push(vec![protocol(is, Protocol::Udp), ACCEPT]);
    }
    rules.push(vec![protocol(false, Protocol::Tcp), protocol(false, Protocol::Udp), ACCEPT]);
    for equal in [true, false] {
        rules.push(vec![tcp_flags(equal, 0x17, 0x02), ACCEPT]);
        rules.push(vec![tcp_flags(equal, 0x14, 0x00), ACCEPT]);
        rules.push(vec![tcp_flags(equal, 0x14, 0x00), Statement::ThDportZero, ACCEPT]);
    }
    for kind in [Protocol::Tcp, Protocol::Udp] {
        rules.push(vec![protocol(true, kind), Statement::ThDportZero, ACCEPT]);
    }
    let keys: [&[Field]; 13] = [
        &[Ip6SaddrNetwork],
        &[IpSaddr],
        &[Ip6Saddr],
        &[L4Proto],
        &[ThDport],
        &[Priority],
        &[Iifname],
        &[L4Proto, ThDport],
        &[Priority, L4Proto, ThDport],
        &[IpSaddr, Priority],
        &[Ip6Saddr, Priority],
        &[ThDport, Ip6Saddr],
        &[Iifname, IpSaddr, L4Proto, ThDport],
    ];
    for (number, key) in keys.into_iter().enumerate() {
        let name = |kind: &str| -> &'static str { format!("{kind}{number}").leak() };
        let types: Vec<Type> = key.iter().map(|field| field.kind()).collect();
        sets.push(fixed(name("set"), &types, None, vec![]));
        sets.push(fixed(name("map"), &types, Some(Type::Classid), vec![]));
        sets.push(fixed(name("act"), &types, Some(Type::Verdict), vec![]));
        sets.push(dynamic(name("seen"), &types, None));
        let key = key.to_vec();
        for member in [true, false] {
            rules.push(vec![Statement::In { key: key.clone(), set: name("set"), member }, ACCEPT]);
        }
        rules.push(vec![Statement::SetPriorityFrom { key: key.clone(), map: name("map") }]);
        rules.push(vec![Statement::Dispatch { key: key.clone(), map: name("act") }]);
        for operation in [Operation::Add, Operation::Update, Operation::Delete] {
            let timeout = (operation != Operation::Delete).then_some(Duration::from_millis(61_500));
            let limit = None;
            let change = |set, data| {
                let key = key.clone();
                Statement::Change { operation, set, key, timeout, limit, data }
            };
            if operation != Operation::Delete {
                let limit = Some(Limit { rate: 1, per: Unit::Day, burst: 9, over: true });
                let (set, key) = (name("seen"), key.clone());
                let data = None;
                rules.push(vec![Statement::Change { operation, set, key, timeout, limit, data }]);
            }
            rules.push(vec![change(name("seen"), None)]);
            // With longer keys nft 1.0.6 goes wrong.
            if types.iter().map(|&kind| width(kind)).sum::<u32>() > 4 {
                continue;
            }
            for (kind, data) in [
                (Type::Classid, Data::Field(Priority)),
                (Type::Classid, Data::Value(Value::Class(0x1_0002))),
                (Type::InetService, Data::Field(ThDport)),
                (Type::InetService, Data::Value(Value::Service(0))),
                (Type::Ipv4Addr, Data::Value(value(Type::Ipv4Addr, 5))),
            ] {
                let map: &'static str = format!("{}to{}", name("seen"), type_word(kind)).leak();
                if !sets.iter().any(|set| set.name == map) {
                    sets.push(dynamic(map, &types, Some(kind)));
                }
                rules.push(vec![change(map, Some(data))]);
            }
        }
    }
    let chains =
        vec![chain("everything", rules), chain("elsewhere", vec![]), translations(), sources()];
    let mut all = ruleset(sets, chains);
    for (rule, comment) in all.chains[0].rules.iter_mut().zip(["one", "and another", "x"]) {
        rule.comment = Some(comment);
    }
    all
}

/// The port that a connection was begun with, in every form; nft wants it to follow the protocol.
fn original_ports(sets: &mut Vec<Set>) -> Vec<Vec<Statement>> {
    let names = [("begun", None), ("begun_map", Some(Type::Classid))];
    let names = names.into_iter().chain([("begun_act", Some(Type::Verdict))]);
    sets.extend(names.map(|(name, data)| fixed(name, &[Type::InetService], data, vec![])));
    let key = || vec![Field::OriginalDport];
    let mut rules = vec![];
    for kind in [Protocol::Tcp, Protocol::Udp] {
        let uses = [
            Statement::In { key: key(), set: "begun", member: true },
            Statement::In { key: key(), set: "begun", member: false },
            Statement::SetPriorityFrom { key: key(), map: "begun_map" },
            Statement::Dispatch { key: key(), map: "begun_act" },
        ];
        rules.extend(uses.into_iter().map(|it| vec![protocol(true, kind), it]));
        let key = vec![Field::Priority, Field::L4Proto, Field::OriginalDport];
        let together = Statement::In { key, set: "begun_by", member: true };
        rules.push(vec![protocol(true, kind), together]);
    }
    let types = [Type::Classid, Type::InetProto, Type::InetService];
    sets.push(fixed("begun_by", &types, None, vec![]));
    rules
}

/// Each of what connection tracking says, and some together.
pub const TRACKED: [&[Tracking]; 8] = [
    &[Tracking::New],
    &[Tracking::Established],
    &[Tracking::Related],
    &[Tracking::Invalid],
    &[Tracking::Untracked],
    &[Tracking::New, Tracking::Related],
    &[Tracking::Established, Tracking::Related],
    &[
        Tracking::New,
        Tracking::Established,
        Tracking::Related,
        Tracking::Invalid,
        Tracking::Untracked,
    ],
];

pub const DNAT: Statement = Statement::DnatToPorts { first: 225, last: 241 };

/// What only a chain of type `nat` may do, which nft wants to follow the protocol.
fn translations() -> Chain {
    let mut rules = vec![vec![tcp_flags(true, 0x12, 0x02), DNAT], vec![Statement::DhcpReply, DNAT]];
    for kind in [Protocol::Tcp, Protocol::Udp] {
        let is = protocol(true, kind);
        rules.push(vec![is.clone(), DNAT]);
        rules.push(vec![is.clone(), to(true, Destination::Local), DNAT]);
        rules.push(vec![is, Statement::Tracked(TRACKED[0]), DNAT]);
    }
    let hook = Some(Hook { point: HookPoint::PreroutingNat, priority: -101 });
    Chain { hook, ..chain("translated", rules) }
}

/// Objects with short and long times, used and not, also where nothing else is translated.
pub fn timeouts() -> Ruleset {
    let is = |kind| protocol(true, kind);
    let rules = vec![
        vec![is(Protocol::Tcp), Statement::SetTimeout("short"), DNAT],
        vec![is(Protocol::Tcp), Statement::SetTimeout("long"), ACCEPT],
        vec![Statement::SetTimeout("short")],
    ];
    let hook = Some(Hook { point: HookPoint::PreroutingNat, priority: -101 });
    let times = [("short", 1), ("long", 86_400 * 5), ("unused", 77)];
    let timeouts = times.map(|(name, seconds)| Timeout { name, seconds }).into();
    Ruleset { timeouts, ..ruleset(vec![], vec![Chain { hook, ..chain("timed", rules) }]) }
}

/// The same for the other direction.
fn sources() -> Chain {
    let snat = || Statement::SnatToPorts { first: 1024, last: u16::MAX };
    let rules = [Protocol::Tcp, Protocol::Udp].map(|kind| {
        let among = Statement::ThDportAmong { first: 225, last: 241 };
        vec![Statement::Translated, protocol(true, kind), among, snat()]
    });
    let hook = Some(Hook { point: HookPoint::InputNat, priority: 100 });
    Chain { hook, ..chain("apart", rules.into()) }
}

fn protocol(is: bool, protocol: Protocol) -> Statement {
    Statement::Protocol { is, protocol }
}

fn tcp_flags(equal: bool, mask: u8, value: u8) -> Statement {
    Statement::TcpFlags { equal, mask, value }
}

/// How many registers of four bytes a value takes.
pub fn width(kind: Type) -> u32 {
    if matches!(kind, Type::Ipv6Addr | Type::Ifname) { 4 } else { 1 }
}

fn type_word(kind: Type) -> String {
    format!("{kind:?}").to_lowercase()
}

pub const KEYS: [Type; 6] = [
    Type::Ipv4Addr,
    Type::Ipv6Addr,
    Type::InetProto,
    Type::InetService,
    Type::Classid,
    Type::Ifname,
];

/// Every type as a key, as data, and in pairs, with elements, comments and sizes.
fn sets() -> Ruleset {
    let mut sets = vec![];
    for key in KEYS {
        let word = type_word(key);
        let one = |seed| element(vec![value(key, seed)], None);
        let mut set = fixed(&format!("set_{word}"), &[key], None, vec![one(2), one(3)]);
        set.elements[0].comment = Some("a comment".to_owned());
        sets.push(set);
        let mut set = fixed(&format!("sized_{word}"), &[key], None, vec![one(4)]);
        set.size = Some(100);
        sets.push(set);
        sets.push(dynamic(&format!("dynamic_{word}"), &[key], None));
        for data in KEYS.into_iter().chain([Type::Verdict]) {
            let name = format!("{word}_to_{}", type_word(data));
            let one = |seed| element(vec![value(key, seed)], Some(value(data, seed + 1)));
            let mut map = fixed(&name, &[key], Some(data), vec![one(2), one(3)]);
            map.elements[1].comment = Some("x".repeat(127));
            sets.push(map);
            if data != Type::Verdict {
                sets.push(dynamic(&format!("dynamic_{name}"), &[key], Some(data)));
            }
        }
        for second in KEYS {
            let name = format!("{word}_and_{}", type_word(second));
            let elements = (1..20).map(|n| element(vec![value(key, n), value(second, n)], None));
            let mut elements: Vec<_> = elements.collect();
            if (key, second) == (Type::InetProto, Type::InetProto) {
                elements.truncate(2);
            }
            sets.push(fixed(&name, &[key, second], None, elements));
        }
    }
    ruleset(sets, vec![chain("elsewhere", vec![])])
}

/// Sets of networks: apart, side by side, at both ends of all addresses.
pub fn network_set(name: &str, networks: &[&str]) -> Set {
    let networks = networks.iter().map(|text| text.parse::<Network>().unwrap());
    let elements: Vec<_> =
        networks.map(|network| element(vec![Value::Network(network)], None)).collect();
    let four = matches!(elements[0].key[0], Value::Network(it) if it.first().is_ipv4());
    let key = if four { Type::Ipv4Addr } else { Type::Ipv6Addr };
    Set { kind: Kind::Networks, ..fixed(name, &[key], None, elements) }
}

fn networks() -> Ruleset {
    let sets = vec![
        network_set("just_one", &["203.0.113.7"]),
        network_set("several", &["10.0.0.0/8", "11.0.0.0/24", "192.0.2.7", "192.0.2.8"]),
        network_set("ends", &["0.0.0.0/16", "255.255.255.0/24"]),
        network_set("last_one", &["255.255.255.255"]),
        network_set("every_one", &["0.0.0.0/0"]),
        network_set("six", &["2001:db8::/32", "2001:db9::/32", "fe80::1"]),
        network_set("six_ends", &["::/64", "ffff::/16"]),
        network_set("six_all", &["::/0"]),
    ];
    ruleset(sets, vec![])
}

/// An allow-list with everything in it, and its names looked up.
fn allowed() -> Ruleset {
    let mut policy = doors(2, Recogniser::Both);
    let list =
        ["203.0.113.7", "10.0.0.0/8", "2001:db8::/48", "iface:wg0", "b.example", "a.example"];
    policy.gate.allow = list.iter().map(|text| text.parse().unwrap()).collect();
    let mut ruleset = compile(&policy).unwrap();
    let hosts = [("a.example", vec!["192.0.2.1", "2001:db8::1"]), ("b.example", vec!["192.0.2.2"])];
    let hosts = hosts.into_iter().map(|(name, addresses)| {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        (HostName::new(name).unwrap(), addresses)
    });
    admit(&mut ruleset, &hosts.collect());
    ruleset
}

/// Chains at all hooks, at unusual priorities.
fn hooks() -> Ruleset {
    let priorities =
        [-400, -310, -300, -210, -151, -100, -10, -1, 0, 1, 10, 11, 50, 100, 225, 300, 5000];
    let mut chains = vec![];
    for priority in priorities {
        for point in [
            HookPoint::Input,
            HookPoint::InputNat,
            HookPoint::Prerouting,
            HookPoint::PreroutingNat,
            HookPoint::Postrouting,
        ] {
            // Before connection tracking nothing can be translated (`nft_chain_parse_hook`).
            let nat = matches!(point, HookPoint::PreroutingNat | HookPoint::InputNat);
            if nat && priority <= -200 {
                continue;
            }
            let name = format!("{point:?}{priority}").to_lowercase().replace('-', "minus");
            let hook = Some(Hook { point, priority });
            chains.push(Chain { hook, ..chain(&name, vec![vec![ACCEPT]]) });
        }
    }
    ruleset(vec![], chains)
}

/// Policies of many kinds, for what the compiler makes of them.
fn policies() -> Vec<(String, Policy)> {
    let mut all = vec![("no doors".to_owned(), Policy::default())];
    for (stance, refuse) in [Stance::Guard, Stance::Closed].into_iter().flat_map(|stance| {
        [Refuse::LikeClosed, Refuse::Drop, Refuse::Reject].map(|refuse| (stance, refuse))
    }) {
        for recogniser in [Recogniser::Kernel, Recogniser::Daemon, Recogniser::Both] {
            for tolerate in [0, 1] {
                let mut policy = doors(5, recogniser);
                policy.gate.refuse = refuse;
                policy.gate.stance = stance;
                policy.gate.ban = (recogniser != Recogniser::Both).then(Ban::default);
                policy.gate.log_refused = stance == Stance::Closed && tolerate == 0;
                for door in &mut policy.doors {
                    door.tolerate = tolerate;
                }
                if tolerate == 1 {
                    policy.gate.interfaces = vec![InterfaceName::new("eth0").unwrap()];
                    policy.gate.public = vec![port(Protocol::Tcp, 80)];
                }
                all.push((format!("{stance:?} {refuse:?} {recogniser:?} {tolerate}"), policy));
            }
        }
    }
    all
}

fn port(protocol: Protocol, number: u16) -> Port {
    Port::new(protocol, number).unwrap()
}

/// So many doors of four knocks each.
pub fn doors(count: u32, recogniser: Recogniser) -> Policy {
    let doors = (0..count).map(|n| {
        // No two doors share a knock.
        let knock = |step: u32| {
            let first = [30_000, 1_000, 41_000, 20_000][step as usize];
            let protocol = if step % 2 == 1 { Protocol::Udp } else { Protocol::Tcp };
            port(protocol, (first + n).try_into().unwrap())
        };
        Door {
            name: DoorName::new(&format!("door-{n}")).unwrap(),
            guards: vec![port(Protocol::Tcp, (20_000 + n).try_into().unwrap())],
            sequence: (0..4).map(knock).collect(),
            step_timeout: Duration::from_secs(5),
            open_for: Duration::from_secs(u64::from(30 + n % 2)),
            recogniser,
            tolerate: 0,
            hooks: None,
        }
    });
    Policy { gate: GatePolicy::default(), doors: doors.collect() }
}
