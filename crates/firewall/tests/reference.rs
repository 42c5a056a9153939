//! The simulated ruleset against the reference model: random policies, random packets, the same
//! meaning, grant by grant and state by state.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

use std::net::IpAddr;

use portcullis_core::automaton::{Automaton, StateId};
use portcullis_core::policy::{Policy, Port, Protocol, Recogniser, Refuse, Stance};
use portcullis_core::time::Instant;
use portcullis_firewall::compile::{GRANTS, attempt_of, class_of, compile};
use portcullis_firewall::ruleset::{Reject, Tracking, Value};
use portcullis_firewall::simulator::{Fate, Packet, Payload, Simulator, Socket};
use portcullis_testkit::frames::SOURCE_PORT;
use portcullis_testkit::reference::{Meaning, Reference};
use portcullis_testkit::script::{Event, What};
use portcullis_testkit::{policies, script};
use proptest::prelude::*;

fn packet(event: &Event) -> Packet {
    let tcp = |destination_port, flags| Payload::Tcp {
        source_port: SOURCE_PORT,
        destination_port,
        flags,
    };
    let udp = |destination_port| Payload::Udp { source_port: SOURCE_PORT, destination_port };
    let payload = match event.what {
        What::New(port) if port.protocol == Protocol::Tcp => tcp(port.number.get(), 0x02),
        What::New(port) => udp(port.number.get()),
        What::Zero => tcp(0, 0x02),
        What::Segment(number, flags) => tcp(number, flags),
        What::Broadcast(number) | What::Answer(number) => udp(number),
        // Destination unreachable: accepted in both stances, however many there are.
        What::Icmp => Payload::Icmp { kind: if event.source().is_ipv4() { 3 } else { 1 } },
        // In IPv4 a fragment never gets as far as the input hook.
        What::Fragment(number) if event.source().is_ipv6() => tcp(number, 0x02),
        What::Fragment(_) => Payload::Other(255),
    };
    let odd = matches!(payload, Payload::Tcp { flags, .. } if flags & 0x14 == 0 && flags != 0x02);
    let packet = Packet {
        interface: policies::INTERFACE.to_owned(),
        for_host: !matches!(event.what, What::Broadcast(_)),
        fragment: matches!(event.what, What::Fragment(_)),
        tracked: if odd { Tracking::Invalid } else { Tracking::New },
        socket: Socket::Listener,
        ..Packet::new(event.source(), event.destination(), payload)
    };
    if matches!(event.what, What::Answer(_)) { packet.of_connection() } else { packet }
}

fn address(address: IpAddr) -> (usize, Value) {
    match address {
        IpAddr::V4(address) => (0, Value::Ipv4(address)),
        IpAddr::V6(address) => (1, Value::Ipv6(address)),
    }
}

/// The stage that the loaded state of this source stands for.
fn stage(simulator: &Simulator<'_>, automaton: &Automaton, source: IpAddr, now: Instant) -> usize {
    let state =
        attempt_of(simulator, source, now).and_then(|(state, _)| automaton.state(StateId(state)));
    state.map_or(0, |state| state.stage.into())
}

