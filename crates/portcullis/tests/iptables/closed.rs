//! The stance `closed`, and who is allowed, with these back ends.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use portcullis::config;
use portcullis_core::time::Instant as Moment;
use portcullis_firewall::compile::compile as compile_nftables;
use portcullis_firewall::iptables::compile::{Generation, compile};
use portcullis_firewall::iptables::simulator::Simulator;
use portcullis_firewall::iptables::{AddressStore, Family};
use portcullis_firewall::simulator::{
    Fate, Packet as Seen, Payload, Simulator as Nftables, Socket,
};
use portcullis_lab::Family as Side;
use portcullis_lab::packet::{self, Packet};
use portcullis_lab::service::{Echo, talk};

use crate::loading::Place;
use crate::random::as_iptables;
use crate::world::iptables::{Variant, Witness, word};
use crate::world::{FAMILIES, PATIENCE, all_kinds, made_up, program, simulated, write_config};

const CONFIG: &str = r#"
[gate]
backend = "BACKEND"
stance = "closed"
refuse = "REFUSE"
public = ["tcp/80", "udp/53"]
allow = [ALLOWED]
log_refused = true

[door.ssh]
guards   = ["tcp/22", "udp/2222"]
sequence = ["tcp/1009", "tcp/4001", "udp/2003"]
open_for = "300s"
"#;

fn config_of(store: AddressStore, refuse: &str, allowed: &[IpAddr]) -> String {
    let allowed: Vec<_> = allowed.iter().map(|address| format!("\"{address}\"")).collect();
    CONFIG
        .replace("BACKEND", word(store))
        .replace("REFUSE", refuse)
        .replace("ALLOWED", &allowed.join(", "))
}

/// Packets of every kind that the rules tell apart, each from a source of its own: whoever stands behind
/// ours sees exactly what both simulators let pass.
pub fn kinds(variant: Variant, store: AddressStore) {
    for refuse in ["drop", "reject", "like-closed"] {
        let place = Place::new(variant);
        let text = config_of(store, refuse, &[]);
        place.apply(&text);
        let witness = Witness::new(&place.tools);
        let policy = config::parse_str("a.toml", &text).unwrap().policy;
        let filters =
            Family::BOTH.map(|f| compile(&policy, store, f, Generation::default()).unwrap());
        let ruleset = compile_nftables(&policy).unwrap();
        let (mut iptables, mut nftables) = (Simulator::new(&filters), Nftables::new(&ruleset));
        let (mut expected, mut names) = (BTreeSet::new(), Vec::new());
        let now = Moment::from_millis(1_000);
        let numbers = 1_000_u16..;
        let all = FAMILIES.into_iter().flat_map(|side| {
            all_kinds(side, place.client.host(side)).into_iter().map(move |kind| (side, kind))
        });
        for ((side, (name, mut packet)), number) in all.zip(numbers) {
            let mut sources = vec![made_up(side, number.into())];
            if side == Side::V6 {
                // From the link itself, too.
                sources.push(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number).into());
            }
            for source in sources {
                packet.ends = packet::Ends::new(source, packet.ends.destination());
                // Compared with rules that know nothing of sockets.
                let seen = Seen { socket: Socket::Listener, ..simulated(&packet) };
                let fate = iptables.receive(&seen, now).fate;
                // Only nftables looks at what these quote: a redirect, and "packet too big".
                let quotes = match seen.payload {
                    Payload::Icmp { kind } => kind == if source.is_ipv4() { 5 } else { 2 },
                    _ => false,
                };
                let as_nftables = as_iptables(&seen, nftables.receive(&seen, now).fate);
                let means = if quotes { Fate::Dropped } else { fate };
                assert_eq!(as_nftables, means, "{name} {source}");
                if fate == Fate::Passed {
                    expected.insert(source);
                }
                names.push((source, name.clone()));
                place.wire.send(&packet).unwrap();
            }
        }
        // An echo reply comes after everything before it has been through the rules.
        let [from, _] = place.addresses(0);
        let ping = Packet::ping(from, place.client.host(Side::V4), 7);
        assert!(place.wire.probe(&ping, PATIENCE).unwrap().is_some());
        let seen: BTreeSet<IpAddr> = witness.seen().into_iter().map(|(source, _)| source).collect();
        let wrong: Vec<_> = names
            .iter()
            .filter(|(source, _)| seen.contains(source) != expected.contains(source))
            .collect();
        assert!(wrong.is_empty(), "{variant} {store:?} {refuse}: {wrong:?}");
        assert!(expected.len() > 40 && expected.len() < names.len());
    }
}

