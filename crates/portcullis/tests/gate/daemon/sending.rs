//! `portcullis knock`: what leaves the client.

use std::net::SocketAddr;
use std::process::Output;
use std::time::{Duration, Instant};

use portcullis_lab::answer::Seen;
use portcullis_lab::packet::{TCP, UDP};
use portcullis_lab::{Family, Lab, Peer};

use super::support::{BOTH, DOOR, House, WAIT, portcullis};

pub const TESTS: &[(&str, fn())] = &[
    ("the_client_opens_the_door", the_client_opens_the_door),
    ("one_packet_for_each_knock", one_packet_for_each_knock),
    ("nothing_is_sent_when_something_is_wrong", nothing_is_sent_when_something_is_wrong),
];

const KNOCKS: [&str; 3] = ["tcp/7431", "udp/29117", "tcp/1123"];

/// Runs it on the client.
fn knock(client: &Peer, arguments: &[&str]) -> Output {
    let arguments = [&["knock"], arguments].concat();
    client.run(|| portcullis(&arguments).output().unwrap()).unwrap()
}

fn the_client_opens_the_door() {
    let house = House::new(DOOR);
    for family in BOTH {
        let host = house.client.host(family).to_string();
        let output = knock(&house.client, &[&[host.as_str()], &KNOCKS[..]].concat());
        assert!(output.status.success(), "{output:?}");
        // The kernel chooses which of its addresses it speaks from.
        let line = house.daemon.wait_for_line(WAIT, |line| line.ends_with(": ssh: open for 30s"));
        let line = line.unwrap();
        let from = |&n: &usize| line.starts_with(&format!("{}: ", house.client.address(family, n)));
        assert!(house.gets_in(family, (0..3).find(from).unwrap()));
    }
}

/// What arrives at the host within this time, that is no answer of it.
fn arriving(wire: &portcullis_lab::wire::Wire, wait: Duration) -> Vec<Seen> {
    let deadline = Instant::now() + wait;
    std::iter::from_fn(|| wire.receive(deadline).unwrap()).collect()
}

fn one_packet_for_each_knock() {
    // The other side of the cable is a machine that answers nothing: a socket reads the cable, and
    // the addresses are nobody's.
    let mut lab = Lab::new().unwrap();
    let silent = lab.peer("silent", 1).unwrap();
    let wire = silent.wire().unwrap();
    for (host, family) in [("198.51.100.77", Family::V4), ("2001:db8::77", Family::V6)] {
        wire.drain().unwrap();
        let begun = Instant::now();
        let arguments = [&["knock", host, "--delay", "50ms"][..], &KNOCKS].concat();
        let output = portcullis(&arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
        // A SYN would be repeated after a second.
        let seen = arriving(&wire, Duration::from_millis(1300));
        let to = |protocol, port| (protocol, port);
        let knocks: Vec<(u8, u16)> =
            seen.iter().filter_map(|seen| Some((seen.protocol, seen.ports()?.1))).collect();
        assert_eq!(knocks, [to(TCP, 7431), to(UDP, 29_117), to(TCP, 1123)], "{family}");
        let mut sources: Vec<u16> = seen.iter().map(|seen| seen.ports().unwrap().0).collect();
        sources.sort_unstable();
        sources.dedup();
        assert_eq!(sources.len(), 3, "a source port was used twice");
    }
}

fn nothing_is_sent_when_something_is_wrong() {
    let mut lab = Lab::new().unwrap();
    let client = lab.peer("client", 1).unwrap();
    let host = SocketAddr::new(client.host(Family::V4), 0).ip().to_string();
    for (arguments, code) in [
        (vec![host.as_str(), "tcp/7431", "tcp/0"], 2),
        (vec![host.as_str(), "tcp/7431", "tcp/65536"], 2),
        (vec![host.as_str(), "tcp/7431", "sctp/9"], 2),
        (vec![host.as_str(), "tcp/7431", "9"], 2),
        (vec![host.as_str()], 2),
        (vec![host.as_str(), "tcp/7431", "--delay", "5"], 2),
        (vec![host.as_str(), "tcp/7431", "-4", "-6"], 2),
        (vec![host.as_str(), "tcp/7431", "-6"], 3),
    ] {
        let output = knock(&client, &arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(lab.arrived("client").unwrap(), 0);
    // Longer than any name may be (RFC 1035, section 2.3.4), so that nobody needs to be asked.
    let output = knock(&client, &[&"x".repeat(300), "tcp/7431"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(lab.arrived("client").unwrap(), 0);
}
