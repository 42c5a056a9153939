//! What `portcullis explain` says of packets, held to what the real kernel does with them: random
//! policies, random packets, IPv4 and IPv6. After each packet the stage of its sender, the open doors
//! and what became of the packet must be as it was said.

use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Instant;

use portcullis::config;
use portcullis_config::duration;
use portcullis_core::automaton::{Automaton, StateId};
use portcullis_core::policy::{
    Policy, Port, Protocol, Recogniser, Refuse, Severity, Stance, check,
};
use portcullis_firewall::compile::{class_of, compile};
use portcullis_gate::nftables::Table;
use portcullis_lab::answer::{Meaning, Seen};
use portcullis_lab::packet::{Packet, TCP, UDP};
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family, Lab, Peer, world};
use portcullis_testkit::script::{Event, What};
use portcullis_testkit::{policies, script};
use proptest::strategy::{Just, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use world::{FAMILIES, PATIENCE, program};

/// Random policies, each for one script in each family.
const POLICIES: usize = 200;

/// The kernel refuses to add an element when 16 with the same key have just been removed.
const PACKETS: usize = 12;

pub fn trials() -> Vec<Trial> {
    vec![world::trial("the_kernel_does_what_explain_says", || {
        let mut seen = Totals::default();
        let mut stand = Stand::new();
        let mut runner = TestRunner::deterministic();
        let cases = policies::policy().prop_flat_map(|policy| {
            let script = script::script(&policy);
            (Just(policy), script)
        });
        let mut tried = 0;
        while tried < POLICIES {
            let (policy, script) = cases.new_tree(&mut runner).unwrap().current();
            let Some(policy) = suitable(policy) else { continue };
            let words = |event: &Event| Some((event.what, word(event.what)?));
            let packets: Vec<_> = script.iter().filter_map(words).take(PACKETS).collect();
            if packets.is_empty() {
                continue;
            }
            tried += 1;
            stand.compare(&policy, &packets, &mut seen);
        }
        eprintln!("{POLICIES} policies in both families: {seen:?}");
        let Totals { packets, opened, let_in, refused, unanswered, lost } = seen;
        assert!(packets > 20 * POLICIES / 2 && opened > POLICIES / 2 && let_in > POLICIES);
        assert!(refused > POLICIES / 2 && unanswered > POLICIES / 2 && lost > POLICIES / 2);
    })]
}

/// What has been seen.
#[derive(Debug, Default)]
struct Totals {
    packets: usize,
    opened: usize,
    let_in: usize,
    refused: usize,
    unanswered: usize,
    lost: usize,
}

/// Longer times, so that a slow machine changes nothing; and only the kernel recognises, since nobody
/// else is there.
fn suitable(mut policy: Policy) -> Option<Policy> {
    for door in &mut policy.doors {
        door.recogniser = Recogniser::Kernel;
        door.step_timeout *= 60;
        door.open_for *= 60;
    }
    let findings = check(&policy);
    let good = findings.iter().all(|found| found.problem.severity() != Severity::Error);
    (good && !policy.doors.is_empty()).then_some(policy)
}

/// The policy as a person would write it.
fn written(policy: &Policy) -> String {
    let ports = |ports: &[Port]| {
        let ports: Vec<_> = ports.iter().map(|port| format!("\"{port}\"")).collect();
        format!("[{}]", ports.join(", "))
    };
    let gate = &policy.gate;
    let stance = if gate.stance == Stance::Closed { "closed" } else { "guard" };
    let refuse = match gate.refuse {
        Refuse::LikeClosed => "like-closed",
        Refuse::Drop => "drop",
        Refuse::Reject => "reject",
    };
    let mut text = format!("[gate]\nstance = \"{stance}\"\nrefuse = \"{refuse}\"\n");
    let names: Vec<_> = gate.interfaces.iter().map(|name| format!("\"{name}\"")).collect();
    writeln!(text, "public = {}\ninterfaces = [{}]", ports(&gate.public), names.join(", "))
        .unwrap();
    if let Some(ban) = gate.ban {
        let (within, time) = (duration::format(ban.within), duration::format(ban.time));
        let strikes = ban.strikes;
        writeln!(text, "[ban]\nstrikes = {strikes}\nwithin = \"{within}\"\nfor = \"{time}\"")
            .unwrap();
    }
    for door in &policy.doors {
        let (step, open) = (duration::format(door.step_timeout), duration::format(door.open_for));
        let (guards, sequence) = (ports(&door.guards), ports(&door.sequence));
        writeln!(text, "[door.{}]\nguards = {guards}\nsequence = {sequence}", door.name).unwrap();
        writeln!(text, "step_timeout = \"{step}\"\nopen_for = \"{open}\"").unwrap();
        writeln!(text, "tolerate = {}\nrecogniser = \"kernel\"", door.tolerate).unwrap();
    }
    text
}

/// Asks the command: for each packet, what it says.
fn said(config: &str, from: IpAddr, packets: &[String]) -> Vec<Vec<String>> {
    let mut command = Command::new(program());
    command.args(["explain", "-", "--from", &from.to_string(), "--interface", policies::INTERFACE]);
    for packet in packets {
        // At once: time is the business of other tests.
        command.args(["+1ms", packet]);
    }
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{config}");
    let mut all: Vec<Vec<String>> = Vec::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        match line.trim_start().strip_prefix("=> ") {
            Some(sentence) => {
                let sentence = sentence.strip_prefix("kernel: ").unwrap_or(sentence);
                all.last_mut().unwrap().push(sentence.to_owned());
            }
            None if !line.starts_with("          ") => all.push(Vec::new()),
            None => {}
        }
    }
    assert_eq!(all.len(), packets.len());
    all
}

