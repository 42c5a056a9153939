//! What both programs do alike.

use std::time::{Duration, Instant};

use portcullis_lab::service::Echo;
use portcullis_lab::{Family, set_sysctl};

use crate::support::{Knock, Run, Test, World, at, command, unprivileged};
use crate::world::FAMILIES;

pub const TESTS: &[Test] = &[
    ("the_same_packets_and_the_same_words", the_same_packets_and_the_same_words),
    ("without_any_capability", without_any_capability),
    ("one_packet_for_each_knock_and_no_repetition", one_packet_for_each_knock_and_no_repetition),
    ("two_hundred_without_delay_arrive_in_order", two_hundred_without_delay_arrive_in_order),
    ("an_open_port_gets_one_syn_too", an_open_port_gets_one_syn_too),
    ("the_delay_is_kept_also_after_the_last", the_delay_is_kept_also_after_the_last),
    ("without_ipv6_a_name_is_knocked_at_in_ipv4", without_ipv6_a_name_is_knocked_at_in_ipv4),
    ("what_is_wrong_use_sends_nothing", what_is_wrong_use_sends_nothing),
];

/// Arguments, the address that is knocked at, the knocks, and what is printed before each port.
const TABLE: &[(&[&str], &str, &[&str], &str)] = &[
    (&["198.51.100.10", "7000", "8000", "9000"], V4, &["7000", "8000", "9000"], ""),
    (&["-v", "198.51.100.10", "7000", "8000:udp"], V4, &["7000", "8000:udp"], "198.51.100.10:"),
    (&["198.51.100.10", "7000:tcp", "7000", "7000:udp"], V4, &["7000", "7000", "7000:udp"], ""),
    (&["-v", "2001:db8::10", "7000", "8000:udp"], V6, &["7000", "8000:udp"], "2001:db8::10:"),
    (&["-u", "-v", "198.51.100.10", "7000", "8:tcp"], V4, &["7000:udp", "8:udp"], "198.51.100.10:"),
    (&["--udp", "--verbose", "198.51.100.10", "7000"], V4, &["7000:udp"], "198.51.100.10:"),
    (&["--ud", "--verb", "198.51.100.10", "7000"], V4, &["7000:udp"], "198.51.100.10:"),
    (
        &["198.51.100.10", "7000", "-v", "8000", "-u"],
        V4,
        &["7000:udp", "8000:udp"],
        "198.51.100.10:",
    ),
    (&["-vud1", "198.51.100.10", "7000"], V4, &["7000:udp"], "198.51.100.10:"),
    (
        &["-vv", "-d", "1", "--delay=2", "--del", "1", "198.51.100.10", "1"],
        V4,
        &["1"],
        "198.51.100.10:",
    ),
    (&["-v", "--", "198.51.100.10", "65535", "1"], V4, &["65535", "1"], "198.51.100.10:"),
    (&["-v", "3325256714", "9"], V4, &["9"], "198.51.100.10:"),
    (&["-v", "dual", "7000", "8000"], V6, &["7000", "8000"], "2001:db8::10:"),
    (&["-v", "-4", "dual", "7000", "8000"], V4, &["7000", "8000"], "198.51.100.10:"),
    (&["-v", "--ipv6", "dual", "7000"], V6, &["7000"], "2001:db8::10:"),
    (&["-v", "-4", "-6", "dual", "7000"], V6, &["7000"], "2001:db8::10:"),
    (&["-v", "-64", "dual", "7000"], V4, &["7000"], "198.51.100.10:"),
    (&["-v", "four", "7000"], V4, &["7000"], "198.51.100.10:"),
    (&["-v", "six", "7000"], V6, &["7000"], "2001:db8::10:"),
    (&["-v", "fe80::99%peer", "7000", "9:udp"], "fe80::99", &["7000", "9:udp"], "fe80::99%peer:"),
];

const V4: &str = "198.51.100.10";
const V6: &str = "2001:db8::10";

/// Ports that are not written as the number that is knocked at, and that number.
const PORTS: &[(&str, &str)] = &[
    ("ssh", "22"),
    ("domain:udp", "53:udp"),
    ("domain", "53"),
    ("odd", "9"),
    // Known for the other protocol only.
    ("tftp", "69"),
    ("ssh:udp", "22:udp"),
    ("0070", "70"),
    ("+80", "80"),
];

fn the_same_packets_and_the_same_words(program: Knock) {
    let world = World::new();
    for (arguments, address, ports, printed) in TABLE {
        let knocks = at(address, ports);
        let verbose = arguments
            .iter()
            .any(|argument| argument.starts_with("-v") || argument.starts_with("--verb"));
        let stdout = if verbose { lines(printed, ports) } else { String::new() };
        let expected = Run { knocks, stdout, stderr: String::new(), code: Some(0) };
        assert_eq!(world.run(program, arguments), expected, "{arguments:?}");
    }
    for (typed, number) in PORTS {
        let run = world.run(program, &["-v", V4, typed]);
        let (name, _) = typed.split_once(':').unwrap_or((typed, ""));
        let (_, protocol) = number.split_once(':').unwrap_or(("", "tcp"));
        assert_eq!(run.stdout, format!("hitting {protocol} {V4}:{name}\n"));
        assert_eq!(run.knocks, at(V4, &[number]), "{typed}");
        assert_eq!((run.stderr.as_str(), run.code), ("", Some(0)), "{typed}");
    }
}

