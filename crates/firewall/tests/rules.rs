//! The rules as a whole: what is printed for the example configurations, and what ARCHITECTURE.md promises
//! about them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, which clippy cannot tell without `#[test]`"
)]

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use portcullis_core::policy::{
    Ban, Door, DoorName, GatePolicy, HostName, InterfaceName, Policy, Port, Recogniser, Refuse,
    Stance,
};
use portcullis_core::time::Instant;
use portcullis_firewall::compile::{Hosts, admit, attempt_of, compile};
use portcullis_firewall::iptables::compile::Generation;
use portcullis_firewall::iptables::{self, AddressStore, Family};
use portcullis_firewall::ruleset::Tracking;
use portcullis_firewall::simulator::{Fate, Packet, Payload, Simulator, Socket};

fn ports(texts: &[&str]) -> Vec<Port> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn policy(refuse: Refuse, tolerate: u8, recogniser: Recogniser) -> Policy {
    Policy {
        gate: GatePolicy {
            refuse,
            interfaces: vec![InterfaceName::new("eth0").unwrap()],
            public: ports(&["tcp/80"]),
            ..GatePolicy::default()
        },
        doors: vec![Door {
            name: DoorName::new("ssh").unwrap(),
            guards: ports(&["tcp/22", "udp/51820"]),
            sequence: ports(&["tcp/7431", "udp/29117", "tcp/1123"]),
            step_timeout: Door::DEFAULT_STEP_TIMEOUT,
            open_for: Door::DEFAULT_OPEN_FOR,
            recogniser,
            tolerate,
            hooks: None,
        }],
    }
}

/// Compares with a committed file; `PORTCULLIS_BLESS=1` writes it anew.
fn is_as_committed(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules").join(name);
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, committed, "{name} has changed; look at it, then bless it");
}

#[test]
fn the_rules_are_as_committed() {
    for (name, refuse, tolerate, recogniser) in [
        ("like-closed.nft", Refuse::LikeClosed, 0, Recogniser::Both),
        ("drop.nft", Refuse::Drop, 0, Recogniser::Kernel),
        ("reject-tolerate.nft", Refuse::Reject, 2, Recogniser::Both),
        ("daemon-only.nft", Refuse::LikeClosed, 0, Recogniser::Daemon),
    ] {
        let text = compile(&policy(refuse, tolerate, recogniser)).unwrap().to_string();
        is_as_committed(name, &text);
        assert!(!text.contains("mark"), "a packet's mark is other people's");
    }
    for (name, refuse, log_refused) in
        [("closed.nft", Refuse::Drop, true), ("closed-like-closed.nft", Refuse::LikeClosed, false)]
    {
        let mut policy = policy(refuse, 0, Recogniser::Both);
        policy.gate.stance = Stance::Closed;
        policy.gate.log_refused = log_refused;
        is_as_committed(name, &compile(&policy).unwrap().to_string());
    }
    let bans = compile(&with_bans(Stance::Guard, Refuse::LikeClosed, 0)).unwrap();
    is_as_committed("bans.nft", &bans.to_string());
}

/// The kernel has nothing to open of a door that guards nothing, and knows nothing of its knocks.
#[test]
fn a_door_without_guards_is_not_in_the_rules() {
    let with_guards = policy(Refuse::LikeClosed, 0, Recogniser::Both);
    let mut both = with_guards.clone();
    let mut wake = both.doors[0].clone();
    wake.name = DoorName::new("wake").unwrap();
    wake.guards.clear();
    wake.sequence.reverse();
    both.doors.push(wake);
    assert_eq!(compile(&both).unwrap(), compile(&with_guards).unwrap());
    both.doors.remove(0);
    let alone = compile(&both).unwrap();
    assert!(alone.set("first").is_none() && alone.set("guards").unwrap().elements.is_empty());
}

