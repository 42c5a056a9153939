//! What opens a door and what does not, with real packets: the same table for the kernel and for
//! the daemon, in IPv4 and in IPv6, and for a replay of what tcpdump has captured meanwhile.

use libtest_mimic::Trial;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_lab::packet::{ACK, FIN, PSH, Packet, Payload, RST, SYN};
use portcullis_lab::service::{Echo, talk};
use portcullis_lab::wire::in_order;
use portcullis_lab::{Family, world};
use world::recorder::{Recorder, openings, replay};
use world::{By, FAMILIES, RECOGNISERS, World};

/// `ssh` and `web` share their beginning; `vpn` opens for two seconds; `kind` forgives two ports.
const CONFIG: &str = r#"
[gate]
public = ["tcp/80", "udp/53"]

[door.ssh]
guards       = ["tcp/22"]
sequence     = ["tcp/1009", "tcp/4001", "udp/2003"]
step_timeout = "2s"
recogniser   = "RECOGNISER"

[door.web]
guards       = ["tcp/443", "tcp/8443"]
sequence     = ["tcp/1009", "tcp/4001", "tcp/3001", "tcp/9001"]
step_timeout = "2s"
recogniser   = "RECOGNISER"

[door.vpn]
guards       = ["udp/51820"]
sequence     = ["udp/6007", "tcp/8009", "udp/5003"]
open_for     = "2s"
recogniser   = "RECOGNISER"

[door.kind]
guards       = ["tcp/2222"]
sequence     = ["tcp/11009", "tcp/14001", "udp/12003"]
step_timeout = "2s"
tolerate     = 2
recogniser   = "RECOGNISER"
"#;

/// What a source does.
#[derive(Clone, Copy)]
enum Do {
    /// A bare SYN.
    Syn(u16),
    /// A datagram.
    Udp(u16),
    /// A segment with these flags.
    Flags(u16, u8),
    /// An echo request.
    Ping,
    /// The first of two fragments of a SYN or a datagram.
    Fragment(Kind, u16),
    /// An SCTP packet with this destination port.
    Sctp(u16),
    /// A datagram sent to everyone on the link.
    Broadcast(u16),
    /// A knock with an 802.1Q priority tag.
    Tagged(u16),
    /// SYNs to all of these.
    Sweep(u16, u16),
    /// So many milliseconds pass.
    Wait(u64),
    /// Exactly these doors are open now.
    Open(&'static [&'static str]),
}

#[derive(Clone, Copy)]
enum Kind {
    OfSyn,
    OfUdp,
}

use Do::{Broadcast, Flags, Fragment, Open, Ping, Sctp, Sweep, Syn, Tagged, Udp, Wait};

const NONE: &[&str] = &[];
const SSH: &[&str] = &["ssh"];
const WEB: &[&str] = &["web"];
const VPN: &[&str] = &["vpn"];
const KIND: &[&str] = &["kind"];

