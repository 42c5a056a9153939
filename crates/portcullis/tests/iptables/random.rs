//! Random policies and random packets: what the kernel lets pass, how it answers the rest and whom its
//! lists hold is what the simulators say, whichever rules are loaded.

use std::collections::BTreeMap;
use std::fs;
use std::iter::repeat;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use portcullis_core::policy::{Policy, Protocol, Recogniser, Refuse, Severity, Stance};
use portcullis_core::time::Instant as Moment;
use portcullis_firewall::compile::compile as compile_nftables;
use portcullis_firewall::iptables::compile::{Generation, compile};
use portcullis_firewall::iptables::simulator::Simulator;
use portcullis_firewall::iptables::text::{removal, sets};
use portcullis_firewall::iptables::{AddressStore, Family, Filter};
use portcullis_firewall::ruleset::{Reject, Tracking};
use portcullis_firewall::simulator::{
    Fate, Packet as Seen, Payload, Simulator as Nftables, Socket,
};
use portcullis_gate::iptables::chains::Chains;
use portcullis_gate::iptables::state::State;
use portcullis_gate::nftables::Table;
use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::{ACK, FIN, Packet, RST, SYN};
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family as Side, Lab, Peer};
use portcullis_testkit::script::{Event, SOURCES, What};
use portcullis_testkit::{frames, policies, script};
use proptest::collection::vec;
use proptest::strategy::{Just, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::headers::{self, Header};
use crate::world::PATIENCE;
use crate::world::iptables::{Tools, Variant, Witness};

/// What the programs print of loaded rules is known as what their policy means, and as no other's.
fn is_known(tools: &Tools, policy: &Policy, store: AddressStore) {
    let state =
        |family, program: &str| State::parse(family, &tools.must(program, &["-t", "filter"], ""));
    let states = vec![state(Family::V4, "iptables-save"), state(Family::V6, "ip6tables-save")];
    let chains = Chains::of(states);
    assert_eq!(chains.difference(policy, store), Ok(None), "{policy:?}");
    let mut other = policy.clone();
    if let Some(door) = other.doors.iter_mut().find(|door| !door.guards.is_empty()) {
        door.guards.pop();
        assert_ne!(chains.difference(&other, store), Ok(None), "{policy:?}");
    }
    let doors = chains.view().unwrap().doors;
    let expected: Vec<_> = policy.doors.iter().map(|door| door.name.as_str().to_owned()).collect();
    assert_eq!(doors.iter().map(|door| door.name.clone()).collect::<Vec<_>>(), expected);
    for (door, loaded) in policy.doors.iter().zip(&doors) {
        let mut guards = door.guards.clone();
        guards.sort_unstable();
        guards.dedup();
        assert_eq!(loaded.guards, guards);
    }
}

const POLICIES: usize = 40;

/// Packets of one source that may change its state: the kernel's maps of nftables take no more changes
/// of one element than 16 at once.
const CHANGES: usize = 12;

/// The first source port. The types of ICMP messages, which the witness sees in its place, are not
/// among those that follow.
const FIRST_PORT: u16 = 10_000;

/// In whose rules the policies are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Nftables,
    Iptables(Variant, AddressStore),
}

/// What the kernel did with a packet, as far as others can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    passed: bool,
    answer: Option<Meaning>,
}

