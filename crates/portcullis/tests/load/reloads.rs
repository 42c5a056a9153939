//! Reloads under fire: no packet to a guarded port passes, and what was alive stays alive.

use libtest_mimic::Trial;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis::config::parse_str;
use portcullis_core::policy::DoorId;
use portcullis_firewall::compile::{class_of, compile};
use portcullis_firewall::ruleset::Ruleset;
use portcullis_gate::nftables::Table;
use portcullis_lab::packet::Packet;
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family, Lab, Peer, wait_until, world};
use world::{FAMILIES, PATIENCE};

/// How often the rules are replaced under fire. In between, once without: one load in 99 moves the
/// chain back to its first place (see `gate/src/nftables/place.rs`), where a packet may slip through.
const RELOADS: [u16; 2] = [98, 52];

/// Wanted, a second; what the machine can send is printed.
const RATE: u64 = 200_000;

const VPN: u16 = 5000;

pub fn trials() -> Vec<Trial> {
    FAMILIES
        .map(|family| {
            world::trial(format!("nothing_passes_while_rules_change_{family}"), move || {
                nothing_passes(family);
            })
        })
        .into()
}

/// The same doors, and one port that is public, so that the table is another one.
fn rules(public: u16) -> Ruleset {
    let text = format!(
        "[gate]\npublic = [\"udp/{public}\"]\nrefuse = \"drop\"\n[door.vpn]\nguards = [\"udp/{VPN}\"]\n\
         sequence = [\"tcp/1009\", \"tcp/4001\", \"udp/2003\"]\nstep_timeout = \"5m\"\n"
    );
    compile(&parse_str("test", &text).unwrap().policy).unwrap()
}

fn nothing_passes(family: Family) {
    let mut lab = Lab::new().unwrap();
    let client = lab.peer("client", 3).unwrap();
    let [stranger, friend, knocker] = [0, 1, 2].map(|number| client.address(family, number));
    let host = client.host(family);
    let service = UdpSocket::bind(SocketAddr::new(host, VPN)).unwrap();
    service.set_nonblocking(true).unwrap();
    let mut gate = Table::open().unwrap();
    gate.load(&rules(7000)).unwrap();

    let datagram =
        |from, port| Packet::udp(SocketAddr::new(from, 40_000), SocketAddr::new(host, port), b"x");
    let syn = |from, port| Packet::syn(SocketAddr::new(from, 40_000), SocketAddr::new(host, port));
    let wire = client.sender().unwrap();
    // One is in the middle of a knock, and one may pass.
    wire.send_all([syn(knocker, 1009), syn(knocker, 4001)]).unwrap();
    assert!(wait_until(Instant::now() + PATIENCE, || {
        gate.attempts().unwrap().iter().any(|one| (one.address, one.state) == (knocker, 2))
    }));
    gate.grant(class_of(DoorId(0)), friend, Duration::from_secs(600)).unwrap();
    passes(&service, &wire, &datagram(friend, VPN));

    let mut buffer = [0; 16];
    for (lot, reloads) in RELOADS.into_iter().enumerate() {
        if lot > 0 {
            gate.load(&rules(6999)).unwrap();
        }
        let done = AtomicBool::new(false);
        let (sent, took) = thread::scope(|scope| {
            let fire = scope.spawn(|| fire(&client, &datagram(stranger, VPN), &done));
            for reload in 0..reloads {
                gate.load(&rules(7000 + reload % 2)).unwrap();
            }
            done.store(true, Ordering::Relaxed);
            fire.join().unwrap()
        });
        let rate = u128::from(sent) * 1000 / took.as_millis().max(1);
        eprintln!(
            "{family}: {reloads} reloads in {took:.1?} under {sent} packets, {rate} a second"
        );
        let passed = std::iter::from_fn(|| service.recv_from(&mut buffer).ok());
        let strangers = passed.filter(|(_, from)| from.ip() == stranger).count();
        assert_eq!(strangers, 0, "packets have passed");
    }
    // Whoever might pass before, may still; and who was in the middle of a knock goes on.
    passes(&service, &wire, &datagram(friend, VPN));
    let alive = gate.attempts().unwrap();
    assert!(alive.iter().any(|one| (one.address, one.state) == (knocker, 2)), "{alive:?}");
    wire.send_all([datagram(knocker, 2003)]).unwrap();
    assert!(wait_until(Instant::now() + PATIENCE, || gate.grants().unwrap().len() == 2));
    passes(&service, &wire, &datagram(knocker, VPN));
}

/// Sends until it gets through.
fn passes(service: &UdpSocket, wire: &Wire, packet: &Packet) {
    let mut buffer = [0; 16];
    assert!(wait_until(Instant::now() + PATIENCE, || {
        wire.send_all([packet]).unwrap();
        service.recv_from(&mut buffer).is_ok()
    }));
    while service.recv_from(&mut buffer).is_ok() {}
}

/// Sends the packet all the time, until it is told to stop; how often, and for how long.
fn fire(client: &Peer, packet: &Packet, done: &AtomicBool) -> (u64, Duration) {
    let wire = client.sender().unwrap();
    let begun = Instant::now();
    let mut sent = 0;
    while !done.load(Ordering::Relaxed) {
        let due = u64::try_from(begun.elapsed().as_micros()).unwrap() * RATE / 1_000_000;
        let number = due.saturating_sub(sent);
        wire.send_all((0..number).map(|_| packet)).unwrap();
        sent += number;
        thread::sleep(Duration::from_micros(200));
    }
    (sent, begun.elapsed())
}
