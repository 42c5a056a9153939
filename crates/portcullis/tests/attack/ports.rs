//! Which port an answer comes from, and which one it quotes: always the one that was asked, whatever
//! was asked before, beside it, or at the same time.

use std::net::SocketAddr;

use portcullis_lab::Family;
use portcullis_lab::answer::{Meaning, Seen};
use portcullis_lab::packet::{Extension, Packet};

use crate::stage::{
    CLOSED, CLOSED_UDP, GUARDED, GUARDED_EMPTY, GUARDED_UDP, KNOCK, KNOCK_UDP, Make, Setup, Stage,
    comparable, say,
};
use crate::world::FAMILIES;

const TCP_PORTS: [u16; 5] = [CLOSED, GUARDED, GUARDED_EMPTY, KNOCK, 0];
const UDP_PORTS: [u16; 4] = [CLOSED_UDP, GUARDED_UDP, KNOCK_UDP, 0];

/// The source port that an answer goes to, and the port that it is from or about.
fn about(seen: &Seen) -> Option<(u16, u16)> {
    match seen.meaning() {
        Meaning::Unreachable(..) => seen.quoted()?.ports(),
        _ => seen.ports().map(|(from, to)| (to, from)),
    }
}

/// Makes a packet from one end to the other.
type Between = fn(SocketAddr, SocketAddr) -> Packet;

fn datagram(from: SocketAddr, to: SocketAddr) -> Packet {
    Packet::udp(from, to, b"hi")
}

/// Two ports that one host asks.
struct Pair {
    first: (SocketAddr, u16),
    second: (SocketAddr, u16),
    packets: [Packet; 2],
}

/// Every port of each protocol before every other, from one source port or from two.
fn pairs(stage: &Stage, family: Family) -> Vec<Pair> {
    let protocols: [(&[u16], Between); 2] = [(&TCP_PORTS, Packet::syn), (&UDP_PORTS, datagram)];
    let mut all = Vec::new();
    for (ports, make) in protocols {
        for (first, second) in ports.iter().flat_map(|a| ports.iter().map(move |b| (*a, *b))) {
            for one_source_port in [true, false] {
                // The same two ports once more are a repeated packet, and no other question.
                if one_source_port && first == second {
                    continue;
                }
                let from = stage.new_source(family);
                let port = if one_source_port { from.port() } else { stage.new_port() };
                let asked = [(from, first), (SocketAddr::new(from.ip(), port), second)];
                let packets = asked.map(|(from, port)| make(from, stage.to(from.ip(), port)));
                all.push(Pair { first: asked[0], second: asked[1], packets });
            }
        }
    }
    all
}

