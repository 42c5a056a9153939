//! The stance `closed` in the real kernel: what is let in and what is not, and that nobody is cut off.

use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use portcullis::config;
use portcullis_core::time::Instant as Moment;
use portcullis_firewall::compile::compile;
use portcullis_firewall::simulator::{Fate, Simulator};
use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::{self, ACK, FIN, Packet, SYN};
use portcullis_lab::service::{Echo, talk};
use portcullis_lab::{Family, Lab, wait_until, world};
use world::{
    By, FAMILIES, PATIENCE, RECOGNISERS, World, all_kinds, have, made_up, nft, portcullis,
    simulated,
};

const CONFIG: &str = r#"
[gate]
stance = "closed"
refuse = "REFUSE"
public = ["tcp/80", "udp/53"]
log_refused = true

[door.ssh]
guards   = ["tcp/22", "udp/2222"]
sequence = ["tcp/1009", "tcp/4001", "udp/2003"]
open_for = "300s"
recogniser = "RECOGNISER"
"#;

/// Long enough for an answer that is going to come.
const WAIT: Duration = Duration::from_millis(500);

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for refuse in ["drop", "reject", "like-closed"] {
        let witness =
            world::trial(format!("the_kernel_lets_in_what_is_said_{refuse}"), move || {
                witness(refuse);
            });
        trials.push(witness.with_ignored_flag(!have("nft")));
    }
    for family in FAMILIES {
        trials.push(world::trial(
            format!("pings_are_answered_at_a_bounded_rate_{family}"),
            move || {
                pings(family);
            },
        ));
        for refuse in ["drop", "reject", "like-closed"] {
            trials.push(world::trial(
                format!("connections_from_before_live_on_{refuse}_{family}"),
                move || connections_from_before(refuse, family),
            ));
        }
        trials.push(world::trial(format!("all_refused_ports_look_the_same_{family}"), move || {
            all_refused_look_the_same(family);
        }));
        for by in RECOGNISERS {
            trials.push(world::trial(format!("a_right_knock_opens_{by}_{family}"), move || {
                a_right_knock_opens(by, family);
            }));
        }
    }
    trials.push(
        world::trial("somebody_elses_firewall_stays_and_decides_too", other_firewall)
            .with_ignored_flag(!have("nft")),
    );
    trials
}

fn config_with(refuse: &str) -> String {
    CONFIG.replace("REFUSE", refuse)
}

/// A table of somebody else, behind ours, sees exactly what the simulator lets pass.
fn witness(refuse: &str) {
    let world = World::new(By::Kernel, &config_with(refuse));
    let text = std::fs::read_to_string(&world.config).unwrap();
    let ruleset = compile(&config::parse_str("a.toml", &text).unwrap().policy).unwrap();
    nft("table inet witness {
        set seen4 { type ipv4_addr; size 65535; flags dynamic; }
        set seen6 { type ipv6_addr; size 65535; flags dynamic; }
        chain input {
            type filter hook input priority 0;
            add @seen4 { ip saddr }
            add @seen6 { ip6 saddr }
        }
    }");
    let mut simulator = Simulator::new(&ruleset);
    let mut expected = BTreeSet::new();
    let mut names = Vec::new();
    let mut number = 1_000;
    for family in FAMILIES {
        for (name, mut packet) in all_kinds(family, world.client.host(family)) {
            number += 1;
            let mut sources = vec![made_up(family, number)];
            if family == Family::V6 {
                // From the link itself, too.
                let low = u16::try_from(number).unwrap();
                sources.push(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, low).into());
            }
            for source in sources {
                packet.ends = packet::Ends::new(source, packet.ends.destination());
                let fate = simulator.receive(&simulated(&packet), Moment::from_millis(1_000)).fate;
                if matches!(fate, Fate::Passed | Fate::AnsweredAsClosed) {
                    expected.insert(source);
                }
                names.push((source, name.clone()));
                world.wire.send(&packet).unwrap();
            }
        }
    }
    let witnessed = || {
        let mut seen = BTreeSet::new();
        for set in ["seen4", "seen6"] {
            let list = nft(&format!("list set inet witness {set}"));
            let words = list.split([' ', ',', '\n', '\t']);
            seen.extend(words.filter_map(|word| word.parse::<IpAddr>().ok()));
        }
        seen.retain(|source| names.iter().any(|(known, _)| known == source));
        seen
    };
    wait_until(Instant::now() + PATIENCE / 4, || witnessed() == expected);
    let seen = witnessed();
    let named = |sources: Vec<&IpAddr>| -> Vec<_> {
        names.iter().filter(|(source, _)| sources.contains(&source)).collect()
    };
    let (missing, extra) =
        (expected.difference(&seen).collect(), seen.difference(&expected).collect());
    assert_eq!((named(missing), named(extra)), (vec![], vec![]));
    assert!(expected.len() > 40 && expected.len() < names.len());
}