/// What becomes of a packet to a port behind which a service listens.
fn expected_fate(policy: &Policy, event: &Event, granted: bool) -> Fate {
    let closed = policy.gate.stance == Stance::Closed;
    let refuse = policy.gate.refuse;
    let number = |port: Port| (port.protocol, port.number.get());
    let (asked, flags) = match event.what {
        What::New(port) => (Some(number(port)), 0x02),
        What::Segment(port, flags) => (Some((Protocol::Tcp, port)), flags),
        What::Fragment(port) if event.source().is_ipv6() => (Some((Protocol::Tcp, port)), 0x02),
        What::Broadcast(port) => (Some((Protocol::Udp, port)), 0x02),
        What::Zero => (None, 0x02),
        What::Fragment(_) => (None, 0x00),
        What::Answer(_) | What::Icmp => return Fate::Passed,
    };
    let is = |port: &Port| asked == Some(number(*port));
    let guarded = policy.doors.iter().any(|door| door.guards.iter().any(is));
    if policy.gate.public.iter().any(is) || granted || !(guarded || closed) {
        return Fate::Passed;
    }
    // In the stance `closed` the port of a knock must be seen as it is.
    let knock = policy
        .doors_seen_by(Recogniser::Kernel)
        .any(|(_, door)| !door.guards.is_empty() && door.sequence.iter().any(is));
    let tracked = flags & 0x14 != 0 || flags == 0x02;
    let tcp = matches!(asked, Some((Protocol::Tcp, _)));
    let translated = refuse == Refuse::LikeClosed && tcp && tracked && !knock;
    let unfinished = flags & 0x02 == 0 && flags & 0x14 != 0;
    match (event.what, refuse) {
        (What::Broadcast(_), _) => Fate::Dropped,
        // Behind an extension header, at any port.
        (What::Fragment(_), Refuse::LikeClosed) if tcp => Fate::Dropped,
        // The network stack takes care of those that start no connection, as of any.
        (What::Segment(..), _) if translated => Fate::AnsweredAsClosed,
        (What::Segment(..), _) if unfinished => Fate::Passed,
        (What::Segment(..), Refuse::LikeClosed) if flags & 0x14 != 0 => Fate::Passed,
        (_, Refuse::Drop) => Fate::Dropped,
        (_, Refuse::Reject) => Fate::Refused(Reject::AdminProhibited),
        // Nothing listens on port 0.
        (What::Zero, Refuse::LikeClosed) => Fate::Passed,
        (_, Refuse::LikeClosed) if translated => Fate::AnsweredAsClosed,
        (_, Refuse::LikeClosed) => match asked {
            Some((Protocol::Tcp, _)) => Fate::Refused(Reject::TcpReset),
            Some((Protocol::Udp, _)) => Fate::Refused(Reject::PortUnreachable),
            None => Fate::Dropped,
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_mean_what_the_reference_means(
        (policy, script) in policies::policy().prop_flat_map(|policy| {
            let script = script::script(&policy);
            (Just(policy), script)
        })
    ) {
        let ruleset = compile(&policy).expect("a checked policy");
        let automaton = Automaton::build(policy.doors_seen_by(Recogniser::Kernel)).expect("checked");
        let mut simulator = Simulator::new(&ruleset);
        let mut reference = Reference::new(&policy, Recogniser::Kernel);
        let mut granted = Vec::new();
        let mut now = Instant::from_millis(1_000);
        for event in &script {
            now = now.after(event.after);
            let source = event.source();
            let expected = match event.what {
                What::New(port) => reference.packet(source, Some(port), now),
                What::Zero => reference.packet(source, None, now),
                _ => Meaning::Nothing,
            };
            let before = stage(&simulator, &automaton, source, now);
            let may_enter = |door, now| granted.iter().any(|&(d, s, until)| (d, s) == (door, source) && now < until);
            let allowed = policy.doors().any(|(id, door)| {
                matches!(event.what, What::New(port) if door.guards.contains(&port)) && may_enter(id, now)
            });
            let trace = simulator.receive(&packet(event), now);
            prop_assert_eq!(trace.fate, expected_fate(&policy, event, allowed), "{:?}", event);
            let after = stage(&simulator, &automaton, source, now);
            match expected {
                Meaning::Nothing | Meaning::Repeated | Meaning::Forgiven => {
                    prop_assert_eq!(after, before, "{:?} {:?}", event, expected);
                }
                Meaning::Wrong => prop_assert_eq!(after, 0, "{:?}", event),
                Meaning::Stage(stage) => prop_assert_eq!(after, stage, "{:?}", event),
                Meaning::Opened(door) => {
                    let door_of = policy.door(door).expect("it opened");
                    prop_assert_eq!(after, door_of.sequence.len());
                    granted.push((door, source, now.after(door_of.open_for)));
                }
            }
            for (id, _) in policy.doors() {
                let (family, key) = address(source);
                let key = [key, Value::Class(class_of(id))];
                let open = simulator.get(GRANTS[family], &key, now).is_some();
                let should = granted.iter().any(|&(d, s, until)| (d, s) == (id, source) && now < until);
                prop_assert_eq!(open, should, "{:?}: door {:?}", event, id);
            }
        }
    }
}
