//! The private network itself: what is sent arrives, and the kernel finds nothing wrong with it.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::{ACK, Extension, ICMP, ICMPV6, Packet, Payload, RST};
use portcullis_lab::program::Program;
use portcullis_lab::service::{Echo, talk};
use portcullis_lab::wire::{knocks, shuffled, syns};
use portcullis_lab::{Family, Lab, Peer, world};

const BOTH: [Family; 2] = [Family::V4, Family::V6];
const WAIT: Duration = Duration::from_secs(2);
/// How long nothing has to come for us to believe that nothing will.
const SILENCE: Duration = Duration::from_millis(100);

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 12] = [
        ("a_closed_port_answers_with_a_reset", a_closed_port_answers_with_a_reset),
        ("an_open_port_is_found_among_closed_ones", an_open_port_is_found_among_closed_ones),
        ("the_kernel_accepts_our_checksums", the_kernel_accepts_our_checksums),
        ("a_wrong_checksum_is_not_answered", a_wrong_checksum_is_not_answered),
        ("every_header_field_arrives", every_header_field_arrives),
        ("fragments_and_extension_headers_arrive", fragments_and_extension_headers_arrive),
        ("any_source_may_speak_and_is_answered", any_source_may_speak_and_is_answered),
        ("a_sweep_arrives_whole", a_sweep_arrives_whole),
        ("packets_arrive_spread_over_all_processors", packets_arrive_spread_over_all_processors),
        ("peers_do_not_see_each_other", peers_do_not_see_each_other),
        ("a_connection_has_the_source_it_was_given", a_connection_has_the_source_it_was_given),
        ("a_program_does_not_outlive_its_value", a_program_does_not_outlive_its_value),
    ];
    tests.map(|(name, test)| world::trial(name, test)).into()
}

fn client(addresses: u8) -> (Lab, Peer) {
    let mut lab = Lab::new().unwrap();
    let peer = lab.peer("client", addresses).unwrap();
    (lab, peer)
}

/// A source and a destination.
fn ends(peer: &Peer, family: Family, port: u16) -> (SocketAddr, SocketAddr) {
    (SocketAddr::new(peer.address(family, 0), 4567), SocketAddr::new(peer.host(family), port))
}

