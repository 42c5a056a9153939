//! Random policies and random packets: after each script the kernel's lists hold whom the
//! simulator's hold.

use std::net::IpAddr;
use std::time::Duration;

use portcullis::lab::packet::Packet;
use portcullis::lab::{Family as Side, Lab};
use portcullis_core::engine::Direction;
use portcullis_core::policy::{Policy, Recogniser, Severity};
use portcullis_core::time::Instant as Moment;
use portcullis_firewall::iptables::compile::{Generation, compile};
use portcullis_firewall::iptables::simulator::Simulator;
use portcullis_firewall::iptables::text::{removal, sets};
use portcullis_firewall::iptables::{Family, Filter, Matcher};
use portcullis_firewall::simulator::{Packet as Seen, Payload};
use portcullis_testkit::script::{Event, SOURCES, What};
use portcullis_testkit::{frames, policies, script};
use proptest::strategy::{Just, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::tools::{Tools, Variant};
use crate::world::PATIENCE;

const POLICIES: usize = 40;

pub fn run(variant: Variant, matcher: Matcher) {
    let tools = Tools::new(variant);
    let mut lab = Lab::new().unwrap();
    let client = lab.peer(policies::INTERFACE, 1).unwrap();
    let wire = client.wire().unwrap();
    let mut runner = TestRunner::deterministic();
    let cases = policies::policy().prop_flat_map(|policy| {
        let script = script::script(&policy);
        (Just(policy), script)
    });
    let (mut packets, mut opened, mut tried) = (0, 0, 0);
    while tried < POLICIES {
        let (policy, script) = cases.new_tree(&mut runner).unwrap().current();
        let Some(policy) = suitable(policy) else { continue };
        tried += 1;
        let filters = Family::BOTH
            .map(|family| compile(&policy, matcher, family, Generation::default()).unwrap());
        for filter in &filters {
            let sets = sets(filter.family, filter.sets.iter());
            tools.must("ipset", &["restore"], &sets);
            tools.restore(filter.family, &filter.to_string());
        }
        let mut simulator = Simulator::new(&filters);
        let now = Moment::from_millis(1_000);
        for event in &script {
            if matches!(event.what, What::Answer(_) | What::Broadcast(_)) {
                continue;
            }
            packets += 1;
            for (direction, bytes) in frames::frames(event) {
                assert_eq!(direction, Direction::ToHost);
                wire.send_ip(&bytes).unwrap();
            }
            simulator.receive(&seen(event), now);
        }
        // An echo reply comes after everything before it has been through the rules.
        let ping = Packet::ping(client.address(Side::V4, 0), client.host(Side::V4), 99);
        assert!(wire.probe(&ping, PATIENCE).unwrap().is_some());
        for (list, found) in tools.lists(&filters) {
            let expected = SOURCES.iter().map(|source| source.parse::<IpAddr>().unwrap());
            let expected = expected
                .filter(|&source| simulator.has(&list, source, Duration::from_secs(1), now))
                .collect();
            assert_eq!(found, expected, "{list}: {script:?} of {policy:?}");
            opened += if list.contains("_open_") { found.len() } else { 0 };
        }
        take_away(&tools, &filters);
    }
    eprintln!("{variant} {matcher:?}: {POLICIES} policies, {packets} packets, {opened} grants");
    assert!(opened > POLICIES / 4);
}

/// Longer times, so that a slow machine changes nothing; and what this back end can do.
fn suitable(mut policy: Policy) -> Option<Policy> {
    // The other stance is for nftables alone.
    policy.gate.stance = portcullis_core::policy::Stance::Guard;
    for door in &mut policy.doors {
        door.recogniser = Recogniser::Kernel;
        door.tolerate = 0;
        door.step_timeout *= 60;
        door.open_for *= 60;
    }
    let findings = portcullis_core::policy::check(&policy);
    findings.iter().all(|f| f.problem.severity() != Severity::Error).then_some(policy)
}

fn take_away(tools: &Tools, filters: &[Filter]) {
    for filter in filters {
        let chains: Vec<_> = filter.chains.iter().map(|chain| chain.name.clone()).collect();
        tools.restore(filter.family, &removal(&chains, 1));
    }
    tools.must("ipset", &["destroy"], "");
}

fn seen(event: &Event) -> Seen {
    let tcp = |destination_port, flags| Payload::Tcp { source_port: 1, destination_port, flags };
    let udp = |destination_port| Payload::Udp { source_port: 1, destination_port };
    let payload = match event.what {
        What::New(port) if port.protocol.number() == 6 => tcp(port.number.get(), 0x02),
        What::New(port) => udp(port.number.get()),
        What::Zero => tcp(0, 0x02),
        What::Segment(number, flags) => tcp(number, flags),
        What::Broadcast(number) | What::Answer(number) => udp(number),
        // A fragment of which the rest never comes does not get as far as the rules.
        What::Icmp | What::Fragment(_) => Payload::Other(1),
    };
    Seen {
        interface: policies::INTERFACE.to_owned(),
        for_host: true,
        fragment: false,
        established: false,
        related: false,
        hop_limit: 64,
        source: event.source(),
        destination: event.destination(),
        payload,
    }
}