fn pings(family: Family) {
    let world = World::new(By::Kernel, &config_with("drop"));
    let (from, to) = (world.client.address(family, 0), world.client.host(family));
    world.wire.drain().unwrap();
    // Each begins another conversation; those that have begun are part of a connection.
    world.wire.send_all((0..200).map(|id| Packet::ping(from, to, id))).unwrap();
    let mut answered = 0;
    let deadline = Instant::now() + WAIT;
    while let Some(seen) = world.wire.receive(deadline).unwrap() {
        answered += usize::from((0..200).any(|id| seen.answers(&Packet::ping(from, to, id))));
    }
    assert!((20..150).contains(&answered), "{answered} of 200");
    let later = Instant::now() + PATIENCE;
    assert!(wait_until(later, || {
        world.wire.probe(&Packet::ping(from, to, 1_000), WAIT).unwrap().is_some()
    }));
}

/// Made when there was no connection tracking, and silent since: the client speaks first.
fn connections_from_before(refuse: &str, family: Family) {
    let mut lab = Lab::new().unwrap();
    let client = lab.peer("client", 1).unwrap();
    let (from, host) = (client.address(family, 0), client.host(family));
    let ports = [22, 80, 8080];
    let echoes = ports.map(|port| Echo::start(SocketAddr::new(host, port)).unwrap());
    // An ICMP error that comes while the client's kernel is still in `connect` counts only when the
    // SYN has been sent again.
    let wait = if refuse == "drop" { WAIT * 2 } else { PATIENCE };
    let connect = |port| client.connect(from, SocketAddr::new(host, port), wait);
    let mut before = ports.map(|port| connect(port).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portcullis.toml");
    world::write_config(&path, &config_with(refuse).replace("RECOGNISER", "kernel"));
    let state = folder.path().join("state");
    let state = state.to_str().unwrap();
    let output = portcullis(&["apply", path.to_str().unwrap(), "--state-dir", state]);
    assert!(output.status.success(), "{output:?}");
    for (stream, port) in before.iter_mut().zip(ports) {
        assert!(talk(stream, b"still here", PATIENCE).unwrap(), "port {port}");
        assert!(talk(stream, b"and again", PATIENCE).unwrap(), "port {port}");
    }
    assert!(talk(&mut connect(80).unwrap(), b"new", PATIENCE).unwrap());
    for port in [22, 8080] {
        let error = connect(port).unwrap_err().kind();
        let expected = match (refuse, family) {
            ("drop", _) => [ErrorKind::TimedOut].as_slice(),
            ("reject", _) => &[ErrorKind::HostUnreachable, ErrorKind::PermissionDenied],
            _ => &[ErrorKind::ConnectionRefused],
        };
        assert!(expected.contains(&error), "{port}: {error:?}");
    }
    drop(echoes);
}

/// Whether guarded or not, whether somebody listens or not. A host makes few ICMP errors for one
/// address, so each probe that they answer comes from another.
fn all_refused_look_the_same(family: Family) {
    for refuse in ["drop", "reject", "like-closed"] {
        let mut world = World::new(By::Kernel, &config_with(refuse));
        let (from, host) = (world.client.address(family, 0), world.client.host(family));
        let _echoes = [22, 8080].map(|port| Echo::start(SocketAddr::new(host, port)).unwrap());
        let mut probe = |protocol: &str, port, flags| {
            let from = match refuse {
                "reject" => world.new_source(family),
                _ if protocol == "udp" => world.new_source(family),
                _ => from,
            };
            let (from, to) = (SocketAddr::new(from, 40_000), SocketAddr::new(host, port));
            let probe = match protocol {
                "tcp" => Packet::tcp(from, to, flags),
                _ => Packet::udp(from, to, b"x"),
            };
            let silent = refuse == "drop" && flags != ACK;
            let answer = world.wire.probe(&probe, if silent { WAIT / 10 } else { WAIT }).unwrap();
            answer.map(|answer| match refuse {
                "like-closed" if protocol == "tcp" => (answer.meaning(), answer.fingerprint()),
                _ => (answer.meaning(), Vec::new()),
            })
        };
        for flags in [SYN, ACK, SYN | ACK, FIN, 0] {
            let closed = probe("tcp", 9, flags);
            let expected = match (refuse, flags) {
                (_, ACK) | ("like-closed", SYN) => Some(Meaning::Reset),
                ("drop", _) => None,
                ("reject", _) if family == Family::V4 => Some(Meaning::Unreachable(3, 13)),
                ("reject", _) => Some(Meaning::Unreachable(1, 1)),
                _ => closed.as_ref().map(|(meaning, _)| *meaning),
            };
            let what = format!("{refuse} {flags:#x}");
            assert_eq!(closed.as_ref().map(|(meaning, _)| *meaning), expected, "{what}");
            for port in [22, 8080, 1009] {
                assert_eq!(probe("tcp", port, flags), closed, "{what} tcp/{port}");
            }
        }
        let closed = probe("udp", 9, 0);
        assert_eq!(closed.is_some(), refuse != "drop", "{refuse}");
        assert_eq!(probe("udp", 2222, 0), closed, "{refuse} udp/2222");
    }
}

fn a_right_knock_opens(by: By, family: Family) {
    let mut world = World::new(by, &config_with("drop"));
    let from = world.client.address(family, 0);
    let to = SocketAddr::new(world.client.host(family), 22);
    let _echo = Echo::start(to).unwrap();
    let stranger = world.client.connect(from, to, WAIT).unwrap_err();
    assert_eq!(stranger.kind(), ErrorKind::TimedOut);
    world.knock(from, &["tcp/1009", "tcp/4001", "udp/2003"]);
    assert!(wait_until(Instant::now() + PATIENCE, || world.open_for(from).contains("ssh")));
    let mut stream = world.client.connect(from, to, PATIENCE).unwrap();
    assert!(talk(&mut stream, b"hello", PATIENCE).unwrap());
}

const OTHERS: &str = "table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		tcp dport { 80, 8080 } accept
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
	}
}
";