/// Whatever `INPUT` itself accepts, nobody is cut off, nothing of others is changed, and when the
/// allow-list changes so does who is allowed.
pub fn base(variant: Variant, store: AddressStore) {
    let place = Place::new(variant);
    let tools = &place.tools;
    let theirs = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n\
                  -A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT\n-A INPUT -j ACCEPT\nCOMMIT\n";
    for family in Family::BOTH {
        tools.restore(family, theirs);
    }
    let saved = || Family::BOTH.map(|family| tools.saved(family));
    let strangers = || {
        saved().map(|saved| {
            let lines = saved.lines().filter(|line| !line.contains("portcullis"));
            lines.map(|line| format!("{line}\n")).collect::<String>()
        })
    };
    let before = saved();
    let _echoes: Vec<_> = FAMILIES
        .into_iter()
        .flat_map(|side| [80, 8080].map(|port| SocketAddr::new(place.client.host(side), port)))
        .map(|at| Echo::start(at).unwrap())
        .collect();
    let connect = |from: IpAddr, port, wait| {
        let side = FAMILIES[usize::from(from.is_ipv6())];
        place.client.connect(from, SocketAddr::new(place.client.host(side), port), wait)
    };
    let reaches = |from, port| connect(from, port, PATIENCE).is_ok();
    let silent = |from, port| connect(from, port, Duration::from_millis(150)).is_err();
    let (knockers, strange) = (place.addresses(0), place.addresses(1));
    let (first, second) = (place.addresses(2), place.addresses(3));
    let mut made: Vec<_> =
        strange.map(|from| connect(from, 8080, PATIENCE).unwrap()).into_iter().collect();
    place.apply(&config_of(store, "drop", &first));
    assert_eq!(strangers(), before);
    for stream in &mut made {
        assert!(talk(stream, b"still here", PATIENCE).unwrap());
    }
    for from in strange {
        // Their own rule accepts it, and ours comes first.
        assert!(silent(from, 8080) && silent(from, 22) && reaches(from, 80), "{from}");
        let ping = Packet::ping(from, place.client.host(FAMILIES[usize::from(from.is_ipv6())]), 7);
        assert!(place.wire.probe(&ping, PATIENCE).unwrap().is_some(), "{from}: no echo");
    }
    for (from, side) in strange.into_iter().zip(FAMILIES) {
        // Each begins another conversation; those that have begun are part of a connection.
        let pings: Vec<_> =
            (100..300).map(|id| Packet::ping(from, place.client.host(side), id)).collect();
        place.wire.drain().unwrap();
        place.wire.send_all(&pings).unwrap();
        let deadline = Instant::now() + Duration::from_millis(300);
        let mut answered = 0;
        while let Some(seen) = place.wire.receive(deadline).unwrap() {
            answered += usize::from(pings.iter().any(|ping| seen.answers(ping)));
        }
        assert!((10..150).contains(&answered), "{answered} of 200 from {from}");
    }
    for from in knockers {
        place.knock(from, &["tcp/1009", "tcp/4001", "udp/2003"]);
        assert!(reaches(from, 22) && silent(from, 8080), "{from}");
    }
    for (allowed, other) in [(first, second), (second, first)] {
        place.apply(&config_of(store, "drop", &allowed));
        for (allowed, other) in allowed.into_iter().zip(other) {
            assert!(reaches(allowed, 22) && reaches(allowed, 8080), "{allowed} is allowed");
            assert!(silent(other, 22) && silent(other, 8080), "{other} is not");
        }
        let sets = tools.must("ipset", &["list", "-name"], "");
        let expected = if store == AddressStore::Ipset { 2 } else { 0 };
        assert_eq!(sets.matches("_allow\n").count(), expected, "{sets}");
    }
    // This host's own business is not disturbed.
    for side in FAMILIES {
        let host = SocketAddr::new(place.client.host(side), 8080);
        assert!(std::net::TcpStream::connect_timeout(&host, PATIENCE).is_ok());
    }
    assert!(tools.portcullis("remove", None).status.success());
    assert_eq!(saved(), before);
    assert_eq!(tools.must("ipset", &["list", "-name"], ""), "");
    assert!(reaches(strange[0], 8080) && reaches(strange[1], 22));
}

/// Rules that would keep out the session that loads them are refused; whoever is allowed may load them.
pub fn lockout(variant: Variant) {
    let place = Place::new(variant);
    let tools = &place.tools;
    let file = tools.path().join("portcullis.toml");
    for (from, side) in place.addresses(0).into_iter().zip(FAMILIES) {
        let session = format!("SSH_CONNECTION={from} 50000 {} 8022", place.client.host(side));
        let apply = |text: &str| {
            write_config(&file, text);
            let state = tools.path().join("state");
            let (file, state) = (file.to_str().unwrap(), state.to_str().unwrap());
            let arguments = [session.as_str(), program(), "apply", "--state-dir", state, file];
            tools.run("/usr/bin/env", &arguments, "")
        };
        let refused = apply(&config_of(AddressStore::Recent, "drop", &[]));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains("lock you out"), "{said}");
        assert!(!tools.saved(Family::V4).contains("portcullis"));
        // Who has a grant may come again, whichever back end keeps it.
        for store in crate::world::iptables::STORES {
            let text = config_of(store, "drop", &[]).replace("tcp/22", "tcp/8022");
            write_config(&file, &text);
            assert!(tools.portcullis_with(&["apply"], Some(&text)).status.success());
            let refused = apply(&text);
            let said = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(1), "{said}");
            assert!(said.contains(&format!("has no grant for {from}")), "{said}");
            assert!(said.contains("knock from that address"), "{said}");
            if store == AddressStore::Recent && !crate::live::may_write_lists() {
                continue;
            }
            let from = from.to_string();
            let granted = tools.run(program(), &["grant", "ssh", &from], "");
            assert!(granted.status.success(), "{granted:?}");
            let again = apply(&text);
            assert!(again.status.success(), "{again:?}");
        }
        let loaded = apply(&config_of(AddressStore::Recent, "drop", &[from]));
        assert!(loaded.status.success(), "{loaded:?}");
        assert!(tools.portcullis("remove", None).status.success());
    }
}
