//! Sweeps of all ports, against doors of three and four knocks.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use portcullis_lab::packet::Packet;
use portcullis_lab::wire::{Wire, shuffled};
use portcullis_lab::{Family, Lab, Peer};

use crate::both::daemon::{Daemon, Setup};
use crate::both::random::Random;
use crate::both::{SIDES, Which};
use crate::world::made_up;

/// Each is the only one of a daemon of its own: the ports of another would end its attempts. With `PORTCULLIS_SWEEPS=all`
/// there are a hundred.
const DOORS: usize = 20;

/// At each door.
const SWEEPS: usize = 20;

/// So many at least, even if there is no time for more: up, down, and without order.
const AT_LEAST: usize = 3;

/// After so long no more sweeps of ours are begun, unless `PORTCULLIS_SWEEPS=all`: each of its
/// daemons looks at every packet, and theirs only at those to its ports.
const LONG: Duration = Duration::from_secs(20);

fn everything() -> bool {
    std::env::var_os("PORTCULLIS_SWEEPS").is_some_and(|value| value == "all")
}

fn doors() -> usize {
    if everything() { 100 } else { DOORS }
}

pub fn sweeps() {
    let [theirs, ours] = SIDES.map(|which| {
        let begun = Instant::now();
        let (opened, sweeps) = one(which);
        eprintln!(
            "{which}: {opened} of {} doors opened by {sweeps} sweeps, in {:.0} s",
            doors(),
            begun.elapsed().as_secs_f64()
        );
        opened
    });
    assert!(theirs > doors() / 2, "{theirs}");
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

/// How many of the doors some sweep opens, and how many sweeps there were.
fn one(which: Which) -> (usize, usize) {
    let mut lab = Lab::new().unwrap();
    let client = lab.peer("client", 1).unwrap();
    let arguments = ["-t", "raw", "-A", "PREROUTING", "-j", "DROP"];
    let status = std::process::Command::new("iptables").args(arguments).status().unwrap();
    assert!(status.success());
    let wire = client.sender().unwrap();
    let mut random = Random::new(100);
    let daemons: Vec<Daemon> = (0..doors())
        .map(|index| Daemon::spawn(which, &Setup::new(&config(&mut random, index))))
        .collect();
    for daemon in &daemons {
        daemon.wait_until_ready().unwrap();
    }
    let bounded = which.is_ours() && !everything();
    let begun = Instant::now();
    let mut sweeps = 0;
    for sweep in 0..SWEEPS {
        if bounded && sweep >= AT_LEAST && begun.elapsed() > LONG {
            break;
        }
        sweeps += 1;
        let ports: Vec<u16> = match sweep {
            0 => (1..=u16::MAX).collect(),
            1 => (1..=u16::MAX).rev().collect(),
            _ => shuffled(sweep as u64),
        };
        play(&client, &wire, &daemons, sweep, &ports);
    }
    let opened =
        |daemon: &&Daemon| daemon.log().iter().any(|line| line.ends_with(": A: OPEN SESAME"));
    (daemons.iter().filter(opened).count(), sweeps)
}

/// One sweep, by a source of its own; it goes on when all have seen so much of it.
fn play(client: &Peer, wire: &Wire, daemons: &[Daemon], sweep: usize, ports: &[u16]) {
    let from = SocketAddr::new(made_up(Family::V4, 1 + sweep as u32), 40_000);
    let host = client.host(Family::V4);
    for (part, ports) in ports.chunks(8_192).enumerate() {
        let packets = ports.iter().map(|port| Packet::syn(from, SocketAddr::new(host, *port)));
        wire.send_all(packets).unwrap();
        let mut waiting: Vec<&Daemon> = daemons.iter().collect();
        for time in 0..30 {
            let number = 1_000_000 + (sweep * 10_000 + part * 100 + time) as u32;
            let sentinel = SocketAddr::new(made_up(Family::V4, number), 40_000);
            wire.send(&Packet::udp(sentinel, SocketAddr::new(host, 64_001), &[0])).unwrap();
            let line = format!("{}: sentinel: OPEN SESAME", sentinel.ip());
            // Nobody asks a hundred daemons every two milliseconds.
            for _ in 0..60 {
                waiting.retain(|daemon| !end_of_log(daemon).contains(&line));
                if waiting.is_empty() {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
            if waiting.is_empty() {
                break;
            }
        }
        assert!(waiting.is_empty(), "{} daemons see nothing any more", waiting.len());
    }
}

/// As much of a log as is written in a while.
fn end_of_log(daemon: &Daemon) -> String {
    let mut file = File::open(daemon.folder().join("log")).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(length.saturating_sub(4_096))).unwrap();
    let mut end = Vec::new();
    file.read_to_end(&mut end).unwrap();
    String::from_utf8_lossy(&end).into_owned()
}