/// Each line is told by a source of its own, all at the same time.
const TABLE: &[(&str, &[Do])] = &[
    // What opens.
    ("the right sequence", &[Syn(1009), Syn(4001), Udp(2003), Open(SSH)]),
    (
        "the other door with the same beginning",
        &[Syn(1009), Syn(4001), Syn(3001), Syn(9001), Open(WEB)],
    ),
    ("udp first", &[Udp(6007), Syn(8009), Udp(5003), Open(VPN)]),
    (
        "every knock retransmitted",
        &[Syn(1009), Syn(1009), Syn(4001), Syn(4001), Syn(4001), Udp(2003), Udp(2003), Open(SSH)],
    ),
    (
        "restart from the beginning",
        &[Syn(1009), Syn(1009), Syn(4001), Syn(1009), Syn(4001), Udp(2003), Open(SSH)],
    ),
    (
        "a wrong attempt, then a right one",
        &[Syn(1009), Udp(2003), Syn(1009), Syn(4001), Udp(2003), Open(SSH)],
    ),
    (
        "one door after the other",
        &[Syn(1009), Syn(4001), Udp(2003), Udp(6007), Syn(8009), Udp(5003), Open(&["ssh", "vpn"])],
    ),
    (
        "a door beginning inside another attempt",
        &[Syn(1009), Syn(4001), Udp(6007), Syn(8009), Udp(5003), Open(VPN)],
    ),
    (
        "public ports in between",
        &[Syn(1009), Syn(80), Syn(4001), Udp(53), Syn(80), Udp(2003), Open(SSH)],
    ),
    (
        "earlier knocks sent again",
        &[Syn(1009), Syn(4001), Syn(1009), Syn(4001), Syn(1009), Udp(2003), Open(SSH)],
    ),
    (
        "earlier knocks sent again behind the last one",
        &[Syn(1009), Syn(4001), Udp(2003), Syn(4001), Syn(1009), Udp(2003), Open(SSH)],
    ),
    (
        "the guarded port of the door in between",
        &[Udp(6007), Udp(51820), Syn(8009), Udp(51820), Udp(5003), Open(VPN)],
    ),
    (
        "guarded ports in between that are open to the source",
        &[
            Syn(1009),
            Syn(4001),
            Udp(2003),
            Udp(6007),
            Syn(22),
            Syn(8009),
            Udp(5003),
            Open(&["ssh", "vpn"]),
        ],
    ),
    ("a ping in between", &[Syn(1009), Ping, Syn(4001), Ping, Udp(2003), Open(SSH)]),
    (
        "segments that start no connection in between",
        &[
            Syn(1009),
            Flags(5000, ACK),
            Flags(4001, RST),
            Syn(4001),
            Flags(5000, RST | ACK),
            Flags(5001, FIN | ACK),
            Udp(2003),
            Open(SSH),
        ],
    ),
    (
        "a broadcast in between",
        &[Syn(1009), Broadcast(137), Syn(4001), Broadcast(2003), Udp(2003), Open(SSH)],
    ),
    ("priority tags", &[Tagged(1009), Tagged(4001), Udp(2003), Open(SSH)]),
    (
        "slow, but each step in time",
        &[Syn(1009), Wait(1500), Syn(4001), Wait(1500), Udp(2003), Open(SSH)],
    ),
    (
        "slow until the next second",
        &[Syn(1009), Wait(1000), Syn(4001), Wait(1000), Udp(2003), Open(SSH)],
    ),
    (
        "a repeat, then the next step in time",
        &[Syn(1009), Wait(800), Syn(1009), Wait(800), Syn(4001), Udp(2003), Open(SSH)],
    ),
    (
        "two wrong ports, forgiven",
        &[Syn(11009), Syn(5000), Syn(14001), Udp(5000), Udp(12003), Open(KIND)],
    ),
    (
        "two wrong ports in a row, forgiven",
        &[Syn(11009), Syn(5000), Syn(5001), Syn(14001), Udp(12003), Open(KIND)],
    ),
    (
        "a new attempt forgives anew",
        &[
            Syn(11009),
            Syn(5000),
            Syn(5001),
            Syn(14001),
            Syn(5002),
            Syn(11009),
            Syn(5000),
            Syn(5001),
            Syn(14001),
            Udp(12003),
            Open(KIND),
        ],
    ),
    // What does not.
    ("nothing", &[Open(NONE)]),
    ("all but the first knock", &[Syn(4001), Udp(2003), Open(NONE)]),
    ("all but the last knock", &[Syn(1009), Syn(4001), Open(NONE)]),
    ("wrong order", &[Syn(4001), Syn(1009), Udp(2003), Open(NONE)]),
    ("backwards", &[Udp(2003), Syn(4001), Syn(1009), Open(NONE)]),
    ("a wrong port in the middle", &[Syn(1009), Syn(5000), Syn(4001), Udp(2003), Open(NONE)]),
    ("a wrong port before the last", &[Syn(1009), Syn(4001), Syn(5000), Udp(2003), Open(NONE)]),
    ("a wrong datagram in the middle", &[Syn(1009), Udp(5000), Syn(4001), Udp(2003), Open(NONE)]),
    ("port 0 in the middle", &[Syn(1009), Syn(0), Syn(4001), Udp(2003), Open(NONE)]),
    (
        "a knock of another door in the middle",
        &[Syn(1009), Syn(9001), Syn(4001), Udp(2003), Open(NONE)],
    ),
    ("a guarded port of another door", &[Udp(6007), Syn(22), Syn(8009), Udp(5003), Open(NONE)]),
    (
        "a guarded port while two doors are possible",
        &[Syn(1009), Syn(4001), Syn(22), Udp(2003), Open(NONE)],
    ),
    ("the last knock by the other protocol", &[Syn(1009), Syn(4001), Syn(2003), Open(NONE)]),
    ("the first knock by the other protocol", &[Udp(1009), Syn(4001), Udp(2003), Open(NONE)]),
    (
        "wrong port after the last step but one, then the rest",
        &[Syn(1009), Syn(4001), Syn(3001), Syn(5000), Syn(9001), Open(NONE)],
    ),
    ("the first step too slow", &[Syn(1009), Wait(2600), Syn(4001), Udp(2003), Open(NONE)]),
    ("the last step too slow", &[Syn(1009), Syn(4001), Wait(2600), Udp(2003), Open(NONE)]),
    (
        "a repeat gives no more time",
        &[Syn(1009), Wait(1500), Syn(1009), Wait(1500), Syn(4001), Udp(2003), Open(NONE)],
    ),
    (
        "three wrong ports are one too many",
        &[Syn(11009), Syn(5000), Syn(5001), Syn(14001), Syn(5002), Udp(12003), Open(NONE)],
    ),
    (
        "a forgiven port gives no more time",
        &[Syn(11009), Wait(1500), Syn(5000), Wait(1500), Syn(14001), Udp(12003), Open(NONE)],
    ),
    // What is no knock.
    ("bare ACKs", &[Flags(1009, ACK), Flags(4001, ACK), Udp(2003), Open(NONE)]),
    ("SYN-ACKs", &[Flags(1009, SYN | ACK), Flags(4001, SYN | ACK), Udp(2003), Open(NONE)]),
    ("RSTs", &[Flags(1009, RST), Flags(4001, RST), Udp(2003), Open(NONE)]),
    ("FINs", &[Flags(1009, FIN), Flags(4001, FIN), Udp(2003), Open(NONE)]),
    (
        "SYN and FIN at once",
        &[Flags(1009, SYN | FIN), Flags(4001, SYN | FIN), Udp(2003), Open(NONE)],
    ),
    (
        "SYN and RST at once",
        &[Flags(1009, SYN | RST), Flags(4001, SYN | RST), Udp(2003), Open(NONE)],
    ),
    ("no flags", &[Flags(1009, 0), Flags(4001, 0), Udp(2003), Open(NONE)]),
    ("data", &[Flags(1009, PSH | ACK), Flags(4001, PSH | ACK), Udp(2003), Open(NONE)]),
    ("an ACK for the middle knock", &[Syn(1009), Flags(4001, ACK), Udp(2003), Open(NONE)]),
    ("pings", &[Ping, Ping, Ping, Open(NONE)]),
    (
        "fragments of SYNs",
        &[Fragment(Kind::OfSyn, 1009), Fragment(Kind::OfSyn, 4001), Udp(2003), Open(NONE)],
    ),
    (
        "a fragment of the last knock",
        &[Syn(1009), Syn(4001), Fragment(Kind::OfUdp, 2003), Open(NONE)],
    ),
    ("another protocol", &[Sctp(1009), Sctp(4001), Udp(2003), Open(NONE)]),
    ("another protocol for the last knock", &[Syn(1009), Syn(4001), Sctp(2003), Open(NONE)]),
    ("broadcasts", &[Udp(6007), Syn(8009), Broadcast(5003), Open(NONE)]),
    (
        "a connect to a guarded port that TCP retries for 10 s",
        &[
            Syn(22),
            Wait(1000),
            Syn(22),
            Wait(2000),
            Syn(22),
            Wait(4000),
            Syn(22),
            Wait(3000),
            Syn(22),
            Open(NONE),
        ],
    ),
    (
        "a connect to the first knock that TCP retries for 10 s",
        &[
            Syn(1009),
            Wait(1000),
            Syn(1009),
            Wait(2000),
            Syn(1009),
            Wait(4000),
            Syn(1009),
            Wait(3000),
            Syn(1009),
            Open(NONE),
        ],
    ),
    (
        "retries of each knock in turn never make up for a late one",
        &[
            Syn(1009),
            Wait(1000),
            Syn(1009),
            Wait(1500),
            Syn(4001),
            Wait(1000),
            Syn(4001),
            Udp(2003),
            Open(NONE),
        ],
    ),
    ("an ascending sweep", &[Sweep(1, 15_000), Open(NONE)]),
    (
        "the first knock and an ascending sweep",
        &[Syn(1009), Sweep(1, 15_000), Udp(2003), Open(NONE)],
    ),
    // How long it stays open.
    (
        "a grant ends by itself",
        &[Udp(6007), Syn(8009), Udp(5003), Open(VPN), Wait(3500), Open(NONE)],
    ),
    ("a longer grant is still there", &[Syn(1009), Syn(4001), Udp(2003), Wait(4000), Open(SSH)]),
    (
        "a repeat of the last knock does not extend it",
        &[
            Udp(6007),
            Syn(8009),
            Udp(5003),
            Open(VPN),
            Wait(1500),
            Udp(5003),
            Wait(1700),
            Open(NONE),
        ],
    ),
    (
        "a new sequence extends it",
        &[
            Udp(6007),
            Syn(8009),
            Udp(5003),
            Wait(1500),
            Udp(6007),
            Syn(8009),
            Udp(5003),
            Wait(1500),
            Open(VPN),
        ],
    ),
    (
        "wrong ports do not take it back",
        &[Syn(1009), Syn(4001), Udp(2003), Syn(5000), Syn(5001), Open(SSH)],
    ),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for by in RECOGNISERS {
        for family in FAMILIES {
            trials
                .push(world::trial(format!("the_table_{by}_{family}"), move || table(by, family)));
            trials.push(world::trial(format!("a_connect_retried_{by}_{family}"), move || {
                a_connect_that_tcp_retries_opens_nothing(by, family);
            }));
            trials.push(world::trial(format!("interleaved_sources_{by}_{family}"), move || {
                sources_do_not_disturb_each_other(by, family);
            }));
            trials.push(world::trial(format!("copies_of_knocks_{by}_{family}"), move || {
                copies_of_knocks_change_nothing(by, family);
            }));
        }
    }
    trials
}