fn a_closed_port_answers_with_a_reset() {
    let (_lab, client) = client(1);
    let wire = client.wire().unwrap();
    for family in BOTH {
        let (from, to) = ends(&client, family, 22);
        let answer = wire.probe(&Packet::syn(from, to), WAIT).unwrap().unwrap();
        assert_eq!(answer.meaning(), Meaning::Reset);
        assert_eq!(answer.flags(), Some(RST | ACK));
        // It acknowledges our SYN (RFC 9293, section 3.10.7.1).
        assert_eq!(answer.payload()[8..12], 0x0102_0305_u32.to_be_bytes());
        let refused = client.connect(from.ip(), to, WAIT).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}

fn an_open_port_is_found_among_closed_ones() {
    let (_lab, client) = client(1);
    let wire = client.wire().unwrap();
    for family in BOTH {
        let _echo = Echo::start(SocketAddr::new(client.host(family), 80)).unwrap();
        let ports: Vec<u16> = (1..=1000).collect();
        let (from, to) = (client.address(family, 0), client.host(family));
        let answers = wire.syn_scan(from, to, &ports, WAIT).unwrap();
        assert_eq!(answers.iter().map(|(port, _)| *port).collect::<Vec<_>>(), ports);
        let closed = answers[78].1.as_ref().unwrap().fingerprint();
        for (port, answer) in answers {
            let answer = answer.unwrap_or_else(|| panic!("{port} is silent"));
            if port == 80 {
                assert_eq!(answer.meaning(), Meaning::SynAck);
            } else {
                assert_eq!(answer.fingerprint(), closed, "{port}");
            }
        }
    }
}

fn the_kernel_accepts_our_checksums() {
    let (_lab, client) = client(1);
    let wire = client.wire().unwrap();
    for family in BOTH {
        let (from, to) = ends(&client, family, 9);
        let unreachable = match family {
            Family::V4 => Meaning::Unreachable(3, 3),
            Family::V6 => Meaning::Unreachable(1, 4),
        };
        for data in [&b""[..], b"a", b"ab", b"\xff\xff\xff"] {
            portcullis_lab::set_sysctl("ipv4/icmp_ratelimit", "0").unwrap();
            portcullis_lab::set_sysctl("ipv6/icmp/ratelimit", "0").unwrap();
            let answer = wire.probe(&Packet::udp(from, to, data), WAIT).unwrap().unwrap();
            assert_eq!(answer.meaning(), unreachable);
        }
        let ping = Packet::ping(from.ip(), to.ip(), 77);
        let answer = wire.probe(&ping, WAIT).unwrap().unwrap();
        assert_eq!(answer.protocol, if family == Family::V4 { ICMP } else { ICMPV6 });
        assert_eq!(answer.meaning(), Meaning::Reply);
    }
}

fn a_wrong_checksum_is_not_answered() {
    let (_lab, client) = client(1);
    let wire = client.wire().unwrap();
    for family in BOTH {
        let (from, to) = ends(&client, family, 22);
        for (packet, checksum_at) in [(Packet::syn(from, to), 16), (Packet::udp(from, to, b"x"), 6)]
        {
            let mut bytes = packet.to_bytes();
            let header = if family == Family::V4 { 20 } else { 40 };
            bytes[header + checksum_at] ^= 0x55;
            wire.drain().unwrap();
            wire.send_ip(&bytes).unwrap();
            assert_eq!(wire.receive(Instant::now() + SILENCE).unwrap(), None);
        }
    }
}

fn every_header_field_arrives() {
    let (_lab, client) = client(1);
    let wire = client.wire().unwrap();
    for family in BOTH {
        // An echo reply, or an ICMP error, would not tell; so the bytes are looked at as built.
        let (from, to) = ends(&client, family, 22);
        let mut packet = Packet::syn(from, to);
        (packet.ttl, packet.tos, packet.id, packet.flow_label) = (3, 0x28, 0xbeef, 0xabcde);
        packet.ip_options = vec![1, 1, 1]; // no-operation, and one byte of padding
        if let Payload::Tcp(tcp) = &mut packet.payload {
            tcp.options = vec![2, 4, 5, 0xb4]; // maximum segment size 1460
            tcp.sequence = 41;
        }
        let bytes = packet.to_bytes();
        match family {
            Family::V4 => {
                assert_eq!(bytes[..2], [0x46, 0x28]);
                assert_eq!(bytes[4..6], [0xbe, 0xef]);
                assert_eq!(bytes[8], 3);
                assert_eq!(bytes[20..24], [1, 1, 1, 0]);
            }
            Family::V6 => {
                assert_eq!(bytes[..4], [0x62, 0x8a, 0xbc, 0xde]);
                assert_eq!(bytes[7], 3);
            }
        }
        let answer = wire.probe(&packet, WAIT).unwrap().unwrap();
        assert_eq!(answer.meaning(), Meaning::Reset);
        assert_eq!(answer.payload()[8..12], [0, 0, 0, 42]);
        // A tagged frame is for a network that the host is not in.
        packet.vlan = Some(7);
        assert_eq!(wire.probe(&packet, SILENCE).unwrap(), None);
    }
}

fn fragments_and_extension_headers_arrive() {
    let (_lab, client) = client(1);
    let wire = client.wire().unwrap();
    for family in BOTH {
        let (from, to) = ends(&client, family, 7);
        let socket = UdpSocket::bind(to).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        let sent: Vec<u8> = (0..100).collect();
        let mut packet = Packet::udp(from, to, &sent);
        packet.id = 99;
        packet.extensions = vec![
            Extension::hop_by_hop(&[]),
            // An option for experiments (RFC 4727), to be skipped by who does not know it.
            Extension::destination(&[&[0x1e, 12][..], &[7; 12]].concat()),
            Extension::routing(0, 0, &["2001:db8::9".parse().unwrap()]),
            Extension::destination(&[0x1e, 1, 7]),
        ];
        let mut received = [0; 200];
        wire.send(&packet).unwrap();
        assert_eq!(socket.recv_from(&mut received).unwrap(), (100, from));
        assert_eq!(received[..100], sent);
        let mut atomic = packet.clone();
        atomic.extensions.push(Extension::fragment(7, 0, false));
        wire.send(&atomic).unwrap();
        assert_eq!(socket.recv_from(&mut received).unwrap(), (100, from));
        for fragment in packet.to_fragments(50) {
            wire.send_ip(&fragment).unwrap();
        }
        assert_eq!(socket.recv_from(&mut received).unwrap(), (100, from));
        assert_eq!(received[..100], sent);
    }
}

fn any_source_may_speak_and_is_answered() {
    let (_lab, client) = client(1);
    let wire = client.wire().unwrap();
    for (from, family) in [("8.8.8.8", Family::V4), ("2a00::1", Family::V6)] {
        let from = SocketAddr::new(from.parse().unwrap(), 5);
        let to = SocketAddr::new(client.host(family), 22);
        let answer = wire.probe(&Packet::syn(from, to), WAIT).unwrap().unwrap();
        assert_eq!(answer.meaning(), Meaning::Reset);
        assert_eq!(answer.destination, from.ip());
    }
}

fn a_sweep_arrives_whole() {
    let (lab, client) = client(1);
    let sender = client.sender().unwrap();
    for family in BOTH {
        let (from, to) = (client.address(family, 0), client.host(family));
        let sweeps = [(1..=u16::MAX).collect(), (1..=u16::MAX).rev().collect(), shuffled(1)];
        for ports in sweeps {
            let before = lab.arrived("client").unwrap();
            let sent = sender.send_all(syns(from, to, ports.iter().copied())).unwrap();
            eprintln!("{family}: {} packets at {} a second", sent.packets, sent.rate());
            assert_eq!(sent.packets, 65_535);
            assert_eq!(lab.arrived("client").unwrap() - before, 65_535);
            assert!(sent.took < Duration::from_secs(5), "{:?}", sent.took);
        }
        let sent = sender.send_all(knocks(from, to, [1, 2, 3])).unwrap();
        assert_eq!(sent.packets, 6);
    }
    let mut ports = shuffled(2);
    assert_ne!(ports, shuffled(3));
    ports.sort_unstable();
    assert!(ports.into_iter().eq(1..=u16::MAX));
}

fn packets_arrive_spread_over_all_processors() {
    let (lab, client) = client(1);
    let processors = std::thread::available_parallelism().unwrap().get();
    assert_eq!(lab.spread("client").unwrap(), processors);
    let wire = client.wire().unwrap();
    for family in BOTH {
        let (from, to) = (client.address(family, 0), client.host(family));
        let ports: Vec<u16> = (1..=1000).collect();
        let answers = wire.syn_scan(from, to, &ports, WAIT).unwrap();
        assert!(answers.iter().all(|(_, answer)| answer.is_some()));
    }
    assert!(lab.spread("nobody").is_err());
}

fn peers_do_not_see_each_other() {
    let mut lab = Lab::new().unwrap();
    let one = lab.peer("one", 2).unwrap();
    let two = lab.peer("two", 1).unwrap();
    let ear = two.wire().unwrap();
    for family in BOTH {
        assert_ne!(one.host(family), two.host(family));
        for peer in [&one, &two] {
            let (from, to) = ends(peer, family, 22);
            let answer = peer.wire().unwrap().probe(&Packet::syn(from, to), WAIT).unwrap();
            assert_eq!(answer.unwrap().meaning(), Meaning::Reset);
        }
        ear.drain().unwrap();
        let (from, to) = ends(&one, family, 22);
        one.wire().unwrap().probe(&Packet::syn(from, to), WAIT).unwrap();
        assert_eq!(ear.receive(Instant::now() + SILENCE).unwrap(), None);
    }
}

fn a_connection_has_the_source_it_was_given() {
    let (_lab, client) = client(2);
    for family in BOTH {
        let at = SocketAddr::new(client.host(family), 22);
        let echo = Echo::start(at).unwrap();
        let sources: Vec<IpAddr> = (0..2).map(|n| client.address(family, n)).collect();
        assert_ne!(sources[0], sources[1]);
        let by_itself = client.run(|| TcpStream::connect(at)).unwrap().unwrap();
        assert_eq!(by_itself.local_addr().unwrap().ip(), sources[0]);
        let mut streams = Vec::new();
        for source in sources {
            let mut stream = client.connect(source, at, WAIT).unwrap();
            assert_eq!(stream.local_addr().unwrap().ip(), source);
            assert!(talk(&mut stream, b"hello", WAIT).unwrap());
            streams.push(stream);
        }
        drop(echo);
        assert!(talk(&mut streams[0], b"still there?", WAIT).unwrap());
        let refused = client.connect(client.address(family, 0), at, WAIT).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let nobody = match family {
            Family::V4 => "198.51.100.250",
            Family::V6 => "2001:db8::250",
        };
        let nobody = SocketAddr::new(nobody.parse().unwrap(), 22);
        let silent = client.connect(client.address(family, 0), nobody, SILENCE);
        assert_eq!(silent.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}

fn a_program_does_not_outlive_its_value() {
    let mut program = Program::start(
        Command::new("sh").args(["-c", "echo begin; sleep 1000 & echo $!; echo end >&2; wait"]),
    )
    .unwrap();
    let mut lines = Vec::new();
    // stdout and stderr are two pipes, of which neither waits for the other.
    while lines.len() < 3 {
        lines.push(program.wait_for_line(WAIT, |_| true).unwrap());
    }
    assert!(lines.iter().any(|line| line == "end"));
    assert!(program.is_alive());
    let child: u32 = lines.iter().find_map(|line| line.parse().ok()).unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
    assert!(!state().is_empty());
    assert!(!program.kill().unwrap().success());
    assert!(!program.is_alive());
    // Its own child has been killed too, and is at most not yet waited for.
    let gone = || state().is_empty() || state().contains("Z (zombie)");
    assert!(portcullis_lab::wait_until(Instant::now() + WAIT, gone), "{}", state());
}