/// Nothing of it is changed, nothing that it drops passes, and nothing that we refuse passes because
/// it accepts.
fn other_firewall() {
    for family in FAMILIES {
        let lab = nft_before(family);
        drop(lab);
    }
}

fn nft_before(family: Family) -> World {
    let mut world = World::new(By::Kernel, &config_with("drop"));
    nft(OTHERS);
    let others = nft("list table inet filter");
    let from = world.client.address(family, 0);
    let host = world.client.host(family);
    let to = |port| SocketAddr::new(host, port);
    let _echoes = [22, 80, 8080].map(|port| Echo::start(to(port)).unwrap());
    let reaches = |port| world.client.connect(from, to(port), WAIT).is_ok();
    assert_eq!([22, 80, 8080].map(reaches), [false, true, false]);
    // Loading anew, opening and removing leave it alone.
    let output = world.run(&["apply", world.config.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    world.knock(from, &["tcp/1009", "tcp/4001", "udp/2003"]);
    assert!(wait_until(Instant::now() + PATIENCE, || world.open_for(from).contains("ssh")));
    assert!(world.client.connect(from, to(22), WAIT).is_err(), "theirs drops it");
    nft("add rule inet filter input tcp dport 22 accept");
    assert!(world.client.connect(from, to(22), WAIT).is_ok());
    assert!(world.run(&["remove"]).status.success());
    nft("flush chain inet filter input; add rule inet filter input ct state established,related accept;
         add rule inet filter input tcp dport { 80, 8080 } accept");
    assert_eq!(nft("list table inet filter"), others);
    world
}
