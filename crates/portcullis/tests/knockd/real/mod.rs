//! What the tests with real programs share.

pub mod clients;
pub mod configurations;

use libtest_mimic::Trial;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use portcullis_lab::packet::Packet;
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family, Peer};

use crate::both::{SIDES, Which};
use crate::world;

/// A name, the programs that it needs, and what is to be shown of each side.
pub type Test = (&'static str, &'static [&'static str], fn(Which));

pub const TESTS: &[Test] = &[
    ("debians_own_configuration", configurations::NEEDS, configurations::debian),
    ("open_and_close_ssh", configurations::NEEDS, configurations::open_close),
    ("open_and_close_ftp", configurations::NEEDS, configurations::ftp),
    ("open_ssh_for_ten_seconds", configurations::NEEDS, configurations::start_stop),
    ("clients_knock_at_closed_ports_v4", clients::NEEDS, |w| clients::closed(w, Family::V4)),
    ("clients_knock_at_closed_ports_v6", clients::NEEDS, |w| clients::closed(w, Family::V6)),
    ("clients_knock_at_silent_ports_v4", clients::NEEDS, |w| clients::silent(w, Family::V4)),
    ("clients_knock_at_silent_ports_v6", clients::NEEDS, |w| clients::silent(w, Family::V6)),
    ("the_client_says_the_same", clients::NEEDS, clients::verbose),
];

/// A configuration as it is found on a machine.
pub fn found(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/knockd/good");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// Runs a program on the host, which must succeed.
pub fn run(words: &str) -> String {
    let mut words = words.split_whitespace();
    let output = output(words.next().unwrap(), &words.collect::<Vec<_>>());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program in the network of this thread.
pub fn output(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs a program on the client.
pub fn on(client: &Peer, program: &str, arguments: &[&str]) -> Output {
    client.run(|| output(program, arguments)).unwrap()
}

/// Drops what comes in, but for what belongs to connections made.
pub fn drop_everything() {
    run("/sbin/iptables -P INPUT DROP");
    run("/sbin/iptables -A INPUT -i lo -j ACCEPT");
    run("/sbin/iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT");
}

/// Whether anything answers a SYN from this address. Other than a connection, this leaves the client
/// without a word when nothing does.
pub fn answers(wire: &Wire, from: IpAddr, to: SocketAddr) -> bool {
    let probe = Packet::syn(SocketAddr::new(from, 47_000), to);
    wire.probe(&probe, Duration::from_millis(300)).unwrap().is_some()
}

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, programs, test) in TESTS {
        for which in SIDES {
            let needs = [&["knockd"], *programs].concat();
            trials.push(world::trial_with(format!("{name}_{which}"), &needs, move || test(which)));
        }
    }
    trials
}
