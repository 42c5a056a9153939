//! ICMP errors about packets that this host has never sent: the network stack looks for a socket that they could be about.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use portcullis_lab::Family;
use portcullis_lab::packet::{Packet, Payload};

use crate::stage::{CLOSED_UDP, GUARDED_UDP, Setup, Stage};

/// A packet of the host to this end was too big: the route takes no more than 1,280 bytes at a time (RFC 1191, RFC 8201).
fn too_big(to: SocketAddr, host: IpAddr, port: u16) -> Packet {
    let quoted = Packet::udp(SocketAddr::new(host, port), to, &[0; 64]).to_bytes();
    let [high, low] = 1_280_u16.to_be_bytes();
    let (kind, code, rest) = match host {
        IpAddr::V4(_) => (3, 4, [0, 0, high, low]),
        IpAddr::V6(_) => (2, 0, [0, 0, high, low]),
    };
    Packet::new(to.ip(), host, Payload::Icmp { kind, code, rest, data: quoted })
}

/// Whether this host takes the way to this address for a narrow one.
fn is_narrow(stage: &Stage, source: SocketAddr, port: u16) -> bool {
    let host = stage.to(source.ip(), 0).ip();
    stage.exchange(&[too_big(source, host, port)]);
    let route = Command::new("ip").args(["route", "get", &source.ip().to_string()]).output();
    String::from_utf8(route.unwrap().stdout).unwrap().contains("mtu 1280")
}

/// Only a port with a socket lets the host remember a path MTU, which the sender sees in the next long answer: so a guarded
/// port must not.
pub fn path_mtu(setup: Setup, family: Family) {
    let stage = Stage::without_gate(setup);
    let narrow = |port| is_narrow(&stage, stage.new_source(family), port);
    assert!(narrow(GUARDED_UDP), "without a gate the error is believed");
    stage.load(setup, "2s");
    assert_eq!([GUARDED_UDP, CLOSED_UDP].map(narrow), [false, false]);
}