pub fn run(way: Way) {
    let variant = if let Way::Iptables(variant, _) = way { variant } else { Variant::Nft };
    let tools = Tools::new(variant);
    let mut lab = Lab::new().unwrap();
    // Every refusal is answered, not only the first ones.
    for (name, value) in [
        ("ipv4/icmp_ratelimit", "0"),
        ("ipv6/icmp/ratelimit", "0"),
        ("ipv4/icmp_msgs_per_sec", "1000000"),
        ("ipv4/icmp_msgs_burst", "1000000"),
    ] {
        fs::write(format!("/proc/sys/net/{name}"), value).unwrap();
    }
    let client = lab.peer(policies::INTERFACE, 1).unwrap();
    let wire = client.wire().unwrap();
    let mut gate = Table::open().unwrap();
    let witness = Witness::new(&tools);
    let mut runner = TestRunner::deterministic();
    let cases = policies::policy().prop_flat_map(policies::dressed).prop_flat_map(|policy| {
        let script = script::script(&policy);
        let headers = vec(headers::some(), 60);
        (Just(policy), script, headers)
    });
    let (mut packets, mut dressed, mut opened, mut tried) = (0, 0, 0, 0);
    let mut fates: BTreeMap<String, usize> = BTreeMap::new();
    while tried < POLICIES {
        let (policy, mut script, dresses) = cases.new_tree(&mut runner).unwrap().current();
        let Some(policy) = suitable(policy) else { continue };
        tried += 1;
        let ruleset = compile_nftables(&policy).unwrap();
        let mut nftables = Nftables::new(&ruleset);
        let store = if let Way::Iptables(_, store) = way { store } else { AddressStore::Ipset };
        let filters = Family::BOTH
            .map(|family| compile(&policy, store, family, Generation::default()).unwrap());
        let mut iptables = Simulator::new(&filters);
        match way {
            Way::Nftables => {
                gate.load(&ruleset).unwrap();
            }
            Way::Iptables(..) => {
                load(&tools, &filters);
                is_known(&tools, &policy, store);
            }
        }
        // What is sent to everyone is no wrong port in the middle of a knock.
        for (door, source) in policy.doors.iter().zip([1, 2]) {
            let noisy = |&port| [What::New(port), What::Broadcast(policies::KNOCKS[0])];
            let noisy = door.sequence.iter().flat_map(noisy);
            script.extend(noisy.map(|what| Event { after: Duration::ZERO, source, what }));
        }
        // At last all of them ask to be let in.
        let guards = || policy.doors.iter().flat_map(|door| &door.guards);
        script.extend((0..SOURCES.len()).flat_map(|source| {
            guards().map(move |&port| Event {
                after: Duration::ZERO,
                source,
                what: What::New(port),
            })
        }));
        let mut changes = [0; SOURCES.len()];
        let mut expected = Vec::new();
        let now = Moment::from_millis(1_000);
        let dresses = dresses.iter().map(Vec::as_slice).chain(repeat(&[][..]));
        for ((event, port), headers) in script.iter().zip(FIRST_PORT..).zip(dresses) {
            let headers = if way == Way::Nftables { &[] } else { dress_of(event, headers) };
            let changing = matches!(event.what, What::New(port) if !guards().any(|&g| g == port))
                || event.what == What::Zero;
            let changed = &mut changes[event.source];
            *changed += usize::from(changing);
            let too_often = way == Way::Nftables && changing && *changed > CHANGES;
            if too_often || matches!(event.what, What::Answer(_)) {
                continue;
            }
            packets += 1;
            send(&client, &wire, event, port, headers);
            if matches!(event.what, What::Fragment(_)) {
                // The rest of it never comes, and so it does not get as far as the rules.
                continue;
            }
            let mut seen = seen(event, port);
            match headers::seen(variant, headers) {
                headers::Seen::Transport => {}
                headers::Seen::Protocol(number) => seen.payload = Payload::Other(number),
                headers::Seen::Disguised => seen.fragment = true,
            }
            if way != Way::Nftables {
                // Compared with rules that know nothing of sockets.
                seen.socket = Socket::Listener;
            }
            let (theirs, ours) =
                (nftables.receive(&seen, now).fate, iptables.receive(&seen, now).fate);
            let fate = if way == Way::Nftables { theirs } else { ours };
            if way != Way::Nftables && !seen.fragment {
                // At port 0 nothing listens, and the network stack refuses it.
                if event.what != What::Zero {
                    assert_eq!(as_iptables(&seen, theirs), ours, "{event:?} of {policy:?}");
                }
            }
            *fates.entry(format!("{:?} {fate:?}", policy.gate.stance)).or_default() += 1;
            expected.push((event, port, fate, headers));
        }
        let answers = answers(&client, &wire);
        let passed = witness.seen();
        for (event, port, fate, headers) in expected {
            let key = if event.what == What::Icmp { echo(event) } else { port };
            let told = Told {
                passed: passed.contains(&(event.source(), key)),
                answer: answers.get(&(event.source(), port)).copied(),
            };
            let mut should = should(event, fate, told);
            // There the same chain answers for closed ports, and it stands behind the witness.
            if way == Way::Nftables && answers_late(&policy) {
                should.passed = true;
            }
            if !headers.is_empty() {
                dressed += 1;
                // What is quoted of it is not read.
                let reset = |answer| answer == Some(Meaning::Reset);
                if !reset(should.answer) && !reset(told.answer) {
                    should.answer = told.answer;
                }
                // The witness, a rule of nftables, looks for the ports where that does.
                let transport = headers::seen(Variant::Nft, headers) == headers::Seen::Transport;
                if fate == Fate::Passed && !transport {
                    should = told;
                }
            }
            assert_eq!(
                told, should,
                "{way:?} {event:?} behind {headers:?} from {port}: {fate:?} in {policy:?}"
            );
        }
        if way == Way::Nftables {
            opened += gate.grants().unwrap().len();
            gate.remove().unwrap();
            continue;
        }
        for (list, found) in tools.lists(&filters) {
            let sources = SOURCES.iter().map(|source| source.parse::<IpAddr>().unwrap());
            let expected = sources
                .filter(|&source| iptables.has(&list, source, Duration::from_secs(1), now))
                .collect();
            assert_eq!(found, expected, "{list}: {script:?} of {policy:?}");
            opened += if list.contains("_open_") { found.len() } else { 0 };
        }
        take_away(&tools, &filters);
    }
    eprintln!(
        "{way:?}: {POLICIES} policies, {packets} packets, {dressed} dressed, {opened} grants, {fates:?}"
    );
    assert!(opened > POLICIES / 4);
    assert!(way == Way::Nftables || dressed > POLICIES);
    // Of each kind there must have been some, or nothing was compared.
    for stance in [Stance::Guard, Stance::Closed] {
        let refused = |how| format!("Refused({how:?})");
        let closed = match way {
            Way::Nftables => vec!["AnsweredAsClosed".to_owned()],
            Way::Iptables(..) => [Reject::TcpReset, Reject::PortUnreachable].map(refused).into(),
        };
        let others = ["Passed".to_owned(), "Dropped".to_owned(), refused(Reject::AdminProhibited)];
        for fate in others.iter().chain(&closed) {
            let count = fates.get(&format!("{stance:?} {fate}"));
            assert!(count.is_some(), "{stance:?} {fate}");
        }
    }
}

