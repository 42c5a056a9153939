//! Sweeps of all ports, against doors of three and four knocks.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portcullis::lab::packet::Packet;
use portcullis::lab::wire::{Wire, shuffled};
use portcullis::lab::{Family, Lab, Peer, wait_until};

use crate::knockd::daemon::{Daemon, Setup};
use crate::knockd::random::Random;
use crate::knockd::{PATIENCE, SIDES, Which};

/// Each is the only one of a daemon of its own: the ports of another would end its attempts.
const DOORS: usize = 100;

/// At each door.
const SWEEPS: usize = 20;

pub fn sweeps() {
    let [theirs, ours] = SIDES.map(|which| {
        let begun = Instant::now();
        let opened = one(which);
        eprintln!(
            "{which}: {opened} of {DOORS} doors opened by {SWEEPS} sweeps, in {:.0} s",
            begun.elapsed().as_secs_f64()
        );
        opened
    });
    assert!(theirs > DOORS / 2, "{theirs}");
    if Which::Ours.is_ours() {
        assert_eq!(ours, 0);
    }
}

/// A door with random knocks.
fn config(random: &mut Random, index: usize) -> String {
    let mut ports = Vec::new();
    while ports.len() < 3 + index % 2 {
        let port = 1 + random.below(60_000);
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    let ports: Vec<String> = ports.iter().map(usize::to_string).collect();
    format!("[A]\nsequence = {}\ntcpflags = syn\nseq_timeout = 1000\n", ports.join(","))
}

/// How many of the doors some sweep opens.
fn one(which: Which) -> usize {
    let mut lab = Lab::new().unwrap();
    let client = lab.peer("client", 1).unwrap();
    let arguments = ["-t", "raw", "-A", "PREROUTING", "-j", "DROP"];
    let status = std::process::Command::new("iptables").args(arguments).status().unwrap();
    assert!(status.success());
    let wire = client.sender().unwrap();
    let mut random = Random::new(100);
    let daemons: Vec<Daemon> = (0..DOORS)
        .map(|index| Daemon::spawn(which, &Setup::new(&config(&mut random, index))))
        .collect();
    for daemon in &daemons {
        daemon.wait_until_ready().unwrap();
    }
    for sweep in 0..SWEEPS {
        let ports: Vec<u16> = match sweep {
            0 => (1..=u16::MAX).collect(),
            1 => (1..=u16::MAX).rev().collect(),
            _ => shuffled(sweep as u64),
        };
        play(&client, &wire, &daemons, sweep, &ports);
    }
    let opened =
        |daemon: &&Daemon| daemon.log().iter().any(|line| line.ends_with(": A: OPEN SESAME"));
    daemons.iter().filter(opened).count()
}

/// One sweep, by a source of its own; it goes on when all have seen so much of it.
fn play(client: &Peer, wire: &Wire, daemons: &[Daemon], sweep: usize, ports: &[u16]) {
    let from = SocketAddr::new(crate::world::made_up(Family::V4, 1 + sweep as u32), 40_000);
    let host = client.host(Family::V4);
    for (part, ports) in ports.chunks(8_192).enumerate() {
        let packets = ports.iter().map(|port| Packet::syn(from, SocketAddr::new(host, *port)));
        wire.send_all(packets).unwrap();
        let number = 1_000_000 + (sweep * 100 + part) as u32;
        let sentinel = SocketAddr::new(crate::world::made_up(Family::V4, number), 40_000);
        wire.send(&Packet::udp(sentinel, SocketAddr::new(host, 64_001), &[0])).unwrap();
        let line = format!("{}: sentinel: OPEN SESAME", sentinel.ip());
        let seen = || daemons.iter().all(|daemon| daemon.read("log").contains(&line));
        assert!(wait_until(Instant::now() + PATIENCE + Duration::from_secs(10), seen));
    }
}
