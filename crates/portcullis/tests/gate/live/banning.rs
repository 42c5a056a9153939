//! Bans by hand.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libtest_mimic::Trial;
use portcullis::config;
use portcullis_core::policy::HostName;
use portcullis_firewall::compile::{Hosts, admit, compile};
use portcullis_gate::nftables::Table;
use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::Packet;
use portcullis_lab::service::{Echo, talk};
use portcullis_lab::{Family, wait_until};
use serde_json::{Value, json};

use crate::live::{WAYS, done, make_small, run, ssh_session};
use crate::world::{self, By, FAMILIES, PATIENCE, World, made_up, write_config};

const CONFIG: &str = r#"
[gate]
public = ["tcp/80"]
allow  = ["100.64.99.0/24", "100.64.100.0/24", "2001:db8:9::7"]

[ban]
strikes = 3
within  = "10m"
for     = "7m"

[door.ssh]
guards     = ["tcp/22"]
sequence   = ["tcp/1009", "tcp/4001", "udp/2003"]
open_for   = "5m"
recogniser = "RECOGNISER"
"#;

/// Long enough for an answer that is not going to come.
const SILENCE: Duration = Duration::from_millis(150);

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for stance in ["guard", "closed"] {
        for family in FAMILIES {
            for by in WAYS.into_iter().filter(|by| stance == "guard" || *by == By::Kernel) {
                let name = format!("a_ban_by_hand_{stance}_{by}_{family}");
                trials.push(world::trial(name, move || a_ban_by_hand(stance, by, family)));
            }
            let name = format!("a_knock_passes_a_ban_by_hand_{stance}_{family}");
            trials.push(world::trial(name, move || a_knock_passes_it(stance, family)));
        }
    }
    for family in FAMILIES {
        trials.push(world::trial(format!("a_ban_cuts_{family}"), move || a_ban_cuts(family)));
    }
    trials.push(world::trial("a_ban_begins_anew", a_ban_begins_anew));
    trials.push(world::trial("a_ban_of_a_network", a_ban_of_a_network));
    trials.push(world::trial("the_allowed_cannot_be_banned", the_allowed));
    trials.push(world::trial("unban_forgets_strikes", unban_forgets_strikes));
    trials.push(world::trial("bans_of_the_rules_are_listed_and_ended", bans_of_the_rules));
    trials.push(world::trial("my_own_session_is_not_banned", my_own_session));
    trials.push(world::trial("what_cannot_be_banned", what_cannot_be_banned));
    trials.push(world::trial("ban_of_this_host_is_refused", ban_of_this_host));
    trials.push(world::trial("ban_of_no_source_is_refused", ban_of_no_source));
    trials.push(world::trial("without_bans", without_bans));
    trials.push(world::trial("bans_by_nft", bans_by_nft));
    trials.push(world::trial("a_full_set_of_bans", a_full_set));
    trials
}

fn services(world: &World) -> Vec<Echo> {
    let all = FAMILIES.into_iter().flat_map(|family| [22, 80].map(|port| (family, port)));
    all.map(|(family, port)| Echo::start(SocketAddr::new(world.client.host(family), port)).unwrap())
        .collect()
}

/// Whether a SYN from here is answered by a service, in this time.
fn answered(world: &World, from: IpAddr, port: u16, within: Duration) -> bool {
    static SOURCE: AtomicU16 = AtomicU16::new(20_000);
    let from = SocketAddr::new(from, SOURCE.fetch_add(1, Ordering::Relaxed));
    let to = SocketAddr::new(world.host(from.ip()), port);
    let answer = world.wire.probe(&Packet::syn(from, to), within).unwrap();
    answer.map(|answer| answer.meaning()) == Some(Meaning::SynAck)
}

fn reaches(world: &World, from: IpAddr, port: u16) -> bool {
    answered(world, from, port, PATIENCE / 4)
}

fn refused(world: &World, from: IpAddr, port: u16) -> bool {
    !answered(world, from, port, SILENCE)
}

