//! The same doors in four ways: rules of iptables with `recent` and with ipset, rules of nftables,
//! and the daemon's engine. Random policies, random packets; packet by packet the same.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::automaton::{Automaton, Conflict};
use portcullis_core::engine::{Engine, Frame, Options, Verdict};
use portcullis_core::policy::{
    Allowed, Door, DoorName, Place, Policy, Recogniser, Refuse, Severity, Stance,
};
use portcullis_core::time::Instant;
use portcullis_core::wire::{Captured, Link};
use portcullis_firewall::compile::{GRANTS, attempt_of, class_of};
use portcullis_firewall::iptables::check::{Problem, Site, check};
use portcullis_firewall::iptables::compile::{Generation, compile, grant_list, stage_list};
use portcullis_firewall::iptables::simulator::{RECENT_SIZE, Simulator};
use portcullis_firewall::iptables::text::{Jump, is_ours, removal, sets};
use portcullis_firewall::iptables::{AddressStore, Family, Filter, INPUT, Match, Target};
use portcullis_firewall::ruleset::{Reject, Tracking, Value};
use portcullis_firewall::simulator::{Fate, Packet, Payload, Simulator as Nftables, Socket};
use portcullis_testkit::frames;
use portcullis_testkit::reference::{Meaning, Reference};
use portcullis_testkit::script::{Event, What};
use portcullis_testkit::{policies, script};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const STORES: [AddressStore; 2] = [AddressStore::Recent, AddressStore::Ipset];

fn both(policy: &Policy, store: AddressStore) -> Vec<Filter> {
    let filter = |family| compile(policy, store, family, Generation::default());
    Family::BOTH.into_iter().map(filter).collect::<Result<_, Vec<Conflict>>>().expect("checked")
}

/// A policy as these back ends take it, made of any that passes the check.
fn policy() -> impl Strategy<Value = Policy> {
    let policies = policies::policy().prop_flat_map(policies::dressed);
    policies.prop_filter_map("doors that conflict now", |mut policy| {
        policy.gate.ban = None;
        for door in &mut policy.doors {
            door.recogniser = Recogniser::Kernel;
            door.tolerate = 0;
        }
        let fine = portcullis_core::policy::check(&policy)
            .iter()
            .all(|finding| finding.problem.severity() != Severity::Error);
        fine.then_some(policy)
    })
}

fn errors(policy: &Policy, store: AddressStore) -> Vec<(&'static str, Site)> {
    let findings = check(policy, store).into_iter();
    let errors = findings.filter(|finding| finding.problem.severity() == Severity::Error);
    errors.map(|finding| (finding.problem.code(), finding.site)).collect()
}

/// `portcullis-firewall`'s two simulators take the same packets.
fn packet(event: &Event) -> Packet {
    let tcp = |destination_port, flags| Payload::Tcp {
        source_port: frames::SOURCE_PORT,
        destination_port,
        flags,
    };
    let udp = |destination_port| Payload::Udp { source_port: 40_000, destination_port };
    let payload = match event.what {
        What::New(port) if port.protocol.number() == 6 => tcp(port.number.get(), 0x02),
        What::New(port) => udp(port.number.get()),
        What::Zero => tcp(0, 0x02),
        What::Segment(number, flags) => tcp(number, flags),
        What::Broadcast(number) | What::Answer(number) => udp(number),
        What::Icmp => Payload::Icmp { kind: 8 },
        What::Fragment(number) if event.source().is_ipv6() => tcp(number, 0x02),
        What::Fragment(_) => Payload::Other(255),
    };
    let packet = Packet {
        interface: policies::INTERFACE.to_owned(),
        for_host: !matches!(event.what, What::Broadcast(_)),
        fragment: matches!(event.what, What::Fragment(_)),
        tracked: tracked(&payload),
        socket: Socket::Listener,
        ..Packet::new(event.source(), event.destination(), payload)
    };
    if matches!(event.what, What::Answer(_)) { packet.of_connection() } else { packet }
}

/// What connection tracking says of a packet that belongs to nothing.
fn tracked(payload: &Payload) -> Tracking {
    match payload {
        Payload::Tcp { flags, .. } if flags & 0x14 == 0 && flags & 0x17 != 0x02 => {
            Tracking::Invalid
        }
        _ => Tracking::New,
    }
}