/// Something that is to happen, so long after the start.
struct Event {
    at: Duration,
    case: usize,
    what: Do,
}

/// How far behind its time line the test may be: deadlines are half a second away.
const LATE: Duration = Duration::from_millis(400);

/// A test that was held up for longer has measured nothing, and begins anew.
fn table(by: By, family: Family) {
    const TRIES: usize = 3;
    assert!((0..TRIES).any(|_| table_in_time(by, family)), "held up {TRIES} times");
}

/// All cases at once, each from its own source, on one time line; whether that could be kept.
fn table_in_time(by: By, family: Family) -> bool {
    let mut world = World::new(by, CONFIG);
    let recorder = Recorder::start();
    let mut opened = BTreeSet::new();
    let sources: Vec<IpAddr> = TABLE.iter().map(|_| world.new_source(family)).collect();
    let mut events = Vec::new();
    for (case, (_, script)) in TABLE.iter().enumerate() {
        let mut at = Duration::ZERO;
        for &what in *script {
            if let Wait(milliseconds) = what {
                at += Duration::from_millis(milliseconds);
            } else {
                events.push(Event { at, case, what });
            }
        }
    }
    // All that happens at one time, before anything is asked about it.
    events.sort_by_key(|event| (event.at, matches!(event.what, Open(_)), event.case));
    // Sweeps take half a second each, and so come before the time line of the others.
    let sweeps = |case: usize| TABLE[case].1.iter().any(|what| matches!(what, Sweep(..)));
    let (before, events): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|it| sweeps(it.case) && !matches!(it.what, Open(_)));
    for event in before {
        send(&world, sources[event.case], event.what);
    }
    let mut wrong = Vec::new();
    let start = Instant::now();
    let mut settled = false;
    // The doors that are open at this time.
    let mut all = BTreeMap::new();
    let mut asked = None;
    for event in events {
        let (name, source) = (TABLE[event.case].0, sources[event.case]);
        // The time line itself: what is tested here is what time does.
        let due = start + event.at;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if due.elapsed() > LATE {
            eprintln!("{by} {family}: {:?} behind; the table begins anew", due.elapsed());
            return false;
        }
        if let Open(expected) = event.what {
            if !settled {
                world.settle();
                settled = true;
            }
            if asked.replace(event.at) != Some(event.at) {
                all = world.open();
            }
            let expected: BTreeSet<String> = expected.iter().map(|&door| door.to_owned()).collect();
            let open = all.get(&source).cloned().unwrap_or_default();
            opened.extend(open.iter().map(|door| (source.to_string(), door.clone())));
            if open != expected {
                wrong.push(format!("{name}: open is {open:?}, not {expected:?}"));
            }
            continue;
        }
        send(&world, source, event.what);
        settled = false;
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), TABLE.len(), wrong.join("\n"));
    let Some(recorder) = recorder else { return true };
    let (_folder, files) = recorder.stop(&mut world);
    for file in files {
        assert_eq!(openings(&replay(&file, &world.config, &[])), opened, "{}", file.display());
    }
    true
}

