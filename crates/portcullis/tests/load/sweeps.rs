//! Sweeps over all ports never open a door, however many and however fast; and honest clients knock
//! through them.

use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_core::policy::{
    Door, DoorName, GatePolicy, Policy, Port, Protocol, Recogniser, check,
};
use portcullis_lab::wire::{knocks, shuffled};
use portcullis_lab::{Family, world};
use world::{By, FAMILIES, RECOGNISERS, World, knock_packet, made_up};

/// Doors with 3, 4 and 5 knocks.
const DOORS: usize = 100;

/// Sweeps of each kind, each over all ports of both protocols: 20 with `PORTCULLIS_SWEEPS=all`.
fn sweeps() -> u64 {
    if std::env::var_os("PORTCULLIS_SWEEPS").is_some_and(|value| value == "all") { 20 } else { 6 }
}

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for by in RECOGNISERS {
        for family in FAMILIES {
            trials.push(world::trial(format!("sweeps_open_nothing_{by}_{family}"), move || {
                sweeps_open_nothing(by, family);
            }));
        }
    }
    trials
}

fn sweeps_open_nothing(by: By, family: Family) {
    let doors = doors(family as u64 + 2 * by as u64);
    let (rounds, mut config) = (sweeps(), String::new());
    for (index, sequence) in doors.iter().enumerate() {
        let sequence: Vec<_> = sequence.iter().map(|port| format!("\"{port}\"")).collect();
        writeln!(
            config,
            "[door.d{index}]\nguards = [\"tcp/{}\"]\nsequence = [{}]\nopen_for = \"300s\"\nrecogniser = \"RECOGNISER\"",
            60_001 + index,
            sequence.join(", ")
        )
        .unwrap();
    }
    let mut world = World::new(by, &config);
    let scanner = world.client.address(family, 0);
    let host = world.client.host(family);
    let done = AtomicBool::new(false);
    let (sender, honest_wire) = (world.client.sender().unwrap(), world.client.sender().unwrap());
    let (honest, sent) = thread::scope(|scope| {
        let honest = scope.spawn(|| {
            // As somebody would who is in no hurry, all the while that the sweeps go on.
            let mut number = 1_000_000;
            let mut attempts = Vec::new();
            while !done.load(Ordering::Relaxed) {
                for (index, sequence) in doors.iter().enumerate() {
                    number += 1;
                    let from = made_up(family, number);
                    for &port in sequence {
                        honest_wire.send(&knock_packet(from, host, port)).unwrap();
                        thread::sleep(Duration::from_millis(1));
                    }
                    attempts.push((index, from));
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
            attempts
        });
        let start = Instant::now();
        let mut packets = 0;
        for round in 0..rounds {
            let ascending: Vec<u16> = (1..=u16::MAX).collect();
            let descending: Vec<u16> = (1..=u16::MAX).rev().collect();
            for ports in [ascending, descending, shuffled(round)] {
                packets += sender.send_all(knocks(scanner, host, ports)).unwrap().packets;
            }
        }
        let rate = packets as f64 / start.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        eprintln!("{by} {family}: {packets} packets in {} sweeps at {rate:.0}/s", 3 * rounds);
        (honest.join().unwrap(), packets)
    });
    assert_eq!(sent, 3 * rounds * 2 * 65_535);
    world.settle();
    assert_eq!(world.open_for(scanner), BTreeSet::new(), "a sweep opened a door");

    // Each door was opened by an honest client while the sweeps went on.
    let grants = world.gate.grants().unwrap();
    let names = world.gate.door_names().unwrap();
    let open: BTreeSet<(String, IpAddr)> = grants
        .iter()
        .map(|grant| {
            let name = names.iter().find(|(class, _)| *class == grant.class).unwrap().1.clone();
            (name, grant.address)
        })
        .collect();
    let opened: BTreeSet<usize> = honest
        .iter()
        .filter(|(index, from)| open.contains(&(format!("d{index}"), *from)))
        .map(|(index, _)| *index)
        .collect();
    let succeeded =
        honest.iter().filter(|(index, from)| open.contains(&(format!("d{index}"), *from))).count();
    eprintln!("{by} {family}: {succeeded} of {} honest knocks opened their door", honest.len());
    assert_eq!(opened.len(), DOORS, "some door never opened for an honest client");
    // Nothing else is open: what is, was knocked for.
    let asked: BTreeSet<(String, IpAddr)> =
        honest.iter().map(|(index, from)| (format!("d{index}"), *from)).collect();
    let others = open.iter().filter(|(name, _)| name != "sentinel");
    for grant in others {
        assert!(asked.contains(grant), "{grant:?} was never knocked for");
    }
}

/// Random doors that pass the check.
fn doors(seed: u64) -> Vec<Vec<Port>> {
    let mut ports = (0..).flat_map(|round| shuffled(seed * 1_000 + round)).filter(|port| {
        // Those are guarded, or knocks of the sentinel.
        !(60_001..=60_200).contains(port) && !(64_000..=64_999).contains(port)
    });
    let mut policy = Policy { gate: GatePolicy::default(), doors: Vec::new() };
    while policy.doors.len() < DOORS {
        let length = 3 + policy.doors.len() % 3;
        let sequence = (&mut ports).take(length).map(|port| {
            let protocol = if port % 3 == 0 { Protocol::Udp } else { Protocol::Tcp };
            Port::new(protocol, port).unwrap()
        });
        let index = policy.doors.len() as u16;
        policy.doors.push(Door {
            name: DoorName::new(&format!("d{index}")).unwrap(),
            guards: vec![Port::tcp(60_001 + index).unwrap()],
            sequence: sequence.collect(),
            step_timeout: Door::DEFAULT_STEP_TIMEOUT,
            open_for: Door::DEFAULT_OPEN_FOR,
            recogniser: Recogniser::Both,
            tolerate: 0,
            hooks: None,
        });
        if !check(&policy).is_empty() {
            policy.doors.pop();
        }
    }
    policy.doors.into_iter().map(|door| door.sequence).collect()
}