/// Packets of all kinds that the stance `closed` tells apart, none of them part of a connection.
fn stranger() -> impl Strategy<Value = Packet> {
    let ports = [22, 53, 67, 68, 80, 546, 547, 1009, 4001, 8080];
    let (from, to) = (select(ports.to_vec()), select(ports.to_vec()));
    let payload = prop_oneof![
        3 => (0_u8..=150).prop_map(|kind| Payload::Icmp { kind }),
        2 => (from, to.clone()).prop_map(|(source_port, destination_port)| {
            Payload::Udp { source_port, destination_port }
        }),
        2 => (to, any::<u8>()).prop_map(|(destination_port, flags)| {
            Payload::Tcp { source_port: 40_000, destination_port, flags }
        }),
        1 => select(vec![1, 47, 58, 132]).prop_map(Payload::Other),
    ];
    // Nobody who knocks in a script.
    let sources = vec!["198.51.100.9", "192.0.2.7", "2001:db8:1::9", "2001:db8::9", "fe80::9"];
    let of_it = (select(sources), select(vec![64, 255]), select(vec!["eth0", "wg0", "lo"]));
    (of_it, any::<[bool; 3]>(), payload).prop_map(
        |((source, hop_limit, interface), of, payload)| {
            let source: IpAddr = source.parse().expect("an address");
            let destination = script::HOST[usize::from(source.is_ipv6())];
            Packet {
                interface: interface.to_owned(),
                for_host: of[0] || of[1],
                tracked: if of[1] && of[2] { Tracking::Related } else { tracked(&payload) },
                socket: Socket::Listener,
                hop_limit,
                ..Packet::new(source, destination.parse().expect("an address"), payload)
            }
        },
    )
}

/// The kernel's lists count a deadline itself as in time, by one tick of its clock: in the very
/// millisecond of a deadline they may differ.
fn beside_deadlines(mut now: Instant, times: &mut Vec<Instant>) -> Instant {
    let is_deadline =
        |now: Instant, time| now > time && now.since(time).as_millis().is_multiple_of(1_000);
    while times.iter().any(|&time| is_deadline(now, time)) {
        now = now.after(Duration::from_millis(1));
    }
    times.push(now);
    now
}

/// What becomes of a packet that may be another one than it seems.
fn disguised(policy: &Policy) -> Fate {
    match (policy.gate.stance, policy.gate.refuse) {
        (Stance::Closed, Refuse::Reject) => Fate::Refused(Reject::AdminProhibited),
        _ => Fate::Dropped,
    }
}

/// Whether the rules themselves answer at every port.
fn answers(policy: &Policy) -> bool {
    policy.gate.stance == Stance::Closed && policy.gate.refuse == Refuse::LikeClosed
}

fn is_allowed(policy: &Policy, packet: &Packet) -> bool {
    policy.gate.allow.iter().any(|allowed| match allowed {
        Allowed::Network(network) => network.contains(packet.source),
        Allowed::Interface(name) => name.as_str() == packet.interface,
        Allowed::Host(_) => false,
    })
}

/// What the firewall answers in the place of the network stack.
fn as_iptables(packet: &Packet, fate: Fate) -> Fate {
    match (fate, packet.payload) {
        (Fate::AnsweredAsClosed, Payload::Tcp { flags, .. }) if flags & 0x14 != 0 => Fate::Passed,
        (Fate::AnsweredAsClosed, Payload::Tcp { .. }) => Fate::Refused(Reject::TcpReset),
        (Fate::AnsweredAsClosed, _) => Fate::Refused(Reject::PortUnreachable),
        (fate, _) => fate,
    }
}