/// What became of a packet, as the network shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    /// It reached the service.
    LetIn,
    Reset,
    Unreachable,
    Unanswered,
}

/// A host with a service on every port of the scripts, and a client.
struct Stand {
    lab: Lab,
    client: Peer,
    wire: Wire,
    gate: Table,
    /// They need not accept: the kernel answers a SYN, and the client's kernel resets it.
    listeners: Vec<TcpListener>,
    sockets: Vec<UdpSocket>,
    /// Every packet comes from a port of its own, so that none belongs to the connection of another.
    source_port: u16,
    /// Whether every ICMP error is sent.
    unlimited: bool,
}

impl Stand {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let client = lab.peer(policies::INTERFACE, 1).unwrap();
        portcullis_lab::set_sysctl("ipv4/icmp_ratelimit", "0").unwrap();
        portcullis_lab::set_sysctl("ipv6/icmp/ratelimit", "0").unwrap();
        // Kernels before 6.13 have only one of these for the whole machine, and it is not ours.
        let unlimited = ["ipv4/icmp_msgs_per_sec", "ipv4/icmp_msgs_burst"]
            .iter()
            .all(|name| portcullis_lab::set_sysctl(name, "1000000").is_ok());
        let wire = client.wire().unwrap();
        let (mut listeners, mut sockets) = (Vec::new(), Vec::new());
        let ports = [&policies::KNOCKS[..], &policies::GUARDS, &policies::PUBLIC].concat();
        for family in FAMILIES {
            for port in &ports {
                let at = SocketAddr::new(client.host(family), *port);
                listeners.push(TcpListener::bind(at).unwrap());
                let socket = UdpSocket::bind(at).unwrap();
                socket.set_nonblocking(true).unwrap();
                sockets.push(socket);
            }
        }
        let gate = Table::open().unwrap();
        Self { lab, client, wire, gate, listeners, sockets, source_port: 10_000, unlimited }
    }

    fn compare(&mut self, policy: &Policy, packets: &[(What, String)], totals: &mut Totals) {
        assert!(!self.listeners.is_empty() && self.lab.arrived(policies::INTERFACE).is_ok());
        let text = written(policy);
        let policy = config::parse_str("random.toml", &text).unwrap().policy;
        let automaton = Automaton::build(policy.doors_seen_by(Recogniser::Kernel)).unwrap();
        // Otherwise grants of the last one would be carried over.
        self.gate.remove().unwrap();
        self.gate.load(&compile(&policy).unwrap()).unwrap();
        let words: Vec<String> = packets.iter().map(|(_, word)| word.clone()).collect();
        for family in FAMILIES {
            let from = self.client.address(family, 0);
            let (mut stage, mut open) = (0, BTreeSet::new());
            for ((what, word), said) in packets.iter().zip(said(&text, from, &words)) {
                totals.packets += 1;
                let became = self.send(family, *what);
                let context = || format!("{word} of {words:?} from {from}: {said:?}\n{text}");
                follow(&policy, &said, &mut stage, &mut open, totals);
                let kernel = self.gate.attempts().unwrap().into_iter();
                let kernel = kernel
                    .filter(|attempt| attempt.address == from)
                    .map(|attempt| automaton.state(StateId(attempt.state)).unwrap().stage.into())
                    .next();
                assert_eq!(kernel.unwrap_or(0), stage, "{}", context());
                let grants = self.gate.grants().unwrap().into_iter();
                let grants: BTreeSet<u32> =
                    grants.filter(|grant| grant.address == from).map(|grant| grant.class).collect();
                assert_eq!(grants, open, "{}", context());
                if let Some(became) = became {
                    let mut expected = expected(said.last().unwrap(), *what);
                    if expected == Became::Unreachable && !self.unlimited {
                        expected = became;
                        assert_ne!(became, Became::LetIn, "{}", context());
                    }
                    assert_eq!(became, expected, "{}", context());
                    match became {
                        Became::LetIn => totals.let_in += 1,
                        Became::Unanswered => totals.unanswered += 1,
                        Became::Reset | Became::Unreachable => totals.refused += 1,
                    }
                }
            }
        }
    }

    /// Sends a packet; says what became of it where that can be seen.
    fn send(&mut self, family: Family, what: What) -> Option<Became> {
        self.source_port += 1;
        let (from, host) = (self.client.address(family, 0), self.client.host(family));
        let from = SocketAddr::new(from, self.source_port);
        let ping = Packet::ping(from.ip(), host, 99);
        let (packet, protocol, number) = match what {
            What::New(port) => {
                let to = SocketAddr::new(host, port.number.get());
                match port.protocol {
                    Protocol::Tcp => (Packet::syn(from, to), TCP, to.port()),
                    Protocol::Udp => (Packet::udp(from, to, b"x"), UDP, to.port()),
                }
            }
            What::Segment(number, flags) => {
                (Packet::tcp(from, SocketAddr::new(host, number), flags), TCP, number)
            }
            _ => (Packet::ping(from.ip(), host, 98), 0, 0),
        };
        self.wire.send(&packet).unwrap();
        // Its echo reply comes after the packet has been through the rules, and its answer before.
        self.wire.send(&ping).unwrap();
        let mut answer: Option<Seen> = None;
        loop {
            let seen = self.wire.receive(Instant::now() + PATIENCE).unwrap().unwrap();
            if seen.answers(&ping) {
                break;
            }
            if seen.about(self.source_port) == Some((protocol, number)) {
                answer = answer.or(Some(seen));
            }
        }
        let received = self.received(from);
        match what {
            What::New(port) if port.protocol == Protocol::Udp && received => Some(Became::LetIn),
            What::New(_) => Some(match answer.map(|seen| seen.meaning()) {
                None => Became::Unanswered,
                Some(Meaning::SynAck) => Became::LetIn,
                Some(Meaning::Reset) => Became::Reset,
                Some(_) => Became::Unreachable,
            }),
            // The network stack answers these in its own ways, on open and on closed ports.
            _ => None,
        }
    }

    /// Whether some service has got a datagram from there.
    fn received(&self, from: SocketAddr) -> bool {
        let mut buffer = [0; 16];
        self.sockets.iter().any(|socket| {
            std::iter::from_fn(|| socket.recv_from(&mut buffer).ok()).any(|(_, who)| who == from)
        })
    }
}

