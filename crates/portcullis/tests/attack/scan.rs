//! What a scanner sees: a guarded port is answered as one with nothing behind it, to the byte.

use libtest_mimic::Trial;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use portcullis_lab::answer::Seen;
use portcullis_lab::packet::{ACK, FIN, PSH, Packet, Payload, RST, SYN};
use portcullis_lab::service::Echo;
use portcullis_lab::{Family, Lab, Peer, world};
use world::{By, FAMILIES, World, have, made_up, unlimited_icmp};

const CONFIG: &str = r#"
[door.ssh]
guards   = ["tcp/22", "tcp/2222", "udp/2222"]
sequence = ["tcp/1009", "tcp/4001", "udp/2003"]
recogniser = "RECOGNISER"
"#;

/// A guarded port with a service behind it, a guarded one without, a knock port, and one that means
/// nothing.
const GUARDED: [u16; 2] = [22, 2222];
const KNOCK: u16 = 1009;
const CLOSED: u16 = 25;

/// Long enough for an answer that is going to come.
const WAIT: Duration = Duration::from_millis(500);

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for family in FAMILIES {
        trials.push(world::trial(
            format!("tcp_answers_are_those_of_a_closed_port_{family}"),
            move || {
                tcp_answers_are_those_of_a_closed_port(family);
            },
        ));
        trials.push(world::trial(
            format!("udp_answers_are_those_of_a_closed_port_{family}"),
            move || {
                udp_answers_are_those_of_a_closed_port(family);
            },
        ));
        let nmap = world::trial(
            format!("nmap_reports_the_same_as_of_an_empty_host_{family}"),
            move || {
                nmap_reports_the_same_as_of_an_empty_host(family);
            },
        );
        trials.push(nmap.with_ignored_flag(!have("nmap")));
    }
    trials
        .push(world::trial("a_refused_attempt_leaves_nothing_that_passes_for_established", stale));
    trials.push(
        world::trial("other_tables_decide_for_guarded_ports_as_for_others", other_tables)
            .with_ignored_flag(!have("nft")),
    );
    trials
}

/// Services behind the guarded ports, so that something would answer if it were let.
fn services(world: &World, family: Family) -> (Echo, UdpSocket) {
    let host = world.client.host(family);
    let echo = Echo::start(SocketAddr::new(host, GUARDED[0])).unwrap();
    (echo, UdpSocket::bind(SocketAddr::new(host, GUARDED[1])).unwrap())
}

fn answer(world: &World, packet: &Packet) -> Option<Seen> {
    world.wire.probe(packet, WAIT).unwrap()
}

/// The answer to a packet that is answered: a busy machine may lose one on the way.
fn sure_answer(world: &World, packet: &Packet) -> Option<Seen> {
    (0..6).find_map(|_| answer(world, packet))
}

