//! Services that the network stack finds in another way than by the port that was asked.

use std::io::ErrorKind;
use std::net::SocketAddr;

use portcullis_lab::Family;
use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::Packet;
use portcullis_lab::service::Echo;

use crate::stage::{GUARDED, GUARDED_UDP, Setup, Stage, WAIT};

/// One of the ports that refused connections are translated to (`limits::CLOSED_PORTS`).
const AMONG_CLOSED: u16 = 230;

/// A service that has connected its socket, as those of DTLS do: the stack finds it before the rules
/// see the datagram.
pub fn connected(setup: Setup, family: Family) {
    let stage = Stage::new(setup, "300s");
    let from = stage.new_source(family);
    let service = &stage.datagrams[usize::from(family == Family::V6)];
    service.connect(from).unwrap();
    let datagram = Packet::udp(from, stage.to(from.ip(), GUARDED_UDP), b"without a grant");
    stage.exchange(std::slice::from_ref(&datagram));
    let received = service.recv(&mut [0; 64]).map_err(|error| error.kind());
    assert_eq!(received, Err(ErrorKind::WouldBlock), "let in without a grant");
}

/// A public service behind one of those ports does not answer for guarded ones.
pub fn on_a_closed_port(setup: Setup, family: Family) {
    let stage = Stage::without_gate(setup);
    stage.apply(&setup.config("300s").replace("public = [", "public = [\"tcp/230\", "));
    let source = stage.new_source(family);
    let _service = Echo::start(stage.to(source.ip(), AMONG_CLOSED)).unwrap();
    let mut refused = 0;
    for _ in 0..60 {
        let from = SocketAddr::new(source.ip(), stage.new_port());
        let syn = Packet::syn(from, stage.to(from.ip(), GUARDED));
        match stage.wire.probe(&syn, WAIT).unwrap().map(|seen| seen.meaning()) {
            Some(Meaning::SynAck) => panic!("answered by another service"),
            Some(Meaning::Reset) => refused += 1,
            // What is translated to the port of that service meets silence (docs/known-issues.md).
            _ => {}
        }
    }
    assert!(refused > 30);
    let syn = Packet::syn(source, stage.to(source.ip(), AMONG_CLOSED));
    let answer = stage.wire.probe(&syn, WAIT).unwrap().map(|seen| seen.meaning());
    assert_eq!(answer, Some(Meaning::SynAck), "the service itself is public");
}
