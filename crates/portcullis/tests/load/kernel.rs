//! The real kernel against the reference model, and what becomes of its tables when they are full.

use libtest_mimic::Trial;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use portcullis_core::automaton::{Automaton, StateId};
use portcullis_core::engine::Direction;
use portcullis_core::policy::{Port, Recogniser};
use portcullis_core::time::Instant as Moment;
use portcullis_firewall::compile::{class_of, compile};
use portcullis_firewall::ruleset::Ruleset;
use portcullis_gate::nftables::Table;
use portcullis_lab::packet::Packet;
use portcullis_lab::{Family, Lab, Peer, wait_until, world};
use portcullis_testkit::reference::{Meaning, Reference};
use portcullis_testkit::script::{Event, What};
use portcullis_testkit::{frames, policies, script};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use world::{By, FAMILIES, PATIENCE, World, knock_packet, made_up};

/// Random policies that are loaded.
const POLICIES: usize = 100;

/// The kernel keeps a removed element for up to a second, and refuses to add one when 16 with the
/// same key have been removed: a source that changes its state more often than that loses it.
const CHANGES: usize = 12;

pub fn trials() -> Vec<Trial> {
    vec![
        world::trial("the_kernel_means_what_the_reference_means", reference),
        world::trial("one_door_and_ten_thousand_have_the_same_rules", same_rules),
        world::trial("forged_attempts_lock_nobody_out", forged_attempts),
        world::trial("the_daemon_knows_an_honest_knock_in_a_flood_of_forged_ones", flood),
        world::trial("killed_at_any_moment_the_daemon_leaves_nothing_open", killed),
    ]
}

fn reference() {
    let mut lab = Lab::new().unwrap();
    let client = lab.peer(policies::INTERFACE, 1).unwrap();
    let wire = client.wire().unwrap();
    let mut gate = Table::open().unwrap();
    let mut runner = TestRunner::deterministic();
    let cases = policies::policy().prop_flat_map(|policy| {
        let script = script::script(&policy);
        (proptest::strategy::Just(policy), script)
    });
    let (mut packets, mut opened) = (0, 0);
    for _ in 0..POLICIES {
        let (policy, script) = cases.new_tree(&mut runner).unwrap().current();
        // Otherwise grants of the last one would be carried over.
        gate.remove().unwrap();
        gate.load(&compile(&policy).unwrap()).unwrap();
        let automaton = Automaton::build(policy.doors_seen_by(Recogniser::Kernel)).unwrap();
        let mut reference = Reference::new(&policy, Recogniser::Kernel);
        let mut grants = BTreeSet::new();
        let mut stages: HashMap<IpAddr, usize> = HashMap::new();
        let mut changes: HashMap<IpAddr, usize> = HashMap::new();
        // All at once: time is the business of the behaviour table.
        let now = Moment::from_millis(1_000);
        for event in &script {
            let source = event.source();
            let changes = changes.entry(source).or_default();
            if *changes == CHANGES || matches!(event.what, What::Answer(_) | What::Broadcast(_)) {
                continue;
            }
            packets += 1;
            send(&client, &wire, event);
            let meaning = match event.what {
                What::New(port) => reference.packet(source, Some(port), now),
                What::Zero => reference.packet(source, None, now),
                _ => Meaning::Nothing,
            };
            match meaning {
                Meaning::Stage(stage) => drop(stages.insert(source, stage)),
                Meaning::Wrong => drop(stages.insert(source, 0)),
                Meaning::Opened(door) => {
                    stages.insert(source, policy.door(door).unwrap().sequence.len());
                    grants.insert((source, class_of(door)));
                    opened += 1;
                }
                Meaning::Nothing | Meaning::Repeated | Meaning::Forgiven => {}
            }
            *changes += usize::from(!matches!(meaning, Meaning::Nothing | Meaning::Repeated));
        }
        settle(&client, &wire);
        let found: BTreeSet<_> =
            gate.grants().unwrap().iter().map(|grant| (grant.address, grant.class)).collect();
        assert_eq!(found, grants, "{script:?} of {policy:?}");
        stages.retain(|_, stage| *stage > 0);
        let kernel: HashMap<IpAddr, usize> = gate
            .attempts()
            .unwrap()
            .into_iter()
            .map(|it| (it.address, automaton.state(StateId(it.state)).unwrap().stage.into()))
            .collect();
        assert_eq!(kernel, stages, "{script:?} of {policy:?}");
    }
    eprintln!("{POLICIES} policies, {packets} packets, {opened} doors opened");
    assert!(opened > POLICIES / 2);
}

fn send(client: &Peer, wire: &portcullis_lab::wire::Wire, event: &Event) {
    // The scripts' host has other addresses than the lab's.
    let family = if event.source().is_ipv4() { Family::V4 } else { Family::V6 };
    let host = client.host(family);
    assert_eq!(host, event.destination());
    for (direction, bytes) in frames::frames(event) {
        assert_eq!(direction, Direction::ToHost);
        wire.send_ip(&bytes).unwrap();
    }
}

/// An echo reply comes after everything before it has been through the rules.
fn settle(client: &Peer, wire: &portcullis_lab::wire::Wire) {
    let ping = Packet::ping(client.address(Family::V4, 0), client.host(Family::V4), 99);
    assert!(wire.probe(&ping, PATIENCE).unwrap().is_some());
}