/// Longer times, so that a slow machine changes nothing; and what this back end can do.
fn suitable(mut policy: Policy) -> Option<Policy> {
    policy.gate.ban = None;
    for door in &mut policy.doors {
        door.recogniser = Recogniser::Kernel;
        door.tolerate = 0;
        door.step_timeout *= 60;
        door.open_for *= 60;
    }
    let findings = portcullis_core::policy::check(&policy);
    findings.iter().all(|f| f.problem.severity() != Severity::Error).then_some(policy)
}

fn load(tools: &Tools, filters: &[Filter]) {
    for filter in filters {
        let sets = sets(filter.family, filter.sets.iter());
        tools.must("ipset", &["restore"], &sets);
        tools.restore(filter.family, &filter.to_string());
    }
}

fn take_away(tools: &Tools, filters: &[Filter]) {
    for filter in filters {
        let chains: Vec<_> = filter.chains.iter().map(|chain| chain.name.clone()).collect();
        tools.restore(filter.family, &removal(&chains, 1));
    }
    tools.must("ipset", &["destroy"], "");
}

/// Each packet from a source port of its own, by which it is known again.
fn send(client: &Peer, wire: &Wire, event: &Event, port: u16, headers: &[Header]) {
    let from = SocketAddr::new(event.source(), port);
    let host = client.host(if from.is_ipv4() { Side::V4 } else { Side::V6 });
    let to = |number| SocketAddr::new(host, number);
    let packet = match event.what {
        What::New(knock) if knock.protocol == Protocol::Tcp => {
            Packet::tcp(from, to(knock.number.get()), SYN)
        }
        What::New(knock) => Packet::udp(from, to(knock.number.get()), &[0]),
        What::Zero => Packet::tcp(from, to(0), SYN),
        What::Segment(number, flags) => Packet::tcp(from, to(number), flags),
        What::Icmp => Packet::ping(from.ip(), host, port),
        What::Broadcast(number) => {
            let kind = if from.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] };
            let packet = Packet::udp(from, to(number), &[0]).to_bytes();
            let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 9], &kind, &packet].concat();
            return wire.send_frame(&frame).unwrap();
        }
        What::Fragment(_) | What::Answer(_) => {
            for (_, bytes) in frames::frames(event) {
                wire.send_ip(&bytes).unwrap();
            }
            return;
        }
    };
    if headers.is_empty() {
        wire.send(&packet).unwrap();
    } else {
        wire.send_ip(&headers::dress(&packet, headers)).unwrap();
    }
}

