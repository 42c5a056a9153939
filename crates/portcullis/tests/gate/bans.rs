//! Strikes and bans in the real kernel.

use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::Packet;
use portcullis_lab::service::{Echo, talk};
use portcullis_lab::{Family, wait_until, world};
use world::{By, FAMILIES, PATIENCE, RECOGNISERS, World, knock_packet, made_up};

const CONFIG: &str = r#"
[gate]
stance = "STANCE"
refuse = "drop"
public = ["tcp/80"]
allow  = ["100.64.99.0/24"]

[ban]
strikes = STRIKES
within  = "60s"
for     = "TIME"

[door.ssh]
guards   = ["tcp/22"]
sequence = ["tcp/1009", "tcp/4001", "udp/2003"]
open_for = "300s"
recogniser = "RECOGNISER"
"#;

/// Long enough for an answer that is going to come, and for one that will not.
const WAIT: Duration = Duration::from_millis(300);

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for stance in ["guard", "closed"] {
        for family in FAMILIES {
            trials.push(world::trial(
                format!("banned_after_so_many_strikes_{stance}_{family}"),
                move || {
                    exactly(stance, family);
                },
            ));
            for by in RECOGNISERS {
                let name = format!("a_right_knock_passes_a_ban_{stance}_{family}_{by}");
                trials.push(world::trial(name, move || right_knock(stance, family, by)));
            }
        }
        trials.push(world::trial(format!("a_ban_ends_{stance}"), move || ends(stance)));
    }
    trials.push(world::trial("the_allowed_are_never_banned", allowed));
    trials.push(world::trial("a_ban_outlives_a_reload", reload));
    trials.push(world::trial("full_sets_of_strikes_and_bans", full));
    trials
}

fn config(stance: &str, strikes: u32, time: &str) -> String {
    let config = CONFIG.replace("STANCE", stance).replace("STRIKES", &strikes.to_string());
    config.replace("TIME", time)
}

fn services(world: &World) -> Vec<Echo> {
    let all = FAMILIES.into_iter().flat_map(|family| [22, 80].map(|port| (family, port)));
    all.map(|(family, port)| Echo::start(SocketAddr::new(world.client.host(family), port)).unwrap())
        .collect()
}

/// Whether this source gets an answer from a service at a port of the host; with another connection
/// each time.
fn reaches(world: &World, from: IpAddr, port: u16) -> bool {
    use std::sync::atomic::{AtomicU16, Ordering};
    static SOURCE: AtomicU16 = AtomicU16::new(20_000);
    let from = SocketAddr::new(from, SOURCE.fetch_add(1, Ordering::Relaxed));
    let to = SocketAddr::new(world.host(from.ip()), port);
    let answer = world.wire.probe(&Packet::syn(from, to), WAIT).unwrap();
    answer.map(|answer| answer.meaning()) == Some(Meaning::SynAck)
}

fn exactly(stance: &str, family: Family) {
    let mut world = World::new(By::Kernel, &config(stance, 5, "600s"));
    let _services = services(&world);
    // Apart by more than a network of 64 bits.
    let [source, other]: [IpAddr; 2] = match family {
        Family::V4 => ["100.64.1.1", "100.64.1.2"],
        Family::V6 => ["2001:db8:1:1::1", "2001:db8:1:2::1"],
    }
    .map(|text| text.parse().unwrap());
    // A knock, two closed ports, and a guarded one: a ban tells none from the others.
    world.knock(source, &["tcp/1009", "tcp/5000", "tcp/9999", "tcp/22"]);
    assert!(reaches(&world, source, 80));
    let mut connection = None;
    if family == Family::V4 {
        let from = world.client.address(family, 0);
        let to = SocketAddr::new(world.client.host(family), 80);
        connection = Some((from, world.client.connect(from, to, PATIENCE).unwrap()));
    }
    world.knock(source, &["tcp/22"]);
    assert!(!reaches(&world, source, 80), "five strikes");
    assert!(!reaches(&world, source, 22));
    assert!(reaches(&world, other, 80));
    assert_eq!(world.gate.bans().unwrap().len(), 1);
    // A connection that is made goes on when its end is banned.
    if let Some((from, mut stream)) = connection {
        world.knock(from, &["tcp/22"; 5]);
        assert!(!reaches(&world, from, 80));
        assert!(talk(&mut stream, b"still here", PATIENCE).unwrap());
    }
}