fn same_rules() {
    let _lab = Lab::new().unwrap();
    let mut gate = Table::open().unwrap();
    let (one, all) =
        (compile(&policies::many(1)).unwrap(), compile(&policies::many(10_000)).unwrap());
    assert_eq!(one.rule_count(), all.rule_count());
    // But for the seed of the hash, which is made of the sequences.
    let rules = |ruleset: &Ruleset| -> Vec<String> {
        let rules = ruleset.chains.iter().flat_map(|chain| &chain.rules);
        rules
            .map(|rule| {
                let text = rule.to_string();
                let words = text.split(' ').filter(|word| !word.starts_with("0x"));
                words.collect::<Vec<_>>().join(" ")
            })
            .collect()
    };
    assert_eq!(rules(&one), rules(&all));
    assert!(portcullis_core::policy::check(&policies::many(10_000)).is_empty());
    gate.load(&one).unwrap();
    let start = Instant::now();
    gate.load(&all).unwrap();
    let loaded = start.elapsed();
    gate.verify(&all).unwrap();
    let elements: usize = all.sets.iter().map(|set| set.elements.len()).sum();
    eprintln!(
        "{} rules for 1 door and for 10,000; {elements} elements loaded in {loaded:?}",
        all.rule_count()
    );
}

const CONFIG: &str = r#"
[door.ssh]
guards       = ["tcp/22"]
sequence     = ["tcp/1009", "tcp/4001", "udp/2003"]
step_timeout = "5s"
open_for     = "300s"
recogniser   = "RECOGNISER"
"#;

/// Forged sources leave more first knocks than there are addresses in any map of addresses: whoever
/// comes new can knock all the same, and nothing else opens.
fn forged_attempts() {
    let mut world = World::new(By::Kernel, CONFIG);
    let first: Port = "tcp/1009".parse().unwrap();
    let host = world.client.host(Family::V4);
    let forged = (1..=200_000).map(|n| knock_packet(made_up(Family::V4, 500_000 + n), host, first));
    world.wire.send_all(forged).unwrap();
    let late = world.new_source(Family::V4);
    world.knock(late, &["tcp/1009", "tcp/4001", "udp/2003"]);
    settle(&world.client, &world.wire);
    let attempts = world.gate.attempts().unwrap().len();
    assert!((150_000..=200_001).contains(&attempts), "{attempts}");
    assert!(world.open_for(late).contains("ssh"));
    assert_eq!(world.gate.grants().unwrap().len(), 1, "the flood opened something");
}

/// Forged first knocks as fast as they can be sent, from a new source each, while honest clients
/// knock, a tenth of a second between their knocks.
fn flood() {
    for family in FAMILIES {
        let mut world = World::new(By::Daemon, CONFIG);
        let first: Port = "tcp/1009".parse().unwrap();
        let host = world.client.host(family);
        let sender = world.client.sender().unwrap();
        let honest: Vec<IpAddr> = (0..20).map(|_| world.new_source(family)).collect();
        let wire = &world.wire;
        let (packets, rate) = std::thread::scope(|scope| {
            let knocking = scope.spawn(|| {
                // Three times, as a person would who does not get in: the queues of the network,
                // full of forged packets, lose an honest one now and then before anyone sees it.
                for source in honest.iter().chain(&honest).chain(&honest) {
                    for port in ["tcp/1009", "tcp/4001", "udp/2003"] {
                        wire.send(&knock_packet(*source, host, port.parse().unwrap())).unwrap();
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
            });
            let (start, mut forged) = (Instant::now(), 0u32);
            while !knocking.is_finished() {
                let some = (0..10_000)
                    .map(|n| knock_packet(made_up(family, 4_000_000 + forged + n), host, first));
                sender.send_all(some).unwrap();
                forged += 10_000;
            }
            (forged, f64::from(forged) / start.elapsed().as_secs_f64())
        });
        world.settle();
        let open = honest.iter().filter(|&&source| world.open_for(source).contains("ssh")).count();
        eprintln!("{family}: {open} of 20 honest knocks in {packets} forged ones at {rate:.0}/s");
        assert_eq!(open, honest.len());
        let grants = world.gate.grants().unwrap();
        // The door of class 1 is `ssh`; the other one is the sentinel's.
        assert!(grants.iter().all(|grant| honest.contains(&grant.address) || grant.class != 1));
    }
}

/// Whenever the daemon is killed, what is open ends by itself, and everything else stays shut.
fn killed() {
    let config = CONFIG.replace("300s", "2s");
    let mut world = World::new(By::Daemon, &config);
    for round in 0..12u64 {
        if world.daemon.is_none() {
            world.start_daemon();
        }
        let source = world.new_source(Family::V4);
        world.knock(source, &["tcp/1009", "tcp/4001", "udp/2003"]);
        // From before the first packet is read to after the grant has been made.
        std::thread::sleep(Duration::from_micros(round * round * 40));
        let mut daemon = world.daemon.take().unwrap();
        daemon.kill().unwrap();
        let names: BTreeSet<_> =
            world.gate.door_names().unwrap().into_iter().map(|d| d.1).collect();
        assert!(names.contains("ssh"), "the gate is gone");
        let shut = || world.gate.grants().unwrap().iter().all(|grant| grant.class != 1);
        assert!(wait_until(Instant::now() + PATIENCE, shut), "round {round}: still open");
    }
}