#[test]
fn the_rules_of_iptables_are_as_committed() {
    for (name, store, family) in [
        ("recent.iptables", AddressStore::Recent, Family::V4),
        ("ipset.ip6tables", AddressStore::Ipset, Family::V6),
    ] {
        let policy = policy(Refuse::LikeClosed, 0, Recogniser::Kernel);
        let filter = iptables::compile::compile(&policy, store, family, Generation::default());
        let filter = filter.unwrap();
        is_as_committed(name, &filter.to_string());
        if store == AddressStore::Ipset {
            is_as_committed("ipset.sets", &iptables::text::sets(family, filter.sets.iter()));
        }
    }
    // A guarded port is a wrong port to who knocks at another door.
    let mut policy = policy(Refuse::Drop, 0, Recogniser::Kernel);
    policy.gate.stance = Stance::Closed;
    let mut web = policy.doors[0].clone();
    web.name = DoorName::new("web").unwrap();
    web.guards = ports(&["tcp/443", "tcp/8443"]);
    web.sequence = ports(&["tcp/5001", "tcp/9017", "udp/4003", "tcp/2009"]);
    policy.doors.push(web);
    let (store, family) = (AddressStore::Recent, Family::V4);
    let filter = iptables::compile::compile(&policy, store, family, Generation::default());
    is_as_committed("closed-two-doors.iptables", &filter.unwrap().to_string());
}

/// A packet to a port with a service, which would answer if it were let.
fn packet(established: bool, payload: Payload) -> Packet {
    let packet = Packet {
        socket: Socket::Listener,
        ..Packet::new([203, 0, 113, 7].into(), [192, 0, 2, 1].into(), payload)
    };
    if established { packet.of_connection() } else { packet }
}

#[test]
fn an_established_connection_costs_one_rule() {
    let ruleset = compile(&policy(Refuse::LikeClosed, 2, Recogniser::Both)).unwrap();
    let mut simulator = Simulator::new(&ruleset);
    for destination_port in [22, 7431, 80, 9999] {
        let tcp = Payload::Tcp { source_port: 40_000, destination_port, flags: 0x18 };
        let udp = Payload::Udp { source_port: 40_000, destination_port };
        for payload in [tcp, udp] {
            let trace = simulator.receive(&packet(true, payload), Instant::ORIGIN);
            assert_eq!(trace.fate, Fate::Passed);
            let in_chain =
                |chain| trace.steps.iter().filter(move |step| step.chain == chain).count();
            // A conversation of UDP, the second one; and the chain `late` lets it go at once.
            assert_eq!(in_chain("input"), if payload == tcp { 1 } else { 2 });
            assert_eq!(in_chain("late"), if payload == tcp { 1 } else { 2 });
            assert_eq!(trace.steps.len(), in_chain("first") + in_chain("input") + in_chain("late"));
        }
    }
}

#[test]
fn other_interfaces_and_protocols_pass() {
    let ruleset = compile(&policy(Refuse::Drop, 0, Recogniser::Both)).unwrap();
    let mut simulator = Simulator::new(&ruleset);
    let syn = Payload::Tcp { source_port: 40_000, destination_port: 22, flags: 0x02 };
    let here = simulator.receive(&packet(false, syn), Instant::ORIGIN).fate;
    let mut elsewhere = packet(false, syn);
    elsewhere.interface = "eth1".to_owned();
    let elsewhere = simulator.receive(&elsewhere, Instant::ORIGIN).fate;
    let echo = Payload::Icmp { kind: 8 };
    let icmp = simulator.receive(&packet(false, echo), Instant::ORIGIN).fate;
    assert_eq!((here, elsewhere, icmp), (Fate::Dropped, Fate::Passed, Fate::Passed));
}

fn closed(refuse: Refuse) -> Policy {
    let mut policy = policy(refuse, 0, Recogniser::Both);
    policy.gate.stance = Stance::Closed;
    policy
}