/// Who is banned.
fn banned() -> Vec<String> {
    let found = done("bans --json", &[]).json();
    let bans = found["bans"].as_array().unwrap().iter();
    bans.map(|ban| ban["source"].as_str().unwrap().to_owned()).collect()
}

/// The source that a ban of this address is for.
fn source(address: IpAddr) -> String {
    match address {
        IpAddr::V4(_) => address.to_string(),
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            format!("{}/64", std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

fn a_ban_by_hand(stance: &str, by: By, family: Family) {
    let config = CONFIG.replace("[gate]", &format!("[gate]\nstance = \"{stance}\""));
    let world = World::new(by, &config);
    let _services = services(&world);
    let me = world.client.address(family, 0);
    let other: IpAddr = match family {
        Family::V4 => world.client.address(family, 1),
        Family::V6 => "2001:db8:77::1".parse().unwrap(),
    };
    let service = SocketAddr::new(world.host(me), 80);
    let mut stream = world.client.connect(me, service, PATIENCE).unwrap();
    assert!(talk(&mut stream, b"before", PATIENCE).unwrap());
    assert_eq!(banned(), [""; 0]);

    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let said = done(&format!("ban {me} --for 1h --json"), &[]).json();
    let expected = json!({
        "source": source(me), "length_ms": 3_600_000, "bans": 1, "renewed": 0, "open_doors": [],
        "cut": null,
    });
    assert_eq!(said, expected);
    assert!(refused(&world, me, 80));
    assert!(refused(&world, me, 22));
    assert!(reaches(&world, other, 80), "somebody else is banned");
    assert!(talk(&mut stream, b"still here", PATIENCE).unwrap());
    if family == Family::V6 {
        // With all of its network.
        assert!(refused(&world, world.client.address(family, 1), 80));
    }
    let ban = done("bans --json", &[]).json()["bans"][0].take();
    assert_eq!((&ban["source"], &ban["length_ms"]), (&json!(source(me)), &json!(3_600_000)));
    let remaining = ban["remaining_ms"].as_u64().unwrap();
    assert!(remaining <= 3_600_000 && remaining > 3_500_000, "{ban}");
    let ends = ban["ends_at"].as_u64().unwrap();
    assert!((before + 3_599..before + 3_700).contains(&ends), "{ban} after {before}");
    let table = done("bans", &[]).out;
    assert!(table.starts_with("SOURCE"), "{table}");
    assert!(table.contains(&format!("\n{}  ", source(me))) && table.ends_with("  1h\n"), "{table}");
    let status = done("status --json", &[world.config.to_str().unwrap()]).json();
    assert_eq!(status["bans"], 1);

    // It outlives a reload.
    if by == By::Kernel {
        world.done(&["apply", world.config.to_str().unwrap()]);
        assert!(refused(&world, me, 80));
    }
    let said = done(&format!("unban {me} --json"), &[]).json();
    assert_eq!(said["unbanned"][0]["source"], source(me));
    assert_eq!(banned(), [""; 0]);
    assert!(reaches(&world, me, 80));
    let again = run(&format!("unban {me}"), &[]);
    assert_eq!((again.code, again.err), (1, format!("{}: no ban\n", source(me))));
    assert!(talk(&mut stream, b"and again", PATIENCE).unwrap());
}

/// What a ban of this client says first: in IPv6 it is one of the host's own network.
fn own_network(client: IpAddr) -> &'static str {
    match client {
        IpAddr::V4(_) => "",
        IpAddr::V6(_) => {
            "note: 2001:db8::1, an address of this host, is in 2001:db8::/64 too; so may be its router\n"
        }
    }
}

fn a_knock_passes_it(stance: &str, family: Family) {
    let config = CONFIG.replace("[gate]", &format!("[gate]\nstance = \"{stance}\""));
    let mut world = World::new(By::Kernel, &config);
    let _services = services(&world);
    let me = world.client.address(family, 0);
    let said = done(&format!("ban {me}"), &[]);
    let expected = format!("{}{}: banned for 7m\n", own_network(me), source(me));
    assert_eq!(said.err, expected, "as the loaded rules ban");
    world.knock(me, &["tcp/1009", "tcp/4001", "udp/2003"]);
    assert!(wait_until(Instant::now() + PATIENCE, || world.open_for(me).contains("ssh")));
    assert!(reaches(&world, me, 22));
    assert!(refused(&world, me, 80), "the ban is still there");
    // And a grant by hand.
    done(&format!("revoke ssh {me}"), &[]);
    assert!(refused(&world, me, 22));
    done(&format!("grant ssh {me} --for 5m"), &[]);
    assert!(reaches(&world, me, 22));
}

fn a_ban_cuts(family: Family) {
    let world = World::new(By::Kernel, CONFIG);
    let _services = services(&world);
    let me = world.client.address(family, 0);
    let connect = |from, port| {
        world.client.connect(from, SocketAddr::new(world.host(from), port), PATIENCE).unwrap()
    };
    let them = match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    };
    done(&format!("grant ssh {me} --for 5m"), &[]);
    let mut mine = [connect(me, 22), connect(me, 80)];
    let mut other = connect(world.client.address(them, 1), 80);
    // Whoever spoke first.
    let service = SocketAddr::new(me, 9_000);
    let _echo = world.client.run(|| Echo::start(service).unwrap()).unwrap();
    let mut outgoing = TcpStream::connect(service).unwrap();
    assert!(talk(&mut outgoing, b"hello", PATIENCE).unwrap());
    let said = done(&format!("ban {me} --cut --json"), &[]).json();
    assert_eq!(said["cut"], json!({ "tcp": 3, "udp": 0 }));
    for stream in mine.iter_mut().chain([&mut outgoing]) {
        assert!(talk(stream, b"hello", PATIENCE).is_err(), "data still flows");
    }
    assert!(talk(&mut other, b"hello", PATIENCE).unwrap(), "somebody else was cut");
    assert_eq!(said["open_doors"], json!(["ssh"]));
    let again = done(&format!("ban {me} --cut"), &[]);
    let expected = format!(
        "{}note: a grant of door ssh still lets it in; `portcullis revoke` ends the grant\n{}: banned for 7m, counted from now on\nclosed 0 connections and 0 UDP flows\n",
        own_network(me),
        source(me)
    );
    assert_eq!(again.err, expected);
}

fn a_ban_begins_anew() {
    let world = World::new(By::Kernel, CONFIG);
    let who: IpAddr = "203.0.113.7".parse().unwrap();
    done(&format!("ban {who}"), &[]);
    for (time, length) in [("720h", 2_592_000_000_u64), ("10s", 10_000), ("2h", 7_200_000)] {
        let said = done(&format!("ban {who} --for {time} --json"), &[]).json();
        assert_eq!((&said["renewed"], &said["length_ms"]), (&json!(1), &json!(length)));
        let found = done("bans --json", &[]).json();
        assert_eq!(found["bans"].as_array().unwrap().len(), 1);
        let remaining = found["bans"][0]["remaining_ms"].as_u64().unwrap();
        assert!(remaining <= length && remaining + 9_000 > length, "{remaining} of {length}");
    }
    // It ends by itself.
    let _services = services(&world);
    for family in FAMILIES {
        let me = world.client.address(family, 0);
        done(&format!("ban {me} --for 2s"), &[]);
        assert!(refused(&world, me, 80));
        assert!(wait_until(Instant::now() + PATIENCE, || !refused(&world, me, 80)));
    }
}

fn a_ban_of_a_network() {
    let world = World::new(By::Kernel, CONFIG);
    let _services = services(&world);
    for (network, inside, outside, all) in [
        ("100.64.7.0/24", ["100.64.7.0", "100.64.7.255"], "100.64.8.0", "100.64.0.0/10"),
        (
            "2001:db8:7::/56",
            ["2001:db8:7::1", "2001:db8:7:ff::1"],
            "2001:db8:7:100::1",
            "2001:db8:7::/48",
        ),
    ] {
        let said = done(&format!("ban {network} --json"), &[]).json();
        assert_eq!((&said["source"], &said["bans"]), (&json!(network), &json!(256)));
        for address in inside {
            assert!(refused(&world, address.parse().unwrap(), 80), "{address}");
        }
        assert!(reaches(&world, outside.parse().unwrap(), 80), "{outside}");
        let said = done(&format!("ban {network} --for 1m"), &[]).err;
        assert!(said.contains(": banned for 1m, counted from now on (256 bans)"), "{said}");
        assert_eq!(banned().len(), 256);
        done(&format!("unban {all}"), &[]);
        assert_eq!(banned(), [""; 0]);
        assert!(reaches(&world, inside[0].parse().unwrap(), 80));
    }
}

fn the_allowed() {
    let world = World::new(By::Kernel, CONFIG);
    let _services = services(&world);
    // With a name, which nobody looks up here.
    let text = std::fs::read_to_string(&world.config).unwrap();
    write_config(&world.config, &text.replace("[\"100.64.99", "[\"admin.invalid\", \"100.64.99"));
    let policy = config::load(&world.config).unwrap().policy;
    let mut ruleset = compile(&policy).unwrap();
    let name = HostName::new("admin.invalid").unwrap();
    let addresses = ["198.51.100.77", "2001:db8:5::5"].map(|text| text.parse().unwrap());
    admit(&mut ruleset, &Hosts::from([(name, addresses.into())]));
    Table::open().unwrap().load(&ruleset).unwrap();
    for allowed in [
        "100.64.99.0",
        "100.64.99.255",
        "100.64.100.0/24",
        "2001:db8:9::7",
        "198.51.100.77",
        "2001:db8:5::5",
    ] {
        let said = run(&format!("ban {allowed}"), &[]);
        assert_eq!(said.code, 1, "{allowed}: {said:?}");
        assert!(said.err.contains("would have no effect\n  hint: "), "{said:?}");
        assert_eq!(banned(), [""; 0]);
    }
    // Beside it.
    for other in ["100.64.98.255", "100.64.101.0", "198.51.100.76"] {
        assert_eq!(done(&format!("ban {other}"), &[]).err, format!("{other}: banned for 7m\n"));
    }
    let said = done("ban 2001:db8:9::8", &[]);
    assert!(said.err.contains("note: the allow-list has addresses of 2001:db8:9::/64"), "{said:?}");
    assert!(reaches(&world, "2001:db8:9::7".parse().unwrap(), 80));
    assert!(refused(&world, "2001:db8:9::8".parse().unwrap(), 80));
    // A network that ends where the addresses do.
    let to_the_end = "allow = [\"192.0.0.0/2\", \"8000::/1\"]\n[ban]";
    write_config(
        &world.config,
        &CONFIG.replace("allow ", "#").replace("[ban]", to_the_end).replace("RECOGNISER", "kernel"),
    );
    world.done(&["apply", world.config.to_str().unwrap()]);
    for allowed in ["203.0.113.7", "192.0.0.0/24", "fe80::7"] {
        assert_eq!(run(&format!("ban {allowed}"), &[]).code, 1, "{allowed}");
    }
    for other in ["191.255.255.255", "7fff::7"] {
        assert_eq!(run(&format!("ban {other}"), &[]).code, 0, "{other}");
    }
}

fn unban_forgets_strikes() {
    let mut world = World::new(By::Kernel, CONFIG);
    let _services = services(&world);
    for family in FAMILIES {
        let me = world.client.address(family, 0);
        world.knock(me, &["tcp/22"; 2]);
        world.settle();
        let said = run(&format!("unban {me} --json"), &[]);
        assert_eq!(said.code, 1, "{said:?}");
        assert_eq!(said.json(), json!({ "unbanned": [], "strikes_forgotten": 1 }));
        world.knock(me, &["tcp/22"; 2]);
        assert!(reaches(&world, me, 80), "the strikes were not forgotten");
        world.knock(me, &["tcp/22"]);
        assert!(refused(&world, me, 80));
        // Once it is lifted, the next strike does not ban again.
        let said = done(&format!("unban {me}"), &[]).err;
        let expected = format!("{}: ban ended\nstrikes of 1 source cleared\n", source(me));
        assert_eq!(said, expected);
        world.knock(me, &["tcp/22"; 2]);
        assert!(reaches(&world, me, 80));
    }
}

fn bans_of_the_rules() {
    let mut world = World::new(By::Kernel, CONFIG);
    let _services = services(&world);
    let four = [1, 2].map(|number| made_up(Family::V4, number));
    let sources = [four[0], four[1], made_up(Family::V6, 1)];
    for &source in &sources {
        world.knock(source, &["tcp/22"; 3]);
    }
    world.settle();
    let mut expected: Vec<_> = sources.into_iter().map(source).collect();
    expected.sort_unstable();
    assert_eq!(banned(), expected);
    done("ban 203.0.113.7", &[]);
    let said = done("unban --all --json", &[]).json();
    assert_eq!(said["unbanned"].as_array().unwrap().len(), expected.len() + 1);
    assert_eq!(banned(), [""; 0]);
    for source in sources {
        world.knock(source, &["tcp/22"; 2]);
        assert!(reaches(&world, source, 80), "{source}");
    }
    done("unban --all", &[]);
    assert_eq!(done("unban --all", &[]).err, "no active bans\n");
}

fn my_own_session() {
    let world = World::new(By::Kernel, CONFIG);
    for family in FAMILIES {
        let me = world.client.address(family, 0);
        let connection = format!("{me} 40000 {} 22", world.host(me));
        let network = match family {
            Family::V4 => "198.51.100.0/24",
            Family::V6 => "2001:db8::/56",
        };
        for who in [me.to_string(), source(me), network.to_owned()] {
            let said = ssh_session(&format!("ban {who}"), Some(&connection));
            assert_eq!(said.code, 1, "{said:?}");
            let expected = format!(
                "this would ban {me}, the address of your own SSH session; nothing was changed"
            );
            assert!(said.err.contains(&expected) && said.err.contains("--force"), "{said:?}");
        }
        assert_eq!(banned(), [""; 0]);
        let said = ssh_session(&format!("ban {me} --force"), Some(&connection));
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(ssh_session("unban me", None).code, 3);
        assert_eq!(ssh_session("unban me", Some(&connection)).code, 0);
        assert_eq!(banned(), [""; 0]);
        // Where that session ends in another network namespace, `me` is its address all the same.
        let elsewhere = format!("{me} 40000 192.0.2.99 22");
        let said = ssh_session("ban me", Some(&elsewhere));
        assert!(said.code == 1 && said.err.contains("your own SSH session"), "{said:?}");
        assert_eq!(ssh_session("ban me --force", Some(&elsewhere)).code, 0);
        assert_eq!(ssh_session("unban me", Some(&elsewhere)).code, 0);
        // Somebody else.
        assert_eq!(ssh_session("ban 203.0.113.9", Some(&connection)).code, 0);
        done("unban --all", &[]);
    }
}

fn what_cannot_be_banned() {
    let _world = World::new(By::Kernel, CONFIG);
    for (words, says) in [
        ("ban host.example", "is not an IP address"),
        ("ban \u{1b}[2J", "`\\u{1b}[2J` is not an IP address"),
        ("ban \u{1b}[2J/8", "`\\u{1b}[2J/8`: this is not an IP address"),
        ("ban 203.0.113.7/24", "write 203.0.113.0/24"),
        ("ban 203.0.113.0/33", "the prefix length is at most 32"),
        ("ban 203.0.113.0/", "the prefix length is not a number"),
        ("ban 203.0.113.0/\u{7}", "`203.0.113.0/\\u{7}`"),
        ("ban 203.0.112.0/23", "more than 256 bans"),
        ("ban 0.0.0.0/0", "more than 256 bans"),
        ("ban ::/0", "more than 256 bans"),
        ("ban 2001:db8::/96", "ban 2001:db8::/64"),
        ("ban ::ffff:203.0.113.7", "write the IPv4 address 203.0.113.7"),
        ("ban 203.0.113.7 --for 0s", "`--for`: `0s` is too short"),
        ("ban 203.0.113.7 --for 10ms", "`--for`: `10ms` is too short"),
        ("ban 203.0.113.7 --for 721h", "`--for`: `721h` is too long"),
        ("ban 203.0.113.7 --for soon", "such as `30s`"),
        ("unban 203.0.113.7/24", "write 203.0.113.0/24"),
        ("unban \u{1b}[2J", "is not an IP address"),
    ] {
        let said = run(words, &[]);
        assert_eq!(said.code, 2, "{words}: {said:?}");
        assert!(said.err.contains(says), "{words}: {said:?}");
        assert!(said.err.contains("hint: "), "{words}: {said:?}");
        assert!(!said.err.contains(['\u{1b}', '\u{7}']), "{words}: {said:?}");
    }
    for words in ["ban", "unban", "unban --all 203.0.113.7", "bans now", "ban 1.2.3.4 5.6.7.8"] {
        assert_eq!(run(words, &[]).code, 2, "{words}");
    }
    assert_eq!(banned(), [""; 0]);
}

/// Refused in this way, with advice; `--force` changes nothing.
fn refused_with(words: &str, says: &str) {
    for more in [&[][..], &["--force"]] {
        let said = run(words, more);
        assert_eq!(said.code, 1, "{words}: {said:?}");
        assert!(said.err.contains(says) && said.err.contains("hint: "), "{words}: {said:?}");
    }
    assert_eq!(banned(), [""; 0]);
}

fn ban_of_this_host() {
    let world = World::new(By::Kernel, CONFIG);
    for family in FAMILIES {
        let host = world.client.host(family);
        refused_with(&format!("ban {host}"), "it is an address of this host");
        let networks = match family {
            Family::V4 => ["198.51.100.0/24", "198.51.100.0/30"],
            Family::V6 => ["2001:db8::/64", "2001:db8::/56"],
        };
        for network in networks {
            let says = format!("it contains {host}, an address of this host");
            refused_with(&format!("ban {network}"), &says);
        }
    }
    // A ban of one IPv6 address is one of its network.
    let said = run("ban 2001:db8::77", &[]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("note: 2001:db8::1, an address of this host"), "{said:?}");
    done("unban 2001:db8::/64", &[]);
    // Beside it.
    done("ban 198.51.100.128/25", &[]);
    done("ban 2001:db8:0:1::/64", &[]);
}

fn ban_of_no_source() {
    let _world = World::new(By::Kernel, CONFIG);
    for (who, says) in [
        ("127.0.0.1", "it is a loopback address"),
        ("127.0.0.0/8", "a loopback address"),
        ("127.1.2.0/24", "a loopback address"),
        ("::1", "it is a loopback address"),
        ("::1/128", "a loopback address"),
        ("::/64", "it contains ::, the unspecified address"),
        ("::2", "it contains ::, the unspecified address"),
        ("::", "it is the unspecified address"),
        ("0.0.0.0", "it is the unspecified address"),
        ("0.0.0.0/24", "it contains 0.0.0.0, the unspecified address"),
        ("224.0.0.1", "it is a multicast address"),
        ("239.1.2.0/24", "it contains 239.1.2.0, a multicast address"),
        ("ff02::1", "it is a multicast address"),
        ("ff02::/64", "it contains ff02::, a multicast address"),
        ("255.255.255.255", "it is the broadcast address"),
        ("255.255.255.0/24", "the broadcast address"),
    ] {
        refused_with(&format!("ban {who}"), says);
    }
}

fn without_bans() {
    let world = World::new(By::Kernel, CONFIG);
    let text = std::fs::read_to_string(&world.config).unwrap();
    let start = text.find("[ban]").unwrap();
    let end = text.find("[door.ssh]").unwrap();
    write_config(&world.config, &format!("{}{}", &text[..start], &text[end..]));
    let path = world.config.to_str().unwrap();
    for (command, hint) in [
        (["apply", path].as_slice(), "add a line `[ban]`"),
        (&["remove"], "run `portcullis apply` or"),
    ] {
        world.done(command);
        for words in ["ban 203.0.113.7", "unban 203.0.113.7", "unban --all"] {
            let said = run(words, &[]);
            assert_eq!(said.code, 3, "{words}: {said:?}");
            assert!(said.err.contains(hint), "{words}: {said:?}");
        }
        let said = done("bans --json", &[]);
        assert_eq!(said.json(), json!({ "bans": [] }));
        assert!(said.err.ends_with("nobody is banned\n"), "{said:?}");
        assert_eq!(done("bans", &[]).out, "");
        assert_eq!(run("status --json", &[path]).json()["bans"], 0);
    }
    // What the hint says is enough.
    write_config(&world.config, &format!("{}[ban]\n{}", &text[..start], &text[end..]));
    world.done(&["apply", path]);
    assert_eq!(done("ban 203.0.113.7 --json", &[]).json()["length_ms"], 3_600_000);
}

/// Somebody has banned with `nft`: for ever, and less than what the rules ban by.
fn bans_by_nft() {
    let _world = World::new(By::Kernel, CONFIG);
    if !world::have("nft") {
        return;
    }
    let script = "add element inet portcullis ban4 { 192.0.2.1 }; \
                  add element inet portcullis ban6 { 2001:db8:7::7 timeout 1h }";
    assert!(std::process::Command::new("nft").arg(script).status().unwrap().success());
    let found = done("bans --json", &[]).json();
    let first = json!({
        "source": "192.0.2.1", "remaining_ms": null, "length_ms": null, "ends_at": null,
    });
    assert_eq!(found["bans"][0], first);
    assert_eq!(found["bans"][1]["source"], "2001:db8:7::7");
    assert!(done("bans", &[]).out.contains("\n192.0.2.1      forever    forever\n"));
    let said = done("ban 192.0.2.1 --for 1h --json", &[]).json();
    assert_eq!(said["renewed"], 1);
    assert_eq!(done("bans --json", &[]).json()["bans"][0]["length_ms"], 3_600_000);
    for who in ["192.0.2.1", "2001:db8:7::7"] {
        done(&format!("unban {who}"), &[]);
    }
    assert_eq!(banned(), [""; 0]);
}

fn a_full_set() {
    let world = World::new(By::Kernel, CONFIG);
    make_small(&world, "ban4");
    let full = (1..20).find_map(|number| {
        let said = run(&format!("ban 192.0.2.{number}"), &[]);
        (said.code != 0).then_some((number, said))
    });
    let (number, said) = full.unwrap();
    assert_eq!(said.code, 3);
    assert!(said.err.contains("the set is full"), "{said:?}");
    assert!(said.err.contains("portcullis unban"), "{said:?}");
    assert_eq!(banned().len(), number - 1);
    assert_eq!(run("ban 192.0.3.0/24", &[]).code, 3);
    assert_eq!(banned().len(), number - 1, "all of a network or nothing");
    done("unban 192.0.2.1", &[]);
    let room = || run("ban 192.0.2.99", &[]).code == 0;
    assert!(wait_until(Instant::now() + PATIENCE, room));
    done("unban --all", &[]);
    assert_eq!(done("bans --json", &[]).json()["bans"], Value::Array(Vec::new()));
}