/// How a packet is written for `explain`, if it can be.
fn word(what: What) -> Option<String> {
    match what {
        What::New(port) => Some(port.to_string()),
        What::Segment(number, flags) => {
            let names = ["fin", "syn", "rst", "psh", "ack", "urg"].into_iter().enumerate();
            let names: Vec<_> =
                names.filter(|(bit, _)| flags & (1 << bit) != 0).map(|(_, name)| name).collect();
            Some(format!("tcp/{number}:{}", names.join(",")))
        }
        What::Icmp => Some("icmp".to_owned()),
        What::Zero | What::Fragment(_) | What::Broadcast(_) | What::Answer(_) => None,
    }
}

/// What the sentences make of the stage and of the open doors.
fn follow(
    policy: &Policy,
    said: &[String],
    stage: &mut usize,
    open: &mut BTreeSet<u32>,
    totals: &mut Totals,
) {
    for sentence in said {
        let words: Vec<&str> = sentence.split(' ').collect();
        match words.as_slice() {
            ["knock", number, "of", ..] => *stage = number.parse().unwrap(),
            ["door", name, "opens", ..] => {
                let (id, door) =
                    policy.doors().find(|(_, door)| door.name.as_str() == *name).unwrap();
                *stage = door.sequence.len();
                open.insert(class_of(id));
                totals.opened += 1;
            }
            _ if sentence == "a wrong port; the attempt ends" => {
                *stage = 0;
                totals.lost += 1;
            }
            _ => {}
        }
    }
}

/// What the network is to show when this has been said of a packet.
fn expected(fate: &str, what: What) -> Became {
    let tcp = matches!(what, What::New(port) if port.protocol == Protocol::Tcp);
    match fate {
        "goes on; the gate does not change it"
        | "goes on to the program that listens there; without one, answered like a closed port" => {
            Became::LetIn
        }
        "refused, exactly like a packet to a closed port of this host" if tcp => Became::Reset,
        "refused, exactly like a packet to a closed port of this host" => Became::Unreachable,
        "dropped without an answer" => Became::Unanswered,
        _ if fate.starts_with("let in: ") => Became::LetIn,
        _ if fate.starts_with("refused (reject with tcp reset") => Became::Reset,
        _ if fate.starts_with("refused (") => Became::Unreachable,
        _ => panic!("{fate}"),
    }
}