/// Two ports asked by one host, one after the other or at once, from one source port or from two.
pub fn two_ports(setup: Setup, family: Family) {
    let stage = Stage::new(setup, "2s");
    let mut wrong = Vec::new();
    for at_once in [false, true] {
        let pairs = pairs(&stage, family);
        let seen = if at_once {
            let packets = pairs.iter().flat_map(|pair| pair.packets.clone());
            stage.exchange(&packets.collect::<Vec<_>>())
        } else {
            let turns = [0, 1].map(|turn| {
                let packets = pairs.iter().map(|pair| pair.packets[turn].clone());
                stage.exchange(&packets.collect::<Vec<_>>())
            });
            turns.concat()
        };
        for pair in &pairs {
            let source = pair.first.0.ip();
            let answers = seen.iter().filter(|seen| seen.destination == source);
            let mut answers: Vec<_> = answers.filter_map(about).collect();
            let mut expected: Vec<_> =
                [pair.first, pair.second].iter().map(|(from, port)| (from.port(), *port)).collect();
            if setup == Setup::ClosedDrop {
                expected.clear();
            }
            answers.sort_unstable();
            expected.sort_unstable();
            if answers != expected {
                let when = if at_once { "at once" } else { "in turn" };
                let protocol = pair.packets[0].protocol();
                wrong.push(format!(
                    "protocol {protocol}, {when}: {expected:?} were asked, {answers:?} answer"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{family}:\n{}", wrong.join("\n"));
}

/// Puts headers before a packet.
type Dress = fn(&mut Packet);

/// Headers with something to complain of, or nothing.
fn complaints(family: Family) -> Vec<(&'static str, Dress)> {
    match family {
        Family::V4 => vec![
            // RFC 791, section 3.1: record route with a pointer inside its own header, a timestamp
            // with a flag that nobody has defined, a length that is none.
            ("record route, bad pointer", |packet| packet.ip_options = vec![7, 7, 3, 0, 0, 0, 0]),
            ("timestamp, bad flag", |packet| packet.ip_options = vec![68, 8, 5, 9, 0, 0, 0, 0]),
            ("option too long", |packet| packet.ip_options = vec![0x9e, 40, 0, 0]),
            ("option of length 1", |packet| packet.ip_options = vec![0x9e, 1, 0, 0]),
            ("two source routes", |packet| {
                packet.ip_options = [[131, 7, 8, 192, 0, 2, 1], [137, 7, 8, 192, 0, 2, 1]].concat();
            }),
            ("no complaint", |_| {}),
        ],
        // RFC 8200, section 4.2: the first two bits of an unknown option say what to do.
        Family::V6 => vec![
            ("destination option 0x9e", |packet| {
                packet.extensions = vec![Extension::destination(&[0x9e, 2, 7, 7])];
            }),
            ("destination option 0xde", |packet| {
                packet.extensions = vec![Extension::destination(&[0xde, 2, 7, 7])];
            }),
            ("destination option 0x5e", |packet| {
                packet.extensions = vec![Extension::destination(&[0x5e, 2, 7, 7])];
            }),
            ("destination option behind a fragment header", |packet| {
                packet.extensions = vec![
                    Extension::fragment(5, 0, false),
                    Extension::destination(&[0x9e, 2, 7, 7]),
                ];
            }),
            ("hop-by-hop option 0x9e", |packet| {
                packet.extensions = vec![Extension::hop_by_hop(&[0x9e, 2, 7, 7])];
            }),
            ("hop-by-hop header in second place", |packet| {
                packet.extensions = vec![Extension::destination(&[]), Extension::hop_by_hop(&[])];
            }),
            ("routing header of type 0, one left", |packet| {
                let by = ["2001:db8::9".parse().unwrap()];
                packet.extensions = vec![Extension::routing(0, 1, &by)];
            }),
            ("routing header of type 253, one left", |packet| {
                let by = ["2001:db8::9".parse().unwrap()];
                packet.extensions = vec![Extension::routing(253, 1, &by)];
            }),
            ("no complaint", |_| {}),
        ],
    }
}

/// The stack's complaints quote the port that was asked, and are those of a closed port.
pub fn quoted(setup: Setup, family: Family) {
    let stage = Stage::new(setup, "2s");
    let (mut wrong, mut complained) = (Vec::new(), 0);
    let complaints = complaints(family);
    for (ports, make) in [
        ([CLOSED, GUARDED, GUARDED_EMPTY, KNOCK], Packet::syn as Between),
        ([CLOSED_UDP, GUARDED_UDP, GUARDED_UDP, KNOCK_UDP], datagram),
    ] {
        let packets: Vec<Box<Make<'_>>> = complaints
            .iter()
            .map(|(_, dress)| {
                Box::new(move |from: SocketAddr, to: SocketAddr| {
                    let mut packet: Packet = make(from, to);
                    dress(&mut packet);
                    packet
                }) as Box<Make<'_>>
            })
            .collect();
        let packets: Vec<&Make<'_>> = packets.iter().map(AsRef::as_ref).collect();
        for ((name, _), row) in complaints.iter().zip(stage.answers(family, ports, &packets)) {
            for (port, seen) in ports.iter().zip(&row) {
                let from = seen.as_ref().and_then(about).map(|(_, from)| from);
                complained +=
                    usize::from(seen.as_ref().is_some_and(|seen| seen.quoted().is_some()));
                if seen.is_some() && from != Some(*port) {
                    wrong.push(format!("{name}: {port} was asked, {from:?} answers"));
                }
                let bytes = |seen: &Option<Seen>| seen.as_ref().map(comparable);
                // Chains of iptables refuse with a reset of their own: docs/known-issues.md.
                if setup.is_nftables() && bytes(seen) != bytes(&row[0]) {
                    wrong.push(format!("{name}: {port} {}, closed {}", say(seen), say(&row[0])));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{family}:\n{}", wrong.join("\n"));
    assert!(complained > 0, "nothing was complained of");
}

/// Answers with packets of both families on several processors at a time.
pub fn on_all_processors(setup: Setup) {
    const DOORS: &str = "[door.db]\nguards = [\"tcp/3306\"]\n\
                         sequence = [\"tcp/7432\", \"udp/29118\", \"tcp/1124\"]\n\
                         recogniser = \"kernel\"\n";
    const ASKED: [u16; 4] = [GUARDED, 3306, GUARDED_EMPTY, CLOSED];
    let stage = Stage::without_gate(setup);
    stage.apply(&format!("{}{DOORS}", setup.config("2s")));
    let processors = stage.lab.spread("client").unwrap();
    let (mut sent, mut answered, mut wrong) = (0, 0, Vec::new());
    for family in [FAMILIES; 15].concat() {
        // Ten of one source at a time, to neighbours in turn; then those of the next source.
        let asked = |port: u16| ASKED[usize::from(port) % ASKED.len()];
        let sources = (0..10).map(|_| stage.new_source(family).ip());
        let packets: Vec<Packet> = sources
            .flat_map(|source| (30_000..30_010).map(move |port| SocketAddr::new(source, port)))
            .map(|from| Packet::syn(from, stage.to(from.ip(), asked(from.port()))))
            .collect();
        sent += packets.len();
        for (to, from) in stage.exchange(&packets).iter().filter_map(about) {
            answered += 1;
            if from != asked(to) {
                wrong.push(format!("{family}: {} was asked, {from} answers", asked(to)));
            }
        }
    }
    eprintln!("{processors} processors: {answered} of {sent} answered, {} wrongly", wrong.len());
    wrong.truncate(10);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(answered, sent, "not all were answered");
}
