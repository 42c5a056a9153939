//! What is refused must not keep its source out: a segment that nobody answers leaves its translation in
//! connection tracking, and the next SYN from the same port would follow it, grant or no grant.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis::lab::Family;
use portcullis::lab::answer::Meaning;
use portcullis::lab::packet::{ACK, Extension, Packet, Payload, SYN};

use crate::stage::{GUARDED, KNOCKS, Setup, Stage};

/// Connection tracking forgets such a translation after one second.
const FORGOTTEN: Duration = Duration::from_millis(1_100);
/// TCP option 19: a signature (RFC 2385). A socket that has no key drops it without an answer.
const SIGNED: [u8; 20] = [1, 1, 19, 18, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
/// Options of IPv6 for the destination which say that whoever does not know them drops the packet, with or
/// without an ICMP message (RFC 8200, section 4.2).
const UNKNOWN: [[u8; 6]; 2] = [[0x5e, 4, 0, 0, 0, 0], [0x9e, 4, 0, 0, 0, 0]];

/// One packet forged from each source port, then a knock; then the owner of the address tries once
/// from each port. (The answer to a refused segment ends its translation, so a second try would pass.)
pub fn source_ports(setup: Setup, family: Family) {
    let stage = Stage::new(setup, "300s");
    let source = stage.new_source(family).ip();
    let to = stage.to(source, GUARDED);
    let mut forged = Vec::new();
    for flags in [SYN, ACK] {
        let mut signed = Packet::tcp(SocketAddr::new(source, stage.new_port()), to, flags);
        if let Payload::Tcp(tcp) = &mut signed.payload {
            tcp.options = SIGNED.to_vec();
        }
        forged.push(signed);
        for options in UNKNOWN.iter().filter(|_| family == Family::V6) {
            let mut packet = Packet::tcp(SocketAddr::new(source, stage.new_port()), to, flags);
            packet.extensions = vec![Extension::destination(options)];
            forged.push(packet);
        }
    }
    stage.exchange(&forged);
    stage.knock(source, &KNOCKS);
    std::thread::sleep(FORGOTTEN);
    let syns: Vec<Packet> = forged
        .iter()
        .map(|forged| match &forged.payload {
            Payload::Tcp(tcp) => Packet::syn(SocketAddr::new(source, tcp.source), to),
            _ => unreachable!("all of them are segments"),
        })
        .collect();
    let seen = stage.exchange(&syns);
    let admitted = |syn: &&Packet| {
        seen.iter().any(|seen| seen.answers(syn) && seen.meaning() == Meaning::SynAck)
    };
    let kept_out: Vec<&Packet> = syns.iter().filter(|syn| !admitted(syn)).collect();
    assert!(kept_out.is_empty(), "kept out in spite of a knock: {kept_out:?}");
}
