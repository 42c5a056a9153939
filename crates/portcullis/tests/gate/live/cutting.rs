//! Connections that are ended with their grant.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::thread;

use libtest_mimic::Trial;
use portcullis_lab::Family;
use portcullis_lab::service::{Echo, talk};
use portcullis_linux::netlink::conntrack::Conntrack;

use crate::live::{CONFIG, WAYS, done, passes, run, services};
use crate::world::{self, By, FAMILIES, PATIENCE, World};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for by in WAYS {
        for family in FAMILIES {
            for refuse in ["like-closed", "drop"] {
                let name = format!("a_connection_is_cut_{by}_{family}_{refuse}");
                trials.push(world::trial(name, move || a_connection_is_cut(by, family, refuse)));
            }
        }
    }
    for family in FAMILIES {
        trials.push(world::trial(format!("a_conversation_is_cut_{family}"), move || {
            a_conversation_is_cut(family);
        }));
    }
    trials.push(world::trial("a_socket_for_both_families", a_socket_for_both_families));
    trials.push(world::trial("what_is_forwarded_is_not_cut", what_is_forwarded_is_not_cut));
    trials.push(world::trial("what_is_only_forgotten_lives_on", what_is_only_forgotten_lives_on));
    trials
}

fn connect(world: &World, from: IpAddr, port: u16) -> TcpStream {
    world.client.connect(from, SocketAddr::new(world.host(from), port), PATIENCE).unwrap()
}

fn alive(stream: &mut TcpStream) -> bool {
    talk(stream, b"hello", PATIENCE).unwrap_or(false)
}

fn a_connection_is_cut(by: By, family: Family, refuse: &str) {
    let world = World::new(by, &CONFIG.replace("like-closed", refuse));
    let [me, other] = [0, 1].map(|number| world.client.address(family, number));
    let _services = services(&world, me);
    for (door, who) in [("ssh", me), ("ssh", other), ("web", me)] {
        done(&format!("grant {door} {who} --for 5m"), &[]);
    }
    let mut mine = [connect(&world, me, 22), connect(&world, me, 22)];
    let mut others = [connect(&world, other, 22), connect(&world, me, 443)];
    assert!(mine.iter_mut().chain(&mut others).all(alive));

    // Without `--cut` what stands stays.
    done(&format!("revoke ssh {me}"), &[]);
    assert!(mine.iter_mut().all(alive));
    // The grant is gone, but there is something to cut.
    let said = done(&format!("revoke ssh {me} --cut --json"), &[]).json();
    assert_eq!(said["revoked"].as_array().unwrap().len(), 0);
    assert_eq!(said["cut"]["tcp"], 2);
    for stream in &mut mine {
        assert!(talk(stream, b"hello", PATIENCE).is_err(), "data still flows");
    }
    assert!(others.iter_mut().all(alive), "somebody else was cut");
    // Nothing is known of it any more.
    let known = Conntrack::open().unwrap().connections(me, |connection| {
        connection.original.source == me && connection.original.destination_port == 22
    });
    assert_eq!(known, Ok(Vec::new()));
    let again = run(&format!("revoke ssh {me} --cut"), &[]);
    assert_eq!(again.code, 1, "{again:?}");

    // Both at once.
    let said = done(&format!("revoke ssh {other} --cut"), &[]);
    let expected = format!("{other}: ssh: grant revoked\nclosed 1 connection and 0 UDP flows\n");
    assert_eq!(said.err, expected);
    assert!(!alive(&mut others[0]) && alive(&mut others[1]));
    if refuse == "like-closed" {
        assert!(!passes(&world, me, 22) && !passes(&world, other, 22));
    }
}

/// Sends back what it gets, and never speaks first.
fn udp_echo(at: SocketAddr) {
    let socket = UdpSocket::bind(at).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
}

fn a_conversation_is_cut(family: Family) {
    let world = World::new(By::Kernel, CONFIG);
    let me = world.client.address(family, 0);
    let service = SocketAddr::new(world.host(me), 51_820);
    udp_echo(service);
    let client = world.client.run(|| {
        let socket = UdpSocket::bind(SocketAddr::new(me, 0)).unwrap();
        socket.connect(service).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    });
    let client = client.unwrap();
    let answered = || {
        client.send(b"hello").unwrap();
        client.recv(&mut [0; 64])
    };
    assert_eq!(answered().unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    done(&format!("grant vpn {me} --for 5m"), &[]);
    for _ in 0..3 {
        answered().unwrap();
    }
    done(&format!("revoke vpn {me}"), &[]);
    answered().unwrap();
    let said = done(&format!("revoke vpn {me} --cut --json"), &[]).json();
    assert_eq!(said["cut"]["udp"], 1);
    assert_eq!(answered().unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

/// Most services have one socket for IPv6 and IPv4.
fn a_socket_for_both_families() {
    let world = World::new(By::Kernel, CONFIG);
    let _service = Echo::start("[::]:22".parse().unwrap()).unwrap();
    let [four, six] = FAMILIES.map(|family| world.client.address(family, 0));
    for who in [four, six] {
        done(&format!("grant ssh {who} --for 5m"), &[]);
    }
    let mut streams = [connect(&world, four, 22), connect(&world, six, 22)];
    assert!(streams.iter_mut().all(alive));
    let said = done(&format!("revoke ssh {four} --cut --json"), &[]).json();
    assert_eq!(said["cut"]["tcp"], 1);
    assert!(!alive(&mut streams[0]) && alive(&mut streams[1]));
}

/// The gate guards the host's own ports; what goes through it to the same port elsewhere is not its.
fn what_is_forwarded_is_not_cut() {
    let mut world = World::new(By::Kernel, CONFIG);
    let other = world.lab.peer("other", 1).unwrap();
    portcullis_lab::set_sysctl("ipv4/ip_forward", "1").unwrap();
    let [me, it] = [&world.client, &other].map(|peer| peer.address(Family::V4, 0));
    let _services = services(&world, me);
    let behind = SocketAddr::new(it, 22);
    let _echo = other.run(|| Echo::start(behind).unwrap()).unwrap();
    done(&format!("grant ssh {me} --for 5m"), &[]);
    let mut here = connect(&world, me, 22);
    let mut there = world.client.connect(me, behind, PATIENCE).unwrap();
    assert!(alive(&mut here) && alive(&mut there));
    let said = done(&format!("revoke ssh {me} --cut --json"), &[]).json();
    assert_eq!(said["cut"]["tcp"], 1);
    assert!(!alive(&mut here) && alive(&mut there));
    let known = Conntrack::open().unwrap().connections(me, |connection| {
        connection.original.source == me && connection.original.destination_port == 22
    });
    let to: Vec<IpAddr> = known.unwrap().iter().map(|it| it.original.destination).collect();
    assert_eq!(to, [it]);
}

/// Why a connection is ended at the host: to forget it would not cut it.
fn what_is_only_forgotten_lives_on() {
    let world = World::new(By::Kernel, CONFIG);
    let me = world.client.address(Family::V4, 0);
    let _services = services(&world, me);
    done(&format!("grant ssh {me} --for 5m"), &[]);
    let mut stream = connect(&world, me, 22);
    assert!(alive(&mut stream));
    done(&format!("revoke ssh {me}"), &[]);
    let mut conntrack = Conntrack::open().unwrap();
    let known = conntrack.connections(me, |it| it.original.source == me).unwrap();
    assert!(known.iter().any(|it| it.original.destination_port == 22));
    for connection in known {
        assert_eq!(conntrack.forget(&connection), Ok(true));
    }
    assert!(alive(&mut stream));
}