/// What is let in when all is closed: each line with whether IPv4 and IPv6 packets pass.
#[test]
fn closed_lets_in_what_a_network_needs_and_nothing_else() {
    let tcp =
        |destination_port, flags| Payload::Tcp { source_port: 40_000, destination_port, flags };
    let udp = |source_port, destination_port| Payload::Udp { source_port, destination_port };
    let icmp = |kind| Payload::Icmp { kind };
    let table = [
        ("a guarded port", tcp(22, 0x02), false, false),
        ("a public port", tcp(80, 0x02), true, true),
        ("a public port by the other protocol", udp(40_000, 80), false, false),
        ("any other port", tcp(8080, 0x02), false, false),
        ("a datagram", udp(40_000, 53), false, false),
        ("an ACK to a guarded port", tcp(22, 0x10), true, true),
        ("an ACK to any port", tcp(8080, 0x10), true, true),
        ("a FIN of a connection", tcp(22, 0x11), true, true),
        ("a reset", tcp(22, 0x04), true, true),
        ("a SYN-ACK", tcp(22, 0x12), false, false),
        ("SYN and FIN", tcp(22, 0x03), false, false),
        ("no flags", tcp(22, 0x00), false, false),
        ("an answer of DHCP", udp(67, 68), true, false),
        ("to the client of DHCP, from elsewhere", udp(53, 68), false, false),
        ("an answer of DHCPv6, not from the link", udp(547, 546), false, false),
        ("ICMP type 0, echo reply", icmp(0), false, false),
        ("ICMP type 1", icmp(1), false, true),
        ("ICMP type 2", icmp(2), false, true),
        ("ICMP type 3", icmp(3), true, true),
        ("ICMP type 4", icmp(4), false, true),
        ("ICMP type 5, redirect", icmp(5), false, false),
        ("ICMP type 11", icmp(11), true, false),
        ("ICMP type 12", icmp(12), true, false),
        ("ICMP type 13, timestamp", icmp(13), false, false),
        ("ICMPv6 type 130", icmp(130), false, true),
        ("ICMPv6 type 143", icmp(143), false, true),
        ("neighbour discovery that a router has passed on", icmp(135), false, false),
        ("another protocol", Payload::Other(132), false, false),
    ];
    for refuse in [Refuse::Drop, Refuse::Reject] {
        let ruleset = compile(&closed(refuse)).unwrap();
        let mut simulator = Simulator::new(&ruleset);
        for (name, payload, four, six) in table {
            for (source, passes) in [("203.0.113.7", four), ("2001:db8::7", six)] {
                let packet = Packet { source: source.parse().unwrap(), ..packet(false, payload) };
                let fate = simulator.receive(&packet, Instant::ORIGIN).fate;
                assert_eq!(fate == Fate::Passed, passes, "{name} from {source}: {fate:?}");
            }
        }
        let from = |source: &str, payload| Packet {
            source: source.parse().unwrap(),
            hop_limit: 255,
            ..packet(false, payload)
        };
        for kind in 133..=137 {
            let neighbour = simulator.receive(&from("fe80::7", icmp(kind)), Instant::ORIGIN).fate;
            assert_eq!(neighbour, Fate::Passed);
        }
        let dhcp = simulator.receive(&from("fe80::7", udp(547, 546)), Instant::ORIGIN).fate;
        let related = Packet { tracked: Tracking::Related, ..packet(false, tcp(8080, 0x02)) };
        let related = simulator.receive(&related, Instant::ORIGIN).fate;
        assert_eq!((dhcp, related), (Fate::Passed, Fate::Passed));
    }
}

#[test]
fn closed_answers_a_bounded_number_of_pings() {
    let ruleset = compile(&closed(Refuse::Drop)).unwrap();
    let mut simulator = Simulator::new(&ruleset);
    for (source, kind) in [("203.0.113.7", 8), ("2001:db8::7", 128)] {
        let ping =
            Packet { source: source.parse().unwrap(), ..packet(false, Payload::Icmp { kind }) };
        let mut answered = |now| {
            let all = (0..100).map(|_| simulator.receive(&ping, now).fate);
            all.filter(|fate| *fate == Fate::Passed).count()
        };
        assert_eq!(answered(Instant::from_millis(1_000)), 20);
        assert_eq!(answered(Instant::from_millis(1_100)), 1);
        assert_eq!(answered(Instant::from_millis(2_100)), 10);
        assert_eq!(answered(Instant::from_millis(60_000)), 20);
    }
}