fn send(world: &World, source: IpAddr, what: Do) {
    let host = world.host(source);
    let ends = |port| (SocketAddr::new(source, 40_000), SocketAddr::new(host, port));
    let flags = |port, flags| Packet::tcp(ends(port).0, ends(port).1, flags);
    let wire = &world.wire;
    let sent = match what {
        Syn(port) => wire.send(&flags(port, SYN)),
        Udp(port) => wire.send(&Packet::udp(ends(port).0, ends(port).1, &[0])),
        Flags(port, which) => wire.send(&flags(port, which)),
        Ping => wire.send(&Packet::ping(source, host, 1)),
        Fragment(kind, port) => {
            let mut whole = match kind {
                Kind::OfSyn => flags(port, SYN),
                Kind::OfUdp => Packet::udp(ends(port).0, ends(port).1, &[0; 64]),
            };
            whole.id = port;
            let [first, _] = whole.to_fragments(24);
            wire.send_ip(&first)
        }
        Sctp(port) => {
            let [high, low] = port.to_be_bytes();
            let bytes = vec![0x9c, 0x40, high, low, 0, 0, 0, 0, 0, 0, 0, 0];
            wire.send(&Packet::new(source, host, Payload::Other { protocol: 132, bytes }))
        }
        Broadcast(port) => {
            let packet = Packet::udp(ends(port).0, ends(port).1, &[0]);
            let kind = if source.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] };
            let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 9], &kind, &packet.to_bytes()].concat();
            wire.send_frame(&frame)
        }
        Tagged(port) => {
            let mut packet = flags(port, SYN);
            // VLAN 0 with a priority: the kernel takes it as untagged.
            packet.vlan = Some(0x6000);
            wire.send(&packet)
        }
        Sweep(from, to) => {
            let packets = (from..=to).map(|port| flags(port, SYN));
            wire.send_all(packets).map(|_| ())
        }
        Wait(_) | Open(_) => Ok(()),
    };
    sent.unwrap();
}

