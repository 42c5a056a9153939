//! Attempts and grants of other sources: nobody finishes what another has begun, or enters where
//! another has knocked.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::Packet;
use portcullis_lab::service::Echo;
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family, wait_until};
use portcullis_linux::netlink::route::Route;

use crate::stage::{KNOCKS, WAIT};
use crate::world::{By, PATIENCE, World, knock_packet, made_up};

const CONFIG: &str = r#"
[door.ssh]
guards       = ["tcp/22"]
sequence     = ["tcp/7431", "udp/29117", "tcp/1123"]
step_timeout = "60s"
open_for     = "300s"
recogniser   = "RECOGNISER"
"#;

/// So many that some share whatever there is to be shared.
const MANY: u32 = 10_000;

/// Half of the sources make knocks one and two, the others the third, or a wrong port: the ones have
/// begun, the others have done nothing.
pub fn attempts_are_ones_own(by: By, family: Family) {
    let mut world = World::new(by, CONFIG);
    let source = |number: u32| made_up(family, 1_000 + number);
    // Those with even numbers begin, those with odd ones try to finish.
    let (begin, finish) = (0, 1);
    let knock = |world: &World, which: u32, port: &str| {
        let (host, port) = (world.client.host(family), port.parse().unwrap());
        let packets: Vec<Packet> =
            (0..MANY).map(|n| knock_packet(source(2 * n + which), host, port)).collect();
        // The daemon's capture has room for only so many at once.
        for some in packets.chunks(2_000) {
            world.wire.send_all(some).unwrap();
            thread::yield_now();
        }
    };
    let granted = |world: &mut World| {
        world.settle();
        let (host, grants) = (world.client.host(family), world.gate.grants().unwrap());
        let grants = grants.iter().map(|grant| grant.address);
        // The sentinel's sources come before these.
        let ours = grants.filter(|address| address.is_ipv4() == host.is_ipv4());
        ours.filter(|address| *address >= source(0)).collect::<BTreeSet<IpAddr>>()
    };
    knock(&world, begin, KNOCKS[0]);
    world.settle();
    knock(&world, begin, KNOCKS[1]);
    world.settle();
    knock(&world, finish, KNOCKS[2]);
    let in_by_others: Vec<IpAddr> = granted(&mut world).into_iter().collect();
    assert!(in_by_others.is_empty(), "{} have made the third knock alone", in_by_others.len());
    // A wrong port is wrong for whoever asks it.
    knock(&world, finish, "tcp/999");
    world.settle();
    knock(&world, begin, KNOCKS[2]);
    let all: BTreeSet<IpAddr> = (0..MANY).map(|n| source(2 * n + begin)).collect();
    let missing: Vec<IpAddr> = all.difference(&granted(&mut world)).copied().collect();
    assert!(missing.is_empty(), "{} have knocked rightly and are out: {missing:?}", missing.len());
}

/// One address on two links is two hosts: neither gets in by what the other has knocked, and so no
/// such address opens a door.
pub fn link_local(by: By) {
    let source = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77));
    let host = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    let mut world = World::new(by, CONFIG);
    let other = world.lab.peer("other", 1).unwrap().wire().unwrap();
    let mut route = Route::open().unwrap();
    for interface in ["client", "other"] {
        route.add_address(interface, host, 64).unwrap();
    }
    let _service = Echo::start("[::]:22".parse().unwrap()).unwrap();
    let mut port = 20_000;
    let mut answer = |wire: &Wire, to: u16, wait: Duration| {
        port += 1;
        let syn = Packet::syn((source, port).into(), (host, to).into());
        wire.probe(&syn, wait).unwrap().map(|seen| seen.meaning())
    };
    for wire in [&world.wire, &other] {
        // The kernel makes its own route to a new address a while later.
        let deadline = Instant::now() + PATIENCE;
        let answers = || answer(wire, 23, WAIT) == Some(Meaning::Reset);
        assert!(wait_until(deadline, answers), "the host is on this link");
    }
    for knock in KNOCKS {
        let packet = knock_packet(source, host, knock.parse().unwrap());
        world.wire.send(&packet).unwrap();
    }
    world.settle();
    assert_ne!(answer(&other, 22, WAIT), Some(Meaning::SynAck), "let in on another link");
    assert_ne!(answer(&world.wire, 22, WAIT), Some(Meaning::SynAck), "let in on its own link");
    let grants: Vec<IpAddr> = world.gate.grants().unwrap().iter().map(|g| g.address).collect();
    assert!(!grants.contains(&source), "a grant for an address of which there are many");
    // An address that one host alone has opens the door as ever.
    let from = world.client.address(Family::V6, 0);
    world.knock(from, &KNOCKS);
    world.settle();
    assert!(world.open_for(from).contains("ssh"));
}