/// What its sender can tell, if it was not for this host alone: no ICMP error answers it (`icmp_send`), and
/// the network stack discards it if it is a TCP segment (`tcp_v4_rcv`).
fn told(packet: &Packet, fate: Fate) -> Fate {
    match (fate, packet.payload) {
        (Fate::Refused(_), _) | (Fate::Passed, Payload::Tcp { .. }) if !packet.for_host => {
            Fate::Dropped
        }
        (fate, _) => fate,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn four_recognisers_agree_packet_by_packet(
        (policy, script) in policy().prop_flat_map(|policy| {
            let script = script::script(&policy);
            (Just(policy), script)
        }),
        strangers in vec(stranger(), 40).no_shrink(),
    ) {
        let mut strangers = strangers.iter().cycle();
        let automaton = Automaton::build(policy.doors_seen_by(Recogniser::Kernel)).expect("checked");
        let steps: BTreeSet<_> = automaton.step().into_iter().map(|(at, _, _)| at).collect();
        let nftables = portcullis_firewall::compile::compile(&policy).expect("checked");
        let mut nftables = Nftables::new(&nftables);
        let options = Options { recogniser: Recogniser::Kernel, max_attempts: 64, seed: 5 };
        let mut engine = Engine::new(&policy, options).expect("checked");
        let filters = STORES.map(|store| both(&policy, store));
        let mut iptables = filters.each_ref().map(|filters| Simulator::new(filters));
        for store in STORES {
            prop_assert_eq!(errors(&policy, store), vec![]);
        }
        let mut now = Instant::from_millis(1_000);
        let mut times = vec![now];
        for event in &script {
            now = beside_deadlines(now.after(event.after), &mut times);
            let source = event.source();
            let packet = packet(event);
            let mut fate = as_iptables(&packet, nftables.receive(&packet, now).fate);
            if event.what == What::Zero
                && fate == Fate::Passed
                && answers(&policy)
                && !is_allowed(&policy, &packet) {
                // Nothing listens there, and the network stack refuses it.
                fate = Fate::Refused(Reject::TcpReset);
            }
            if packet.fragment && source.is_ipv6() && !is_allowed(&policy, &packet) {
                fate = disguised(&policy);
            }
            let mut opened = None;
            for (direction, bytes) in frames::frames(event) {
                let frame = Frame { direction, captured: Captured::whole(Link::Raw, &bytes) };
                if let Verdict::Opened { door, .. } = engine.handle_packet(frame, now) {
                    opened = Some(door);
                }
            }
            let family = if source.is_ipv4() { Family::V4 } else { Family::V6 };
            let state = attempt_of(&nftables, source, now).map_or(0, |(state, _)| state);
            for (simulator, store) in iptables.iter_mut().zip(STORES) {
                let seen = simulator.receive(&packet, now).fate;
                prop_assert_eq!(seen, fate, "{:?} {:?}", store, event);
                for (id, stage) in automaton.states() {
                    if stage.opens.is_some() && !steps.contains(&id) {
                        continue;
                    }
                    let list = stage_list(family, Generation::default(), stage.door, stage.stage);
                    let has = simulator.has(&list, source, stage.step_timeout, now);
                    prop_assert_eq!(has, state == id.0, "{:?} {:?}: {}", store, event, list);
                }
                for (id, door) in policy.doors() {
                    let list = grant_list(family, &door.name);
                    let open = simulator.has(&list, source, door.open_for, now);
                    let (set, address) = match source {
                        IpAddr::V4(address) => (GRANTS[0], Value::Ipv4(address)),
                        IpAddr::V6(address) => (GRANTS[1], Value::Ipv6(address)),
                    };
                    let key = [address, Value::Class(class_of(id))];
                    let should = nftables.get(set, &key, now).is_some();
                    prop_assert_eq!(open, should, "{:?} {:?}: {}", store, event, list);
                    // The daemon is not asked about those who need no knock.
                    let needs_one = policy.gate.allow.is_empty();
                    prop_assert!(open || opened != Some(id) || !needs_one, "{:?} {:?}", store, event);
                }
            }
            for stranger in strangers.by_ref().take(2) {
                let fate = as_iptables(stranger, nftables.receive(stranger, now).fate);
                // A segment that is not for this host alone the network stack drops in any case.
                let tcp = matches!(stranger.payload, Payload::Tcp { .. });
                if tcp && !stranger.for_host && policy.gate.stance == Stance::Guard {
                    continue;
                }
                for (simulator, store) in iptables.iter_mut().zip(STORES) {
                    let seen = simulator.receive(stranger, now).fate;
                    prop_assert_eq!(told(stranger, seen), told(stranger, fate), "{:?} {:?}", store, stranger);
                }
            }
        }
    }

    #[test]
    fn lists_hold_whom_the_reference_knows(
        (policy, script) in policy().prop_flat_map(|policy| {
            let script = script::script(&policy);
            (Just(policy), script)
        }),
    ) {
        let automaton = Automaton::build(policy.doors_seen_by(Recogniser::Kernel)).expect("checked");
        let filters = STORES.map(|store| both(&policy, store));
        let mut iptables = filters.each_ref().map(|filters| Simulator::new(filters));
        let mut reference = Reference::new(&policy, Recogniser::Kernel);
        let mut granted = BTreeMap::new();
        let mut now = Instant::from_millis(1_000);
        let mut times = vec![now];
        for event in &script {
            now = beside_deadlines(now.after(event.after), &mut times);
            let source = event.source();
            let family = if source.is_ipv4() { Family::V4 } else { Family::V6 };
            let packet = packet(event);
            let expected = match event.what {
                _ if is_allowed(&policy, &packet) => Meaning::Nothing,
                What::New(port) => reference.packet(source, Some(port), now),
                What::Zero => reference.packet(source, None, now),
                _ => Meaning::Nothing,
            };
            if let Meaning::Opened(id) = expected {
                let door = policy.door(id).expect("it opened");
                granted.insert((source, id), now.after(door.open_for));
            }
            for (simulator, store) in iptables.iter_mut().zip(STORES) {
                let stages = |simulator: &Simulator<'_>| {
                    let states = automaton.states().filter(|(_, state)| {
                        let list = stage_list(family, Generation::default(), state.door, state.stage);
                        simulator.has(&list, source, state.step_timeout, now)
                    });
                    states.map(|(_, state)| (usize::from(state.stage), state.opens)).collect::<Vec<_>>()
                };
                let before = stages(simulator);
                simulator.receive(&packet, now);
                let after = stages(simulator);
                match expected {
                    Meaning::Nothing | Meaning::Repeated => {
                        prop_assert_eq!(after, before, "{:?} {:?} {:?}", store, event, expected);
                    }
                    Meaning::Wrong => prop_assert_eq!(after, vec![], "{:?} {:?}", store, event),
                    Meaning::Stage(stage) => {
                        prop_assert_eq!(after, vec![(stage, None)], "{:?} {:?}", store, event);
                    }
                    // The last stage of a door need not have a list.
                    Meaning::Opened(door) => prop_assert!(
                        after.iter().all(|&(_, opens)| opens == Some(door)),
                        "{:?} {:?}: {:?}", store, event, after
                    ),
                    Meaning::Forgiven => prop_assert!(false, "nothing is forgiven"),
                }
                for (id, door) in policy.doors() {
                    let open = simulator.has(&grant_list(family, &door.name), source, door.open_for, now);
                    let should = granted.get(&(source, id)).is_some_and(|&until| now < until);
                    prop_assert_eq!(open, should, "{:?} {:?}: {}", store, event, door.name);
                }
            }
        }
    }

    /// What seed 001 got wrong: a match that changes a list, before the port is looked at.
    #[test]
    fn nothing_changes_a_list_before_all_else_has_matched(policy in policy()) {
        for filter in STORES.iter().flat_map(|&store| both(&policy, store)) {
            for rule in filter.chains.iter().flat_map(|chain| &chain.rules) {
                let first = rule.matches.iter().position(Match::has_side_effect);
                if let Some(first) = first {
                    prop_assert!(rule.matches[first..].iter().all(Match::has_side_effect));
                }
                let sets = rule.matches.iter().any(|m| matches!(m, Match::RecentSet(_)))
                    || matches!(rule.target, Some(Target::Add { .. }));
                let port = rule.matches.iter().any(|m| matches!(m, Match::Ports(_)));
                prop_assert!(port || !sets, "any packet would be a knock: {:?}", rule);
            }
            for chain in &filter.chains {
                prop_assert!(chain.name.len() <= 28 && is_ours(&chain.name), "{}", chain.name);
            }
            for set in &filter.sets {
                prop_assert!(set.name.len() <= 31 && is_ours(&set.name), "{}", set.name);
            }
        }
    }
}

