//! How many of those who know the knocks get in while forged first knocks come as fast as they can be
//! sent, a new source each: beside `recent` of iptables and a map of addresses, in one run.
//!
//! `PORTCULLIS_FLOOD=all` measures three rates and every rendering that was thought of; what came out is
//! in `docs/flood.md`.

use libtest_mimic::Trial;
use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis::config::parse_str;
use portcullis_core::policy::Port;
use portcullis_firewall::compile::compile;
use portcullis_lab::packet::Packet;
use portcullis_lab::{Family, Peer, world};
use world::{By, World, knock_packet, made_up, nft, write_config};

/// A port of UDP, so that one datagram says whether it is open.
const GUARDED: u16 = 5000;

const DOOR: &str = "\n[door.vpn]\nguards = [\"udp/5000\"]\n\
                    sequence = [\"tcp/1009\", \"tcp/4001\", \"udp/2003\"]\n\
                    step_timeout = \"5s\"\nopen_for = \"60s\"\nrecogniser = \"RECOGNISER\"\n";

/// Those who know the knocks, one after the other.
const GENUINE: u32 = 400;

/// Between two knocks of one of them, and before the first packet to the guarded port.
const GAP: Duration = Duration::from_millis(50);

/// Between the first knocks of two of them.
const PACE: Duration = Duration::from_millis(10);

/// Wanted, a second. What the machine can send is printed.
const RATES: [u64; 3] = [20_000, 100_000, 250_000];

/// What recognises the knocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recogniser {
    /// iptables with `recent`, as we compile it.
    Recent,
    /// One map of so many source addresses: the rules as they would be without a second one.
    Addresses(u32),
    /// As it is.
    Kernel,
    /// With the daemon beside it.
    Both,
}

impl fmt::Display for Recogniser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recent => f.write_str("iptables, recent"),
            Self::Addresses(size) => write!(f, "a map of {size} addresses"),
            Self::Kernel => f.write_str("portcullis, the kernel alone"),
            Self::Both => f.write_str("portcullis, both"),
        }
    }
}

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    if world::have("nft") && world::have("iptables") {
        trials.push(world::trial("who_gets_in_while_others_forge", all));
    }
    trials
}

fn all() {
    let whole = std::env::var_os("PORTCULLIS_FLOOD").is_some_and(|what| what == "all");
    let (rates, recognisers) = if whole {
        use Recogniser::{Addresses, Both, Kernel, Recent};
        let all = [Recent, Addresses(65_536), Addresses(1 << 20), Kernel, Both];
        (RATES.to_vec(), all.to_vec())
    } else {
        use Recogniser::{Addresses, Both, Kernel, Recent};
        (vec![RATES[2]], vec![Recent, Addresses(65_536), Kernel, Both])
    };
    for rate in rates {
        for &recogniser in &recognisers {
            // One that fills in longer than this is measured when it is full.
            let before = Duration::from_millis(if whole { 5_500 } else { 1_500 });
            let run = || {
                let (opened, sent) = one(recogniser, rate, before);
                eprintln!(
                    "{recogniser}: {opened} of {GENUINE} genuine knocks open among forged ones, {sent} \
                     a second"
                );
                opened
            };
            let mut opened = run();
            // On a busy machine the queues of the network lose a packet now and then, before anyone
            // sees it.
            for _ in 0..2 {
                if recogniser == Recogniser::Both && opened < GENUINE {
                    opened = run();
                }
            }
            match recogniser {
                Recogniser::Kernel => assert!(opened * 100 >= GENUINE * 98, "{opened}"),
                Recogniser::Both => assert_eq!(opened, GENUINE),
                _ => {}
            }
        }
    }
}

