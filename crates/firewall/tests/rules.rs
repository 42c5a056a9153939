//! The rules as a whole: what is printed for the example configurations, and what DESIGN.md promises
//! about them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, which clippy cannot tell without `#[test]`"
)]

use std::net::IpAddr;
use std::path::Path;

use portcullis_core::policy::{Door, DoorName, Gate, InterfaceName, Policy, Recogniser, Refuse};
use portcullis_core::time::Instant;
use portcullis_firewall::compile::compile;
use portcullis_firewall::iptables::compile::Generation;
use portcullis_firewall::iptables::{self, Family, Matcher};
use portcullis_firewall::simulator::{Fate, Packet, Payload, Simulator};

fn policy(refuse: Refuse, tolerate: u8, recogniser: Recogniser) -> Policy {
    let ports = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Policy {
        gate: Gate {
            refuse,
            interfaces: vec![InterfaceName::new("eth0").unwrap()],
            public: ports(&["tcp/80"]),
        },
        doors: vec![Door {
            name: DoorName::new("ssh").unwrap(),
            guards: ports(&["tcp/22", "udp/51820"]),
            sequence: ports(&["tcp/7431", "udp/29117", "tcp/1123"]),
            step_timeout: Door::DEFAULT_STEP_TIMEOUT,
            open_for: Door::DEFAULT_OPEN_FOR,
            recogniser,
            tolerate,
            hooks: None,
        }],
    }
}

/// Compares with a committed file; `PORTCULLIS_BLESS=1` writes it anew.
fn is_as_committed(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules").join(name);
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, committed, "{name} has changed; look at it, then bless it");
}

#[test]
fn the_rules_are_as_committed() {
    for (name, refuse, tolerate, recogniser) in [
        ("like-closed.nft", Refuse::LikeClosed, 0, Recogniser::Both),
        ("drop.nft", Refuse::Drop, 0, Recogniser::Kernel),
        ("reject-tolerate.nft", Refuse::Reject, 2, Recogniser::Both),
        ("daemon-only.nft", Refuse::LikeClosed, 0, Recogniser::Daemon),
    ] {
        let text = compile(&policy(refuse, tolerate, recogniser)).unwrap().to_string();
        is_as_committed(name, &text);
        assert!(!text.contains("mark"), "a packet's mark is other people's");
    }
}

/// The kernel has nothing to open of a door that guards nothing, and knows nothing of its knocks.
#[test]
fn a_door_without_guards_is_not_in_the_rules() {
    let with_guards = policy(Refuse::LikeClosed, 0, Recogniser::Both);
    let mut both = with_guards.clone();
    let mut wake = both.doors[0].clone();
    wake.name = DoorName::new("wake").unwrap();
    wake.guards.clear();
    wake.sequence.reverse();
    both.doors.push(wake);
    assert_eq!(compile(&both).unwrap(), compile(&with_guards).unwrap());
    both.doors.remove(0);
    let alone = compile(&both).unwrap();
    assert!(alone.set("first").is_none() && alone.set("guards").unwrap().elements.is_empty());
}

#[test]
fn the_rules_of_iptables_are_as_committed() {
    for (name, matcher, family) in [
        ("recent.iptables", Matcher::Recent, Family::V4),
        ("ipset.ip6tables", Matcher::Ipset, Family::V6),
    ] {
        let policy = policy(Refuse::LikeClosed, 0, Recogniser::Kernel);
        let filter = iptables::compile::compile(&policy, matcher, family, Generation::default());
        let filter = filter.unwrap();
        is_as_committed(name, &filter.to_string());
        if matcher == Matcher::Ipset {
            is_as_committed("ipset.sets", &iptables::text::sets(family, filter.sets.iter()));
        }
    }
}

fn packet(established: bool, payload: Payload) -> Packet {
    Packet {
        interface: "eth0".to_owned(),
        for_host: true,
        fragment: false,
        established,
        source: IpAddr::from([203, 0, 113, 7]),
        destination: IpAddr::from([192, 0, 2, 1]),
        payload,
    }
}

#[test]
fn an_established_connection_costs_one_rule() {
    let ruleset = compile(&policy(Refuse::LikeClosed, 2, Recogniser::Both)).unwrap();
    let mut simulator = Simulator::new(&ruleset);
    for destination_port in [22, 7431, 80, 9999] {
        let tcp = Payload::Tcp { source_port: 40_000, destination_port, flags: 0x18 };
        let udp = Payload::Udp { source_port: 40_000, destination_port };
        for payload in [tcp, udp] {
            let trace = simulator.receive(&packet(true, payload), Instant::ORIGIN);
            assert_eq!((trace.steps.len(), trace.fate), (1, Fate::Passed));
        }
    }
}

#[test]
fn other_interfaces_and_protocols_pass() {
    let ruleset = compile(&policy(Refuse::Drop, 0, Recogniser::Both)).unwrap();
    let mut simulator = Simulator::new(&ruleset);
    let syn = Payload::Tcp { source_port: 40_000, destination_port: 22, flags: 0x02 };
    let here = simulator.receive(&packet(false, syn), Instant::ORIGIN).fate;
    let mut elsewhere = packet(false, syn);
    elsewhere.interface = "eth1".to_owned();
    let elsewhere = simulator.receive(&elsewhere, Instant::ORIGIN).fate;
    let icmp = simulator.receive(&packet(false, Payload::Other(1)), Instant::ORIGIN).fate;
    assert_eq!((here, elsewhere, icmp), (Fate::Dropped, Fate::Passed, Fate::Passed));
}