fn door(name: &str, guards: &str, sequence: &[&str]) -> Door {
    Door {
        name: DoorName::new(name).expect("a name"),
        guards: vec![guards.parse().expect("a port")],
        sequence: sequence.iter().map(|port| port.parse().expect("a port")).collect(),
        step_timeout: Duration::from_secs(5),
        open_for: Duration::from_secs(30),
        recogniser: Recogniser::Kernel,
        tolerate: 0,
        hooks: None,
    }
}

fn one_door() -> Policy {
    let ssh = door("ssh", "tcp/22", &["tcp/100", "tcp/300", "tcp/200"]);
    Policy { doors: vec![ssh], ..Policy::default() }
}

fn syn(source: &str, port: u16) -> Packet {
    Packet {
        socket: Socket::Listener,
        ..Packet::new(
            source.parse().expect("an address"),
            "192.0.2.1".parse().expect("an address"),
            Payload::Tcp { source_port: 40_000, destination_port: port, flags: 0x02 },
        )
    }
}

fn closed() -> Policy {
    let mut policy = one_door();
    policy.gate.stance = Stance::Closed;
    policy
}

#[test]
fn bare_syn_to_guarded_port_is_asked_for_its_grant_whatever_connection_tracking_says() {
    for (store, policy) in STORES.into_iter().flat_map(|m| [(m, one_door()), (m, closed())]) {
        let filters = both(&policy, store);
        let mut simulator = Simulator::new(&filters);
        let now = Instant::from_millis(1_000);
        for source in ["198.51.100.1", "2001:db8::1"] {
            let mut passes = |flags, tracked| {
                let mut packet = syn(source, 22);
                let port = 22;
                packet.payload = Payload::Tcp { source_port: 1, destination_port: port, flags };
                packet.tracked = tracked;
                simulator.receive(&packet, now).fate == Fate::Passed
            };
            // SYN, with ECN, with data that is urgent.
            for flags in [0x02, 0xc2, 0x2a] {
                for tracked in [Tracking::New, Tracking::Established, Tracking::Related] {
                    assert!(!passes(flags, tracked), "{store:?} {flags:#x} from {source}");
                }
            }
            for flags in [0x10, 0x18, 0x11, 0x04, 0x12] {
                assert!(passes(flags, Tracking::Established), "{store:?} {flags:#x} from {source}");
            }
        }
        for port in [100, 300, 200] {
            simulator.receive(&syn("198.51.100.1", port), now);
        }
        let mut again = syn("198.51.100.1", 22);
        again.tracked = Tracking::Established;
        assert_eq!(simulator.receive(&again, now).fate, Fate::Passed, "{store:?}");
    }
}