/// How many got in, and how many forged packets there were a second.
fn one(recogniser: Recogniser, rate: u64, before: Duration) -> (u32, u64) {
    // Nobody answers the forged ones: their sources have no route.
    let gate = "[gate]\nstance = \"closed\"\nrefuse = \"drop\"\n";
    let mut world = match recogniser {
        Recogniser::Both => {
            World::new(By::Daemon, &format!("{gate}{}", DOOR.replace("RECOGNISER", "both")))
        }
        Recogniser::Recent => {
            let world = World::new(By::Kernel, DOOR);
            world.done(&["remove"]);
            let text = format!("[gate]\nbackend = \"iptables\"\nrefuse = \"drop\"\n{DOOR}");
            write_config(&world.config, &text.replace("RECOGNISER", "kernel"));
            world.done(&["apply", world.config.to_str().unwrap()]);
            world
        }
        _ => World::new(By::Kernel, &format!("{gate}{DOOR}")),
    };
    if let Some(rules) = rendering(recogniser, &std::fs::read_to_string(&world.config).unwrap()) {
        nft(&rules);
    }
    let host = world.client.host(Family::V4);
    let service = UdpSocket::bind(SocketAddr::new(host, GUARDED)).unwrap();
    service.set_read_timeout(Some(GAP)).unwrap();
    let genuine: Vec<IpAddr> = (0..GENUINE).map(|_| world.new_source(Family::V4)).collect();
    let (done, number) = (AtomicBool::new(false), AtomicU32::new(500_000));
    let begun = Instant::now();
    let client = &world.client;
    let came = thread::scope(|scope| {
        let listening = scope.spawn(|| listen(&service, &done));
        let forgers: Vec<_> =
            (0..2).map(|_| scope.spawn(|| forge(client, host, rate / 2, &number, &done))).collect();
        thread::sleep(before);
        knock(&world, host, &genuine);
        done.store(true, Ordering::Relaxed);
        forgers.into_iter().for_each(|forger| forger.join().unwrap());
        listening.join().unwrap()
    });
    let sent = u128::from(number.into_inner() - 500_000) * 1000 / begun.elapsed().as_millis();
    assert!(came.iter().all(|from| genuine.contains(from)), "a stranger came in");
    world.daemon.take();
    if recogniser == Recogniser::Recent {
        world.done(&["remove"]);
    }
    (u32::try_from(came.len()).unwrap(), u64::try_from(sent).unwrap())
}

/// The rules in another way; none where they are as they are loaded.
fn rendering(recogniser: Recogniser, config: &str) -> Option<String> {
    let Recogniser::Addresses(size) = recogniser else { return None };
    let text = compile(&parse_str("test", config).unwrap().policy).unwrap().to_string();
    // Of the second maps only the definitions stay.
    let lines = text.lines().filter(|line| !line.contains("_late") || line.ends_with('{'));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let map = "map attempt4 {\n\t\ttype ipv4_addr : classid\n\t\tsize ";
    let (before, behind) = text.split_once(map).unwrap();
    let (_, behind) = behind.split_once('\n').unwrap();
    Some(format!("{before}{map}{size}\n{behind}"))
}

/// Sends first knocks from one new source after the other, until it is told to stop.
fn forge(client: &Peer, host: IpAddr, rate: u64, number: &AtomicU32, done: &AtomicBool) {
    let wire = client.sender().unwrap();
    let first: Port = "tcp/1009".parse().unwrap();
    let begun = Instant::now();
    let mut sent = 0;
    while !done.load(Ordering::Relaxed) {
        let due = u64::try_from(begun.elapsed().as_micros()).unwrap() * rate / 1_000_000;
        // A lot at a time, so that it is told soon.
        let lot = due.saturating_sub(sent).min(4096);
        let from = number.fetch_add(u32::try_from(lot).unwrap(), Ordering::Relaxed);
        let sources = (0..lot).map(|n| made_up(Family::V4, from + u32::try_from(n).unwrap()));
        wire.send_all(sources.map(|source| knock_packet(source, host, first))).unwrap();
        sent += lot;
        thread::sleep(Duration::from_micros(200));
    }
}

/// From whom something came, until it is told to stop and nothing comes any more.
fn listen(service: &UdpSocket, done: &AtomicBool) -> HashSet<IpAddr> {
    let mut came = HashSet::new();
    let mut buffer = [0; 16];
    loop {
        match service.recv_from(&mut buffer) {
            Ok((_, from)) => drop(came.insert(from.ip())),
            Err(_) if done.load(Ordering::Relaxed) => return came,
            Err(_) => {}
        }
    }
}

/// Each knocks once, and then sends one datagram to the guarded port; many are on their way at a time.
fn knock(world: &World, host: IpAddr, genuine: &[IpAddr]) {
    let ports: Vec<Port> =
        ["tcp/1009", "tcp/4001", "udp/2003", "udp/5000"].map(|port| port.parse().unwrap()).into();
    let mut due: Vec<(Duration, Packet)> = Vec::new();
    for (index, source) in (0..).zip(genuine) {
        for (step, port) in (0..).zip(&ports) {
            due.push((PACE * index + GAP * step, knock_packet(*source, host, *port)));
        }
    }
    due.sort_by_key(|(when, _)| *when);
    let begun = Instant::now();
    for (when, packet) in due {
        thread::sleep(when.saturating_sub(begun.elapsed()));
        world.wire.send(&packet).unwrap();
    }
}
