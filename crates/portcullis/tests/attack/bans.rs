//! "Am I banned?" is a question with an answer: it must not tell a port of the gate from any other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use portcullis_core::policy::Port;
use portcullis_lab::Family;
use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::Packet;

use crate::stage::{PUBLIC, Setup, Stage};
use crate::world::knock_packet;

/// Strikes until a ban.
const STRIKES: usize = 10;
/// How many ports that mean nothing stand beside those that are looked for.
const DECOYS: u16 = 200;
const SEQUENCE: [&str; 3] = ["tcp/47431", "udp/29117", "tcp/51123"];
const GUARDED: [&str; 2] = ["tcp/22", "udp/51820"];
/// A closed port that means nothing, and that the attacker knows of.
const WRONG: &str = "tcp/9";

/// What an attacker sends from one address, again and again, with a candidate in it.
pub type Pattern = (&'static str, fn(&str) -> Vec<String>);

/// Strikes at one port alone: finds guarded ports.
pub const ALONE: [Pattern; 1] = [("the candidate", |candidate| vec![candidate.into()])];

/// Before a wrong port the candidate is a first knock or none, and behind the first knock a second.
pub const AMONG_KNOCKS: [Pattern; 4] = [
    ("the candidate, a wrong port", |candidate| vec![candidate.into(), WRONG.into()]),
    ("the first knock, the candidate", |candidate| vec![SEQUENCE[0].into(), candidate.into()]),
    ("the first knock, the candidate, a wrong port", |candidate| {
        vec![SEQUENCE[0].into(), candidate.into(), WRONG.into()]
    }),
    ("a wrong port, the candidate, the first knock", |candidate| {
        vec![WRONG.into(), candidate.into(), SEQUENCE[0].into()]
    }),
];

fn config(setup: Setup) -> String {
    let stance = if setup == Setup::Guard { "guard" } else { "closed" };
    format!(
        "[gate]\nstance = \"{stance}\"\npublic = [\"tcp/{PUBLIC}\"]\n[ban]\nstrikes = {STRIKES}\n\
         [door.ssh]\nguards = {GUARDED:?}\nsequence = {SEQUENCE:?}\nrecogniser = \"kernel\"\n"
    )
}

/// A network for each: IPv6 is banned by networks of 64 bits.
fn source(family: Family, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    match family {
        Family::V4 => Ipv4Addr::new(100, 70, high, low).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0xfffe, number, 0, 0, 0, 1).into(),
    }
}

/// What a source finds when it looks whether it is banned: a public port, then one that is closed.
type Found = (Option<Meaning>, Option<Meaning>);

/// Sends the pattern with each candidate so many times, from a source of its own, and looks what
/// each finds.
fn find(
    stage: &Stage,
    family: Family,
    first: u16,
    candidates: &[String],
    pattern: Pattern,
    times: usize,
) -> Vec<Found> {
    let host = stage.client.host(family);
    let sources: Vec<IpAddr> =
        (first..).take(candidates.len()).map(|n| source(family, n)).collect();
    let packets = sources.iter().zip(candidates).flat_map(|(from, candidate)| {
        let row = (pattern.1)(candidate);
        let row = (0..times).flat_map(move |_| row.clone());
        row.map(|port| knock_packet(*from, host, port.parse::<Port>().unwrap()))
    });
    stage.exchange(&packets.collect::<Vec<_>>());
    let mut asked = [PUBLIC, 9].map(|port| {
        let syns: Vec<Packet> = sources
            .iter()
            .map(|from| Packet::syn(SocketAddr::new(*from, 50_000), SocketAddr::new(host, port)))
            .collect();
        let mut answers: BTreeMap<IpAddr, Meaning> = BTreeMap::new();
        for seen in stage.exchange(&syns) {
            if seen.ports() == Some((port, 50_000)) {
                answers.insert(seen.destination, seen.meaning());
            }
        }
        sources.iter().map(|from| answers.get(from).copied()).collect::<Vec<_>>()
    });
    let closed = std::mem::take(&mut asked[1]);
    asked[0].iter().copied().zip(closed).collect()
}

/// Whatever is sent how often: who sent it with a decoy, and who with a port of the gate, find the
/// same.
pub fn tell_nothing(setup: Setup, family: Family, patterns: &[Pattern]) {
    let stage = Stage::without_gate(Setup::Guard);
    stage.apply(&config(setup));
    let decoys = (0..DECOYS).map(|n| {
        let (protocol, port) =
            if n % 2 == 0 { ("tcp", 30_000 + 37 * n) } else { ("udp", 31_000 + n) };
        format!("{protocol}/{port}")
    });
    let ours = SEQUENCE.into_iter().chain(GUARDED).map(str::to_owned);
    let candidates: Vec<String> = ours.chain(decoys).collect();
    let (mut wrong, mut banned, mut free) = (Vec::new(), 0, 0);
    let mut first = 1;
    for &pattern in patterns {
        // With one packet too few for a ban, with just enough, and with many.
        let row = (pattern.1)(WRONG).len();
        let enough = STRIKES.div_ceil(row);
        for times in [enough.saturating_sub(1), enough, enough + 1, STRIKES + 1] {
            let found = find(&stage, family, first, &candidates, pattern, times);
            first += u16::try_from(candidates.len()).unwrap();
            // What most of them find is what a port that means nothing does.
            let mut count: BTreeMap<Found, usize> = BTreeMap::new();
            for found in &found {
                *count.entry(*found).or_default() += 1;
            }
            let (&usual, _) = count.iter().max_by_key(|(_, count)| **count).unwrap();
            let is_free = usual.0 == Some(Meaning::SynAck);
            *if is_free { &mut free } else { &mut banned } += 1;
            for (candidate, found) in candidates.iter().zip(found) {
                if found != usual {
                    let what = pattern.0;
                    wrong.push(format!(
                        "{what}, {times} times: {candidate} {found:?}, not {usual:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eprintln!("{setup} {family}: {banned} patterns ban, {free} do not");
    assert!(banned > 0 && free > 0, "{banned} patterns ban, {free} do not");
}