fn right_knock(stance: &str, family: Family, by: By) {
    let mut world = World::new(by, &config(stance, 3, "600s"));
    let _services = services(&world);
    let from = world.client.address(family, 0);
    world.knock(from, &["tcp/22"; 3]);
    assert!(!reaches(&world, from, 80));
    world.knock(from, &["tcp/1009", "tcp/4001", "udp/2003"]);
    assert!(wait_until(Instant::now() + PATIENCE, || world.open_for(from).contains("ssh")));
    let to = SocketAddr::new(world.client.host(family), 22);
    let mut stream = world.client.connect(from, to, PATIENCE).unwrap();
    assert!(talk(&mut stream, b"hello", PATIENCE).unwrap());
    assert!(!reaches(&world, from, 80), "the ban is still there");
    assert_eq!(world.gate.bans().unwrap().len(), 1);
}

fn ends(stance: &str) {
    for family in FAMILIES {
        let world = World::new(By::Kernel, &config(stance, 3, "2s"));
        let _services = services(&world);
        let from = world.client.address(family, 0);
        world.knock(from, &["tcp/22"; 3]);
        assert!(!reaches(&world, from, 80));
        assert!(wait_until(Instant::now() + PATIENCE, || reaches(&world, from, 80)));
    }
}

fn allowed() {
    let mut world = World::new(By::Kernel, &config("guard", 3, "600s"));
    let _services = services(&world);
    let source: IpAddr = "100.64.99.7".parse().unwrap();
    for _ in 0..10 {
        world.knock(source, &["tcp/1009", "tcp/5000", "tcp/22"]);
    }
    assert!(reaches(&world, source, 80));
    assert!(reaches(&world, source, 22));
    assert!(world.gate.bans().unwrap().is_empty());
}

fn reload() {
    let mut world = World::new(By::Kernel, &config("guard", 3, "600s"));
    let _services = services(&world);
    let sources: BTreeSet<IpAddr> = FAMILIES.map(|family| world.client.address(family, 0)).into();
    for source in &sources {
        world.knock(*source, &["tcp/22"; 3]);
        assert!(!reaches(&world, *source, 80));
    }
    let before = world.gate.bans().unwrap();
    let output = world.run(&["apply", world.config.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    assert!(sources.iter().all(|source| !reaches(&world, *source, 80)));
    let after = world.gate.bans().unwrap();
    assert_eq!(after.len(), 2);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.address, after.address);
        assert!(after.expires <= before.expires, "for no longer than it was");
    }
}

/// Forged strikes fill the set of those whose strikes are counted, then forged bans that of the banned:
/// whoever comes next is banned all the same.
fn full() {
    let mut world = World::new(By::Kernel, &config("guard", 2, "600s"));
    let _services = services(&world);
    let host = world.client.host(Family::V4);
    let forged = |times: u32| {
        let guarded = "tcp/22".parse().unwrap();
        (1..=70_000u32).flat_map(move |n| {
            (0..times).map(move |_| knock_packet(made_up(Family::V4, 100_000 + n), host, guarded))
        })
    };
    let offends = |world: &mut World| {
        let source = world.new_source(Family::V4);
        world.knock(source, &["tcp/22"]);
        assert!(reaches(world, source, 80), "one strike");
        world.knock(source, &["tcp/22"]);
        !reaches(world, source, 80)
    };
    let sender = world.client.sender().unwrap();
    let sent = sender.send_all(forged(1)).unwrap();
    assert!(offends(&mut world), "in a full set of strikes");
    eprintln!("{} strikes of 70,000 sources at {}/s", sent.packets, sent.rate());
    let sent = sender.send_all(forged(2)).unwrap();
    let bans = world.gate.bans().unwrap().len();
    eprintln!("{} strikes at {}/s: {bans} bans", sent.packets, sent.rate());
    assert!(bans > 60_000, "{bans}");
    assert!(wait_until(Instant::now() + PATIENCE, || offends(&mut world)), "in a full set of bans");
    // And its doors are open to it.
    let source = world.new_source(Family::V4);
    world.knock(source, &["tcp/22", "tcp/22", "tcp/1009", "tcp/4001", "udp/2003"]);
    assert!(wait_until(Instant::now() + PATIENCE, || world.open_for(source).contains("ssh")));
}
