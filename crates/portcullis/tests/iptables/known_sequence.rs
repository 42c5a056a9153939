//! Who knows the sequence of one door learns nothing about the ports of another: a packet between two
//! knocks counts at a port that the other door guards as at any closed port.

use std::net::{IpAddr, SocketAddr};

use portcullis_firewall::iptables::AddressStore;
use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::{ACK, Packet, SYN};
use portcullis_lab::service::Echo;

use crate::loading::Place;
use crate::world::iptables::{Variant, word};
use crate::world::{FAMILIES, made_up};

/// The door that the sender knows, and the ports that it guards.
const KNOCKS: [&str; 4] = ["tcp/1009", "udp/4001", "tcp/2003", "tcp/1777"];
const OWN: [&str; 2] = ["tcp/22", "udp/22"];
/// The other door.
const OTHER_KNOCKS: [&str; 3] = ["tcp/7431", "udp/29117", "tcp/1123"];
const OTHER: [&str; 2] = ["tcp/8080", "udp/8080"];
const CLOSED: [&str; 2] = ["tcp/23", "udp/23"];
const PUBLIC: &str = "tcp/80";

fn config(stance: &str, store: AddressStore) -> String {
    let door = |name: &str, guards: [&str; 2], sequence: &[&str]| {
        format!(
            "[door.{name}]\nguards = {guards:?}\nsequence = {sequence:?}\nstep_timeout = \"60s\"\n\
             open_for = \"300s\"\n"
        )
    };
    let gate = format!(
        "[gate]\nbackend = \"{}\"\nstance = \"{stance}\"\nrefuse = \"like-closed\"\n\
         public = [\"{PUBLIC}\"]\n",
        word(store)
    );
    gate + &door("mine", OWN, &KNOCKS) + &door("other", OTHER, &OTHER_KNOCKS)
}

/// What is sent in the middle of an attempt.
#[derive(Debug, Clone, Copy)]
enum Between {
    /// A knock or a wrong port.
    New(&'static str),
    /// A segment with these flags to a port of the other door.
    Segment(u8),
}

impl Between {
    fn send(self, place: &Place, from: IpAddr) {
        match self {
            Self::New(port) => place.knock(from, &[port]),
            Self::Segment(flags) => {
                let to = SocketAddr::new(place.host(from), 8080);
                place.wire.send(&Packet::tcp(SocketAddr::new(from, 40_001), to, flags)).unwrap();
            }
        }
    }
}

/// Each case with a source of its own, which has a grant for the other door or has none.
pub fn tells_no_port(variant: Variant, store: AddressStore) {
    for stance in ["guard", "closed"] {
        let place = Place::new(variant);
        let _other =
            FAMILIES.map(|side| Echo::start((place.client.host(side), 8080).into()).unwrap());
        place.apply(&config(stance, store));
        for side in FAMILIES {
            let mut sources = (1..).map(|number| made_up(side, number));
            for granted in [false, true] {
                let counts = |ports: [&'static str; 2], counts| {
                    ports.map(|port| (Between::New(port), counts))
                };
                let cases = [
                    // What was sent already, the last knock and an earlier one.
                    counts([KNOCKS[2], KNOCKS[0]], false),
                    counts([KNOCKS[1], PUBLIC], false),
                    counts(OWN, false),
                    // Who may use a port is told nothing by it.
                    counts(OTHER, !granted),
                    counts(CLOSED, true),
                    [ACK, SYN | ACK].map(|flags| (Between::Segment(flags), false)),
                ];
                for (between, counts) in cases.into_iter().flatten() {
                    let from = sources.next().unwrap();
                    let case = format!(
                        "{between:?} from {from}, with a grant for the other door: {granted}, \
                         {stance} {variant} {store:?}"
                    );
                    if granted {
                        place.knock(from, &OTHER_KNOCKS);
                        assert_eq!(place.answer_at(from, 8080), Some(Meaning::SynAck), "{case}");
                    }
                    place.knock(from, &KNOCKS[..3]);
                    between.send(&place, from);
                    place.knock(from, &KNOCKS[3..]);
                    let expected = if counts { Meaning::Reset } else { Meaning::SynAck };
                    assert_eq!(place.answer(from), Some(expected), "{case}");
                    // Only the attempt has ended.
                    place.knock(from, &KNOCKS);
                    assert_eq!(place.answer(from), Some(Meaning::SynAck), "{case}");
                }
            }
        }
    }
}