#[test]
fn established_connections_cost_one_rule_of_tcp_and_two_of_udp() {
    for (store, policy) in STORES.into_iter().flat_map(|m| [(m, one_door()), (m, closed())]) {
        let filters = both(&policy, store);
        for source in ["198.51.100.1", "2001:db8::1"] {
            let mut packet = syn(source, 22);
            packet.tracked = Tracking::Established;
            packet.payload = Payload::Tcp { source_port: 1, destination_port: 22, flags: 0x10 };
            let mut steps = |payload| {
                packet.payload = payload;
                let trace = Simulator::new(&filters).receive(&packet, Instant::from_millis(1));
                assert_eq!(trace.fate, Fate::Passed);
                trace.steps.len()
            };
            let (source_port, destination_port) = (1, 22);
            let tcp = Payload::Tcp { source_port, destination_port, flags: 0x10 };
            let udp = Payload::Udp { source_port, destination_port };
            assert_eq!((steps(tcp), steps(udp)), (1, 2), "{store:?} {source}");
        }
    }
}

#[test]
fn related_packet_passes_in_closed_unless_the_port_is_guarded() {
    let mut policy = closed();
    policy.doors[0].guards.push("udp/22".parse().expect("a port"));
    for store in STORES {
        let filters = both(&policy, store);
        let mut simulator = Simulator::new(&filters);
        for (port, expected) in [(22, false), (40_000, true), (100, true)] {
            for udp in [false, true] {
                let mut packet = syn("2001:db8::1", port);
                packet.tracked = Tracking::Related;
                if udp {
                    packet.payload = Payload::Udp { source_port: 1, destination_port: port };
                }
                let fate = simulator.receive(&packet, Instant::from_millis(1_000)).fate;
                assert_eq!(fate == Fate::Passed, expected, "{store:?} {port}");
            }
        }
    }
}

/// How a SYN is made another packet, and whether that one counts.
type Kind<'a> = (&'a dyn Fn(&mut Packet), bool);

