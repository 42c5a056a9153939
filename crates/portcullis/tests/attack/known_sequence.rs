//! An attacker knows the sequence of one door and looks for the guarded ports of other doors. He sends a packet to a port
//! between two of his knocks. If his door then opens, the packet did not count, so the port is not a closed one.

use std::fmt;
use std::net::IpAddr;

use portcullis_core::policy::Port;
use portcullis_lab::Family;
use portcullis_lab::packet::{ACK, Extension, Packet, Payload, RST, SYN};
use portcullis_lab::service::Echo;

use crate::world::{By, FAMILIES, RECOGNISERS, World};

/// The door that he knows, and the port that it guards. One knock of each door is among the ports that refused connections
/// are translated to (`limits::CLOSED_PORTS`): none of them is taken for it.
const KNOCKS: [&str; 3] = ["tcp/5001", "tcp/233", "udp/6001"];
const OWN: [&str; 2] = ["tcp/8080", "udp/8080"];
/// What the other door guards, with a service behind it and without; its sequence.
const OTHER: [&str; 4] = ["tcp/22", "tcp/2222", "udp/22", "udp/2222"];
const OTHER_KNOCKS: [&str; 3] = ["tcp/229", "udp/29117", "tcp/1123"];
/// Ports that are closed, and a public one.
const CLOSED: [&str; 2] = ["tcp/23", "udp/23"];
const PUBLIC: &str = "tcp/80";

/// How the gate is configured, and who recognises knocks.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    by: By,
    stance: &'static str,
    refuse: &'static str,
}

impl Setup {
    pub fn all() -> Vec<Self> {
        let ways = [("guard", "like-closed"), ("guard", "drop"), ("closed", "like-closed")];
        let ways = ways.into_iter().chain([("closed", "reject")]);
        let all =
            ways.flat_map(|(stance, refuse)| RECOGNISERS.map(|by| Self { by, stance, refuse }));
        all.collect()
    }

    fn config(self, tolerate: u8) -> String {
        let Self { stance, refuse, .. } = self;
        let door = |name: &str, guards: &[&str], sequence: [&str; 3]| {
            format!(
                "[door.{name}]\nguards = {guards:?}\nsequence = {sequence:?}\nstep_timeout = \"60s\"\n\
                 open_for = \"300s\"\nrecogniser = \"RECOGNISER\"\ntolerate = {tolerate}\n"
            )
        };
        let gate = format!(
            "[gate]\nstance = \"{stance}\"\nrefuse = \"{refuse}\"\npublic = [\"{PUBLIC}\"]\n"
        );
        gate + &door("mine", &OWN, KNOCKS) + &door("other", &OTHER, OTHER_KNOCKS)
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.stance, self.refuse, self.by)
    }
}

/// The attack, and what must go on to work: people connect to a port of their own door while they knock.
pub fn one_known_sequence_tells_no_port(setup: Setup) {
    for tolerate in [0, 1] {
        let mut world = World::new(setup.by, &setup.config(tolerate));
        let hosts = FAMILIES.map(|family| world.client.host(family));
        let _services = hosts.map(|host| {
            ["22", "8080", "80"]
                .map(|port| Echo::start((host, port.parse().unwrap()).into()).unwrap())
        });
        for family in FAMILIES {
            if tolerate == 0 {
                odd_packets_do_not_count(&mut world, family);
            }
            let ports = [&OTHER[..], &CLOSED, &OWN, &[PUBLIC]].concat();
            for granted in [false, true] {
                for &port in &ports {
                    let opens = asked(&mut world, family, granted, port, 1 + usize::from(tolerate));
                    // A port that he may use is no secret to him.
                    let may_use = granted && OTHER.contains(&port);
                    let counts = !OWN.contains(&port) && port != PUBLIC && !may_use;
                    assert_eq!(
                        opens, !counts,
                        "{port}, {family}, tolerate = {tolerate}, with a grant for the other door: {granted}"
                    );
                    // What is forgiven is forgiven at all ports alike.
                    if tolerate > 0 {
                        assert!(asked(&mut world, family, granted, port, 1), "{port} is forgiven");
                    }
                }
            }
        }
    }
}

/// Whether his own door opens to a new source that sends so many packets to this port between its knocks.
fn asked(world: &mut World, family: Family, granted: bool, port: &str, times: usize) -> bool {
    let port: Port = port.parse().unwrap();
    let from = world.new_source(family);
    let packet = world.knock_packet(from, port);
    opens(world, from, granted, &vec![packet; times])
}

/// Whether his own door opens to a new source that sends these packets between its knocks.
fn opens(world: &mut World, from: IpAddr, granted: bool, packets: &[Packet]) -> bool {
    if granted {
        world.knock(from, &OTHER_KNOCKS);
        // The daemon grants a moment later.
        world.settle();
        assert!(world.open_for(from).contains("other"), "the other door opens");
    }
    world.knock(from, &KNOCKS[..2]);
    for packet in packets {
        world.wire.send(packet).unwrap();
    }
    world.knock(from, &KNOCKS[2..]);
    world.settle();
    world.open_for(from).contains("mine")
}

/// What is no knock and no wrong port at a closed port is none at a guarded port either.
fn odd_packets_do_not_count(world: &mut World, family: Family) {
    let options = |packet: &mut Packet| match family {
        Family::V4 => packet.ip_options = vec![1, 1, 1, 0],
        Family::V6 => packet.extensions = vec![Extension::destination(&[1, 4, 0, 0, 0, 0])],
    };
    let flags = |packet: &mut Packet, flags| {
        if let Payload::Tcp(tcp) = &mut packet.payload {
            tcp.flags = flags;
        }
    };
    type Kind<'a> = (&'a str, &'a dyn Fn(&mut Packet));
    let kinds: [Kind<'_>; 4] = [
        ("with options", &options),
        ("ACK", &|packet| flags(packet, ACK)),
        ("SYN, ACK", &|packet| flags(packet, SYN | ACK)),
        ("RST", &|packet| flags(packet, RST)),
    ];
    for granted in [false, true] {
        for port in [OTHER[0], OTHER[1], OTHER[3], CLOSED[0]] {
            for (name, make) in kinds {
                let from = world.new_source(family);
                let mut packet = world.knock_packet(from, port.parse().unwrap());
                if port.starts_with("udp") && name != "with options" {
                    continue;
                }
                make(&mut packet);
                assert!(
                    opens(world, from, granted, &[packet]),
                    "{name} to {port}, {family}, with a grant for the other door: {granted}"
                );
            }
        }
    }
}
