//! A ban tells nothing: whether a source is banned depends on what it sent and on public facts alone.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::policy::{Ban, Policy, Protocol};
use portcullis_core::time::Instant;
use portcullis_firewall::compile::{BANS, GRANTS, class_of, compile};
use portcullis_firewall::ruleset::{Ruleset, Tracking, Value};
use portcullis_firewall::simulator::{Packet, Payload, Simulator, Socket};
use portcullis_testkit::policies::{GUARDS, KNOCKS, PUBLIC, policy};
use portcullis_testkit::script::{HOST, SOURCES};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A host with a gate, on which services listen behind the guarded ports and the public ones.
struct Host<'a> {
    policy: &'a Policy,
    simulator: Simulator<'a>,
}

impl<'a> Host<'a> {
    fn new(policy: &'a Policy, ruleset: &'a Ruleset) -> Self {
        Self { policy, simulator: Simulator::new(ruleset) }
    }

    fn receive(&mut self, source: IpAddr, payload: Payload, now: Instant) {
        let (protocol, number, odd) = match payload {
            Payload::Tcp { destination_port, flags, .. } => {
                (Protocol::Tcp, destination_port, flags & 0x14 == 0 && flags != 0x02)
            }
            Payload::Udp { destination_port, .. } => (Protocol::Udp, destination_port, false),
            Payload::Icmp { .. } | Payload::Other(_) => (Protocol::Tcp, 0, false),
        };
        let doors = self.policy.doors.iter().flat_map(|door| &door.guards);
        let listens = doors
            .chain(&self.policy.gate.public)
            .any(|port| (port.protocol, port.number.get()) == (protocol, number));
        let destination = HOST[usize::from(source.is_ipv6())].parse().expect("an address");
        let packet = Packet {
            tracked: if odd { Tracking::Invalid } else { Tracking::New },
            socket: if listens { Socket::Listener } else { Socket::None },
            ..Packet::new(source, destination, payload)
        };
        self.simulator.receive(&packet, now);
    }

    fn has(&self, sets: [&str; 2], source: IpAddr, rest: &[Value], now: Instant) -> bool {
        let (set, key) = match portcullis_firewall::compile::banned_as(source) {
            _ if !rest.is_empty() && source.is_ipv6() => (sets[1], value(source)),
            address => (sets[usize::from(source.is_ipv6())], value(address)),
        };
        let key: Vec<Value> = [key].into_iter().chain(rest.iter().cloned()).collect();
        self.simulator.get(set, &key, now).is_some()
    }

    fn bans(&self, source: IpAddr, now: Instant) -> bool {
        self.has(BANS, source, &[], now)
    }

    /// Whether the source may pass some door: whoever knows a sequence learns nothing new.
    fn lets_in(&self, source: IpAddr, now: Instant) -> bool {
        let mut doors = self.policy.doors();
        doors.any(|(id, _)| self.has(GRANTS, source, &[Value::Class(class_of(id))], now))
    }
}

fn value(address: IpAddr) -> Value {
    match address {
        IpAddr::V4(address) => Value::Ipv4(address),
        IpAddr::V6(address) => Value::Ipv6(address),
    }
}

fn payload() -> impl Strategy<Value = Payload> {
    let ports = [&KNOCKS[..], &GUARDS, &PUBLIC, &[9, 10, 11]].concat();
    let flags = prop_oneof![5 => Just(0x02_u8), 1 => any::<u8>()];
    (any::<bool>(), select(ports), flags).prop_map(|(tcp, destination_port, flags)| match tcp {
        true => Payload::Tcp { source_port: 40_000, destination_port, flags },
        false => Payload::Udp { source_port: 40_000, destination_port },
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bans_do_not_depend_on_sequences_and_guarded_ports(
        (mut one, mut other) in (policy(), policy()),
        strikes in 2_u32..6,
        packets in vec((0..SOURCES.len(), payload(), select(vec![0_u64, 1, 400, 2_000])), 1..80),
    ) {
        let ban = Ban { strikes, within: Duration::from_secs(10), time: Duration::from_secs(20) };
        one.gate.ban = Some(ban);
        other.gate = one.gate.clone();
        let rulesets = [&one, &other].map(|policy| compile(policy).expect("a checked policy"));
        let mut hosts = [Host::new(&one, &rulesets[0]), Host::new(&other, &rulesets[1])];
        let mut now = Instant::from_millis(1_000);
        let mut knows = [false; SOURCES.len()];
        for (source, payload, after) in packets {
            now = now.after(Duration::from_millis(after));
            let address: IpAddr = SOURCES[source].parse().expect("an address");
            for host in &mut hosts {
                host.receive(address, payload, now);
                knows[source] |= host.lets_in(address, now);
            }
            if knows[source] {
                continue;
            }
            prop_assert_eq!(
                hosts[0].bans(address, now),
                hosts[1].bans(address, now),
                "{} {:?}", address, payload
            );
        }
    }
}