/// Whoever knows one sequence learns nothing about the ports of other doors.
#[test]
fn guarded_port_of_another_door_counts_as_any_closed_port() {
    for (store, mut policy) in STORES.into_iter().flat_map(|m| [(m, one_door()), (m, closed())]) {
        policy.doors.push(door("other", "tcp/443", &["tcp/900", "tcp/700", "tcp/800"]));
        for (door, port) in policy.doors.iter_mut().zip(["udp/22", "udp/443"]) {
            door.guards.push(port.parse().expect("a port"));
        }
        let filters = both(&policy, store);
        let now = Instant::from_millis(1_000);
        // Whether the attempt of this source has ended after this packet.
        let ends = |source: &str, port, kind: &dyn Fn(&mut Packet)| {
            let mut simulator = Simulator::new(&filters);
            for port in [100, 300] {
                simulator.receive(&syn(source, port), now);
            }
            let mut packet = syn(source, port);
            kind(&mut packet);
            simulator.receive(&packet, now);
            simulator.receive(&syn(source, 200), now);
            simulator.receive(&syn(source, 22), now).fate != Fate::Passed
        };
        let flags = |flags: u8| {
            move |packet: &mut Packet| {
                if let Payload::Tcp { flags: of_packet, .. } = &mut packet.payload {
                    *of_packet = flags;
                }
            }
        };
        let datagram = |packet: &mut Packet| {
            if let Payload::Tcp { source_port, destination_port, .. } = packet.payload {
                packet.payload = Payload::Udp { source_port, destination_port };
            }
        };
        let to_all = |packet: &mut Packet| {
            datagram(packet);
            packet.for_host = false;
        };
        let related = |packet: &mut Packet| packet.tracked = Tracking::Related;
        let guard = policy.gate.stance == Stance::Guard;
        let kinds: [Kind<'_>; 7] = [
            (&flags(0x02), true),
            (&datagram, true),
            (&related, guard),
            (&to_all, false),
            (&flags(0x10), false),
            (&flags(0x04), false),
            (&flags(0x12), false),
        ];
        for source in ["198.51.100.1", "2001:db8::1"] {
            for (number, (kind, counts)) in kinds.into_iter().enumerate() {
                for port in [443, 9999] {
                    let case = format!("{store:?} {source}: kind {number} to port {port}");
                    assert_eq!(ends(source, port, kind), counts, "{case}");
                }
                assert!(!ends(source, 22, kind), "its own door guards it");
            }
        }
    }
}

/// What nobody can find needs no rules.
#[test]
fn a_door_alone_asks_for_its_grant_only() {
    for (store, policy) in STORES.into_iter().flat_map(|m| [(m, one_door()), (m, closed())]) {
        for filter in both(&policy, store) {
            assert_eq!(filter.chain("portcullis-door-0").expect("a chain").rules.len(), 2);
            assert!(filter.chain("portcullis-elsewhere").is_none());
        }
    }
}

#[test]
fn knock_from_link_local_address_opens_nothing() {
    for (store, policy) in STORES.into_iter().flat_map(|m| [(m, one_door()), (m, closed())]) {
        let filters = both(&policy, store);
        for (source, expected) in [("fe80::77", false), ("febf::1", false), ("fec0::1", true)] {
            let mut simulator = Simulator::new(&filters);
            let now = Instant::from_millis(1_000);
            for port in [100, 300, 200] {
                simulator.receive(&syn(source, port), now);
            }
            let open = simulator.receive(&syn(source, 22), now).fate == Fate::Passed;
            assert_eq!(open, expected, "{store:?} {source}");
        }
    }
}

/// A hundred forged first knocks put an honest attempt out of a list of `recent`; of a set, not.
#[test]
fn forged_sources_evict_from_recent_and_not_from_sets() {
    for store in STORES {
        for forged in [RECENT_SIZE - 1, RECENT_SIZE] {
            let filters = both(&one_door(), store);
            let mut simulator = Simulator::new(&filters);
            let now = Instant::from_millis(1_000);
            simulator.receive(&syn("198.51.100.1", 100), now);
            for n in 0..forged {
                simulator.receive(&syn(&format!("203.0.113.{n}"), 100), now);
            }
            simulator.receive(&syn("198.51.100.1", 300), now);
            simulator.receive(&syn("198.51.100.1", 200), now);
            let open = simulator.receive(&syn("198.51.100.1", 22), now).fate == Fate::Passed;
            assert_eq!(open, store == AddressStore::Ipset || forged < RECENT_SIZE, "{store:?}");
        }
    }
}

