//! What is refused must not keep its source out: a segment that nobody answers leaves its translation in
//! connection tracking, and the next SYN from the same port would follow it, grant or no grant.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use portcullis_lab::Family;
use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::{ACK, Extension, FIN, Packet, Payload, SYN};
use portcullis_lab::service::Echo;

use crate::stage::{CLOSED, GUARDED, KNOCKS, Setup, Stage};
use portcullis_lab::world::PATIENCE;

/// Connection tracking forgets such a translation after one second.
const FORGOTTEN: Duration = Duration::from_millis(1_100);
/// TCP options that no closed port answers: a signature (19, RFC 2385), two kinds of signature (29, RFC 5925), and options whose
/// length is too small or goes beyond the header, where a signature would have room behind them.
const UNREADABLE: [[u8; 20]; 5] = [
    [1, 1, 19, 18, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    [29, 4, 1, 1, 29, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    [254, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    [254, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    [254, 40, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
];
/// IPv4 options that the network stack takes and cannot answer: a route to be recorded, and times, each with half an entry of
/// room (RFC 791, section 3.1; `__ip_options_echo` in `net/ipv4/ip_options.c`).
const HALF_AN_ENTRY: [[u8; 12]; 2] =
    [[7, 9, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0], [68, 10, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0]];
/// A port with a service that is neither guarded nor public.
const LISTENING: u16 = 8_080;
/// Options of IPv6 for the destination which say that whoever does not know them drops the packet, with or
/// without an ICMP message (RFC 8200, section 4.2).
const UNKNOWN: [[u8; 6]; 2] = [[0x5e, 4, 0, 0, 0, 0], [0x9e, 4, 0, 0, 0, 0]];

/// Segments with these flags that nobody answers, each from a port of its own.
fn unanswered(stage: &Stage, source: IpAddr, to: SocketAddr, flags: u8) -> Vec<Packet> {
    let plain = || Packet::tcp(SocketAddr::new(source, stage.new_port()), to, flags);
    let unreadable = UNREADABLE.iter().map(|options| {
        let mut packet = plain();
        if let Payload::Tcp(tcp) = &mut packet.payload {
            tcp.options = options.to_vec();
        }
        packet
    });
    let half = HALF_AN_ENTRY
        .iter()
        .filter(|_| source.is_ipv4())
        .map(|options| Packet { ip_options: options.to_vec(), ..plain() });
    let options = UNKNOWN
        .iter()
        .filter(|_| source.is_ipv6())
        .map(|options| Packet { extensions: vec![Extension::destination(options)], ..plain() });
    unreadable.chain(half).chain(options).collect()
}

fn flags(packet: &Packet) -> u8 {
    let Payload::Tcp(tcp) = &packet.payload else { unreachable!("all of them are segments") };
    tcp.flags
}

/// A segment from the same port to the same port as another.
fn again(first: &Packet, flags: u8, acknowledgement: u32) -> Packet {
    let Payload::Tcp(tcp) = &first.payload else { unreachable!("all of them are segments") };
    let from = SocketAddr::new(first.ends.source(), tcp.source);
    let to = SocketAddr::new(first.ends.destination(), tcp.destination);
    let mut packet = Packet::tcp(from, to, flags);
    if let Payload::Tcp(tcp) = &mut packet.payload {
        tcp.acknowledgement = acknowledgement;
    }
    packet
}

/// One packet forged from each source port, then a knock; then the owner of the address tries once
/// from each port. (The answer to a refused segment ends its translation, so a second try would pass.)
pub fn source_ports(setup: Setup, family: Family) {
    keeps_out_nobody(setup, family, |_| {});
}

/// The same where the rules are loaded once more in between: whatever connection tracking has been told
/// about the connections of the old ones is lost.
pub fn reloaded(setup: Setup, family: Family) {
    keeps_out_nobody(setup, family, |stage| stage.load(setup, "300s"));
}

fn keeps_out_nobody(setup: Setup, family: Family, between: impl Fn(&Stage)) {
    let mut stage = Stage::new(setup, "300s");
    // One that listens on one address is like a connection to the rules.
    stage.listen_everywhere(family);
    let source = stage.new_source(family).ip();
    let to = stage.to(source, GUARDED);
    let forged = [SYN, ACK].map(|flags| unanswered(&stage, source, to, flags)).concat();
    stage.exchange(&forged);
    between(&stage);
    // What is alive lives on, if it is.
    let acks: Vec<Packet> = forged.iter().filter(|it| flags(it) == ACK).cloned().collect();
    stage.exchange(&acks);
    stage.knock(source, &KNOCKS);
    std::thread::sleep(FORGOTTEN);
    let syns: Vec<Packet> = forged.iter().map(|forged| again(forged, SYN, 0)).collect();
    let seen = stage.exchange(&syns);
    let admitted = |syn: &&Packet| {
        seen.iter().any(|seen| seen.answers(syn) && seen.meaning() == Meaning::SynAck)
    };
    let kept_out: Vec<&Packet> = syns.iter().filter(|syn| !admitted(syn)).collect();
    assert!(kept_out.is_empty(), "kept out in spite of a knock: {kept_out:?}");
}

/// A second segment over one that nobody has answered is answered from the port that it asked, as by a
/// closed port, also where connection tracking takes the answer for invalid (an acknowledgement older than
/// that of the first, `nf_conntrack_proto_tcp.c`).
pub fn second_segment(setup: Setup, family: Family) {
    const OLDER: [u32; 3] = [0xffff_fc18, 0x8000_0000, 0];
    let mut stage = Stage::new(setup, "2s");
    stage.listen_everywhere(family);
    let everywhere: IpAddr = if family == Family::V4 {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let _service = Echo::start((everywhere, LISTENING).into()).unwrap();
    for (flags, acknowledgement) in [SYN, ACK].into_iter().flat_map(|it| OLDER.map(|ack| (it, ack)))
    {
        let answers = [GUARDED, CLOSED, LISTENING].map(|port| {
            let source = stage.new_source(family).ip();
            let firsts = unanswered(&stage, source, stage.to(source, port), flags);
            stage.exchange(&firsts);
            let seconds: Vec<_> =
                firsts.iter().map(|first| again(first, ACK, acknowledgement)).collect();
            let seen = stage.exchange(&seconds);
            let to_source = seen.iter().filter(|seen| seen.destination == source).count();
            let own: Vec<Option<Meaning>> = seconds
                .iter()
                .map(|second| seen.iter().find(|it| it.answers(second)).map(|it| it.meaning()))
                .collect();
            (to_source, own)
        });
        let [guarded, closed, listening] = &answers;
        let what = format!("{flags:#04x}, then an acknowledgement of {acknowledgement:#x}");
        assert_eq!(guarded, closed, "{what}");
        // In the stance `guard` it is open to everybody.
        if setup == Setup::Closed {
            assert_eq!(listening, closed, "{what}");
        }
    }
}

/// A listener of one address, which looks like a connection to the rules, judges no options and sees nothing behind other
/// headers: a segment that connection tracking takes for part of a connection (ACK), or for invalid (FIN and ACK), is answered
/// as by a closed port.
pub fn listener_of_one_address(setup: Setup, family: Family) {
    let stage = Stage::new(setup, "2s");
    let answers = [GUARDED, CLOSED].map(|port| {
        let source = stage.new_source(family).ip();
        let to = stage.to(source, port);
        let acks: Vec<Packet> = [ACK, FIN | ACK]
            .into_iter()
            .flat_map(|flags| {
                let plain = || Packet::tcp(SocketAddr::new(source, stage.new_port()), to, flags);
                let nothing = [Extension::hop_by_hop(&[]), Extension::destination(&[])];
                let mut behind: Vec<Packet> = match family {
                    Family::V4 => vec![Packet { ip_options: vec![1, 1, 1, 0], ..plain() }],
                    Family::V6 => nothing
                        .into_iter()
                        .map(|header| Packet { extensions: vec![header], ..plain() })
                        .collect(),
                };
                behind.push(plain());
                behind.extend(unanswered(&stage, source, to, flags));
                behind
            })
            .collect();
        let seen = stage.exchange(&acks);
        let answer = |ack: &Packet| seen.iter().find(|it| it.answers(ack)).map(|it| it.meaning());
        acks.iter().map(answer).collect::<Vec<_>>()
    });
    assert_eq!(answers[0], answers[1]);
    assert!(answers[1].contains(&Some(Meaning::Reset)), "{answers:?}");
}

/// A connection that is older than connection tracking goes on, whatever is forged over it.
pub fn older_connection(setup: Setup, family: Family) {
    let stage = Stage::without_gate(setup);
    let from = stage.new_source(family);
    let mut connection = stage.admitted(from);
    assert!(connection.talks(&stage, PATIENCE));
    stage.load(setup, "2s");
    for flags in [SYN, ACK] {
        let forged = unanswered(&stage, from.ip(), stage.to(from.ip(), GUARDED), flags);
        let over: Vec<Packet> = forged
            .into_iter()
            .map(|mut packet| {
                if let Payload::Tcp(tcp) = &mut packet.payload {
                    tcp.source = from.port();
                }
                packet
            })
            .collect();
        stage.exchange(&over);
        assert!(connection.talks(&stage, PATIENCE), "after a forged {flags:#04x}");
    }
}