#[test]
fn the_allowed_need_no_knock_and_make_none() {
    let hosts = Hosts::from([(
        HostName::new("admin.example").unwrap(),
        vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
    )]);
    for stance in [Stance::Guard, Stance::Closed] {
        let mut policy = closed(Refuse::Drop);
        policy.gate.stance = stance;
        let allow = ["10.0.0.0/8", "10.1.0.0/16", "2001:db8:1::/48", "iface:eth0", "admin.example"];
        policy.gate.allow = allow.iter().map(|text| text.parse().unwrap()).collect();
        policy.gate.interfaces.push(InterfaceName::new("eth1").unwrap());
        let mut ruleset = compile(&policy).unwrap();
        admit(&mut ruleset, &hosts);
        let mut simulator = Simulator::new(&ruleset);
        let mut fate = |interface: &str, source: &str, destination_port| {
            let syn = Payload::Tcp { source_port: 40_000, destination_port, flags: 0x02 };
            let source = source.parse().unwrap();
            let packet = Packet { interface: interface.to_owned(), source, ..packet(false, syn) };
            let fate = simulator.receive(&packet, Instant::ORIGIN).fate;
            (fate == Fate::Passed, attempt_of(&simulator, source, Instant::ORIGIN).is_some())
        };
        for source in ["10.255.0.1", "2001:db8:1::1", "192.0.2.7", "2001:db8::7"] {
            assert_eq!(fate("eth1", source, 22), (true, false), "{source}");
            assert_eq!(fate("eth1", source, 7431), (true, false), "{source}");
        }
        for source in ["11.0.0.1", "2001:db8:2::1", "192.0.2.8"] {
            assert_eq!(fate("eth0", source, 22), (true, false), "{source}");
            assert_eq!(fate("eth1", source, 22), (false, false), "{source}");
            assert_eq!(fate("eth1", source, 7431), (stance == Stance::Guard, true), "{source}");
        }
    }
}

fn with_bans(stance: Stance, refuse: Refuse, tolerate: u8) -> Policy {
    let mut policy = policy(refuse, tolerate, Recogniser::Both);
    policy.gate.stance = stance;
    policy.gate.ban =
        Some(Ban { strikes: 4, within: Duration::from_secs(60), time: Duration::from_secs(600) });
    policy
}

/// A source that sends things, and what comes of each.
struct Source<'s, 'r> {
    simulator: &'s mut Simulator<'r>,
    address: IpAddr,
    now: Instant,
}

impl Source<'_, '_> {
    fn sends(&mut self, payload: Payload) -> bool {
        let packet = Packet { source: self.address, ..packet(false, payload) };
        self.simulator.receive(&packet, self.now).fate == Fate::Passed
    }

    fn tcp(&mut self, port: u16) -> bool {
        self.sends(Payload::Tcp { source_port: 40_000, destination_port: port, flags: 0x02 })
    }

    /// A bare SYN to a port behind which there is no service.
    fn sends_to_closed(&mut self, port: u16) -> bool {
        let payload = Payload::Tcp { source_port: 40_000, destination_port: port, flags: 0x02 };
        let packet =
            Packet { source: self.address, socket: Socket::None, ..packet(false, payload) };
        self.simulator.receive(&packet, self.now).fate == Fate::Passed
    }

    fn udp(&mut self, port: u16) -> bool {
        self.sends(Payload::Udp { source_port: 40_000, destination_port: port })
    }