/// A real client connects to a guarded port that is silent, and its TCP tries for ten seconds.
fn a_connect_that_tcp_retries_opens_nothing(by: By, family: Family) {
    let config = CONFIG.replace("[gate]", "[gate]\nrefuse = \"drop\"");
    let mut world = World::new(by, &config);
    let (from, to) = (world.client.address(family, 0), world.client.host(family));
    let to = SocketAddr::new(to, 22);
    let _echo = Echo::start(to).unwrap();
    let tried = world.client.connect(from, to, Duration::from_secs(10));
    assert_eq!(tried.unwrap_err().kind(), ErrorKind::TimedOut);
    world.settle();
    assert_eq!(world.open_for(from), BTreeSet::new());
    // It is the gate that kept it out: with the knock it gets in.
    world.knock(from, &["tcp/1009", "tcp/4001", "udp/2003"]);
    world.settle();
    let mut stream = world.client.connect(from, to, world::PATIENCE).unwrap();
    assert!(talk(&mut stream, b"hello", world::PATIENCE).unwrap());
}

/// A thousand sources knock at the same time, packet by packet in turn.
fn sources_do_not_disturb_each_other(by: By, family: Family) {
    all_get_in(by, family, 1000, |world, sources| {
        let knocks = ["tcp/1009", "tcp/4001", "udp/2003"].map(|port| port.parse().unwrap());
        let packets = knocks
            .iter()
            .flat_map(|&port| sources.iter().map(move |&source| world.knock_packet(source, port)));
        world.wire.send_all(packets).unwrap();
    });
}