/// The extension headers that this packet can have.
fn dress_of<'a>(event: &Event, headers: &'a [Header]) -> &'a [Header] {
    match event.what {
        What::New(_) | What::Zero | What::Segment(..) if event.source().is_ipv6() => headers,
        _ => &[],
    }
}

/// What has come back, by whom it is for and the source port that it is about.
fn answers(client: &Peer, wire: &Wire) -> BTreeMap<(IpAddr, u16), Meaning> {
    // An echo reply comes after everything before it has been through the rules.
    let ping = Packet::ping(client.address(Side::V4, 0), client.host(Side::V4), 9_999);
    wire.send(&ping).unwrap();
    let mut answers = BTreeMap::new();
    loop {
        let seen = wire.receive(Instant::now() + PATIENCE).unwrap().unwrap();
        if seen.answers(&ping) {
            return answers;
        }
        for port in FIRST_PORT..FIRST_PORT + 1_000 {
            if seen.about(port).is_some() {
                answers.insert((seen.destination, port), seen.meaning());
            }
        }
    }
}

/// What the witness takes for the source port of an echo request: its type and code.
fn echo(event: &Event) -> u16 {
    if event.source().is_ipv4() { 8 << 8 } else { 128 << 8 }
}

fn answers_late(policy: &Policy) -> bool {
    policy.gate.stance == Stance::Guard && policy.gate.refuse == Refuse::LikeClosed
}

/// What others can tell of a packet that met this fate; what they cannot is as it was told.
fn should(event: &Event, fate: Fate, told: Told) -> Told {
    let four = event.source().is_ipv4();
    let unreachable = if four { Meaning::Unreachable(3, 3) } else { Meaning::Unreachable(1, 4) };
    let answer = match fate {
        // Whoever listens answers, or nobody does.
        Fate::Passed => return Told { passed: true, ..told },
        Fate::AnsweredAsClosed => {
            let answer = match event.what {
                What::New(port) if port.protocol == Protocol::Udp => Some(unreachable),
                What::Segment(_, flags) if flags & RST != 0 => None,
                _ => Some(Meaning::Reset),
            };
            return Told { passed: true, answer };
        }
        Fate::Refused(Reject::TcpReset) => Some(Meaning::Reset),
        Fate::Refused(Reject::PortUnreachable) => Some(unreachable),
        Fate::Refused(Reject::AdminProhibited) if four => Some(Meaning::Unreachable(3, 13)),
        Fate::Refused(Reject::AdminProhibited) => Some(Meaning::Unreachable(1, 1)),
        Fate::Dropped => None,
    };
    Told { passed: false, answer }
}

/// What the firewall answers in the place of the network stack.
pub fn as_iptables(packet: &Seen, fate: Fate) -> Fate {
    match (fate, packet.payload) {
        (Fate::AnsweredAsClosed, Payload::Tcp { flags, .. }) if flags & (RST | ACK) != 0 => {
            Fate::Passed
        }
        (Fate::AnsweredAsClosed, Payload::Tcp { .. }) => Fate::Refused(Reject::TcpReset),
        (Fate::AnsweredAsClosed, _) => Fate::Refused(Reject::PortUnreachable),
        (fate, _) => fate,
    }
}

fn seen(event: &Event, source_port: u16) -> Seen {
    let tcp = |destination_port, flags| Payload::Tcp { source_port, destination_port, flags };
    let udp = |destination_port| Payload::Udp { source_port, destination_port };
    let payload = match event.what {
        What::New(port) if port.protocol == Protocol::Tcp => tcp(port.number.get(), SYN),
        What::New(port) => udp(port.number.get()),
        What::Zero => tcp(0, SYN),
        What::Segment(number, flags) => tcp(number, flags),
        What::Broadcast(number) | What::Answer(number) | What::Fragment(number) => udp(number),
        What::Icmp => Payload::Icmp { kind: (echo(event) >> 8) as u8 },
    };
    let begins_nothing = matches!(
        payload,
        Payload::Tcp { flags, .. } if flags & (RST | ACK) == 0 && flags & (FIN | SYN) != SYN
    );
    Seen {
        interface: policies::INTERFACE.to_owned(),
        for_host: !matches!(event.what, What::Broadcast(_)),
        tracked: if begins_nothing { Tracking::Invalid } else { Tracking::New },
        ..Seen::new(event.source(), event.destination(), payload)
    }
}