/// What is printed for these.
fn lines(address: &str, ports: &[&str]) -> String {
    let line = |port: &&str| {
        let (number, protocol) = port.split_once(':').unwrap_or((port, "tcp"));
        format!("hitting {protocol} {address}{number}\n")
    };
    ports.iter().map(line).collect()
}

fn without_any_capability(_: Knock) {
    // As all of these tests run the programs.
    let output = unprivileged("cat").arg("/proc/self/status").output().unwrap();
    let status = String::from_utf8(output.stdout).unwrap();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000\n")), "{status}");
    }
}

fn one_packet_for_each_knock_and_no_repetition(program: Knock) {
    let world = World::new();
    // Addresses of nobody, so that nothing answers: a SYN would be repeated after a second.
    let hosts = ["198.51.100.77", "2001:db8::77"];
    let mut expected = Vec::new();
    world.wire.drain().unwrap();
    for host in hosts {
        let arguments = [host, "7000", "7001:udp", "7000"];
        let output = command(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        expected.extend(at(host, &arguments[1..]));
    }
    assert_eq!(world.knocks_within(Duration::from_millis(1300)), expected);
}

fn two_hundred_without_delay_arrive_in_order(program: Knock) {
    let world = World::new();
    // Down and up again: an order that no port is in by chance.
    let ports: Vec<String> =
        (0..200u32).map(|n| (10_000 + n * 7919 % 50_000).to_string()).collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    for family in FAMILIES {
        let address = world.peer.address(family, 0);
        let host = address.to_string();
        let run = world.run(program, &[&[host.as_str()], &ports[..]].concat());
        assert_eq!(run.knocks, at(address, &ports));
    }
}

fn an_open_port_gets_one_syn_too(program: Knock) {
    let world = World::new();
    let address = world.peer.address(Family::V4, 0);
    let _echo = world.peer.run(|| Echo::start((address, 7000).into()).unwrap()).unwrap();
    let run = world.run(program, &[V4, "7000", "7001", "7000"]);
    assert_eq!(run.knocks, at(address, &["7000", "7001", "7000"]));
    assert_eq!(run.code, Some(0));
}

fn the_delay_is_kept_also_after_the_last(program: Knock) {
    let world = World::new();
    // These ports are closed: the answers come at once, and do not end the wait.
    let begun = Instant::now();
    let run = world.run(program, &["-d", "70", V4, "7000", "7001:udp"]);
    assert!(begun.elapsed() >= Duration::from_millis(140), "{:?}", begun.elapsed());
    assert_eq!(run.knocks.len(), 2, "{run:?}");
}

fn without_ipv6_a_name_is_knocked_at_in_ipv4(program: Knock) {
    let world = World::new();
    set_sysctl("ipv6/conf/all/disable_ipv6", "1").unwrap();
    let run = world.run(program, &["-v", "dual", "7000", "8000:udp"]);
    assert_eq!(run.knocks, at(V4, &["7000", "8000:udp"]));
    assert!(run.stdout.starts_with("hitting tcp 198.51.100.10:7000\n"), "{run:?}");
    assert_eq!(run.code, Some(0));
}

fn what_is_wrong_use_sends_nothing(program: Knock) {
    let world = World::new();
    for arguments in [
        &[][..],
        &[V4],
        &["-x", V4, "7000"],
        &["--foo", V4, "7000"],
        // Of --verbose and --version.
        &["--ver", V4, "7000"],
        &[V4, "7000", "-1"],
        &[V4, "7000", "-d"],
        &["-d", "-5", V4, "7000"],
        &[V4, "no-such-service"],
        &["-6", V4, "7000"],
        &["-4", "six", "7000"],
        &["no.such.name.invalid", "7000"],
        &["", "7000"],
        // Help, which theirs takes for wrong use.
        &["-h"],
        &["--help"],
        &["-x", "-V"],
    ] {
        let run = world.run(program, arguments);
        assert_eq!(run.code, Some(1), "{arguments:?}: {run:?}");
        assert!(run.knocks.is_empty(), "{arguments:?}: {run:?}");
        let said = format!("{}{}", run.stdout, run.stderr).to_lowercase();
        let reasons = ["usage", "error", "failed to resolve"];
        assert!(reasons.iter().any(|reason| said.contains(reason)), "{arguments:?}: {run:?}");
    }
    for arguments in [&["-V"][..], &["--version"], &["--vers", "-x"], &["-V", "-h"]] {
        let run = world.run(program, arguments);
        assert!(run.stdout.starts_with("knock 0.8"), "{run:?}");
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    }
}