fn tcp_answers_are_those_of_a_closed_port(family: Family) {
    let world = World::new(By::Kernel, CONFIG);
    let _services = services(&world, family);
    let to = |port| SocketAddr::new(world.client.host(family), port);
    let flags = [
        SYN,
        FIN,
        0,
        FIN | PSH | 0x20,
        ACK,
        SYN | ACK,
        SYN | FIN,
        FIN | ACK,
        PSH | ACK,
        SYN | PSH,
        SYN | 0xc0,
        !RST & !ACK,
        RST,
        RST | ACK,
    ];
    let mut asked = 0;
    let mut source = 0;
    for flags in flags {
        for tos in [0x00, 0x10, 0x28, 0xb8, 0xe0] {
            for data in [0usize, 33] {
                // From one address the network stack answers sixteen times a second at most: see
                // docs/known-issues.md.
                source += 1;
                let from = SocketAddr::new(made_up(family, source), 4567);
                let probe = |port| {
                    let mut packet = Packet::tcp(from, to(port), flags);
                    packet.tos = tos;
                    packet.flow_label = 0x1_2345;
                    if let Payload::Tcp(tcp) = &mut packet.payload {
                        tcp.data = vec![b'x'; data];
                        tcp.acknowledgement = if flags & ACK == 0 { 0 } else { 0x0a0b_0c0d };
                        // As a Linux client would send: MSS, SACK permitted, timestamps, scaling.
                        if flags == SYN {
                            tcp.options = vec![
                                2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
                            ];
                        }
                    }
                    packet
                };
                // A reset is never answered; no need to wait long for each.
                if flags & RST != 0 && (tos, data) != (0, 0) {
                    continue;
                }
                let ask = if flags & RST == 0 { sure_answer } else { answer };
                let closed = ask(&world, &probe(CLOSED)).map(|seen| seen.fingerprint());
                assert_eq!(closed.is_none(), flags & RST != 0, "flags {flags:#04x}");
                for port in GUARDED.into_iter().chain([KNOCK]) {
                    let seen = ask(&world, &probe(port)).map(|seen| seen.fingerprint());
                    assert_eq!(seen, closed, "port {port}, flags {flags:#04x}, tos {tos:#04x}");
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 300);
}

fn udp_answers_are_those_of_a_closed_port(family: Family) {
    let world = World::new(By::Kernel, CONFIG);
    let _services = services(&world, family);
    unlimited_icmp();
    let from = SocketAddr::new(world.client.address(family, 0), 4567);
    for tos in [0x00, 0x10, 0xb8] {
        for length in [0usize, 1, 700, 1200] {
            let probe = |port| {
                let to = SocketAddr::new(world.client.host(family), port);
                let mut packet = Packet::udp(from, to, &vec![0; length]);
                packet.tos = tos;
                packet
            };
            let closed = sure_answer(&world, &probe(CLOSED)).map(|seen| unnumbered(&seen));
            assert!(closed.is_some(), "a closed port is answered");
            for port in [GUARDED[1], KNOCK, 2003] {
                let seen = sure_answer(&world, &probe(port)).map(|seen| unnumbered(&seen));
                assert_eq!(seen, closed, "port {port}, tos {tos:#04x}, {length} bytes");
            }
        }
    }
}

/// The fingerprint without the identification of IPv4, which counts up from packet to packet, and
/// the header checksum that goes with it.
fn unnumbered(seen: &Seen) -> Vec<u8> {
    let mut bytes = seen.fingerprint();
    if seen.source.is_ipv4() {
        bytes[4..6].fill(0);
        bytes[10..12].fill(0);
    }
    bytes
}

/// After a refused SYN, segments of the same connection are refused as before: no entry of
/// connection tracking makes them look established.
fn stale() {
    let world = World::new(By::Kernel, CONFIG);
    for family in FAMILIES {
        let _services = services(&world, family);
        let from = SocketAddr::new(world.client.address(family, 0), 4568);
        let to = |port| SocketAddr::new(world.client.host(family), port);
        for after in [FIN, 0, FIN | PSH | 0x20, ACK, SYN] {
            let seen = [CLOSED, GUARDED[0]].map(|port| {
                let first = answer(&world, &Packet::syn(from, to(port))).unwrap();
                let then = answer(&world, &Packet::tcp(from, to(port), after)).unwrap();
                (first.fingerprint(), then.fingerprint())
            });
            assert_eq!(seen[0], seen[1], "{family}, flags {after:#04x}");
        }
    }
}

/// Where another firewall drops what it does not know, a guarded port is silent like its neighbours,
/// although that firewall accepts it; and with a grant it answers.
fn other_tables() {
    let mut world = World::new(By::Kernel, CONFIG);
    let rules = "table inet other {\n chain input {\n type filter hook input priority filter; policy drop\n \
                 ct state established accept\n tcp dport { 22, 2222 } accept\n}\n}\n";
    let nft = Command::new("nft").arg(rules).stdin(Stdio::null()).status().unwrap();
    assert!(nft.success());
    for family in FAMILIES {
        let _services = services(&world, family);
        let from = SocketAddr::new(world.client.address(family, 0), 4569);
        let host = world.client.host(family);
        let probe = |port| Packet::syn(from, SocketAddr::new(host, port));
        assert_eq!(answer(&world, &probe(CLOSED)), None);
        assert_eq!(answer(&world, &probe(GUARDED[0])), None);
        world.knock(from.ip(), &["tcp/1009", "tcp/4001", "udp/2003"]);
        world.settle();
        let answer = answer(&world, &probe(GUARDED[0])).unwrap();
        assert_eq!(answer.flags(), Some(SYN | ACK));
    }
}

/// Two hosts beside each other: one guarded with services, one with nothing on these ports at all.
fn nmap_reports_the_same_as_of_an_empty_host(family: Family) {
    // Neighbours of the guarded and of the knock ports.
    const SOME: &str = "17-100,1000-1050,1990-2040,2200-2240";
    const SCANS: [[&str; 3]; 4] =
        [["-sS", "-p", "1-65535"], ["-sU", "-p", SOME], ["-sF", "-p", SOME], ["-sA", "-p", SOME]];
    let (sender, empty) = mpsc::channel();
    thread::spawn(move || {
        let mut lab = Lab::new().unwrap();
        let client = lab.peer("client", 1).unwrap();
        let _ = sender.send(SCANS.map(|scan| nmap(&client, family, &scan)));
    });
    let world = World::new(By::Kernel, CONFIG);
    let _services = services(&world, family);
    let guarded = SCANS.map(|scan| nmap(&world.client, family, &scan));
    let empty = empty.recv().unwrap();
    for (scan, (guarded, empty)) in SCANS.iter().zip(guarded.into_iter().zip(empty)) {
        assert_eq!(guarded, empty, "nmap {scan:?}");
    }
}

/// The report, without how long it took.
fn nmap(client: &Peer, family: Family, scan: &[&str]) -> String {
    unlimited_icmp();
    let host = client.host(family).to_string();
    let output = client
        .run(|| {
            let mut command = Command::new("nmap");
            command.args(["--privileged", "-n", "-Pn", "-T4", "--min-rate", "2000", "--reason"]);
            command.args(["--max-retries", "5"]).args(scan);
            if family == Family::V6 {
                command.arg("-6");
            }
            command.arg(&host).stdin(Stdio::null()).output().unwrap()
        })
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let lines = text.lines().filter(|line| {
        !line.starts_with("Starting Nmap")
            && !line.starts_with("Nmap done")
            && !line.starts_with("Host is up")
    });
    lines.collect::<Vec<_>>().join("\n")
}