    fn waits(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    /// A port that everybody reaches who is not banned.
    fn is_banned(&mut self) -> bool {
        !self.tcp(80)
    }
}

/// Each stance, way to refuse and kind of doors, each from an IPv4 and an IPv6 address.
fn every_ban(test: impl Fn(&mut Source<'_, '_>)) {
    for stance in [Stance::Guard, Stance::Closed] {
        for refuse in [Refuse::Drop, Refuse::Reject, Refuse::LikeClosed] {
            for tolerate in [0, 2] {
                let ruleset = compile(&with_bans(stance, refuse, tolerate)).unwrap();
                for address in ["203.0.113.7", "2001:db8::7"] {
                    let mut simulator = Simulator::new(&ruleset);
                    let (address, now) = (address.parse().unwrap(), Instant::from_millis(1_000));
                    test(&mut Source { simulator: &mut simulator, address, now });
                }
            }
        }
    }
}

#[test]
fn the_strike_that_makes_the_number_full_bans() {
    every_ban(|source| {
        for _ in 0..3 {
            source.tcp(22);
            assert!(!source.is_banned());
        }
        source.udp(51820);
        assert!(source.is_banned());
        source.waits(599);
        assert!(source.is_banned());
        source.waits(1);
        assert!(!source.is_banned());
    });
}

#[test]
fn strikes_are_counted_from_the_first_one_on() {
    every_ban(|source| {
        for _ in 0..3 {
            source.tcp(22);
            source.waits(20);
        }
        // The first one was a minute ago.
        source.tcp(22);
        assert!(!source.is_banned());
        source.tcp(22);
        source.tcp(22);
        assert!(!source.is_banned());
        source.tcp(22);
        assert!(source.is_banned());
    });
}

#[test]
fn what_begins_nothing_is_no_strike() {
    every_ban(|source| {
        for _ in 0..20 {
            source.tcp(80);
            for port in [22, 9999] {
                for flags in [0x10, 0x11, 0x12, 0x04, 0x00] {
                    source.sends(Payload::Tcp {
                        source_port: 40_000,
                        destination_port: port,
                        flags,
                    });
                }
            }
            source.sends(Payload::Icmp { kind: 8 });
            source.sends(Payload::Other(132));
        }
        assert!(!source.is_banned());
    });
}

/// A ban must not tell a knock from a closed port, nor how far an attempt has come.
#[test]
fn every_closed_port_is_a_strike_be_it_a_knock_or_not() {
    every_ban(|source| {
        for (nth, port) in [7431, 9999, 29117, 1123].into_iter().enumerate() {
            assert!(!source.is_banned(), "{nth} strikes");
            source.sends_to_closed(port);
        }
        assert!(source.is_banned());
    });
}

/// What listens in the stance `guard` and is not listed is as open as if the gate were not there.
#[test]
fn an_open_port_is_no_strike_in_guard() {
    let ruleset = compile(&with_bans(Stance::Guard, Refuse::LikeClosed, 0)).unwrap();
    let mut simulator = Simulator::new(&ruleset);
    let (address, now) = ([203, 0, 113, 7].into(), Instant::from_millis(1_000));
    let mut source = Source { simulator: &mut simulator, address, now };
    for _ in 0..20 {
        assert!(source.tcp(8080));
    }
    assert!(!source.is_banned());
}

#[test]
fn a_right_knock_and_a_grant_pass_a_ban() {
    every_ban(|source| {
        for _ in 0..4 {
            source.tcp(22);
        }
        assert!(source.is_banned());
        assert!(!source.tcp(22));
        source.tcp(7431);
        source.udp(29117);
        source.tcp(1123);
        assert!(source.tcp(22));
        assert!(source.udp(51820));
        assert!(source.is_banned(), "but nothing else passes");
        // Nor is what has begun touched, or what has no ports.
        let ack = Payload::Tcp { source_port: 40_000, destination_port: 80, flags: 0x10 };
        assert!(source.sends(ack));
        let kind = if source.address.is_ipv4() { 3 } else { 135 };
        let message = Packet {
            source: source.address,
            hop_limit: 255,
            ..packet(false, Payload::Icmp { kind })
        };
        assert_eq!(source.simulator.receive(&message, source.now).fate, Fate::Passed);
        let established = Packet { source: source.address, ..packet(true, ack) };
        assert_eq!(source.simulator.receive(&established, source.now).fate, Fate::Passed);
    });
}

#[test]
fn a_ban_is_for_one_address_or_one_network() {
    every_ban(|source| {
        for _ in 0..4 {
            source.tcp(22);
        }
        let four = source.address.is_ipv4();
        let (near, far) = match four {
            true => ("203.0.113.8", "203.0.114.7"),
            false => ("2001:db8::ffff:1", "2001:db8:0:1::7"),
        };
        source.address = near.parse().unwrap();
        assert_eq!(source.is_banned(), !four);
        source.address = far.parse().unwrap();
        assert!(!source.is_banned());
    });
}

#[test]
fn when_the_sets_are_full_the_next_offender_is_banned_too() {
    let mut ruleset = compile(&with_bans(Stance::Guard, Refuse::Drop, 0)).unwrap();
    for set in ruleset
        .sets
        .iter_mut()
        .filter(|set| ["strike4", "strike6", "ban4", "ban6"].contains(&set.name.as_str()))
    {
        set.size = Some(8);
    }
    let mut simulator = Simulator::new(&ruleset);
    let now = Instant::from_millis(1_000);
    for last in 0..12 {
        let address = IpAddr::from([203, 0, 113, last]);
        let mut source = Source { simulator: &mut simulator, address, now };
        for _ in 0..4 {
            assert!(!source.is_banned());
            source.tcp(22);
        }
        assert!(source.is_banned(), "{address}");
        source.waits(59);
        assert!(source.is_banned(), "{address}");
        source.waits(1);
        assert_eq!(source.is_banned(), last < 8, "{address}");
    }
}
