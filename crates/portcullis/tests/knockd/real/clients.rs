//! The clients that people knock with.

use std::process::Output;

use portcullis_lab::Family;

use super::{drop_everything, on};
use crate::both::Which;
use crate::both::daemon::Setup;
use crate::both::house::House;

pub const NEEDS: &[&str] = &["knock", "nc", "nmap", "bash", "iptables", "timeout"];

/// Ascending, so that a scan in order can knock; high, so that nothing listens.
const PORTS: [&str; 3] = ["7000", "8000", "9000"];

/// The one that repeats itself where nobody answers.
const REPEATING: &str = "nc, without hurry";

/// How each of them knocks at a port, or at all of them in one go.
const CLIENTS: &[(&str, &str)] = &[
    ("knock", "knock HOST 7000 8000 9000"),
    ("our knock", "OURS HOST 7000 8000 9000"),
    ("nc", "for port in 7000 8000 9000; do timeout 0.5 nc -z HOST $port; done"),
    // Long enough for the first repetition, which is the same segment.
    (REPEATING, "for port in 7000 8000 9000; do timeout 2 nc -z HOST $port; done"),
    (
        "nmap, port by port",
        "for port in 7000 8000 9000; do nmap -n -Pn --max-retries 0 -p $port HOST; done",
    ),
    ("nmap, in one go", "nmap -n -Pn -r --max-retries 0 -p 7000,8000,9000 HOST"),
    (
        "bash",
        "for port in 7000 8000 9000; do timeout 0.5 bash -c \"echo > /dev/tcp/HOST/$port\"; done",
    ),
];

/// Nothing drops their packets: each is answered by a reset.
pub fn closed(which: Which, family: Family) {
    for (name, opened) in openings(which, family, || {}) {
        assert_eq!(opened, 1, "{which}: {name}");
    }
}

/// Nobody answers: whoever does it with a connection sends the same segment again after a second.
pub fn silent(which: Which, family: Family) {
    let openings = openings(which, family, || {
        drop_everything();
        // The same for IPv6, and nothing of what helps the test itself.
        for rule in ["-P INPUT DROP", "-A INPUT -i lo -j ACCEPT"] {
            super::run(&format!("/sbin/ip6tables {rule}"));
        }
    });
    for (name, opened) in openings {
        let expected = usize::from(which.is_ours() || name != REPEATING);
        assert_eq!(opened, expected, "{which}: {name}");
    }
}

/// How often each of them has opened the door.
fn openings(which: Which, family: Family, prepare: impl Fn()) -> Vec<(&'static str, usize)> {
    let house = House::new();
    prepare();
    let config = format!("[A]\nsequence = {}\ntcpflags = syn\nseq_timeout = 60\n", PORTS.join(","));
    let daemon = house.start(which, &Setup::new(&config));
    let (from, to) = (house.client.address(family, 0), house.client.host(family).to_string());
    let count = || daemon.about(from).iter().filter(|line| *line == "A: OPEN SESAME").count();
    let mut openings = Vec::new();
    for (name, script) in CLIENTS {
        let ours = Which::Ours.knock();
        let mut script = script.replace("HOST", &to).replace("OURS", ours.to_str().unwrap());
        if family == Family::V6 {
            script = script.replace("nmap", "nmap -6");
        }
        let before = count();
        let output = on(&house.client, "bash", &["-c", &script]);
        // Whatever it was, the next one begins anew.
        house.play(from, "7000 7000");
        house.settle(&[&daemon]);
        let opened = count() - before;
        if opened != 1 {
            eprintln!("{which}: {name}: {output:?} {:#?}", daemon.about(from));
        }
        openings.push((*name, opened));
    }
    openings
}

/// `-v`: the same words, and one packet for each.
pub fn verbose(which: Which) {
    let knock = which.knock();
    let house = House::new();
    for family in [Family::V4, Family::V6] {
        let to = house.client.host(family).to_string();
        let arguments = ["-v", to.as_str(), "7000", "8000:udp", "9000:tcp"];
        let ours: Output = on(&house.client, knock.to_str().unwrap(), &arguments);
        let theirs: Output = on(&house.client, "knock", &arguments);
        assert_eq!(ours.status.code(), theirs.status.code());
        assert_eq!(ours.stdout, theirs.stdout);
        assert_eq!(theirs.stdout.iter().filter(|byte| **byte == b'\n').count(), 3);
    }
    let expected = 12;
    assert_eq!(house.lab.arrived("client").unwrap(), expected);
}