#[test]
fn loading_the_text_twice_would_change_nothing() {
    for store in STORES {
        let filters = both(&one_door(), store);
        let mut simulator = Simulator::new(&filters);
        let now = Instant::from_millis(1_000);
        for port in [100, 100, 300, 300, 200, 200] {
            simulator.receive(&syn("198.51.100.1", port), now);
        }
        assert_eq!(simulator.receive(&syn("198.51.100.1", 22), now).fate, Fate::Passed);
        assert_ne!(simulator.receive(&syn("198.51.100.2", 22), now).fate, Fate::Passed);
    }
}

#[test]
fn what_these_back_ends_cannot_do_is_refused_where_it_stands() {
    let mut policy = one_door();
    policy.doors.push(door("web", "tcp/443", &["tcp/900", "tcp/700", "tcp/800"]));
    policy.doors[0].recogniser = Recogniser::Both;
    policy.doors[0].step_timeout = Duration::from_millis(1_500);
    policy.doors[1].tolerate = 1;
    policy.doors[1].open_for = Duration::from_millis(2_500);
    policy.gate.interfaces = vec![
        portcullis_core::policy::InterfaceName::new("eth0").expect("a name"),
        portcullis_core::policy::InterfaceName::new("eth+").expect("a name"),
    ];
    for store in STORES {
        let mut codes: Vec<_> = errors(&policy, store).into_iter().map(|error| error.0).collect();
        codes.sort_unstable();
        let expected = [
            "backend-no-daemon",
            "backend-tolerate",
            "backend-whole-seconds",
            "backend-whole-seconds",
            "backend-wildcard",
        ];
        assert_eq!(codes, expected);
        assert_eq!(errors(&one_door(), store), []);
        // Four knocks and a door each: five lists, of which the last stage needs none.
        let most = if store == AddressStore::Recent { 64 } else { 256 };
        let kernel = |count| {
            let mut policy = policies::many(count);
            policy.doors.iter_mut().for_each(|door| door.recogniser = Recogniser::Kernel);
            policy
        };
        assert_eq!(errors(&kernel(most), store), []);
        assert_eq!(errors(&kernel(most + 1), store), [("backend-too-many-lists", Site::Backend)]);
    }
}

/// Everyone of a family is two networks, since no set holds a network without a prefix.
#[test]
fn everyone_can_be_allowed() {
    let mut policy = one_door();
    let allow = |text: &str| text.parse().expect("may be allowed");
    policy.gate.allow = vec![allow("::/0"), allow("203.0.113.0/24")];
    for store in STORES {
        let filters = both(&policy, store);
        let mut simulator = Simulator::new(&filters);
        let now = Instant::from_millis(1_000);
        let mut passes = |source: &str| {
            let passes = simulator.receive(&syn(source, 22), now).fate == Fate::Passed;
            assert_eq!(passes, !source.starts_with("192"), "{store:?} {source}");
        };
        let sources = ["2001:db8::1", "fe80::1", "::1", "203.0.113.255", "192.0.2.1"];
        sources.into_iter().for_each(&mut passes);
        let text: String = filters.iter().map(|f| sets(f.family, f.sets.iter())).collect();
        let added: Vec<_> = text.lines().filter(|line| line.starts_with("add ")).collect();
        let expected: &[&str] = match store {
            AddressStore::Recent => &[],
            AddressStore::Ipset => &[
                "add portcullis4_0_allow 203.0.113.0/24",
                "add portcullis6_0_allow ::/1",
                "add portcullis6_0_allow 8000::/1",
            ],
        };
        assert_eq!(added, expected);
    }
}

#[test]
fn names_are_not_allowed_and_many_networks_are_worth_a_warning() {
    let allow = |text: &str| text.parse().expect("may be allowed");
    let mut policy = one_door();
    policy.gate.allow = ["admin.example.org", "iface:wg0", "iface:wg+"].map(allow).to_vec();
    for store in STORES {
        let site = |index| Site::Policy(Place::Allow(index));
        let expected = [("backend-cannot", site(0)), ("backend-wildcard", site(2))];
        assert_eq!(errors(&policy, store), expected);
    }
    let many = |count: u32, store| {
        let mut policy = one_door();
        let networks = (0..count).map(|n| allow(&std::net::Ipv4Addr::from(n << 8).to_string()));
        policy.gate.allow = networks.collect();
        let findings = check(&policy, store);
        findings.iter().any(|found| matches!(found.problem, Problem::ManyNetworks { .. }))
    };
    assert!(
        many(257, AddressStore::Recent)
            && !many(256, AddressStore::Recent)
            && !many(257, AddressStore::Ipset)
    );
}

