//! What ours does differently, as `docs/knockd-compatibility.md` says. What theirs does is
//! held too: where that changes, the reason for ours is gone.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use portcullis_lab::Lab;

use crate::names::turning_dns;
use crate::support::{Knock, Test, World, at, command};

pub const TESTS: &[Test] = &[
    ("mistakes_are_errors_before_the_first_packet", mistakes_are_errors_before_the_first_packet),
    ("all_hits_go_to_one_address_of_a_name", all_hits_go_to_one_address_of_a_name),
    ("a_host_without_a_way_to_it_is_an_error", a_host_without_a_way_to_it_is_an_error),
    ("spellings_that_theirs_does_not_know", spellings_that_theirs_does_not_know),
    ("the_version_says_what_it_is", the_version_says_what_it_is),
];

const V4: &str = "198.51.100.10";

/// Arguments after the host, what theirs knocks at, and what ours says.
const MISTAKES: &[(&[&str], &[&str], &str)] = &[
    (&["1", "70000"], &["1", "4464"], "`70000` is not a port"),
    (&["1", "65536"], &["1", "0"], "`65536` is not a port"),
    (&["1", "0"], &["1", "0"], "`0` is not a port"),
    (&["1", "0:udp"], &["1"], "`0:udp` is not a port"),
    (&["1", ":udp"], &["1"], "`:udp` has no port"),
    (&["1", "2:foo"], &["1", "2"], "the protocol of `2:foo` is not tcp or udp"),
    (&["1", "2:"], &["1", "2"], "the protocol of `2:` is not tcp or udp"),
    (&["1", "2:udp:tcp"], &["1", "2"], "the protocol of `2:udp:tcp` is not tcp or udp"),
    (&["1", "nosuch"], &["1"], "unknown service `nosuch`"),
    (&["1", "-d", "abc"], &["1"], "a delay is a whole number of milliseconds"),
    (&["1", "-d", "0.5"], &["1"], "a delay is a whole number of milliseconds"),
];

fn mistakes_are_errors_before_the_first_packet(program: Knock) {
    let world = World::new();
    for (arguments, theirs, message) in MISTAKES {
        let run = world.run(program, &[&[V4], *arguments].concat());
        match program {
            Knock::Theirs => assert_eq!(run.knocks, at(V4, theirs), "{arguments:?}"),
            Knock::Ours => {
                assert!(run.stderr.contains(message), "{arguments:?}: {run:?}");
                assert!(run.knocks.is_empty(), "{arguments:?}: {run:?}");
                assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{arguments:?}");
            }
        }
    }
}

const TURNING: &[Ipv4Addr] = &[Ipv4Addr::new(198, 51, 100, 10), Ipv4Addr::new(198, 51, 100, 11)];

fn all_hits_go_to_one_address_of_a_name(program: Knock) {
    let world = World::new();
    turning_dns(TURNING);
    let run = world.run(program, &["turning.example", "7000", "8000:udp", "9000", "9001"]);
    assert_eq!((run.code, run.knocks.len()), (Some(0), 4), "{run:?}");
    let place = |knock: &String| knock.split(' ').nth(1).unwrap().to_owned();
    let places: BTreeSet<String> = run.knocks.iter().map(place).collect();
    let expected = match program {
        Knock::Ours => 1,
        // It asks anew for each port.
        Knock::Theirs => 2,
    };
    assert_eq!(places.len(), expected, "{run:?}");
}

fn a_host_without_a_way_to_it_is_an_error(program: Knock) {
    // A network without any peer.
    let _lab = Lab::new().unwrap();
    for host in ["192.0.2.1", "2001:db8::1", "fe80::1"] {
        let output = command(program).args([host, "7000"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        match program {
            Knock::Theirs => assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{host}"),
            Knock::Ours => {
                assert_eq!(output.status.code(), Some(1), "{host}: {stderr}");
                assert!(stderr.contains(&format!("no route to {host}")), "{stderr}");
            }
        }
    }
}

fn spellings_that_theirs_does_not_know(program: Knock) {
    let world = World::new();
    for (arguments, ours, theirs) in [
        // An upper case protocol is TCP to theirs.
        (&[V4, "7000:UDP"][..], at(V4, &["7000:udp"]), at(V4, &["7000"])),
        (&["[2001:db8::10]", "7000"], at("2001:db8::10", &["7000"]), Vec::new()),
        (&["[fe80::99%peer]", "7000"], at("fe80::99", &["7000"]), Vec::new()),
    ] {
        let run = world.run(program, arguments);
        let expected = if program == Knock::Ours { ours } else { theirs };
        assert_eq!(run.knocks, expected, "{arguments:?} {run:?}");
    }
}

fn the_version_says_what_it_is(program: Knock) {
    let version = String::from_utf8(command(program).arg("-V").output().unwrap().stdout).unwrap();
    match program {
        Knock::Theirs => assert!(version.starts_with("knock 0.8\n"), "{version}"),
        Knock::Ours => {
            let ours = format!("knock 0.8 (Portcullis {})\n", env!("CARGO_PKG_VERSION"));
            assert_eq!(version, ours);
        }
    }
}
