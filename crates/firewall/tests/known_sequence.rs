//! A guarded port is a wrong port in an attempt at another door: which packets count, and how the rules go on after that.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use portcullis_core::policy::{Policy, Port, Refuse, Stance};
use portcullis_core::time::Instant;
use portcullis_firewall::compile::{attempt_of, compile};
use portcullis_firewall::ruleset::{
    Chain, Hook, HookPoint, Rule, Ruleset, Statement, Tracking, Verdict,
};
use portcullis_firewall::simulator::{Fate, Packet, Payload, Simulator};
use portcullis_testkit::policies;

const REFUSALS: [Refuse; 3] = [Refuse::LikeClosed, Refuse::Drop, Refuse::Reject];
const NOW: Instant = Instant::ORIGIN;

/// Two doors, in this stance.
fn policy(stance: Stance, refuse: Refuse, tolerate: u8) -> Policy {
    let tcp = |number| Port::tcp(number).unwrap();
    let door = |name, guard, sequence: [u16; 3]| {
        policies::door(name, tcp(guard), &sequence.map(tcp), tolerate)
    };
    let doors = vec![door("mine", 8080, [5001, 4001, 6001]), door("other", 22, [7431, 2001, 1123])];
    let mut policy = Policy { doors, ..Policy::default() };
    policy.gate.stance = stance;
    policy.gate.refuse = refuse;
    policy
}

fn syn(destination_port: u16) -> Packet {
    let payload = Payload::Tcp { source_port: 40_000, destination_port, flags: 0x02 };
    Packet::new([203, 0, 113, 7].into(), [192, 0, 2, 1].into(), payload)
}

fn every_gate(tolerate: u8, test: impl Fn(&mut Simulator<'_>, &str)) {
    for stance in [Stance::Guard, Stance::Closed] {
        for refuse in REFUSALS {
            let ruleset = compile(&policy(stance, refuse, tolerate)).unwrap();
            test(&mut Simulator::new(&ruleset), &format!("{stance:?} {refuse:?}"));
        }
    }
}

/// How many wrong ports are forgiven before the attempt ends, of these packets.
fn survives(simulator: &mut Simulator<'_>, packet: &Packet) -> usize {
    simulator.receive(&syn(5001), NOW);
    let going_on = |simulator: &Simulator<'_>| attempt_of(simulator, packet.source, NOW).is_some();
    assert!(going_on(simulator));
    (0..4)
        .take_while(|_| {
            simulator.receive(packet, NOW);
            going_on(simulator)
        })
        .count()
}

#[test]
fn guarded_port_of_another_door_counts_like_a_closed_port_without_a_grant() {
    for tolerate in [0, 2] {
        every_gate(tolerate, |gate, name| {
            for granted in [false, true] {
                if granted {
                    for port in [7431, 2001, 1123] {
                        gate.receive(&syn(port), NOW);
                    }
                    assert_eq!(gate.receive(&syn(22), NOW).fate, Fate::Passed, "{name}");
                }
                let guarded = if granted { 4 } else { tolerate.into() };
                assert_eq!(survives(gate, &syn(22)), guarded, "{name}, granted: {granted}");
                assert_eq!(survives(gate, &syn(23)), tolerate.into(), "{name}");
                assert_eq!(survives(gate, &syn(8080)), 4, "{name}");
            }
        });
    }
}

#[test]
fn packet_that_cannot_be_a_knock_counts_at_no_guarded_port() {
    every_gate(0, |gate, name| {
        let broadcast = Packet { for_host: false, ..syn(22) };
        assert_eq!(survives(gate, &broadcast), 4, "{name}");
        let payload = Payload::Tcp { source_port: 40_000, destination_port: 22, flags: 0x10 };
        assert_eq!(survives(gate, &Packet { payload, ..syn(22) }), 4, "{name}");
        let invalid = Packet { tracked: Tracking::Invalid, ..syn(22) };
        assert_eq!(survives(gate, &invalid), 4, "{name}");
        // What is expected is accepted at closed ports in this stance, and counts at none.
        if name.starts_with("Closed") {
            let related = Packet { tracked: Tracking::Related, ..syn(22) };
            assert_eq!(survives(gate, &related), 4, "{name}");
        }
    });
}

#[test]
fn rules_go_on_behind_a_jump_when_its_chain_ends_or_says_so() {
    let verdict = |verdict| Rule { statements: vec![Statement::Verdict(verdict)], comment: None };
    let chain = |name: &str, hook, rules| Chain { name: name.to_owned(), hook, rules };
    let hook = Some(Hook { point: HookPoint::Input, priority: 0 });
    let jump = |name: &str| verdict(Verdict::Jump(name.to_owned()));
    let chains = vec![
        chain(
            "base",
            hook,
            vec![jump("ends"), jump("returns"), jump("goes"), verdict(Verdict::Drop)],
        ),
        chain("ends", None, vec![]),
        chain("returns", None, vec![verdict(Verdict::Return), verdict(Verdict::Accept)]),
        chain(
            "goes",
            None,
            vec![verdict(Verdict::Goto("ends".to_owned())), verdict(Verdict::Accept)],
        ),
    ];
    let ruleset = Ruleset { comment: String::new(), timeouts: vec![], sets: vec![], chains };
    let trace = Simulator::new(&ruleset).receive(&syn(1), NOW).steps;
    let met: Vec<_> = trace.iter().map(|step| (step.chain, step.index)).collect();
    let expected =
        [("base", 0), ("base", 1), ("returns", 0), ("base", 2), ("goes", 0), ("base", 3)];
    assert_eq!(met, expected);
}