#[test]
fn refusing_like_a_closed_port_is_said_to_be_less_exact() {
    let less_exact = |refuse, guards| {
        let mut policy = one_door();
        policy.gate.refuse = refuse;
        policy.doors[0].guards = vec![guards];
        check(&policy, AddressStore::Ipset).iter().any(|f| f.problem == Problem::LessExact)
    };
    let port = |text: &str| text.parse().expect("a port");
    assert!(less_exact(Refuse::LikeClosed, port("tcp/22")));
    assert!(!less_exact(Refuse::LikeClosed, port("udp/22")));
    assert!(!less_exact(Refuse::Drop, port("tcp/22")));
    // A closed host refuses all other ports in this way, too.
    let mut policy = one_door();
    policy.gate.stance = Stance::Closed;
    policy.gate.refuse = Refuse::LikeClosed;
    policy.doors[0].guards = vec![port("udp/22")];
    assert!(check(&policy, AddressStore::Ipset).iter().any(|f| f.problem == Problem::LessExact));
}

#[test]
fn names_of_lists_fit_and_say_what_they_are() {
    let name = |text: &str| DoorName::new(text).expect("a name");
    assert_eq!(grant_list(Family::V4, &name("ssh")), "portcullis4_open_ssh");
    let long = "a".repeat(48);
    let (a, b) = (grant_list(Family::V6, &name(&long)), grant_list(Family::V6, &name(&long[1..])));
    assert!(a != b && a.len() == 31 && b.len() == 31);
    let newest = Generation::after(&[Generation::default()]);
    let list = stage_list(Family::V6, newest, portcullis_core::policy::DoorId(19_999), 32);
    assert!(list.len() <= 31, "{list}");
    assert_eq!(Generation::of(&list), Some(newest));
    assert_eq!(Generation::of("portcullis4_3_allow"), Generation::of("portcullis6_3_0_1"));
    assert!(Generation::of("portcullis4_3_allow").is_some());
    for other in ["portcullis4_3_allow_1", "portcullis4_3_open", "portcullis4_3_1", "portcullis4_3"]
    {
        assert_eq!(Generation::of(other), None, "{other}");
    }
    assert_eq!(Generation::of("portcullis4_open_1_2"), None);
    assert_eq!(Generation::of("portcullis4_open_1_2_3"), None);
    assert_eq!(Generation::of("other"), None);
    let mut used = vec![];
    for _ in 0..10 {
        let next = Generation::after(&used);
        assert!(!used.contains(&next), "{used:?}");
        used.push(next);
    }
}

#[test]
fn only_our_own_chains_and_one_jump_are_touched() {
    let mut closed = one_door();
    closed.gate.stance = Stance::Closed;
    closed.gate.log_refused = true;
    let allow = ["203.0.113.0/24", "2001:db8::/32", "iface:wg0"];
    closed.gate.allow = allow.map(|text| text.parse().expect("may be allowed")).to_vec();
    for (store, policy) in STORES.into_iter().flat_map(|m| [(m, one_door()), (m, closed.clone())]) {
        for filter in both(&policy, store) {
            let old = ["portcullis-old", "portcullis-gate", "docker", "portcullis;x"];
            let old = old.map(str::to_owned);
            for (jump, jumps) in [(Jump::Insert, 1), (Jump::Keep, 0), (Jump::Renew(2), 3)] {
                let text = filter.text(jump, &old);
                let lines = || text.lines().filter(|line| !line.starts_with('#'));
                assert_eq!(lines().next(), Some("*filter"));
                assert_eq!(lines().next_back(), Some("COMMIT"));
                let strangers: Vec<_> = lines()
                    .filter(|line| !["*filter", "COMMIT"].contains(line))
                    .filter(|line| {
                        let ours = [":portcullis-", "-A portcullis-", "-X portcullis-"];
                        !ours.iter().any(|begin| line.starts_with(begin))
                    })
                    .collect();
                assert_eq!(strangers.len(), jumps, "{strangers:?}");
                assert!(strangers.iter().all(|line| line.ends_with(&format!(" -j {INPUT}"))));
                assert_eq!(text.matches("-X ").count(), 1);
                assert!(text.contains("-X portcullis-old\n") && !text.contains(';'));
            }
            let text = removal(&old, 2);
            assert!(!text.contains("docker") && text.matches("-D INPUT").count() == 2);
        }
    }
}