/// Every order of the knocks with up to two copies of the first before the second, up to five copies before the third,
/// and up to three behind it: each by a source of its own.
fn copies_of_knocks_change_nothing(by: By, family: Family) {
    let mut orders: Vec<Vec<&str>> = Vec::new();
    for first in 0..=2 {
        for (many, which) in (0..=5).flat_map(|many| (0..1 << many).map(move |it| (many, it))) {
            for last in 0..=3 {
                let mut order = vec!["tcp/1009"; first + 1];
                order.push("tcp/4001");
                order.extend(
                    (0..many)
                        .map(|bit| ["tcp/1009", "tcp/4001"][usize::from(which >> bit & 1 > 0)]),
                );
                order.push("udp/2003");
                order.extend(["udp/2003", "tcp/4001", "tcp/1009"].iter().take(last));
                orders.push(order);
            }
        }
    }
    all_get_in(by, family, orders.len(), |world, sources| {
        for (&source, order) in sources.iter().zip(&orders) {
            world.knock(source, order);
        }
    });
}

/// New sources send, and the door `ssh` opens for each of them.
fn all_get_in(by: By, family: Family, many: usize, send: impl Fn(&World, &[IpAddr])) {
    let mut world = World::new(by, CONFIG);
    loop {
        let sources: Vec<IpAddr> = (0..many).map(|_| world.new_source(family)).collect();
        let start = Instant::now();
        in_order(|| {
            send(&world, &sources);
            world.settle();
        })
        .unwrap();
        let grants: BTreeSet<IpAddr> =
            world.gate.grants().unwrap().iter().map(|grant| grant.address).collect();
        let took = start.elapsed();
        let shut: Vec<usize> =
            (0..sources.len()).filter(|&i| !grants.contains(&sources[i])).collect();
        if shut.is_empty() {
            return;
        }
        // What is tested here is not what time does: an attempt may take two seconds a step, and a
        // machine that stands still for longer ends it.
        assert!(took > Duration::from_secs(2), "after {took:?} these are shut: {shut:?}");
        eprintln!("{by} {family}: held up for {took:?}; others knock");
    }
}
