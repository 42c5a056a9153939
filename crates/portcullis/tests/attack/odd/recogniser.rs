//! Who takes frames for something: each plays a batch of probes in a network of its own.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use portcullis::config::parse_str;
use portcullis_core::engine::Options;
use portcullis_core::policy::Policy;
use portcullis_core::wire::Link;
use portcullis_insight::replay::file::Record;
use portcullis_insight::replay::file::link::{Kind, Place};
use portcullis_insight::replay::{Replay, Settings};
use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::Packet;
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family, Lab, Peer, set_sysctl};

use super::frame::Probe;
use crate::world::{By, PATIENCE, World, knock_packet, made_up};

const CONFIG: &str = r#"
[door.odd]
guards       = ["tcp/22"]
sequence     = ["tcp/8009", "udp/2003", "tcp/4001", "udp/6007"]
step_timeout = "60s"
open_for     = "300s"
recogniser   = "RECOGNISER"
"#;

const SEQUENCE: [&str; 4] = ["tcp/8009", "udp/2003", "tcp/4001", "udp/6007"];
/// The port of a wrong knock.
const WRONG: u16 = 5000;
/// The hardware address of both ends of the cable.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0];
/// Probes in one network: conntrack and the set of grants have room for them.
const MOST: u32 = 8_000;

/// A recogniser, or the network stack of a host without a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Kernel,
    Daemon,
    Replay,
    Stack,
}

/// Who took the odd frame of a probe for a knock or a wrong port; whether the stack answered it as it
/// answers at a closed port.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    pub kernel: bool,
    pub daemon: bool,
    pub replay: bool,
    pub stack: bool,
}

/// All of them.
pub struct Recognisers {
    kernel: Worker,
    daemon: Worker,
    stack: Worker,
    replay: Policy,
}

/// One that works on a thread, which has a network of its own.
struct Worker {
    ask: Sender<Vec<Probe>>,
    answers: Receiver<Vec<bool>>,
}

impl Worker {
    fn start<P: Player>(new: impl Fn() -> P + Send + 'static) -> Self {
        let (ask, asked) = channel::<Vec<Probe>>();
        let (answer, answers) = channel();
        thread::spawn(move || {
            let (mut player, mut played) = (new(), 0);
            for probes in asked {
                if played + probes.len() as u32 > MOST {
                    drop(player);
                    (player, played) = (new(), 0);
                }
                let took = player.play(&probes, played);
                played += probes.len() as u32;
                if answer.send(took).is_err() {
                    return;
                }
            }
        });
        Self { ask, answers }
    }
}

trait Player {
    /// Plays probes from sources whose numbers begin behind `first`.
    fn play(&mut self, probes: &[Probe], first: u32) -> Vec<bool>;
}

impl Recognisers {
    pub fn start() -> Self {
        let config = CONFIG.replace("RECOGNISER", "both");
        Self {
            kernel: Worker::start(|| World::new(By::Kernel, CONFIG)),
            daemon: Worker::start(|| World::new(By::Daemon, CONFIG)),
            stack: Worker::start(Stack::new),
            replay: parse_str("odd.toml", &config).unwrap().policy,
        }
    }

    /// What each took the odd frames for.
    pub fn play(&mut self, probes: &[Probe]) -> Vec<Took> {
        let workers = [&self.kernel, &self.daemon, &self.stack];
        for worker in workers {
            worker.ask.send(probes.to_vec()).unwrap();
        }
        let replay = replay(&self.replay, probes);
        let [kernel, daemon, stack] = workers.map(|worker| worker.answers.recv().unwrap());
        (0..probes.len())
            .map(|at| Took {
                kernel: kernel[at],
                daemon: daemon[at],
                replay: replay[at],
                stack: stack[at],
            })
            .collect()
    }

    /// The odd frame of a probe, to be shown.
    pub fn frame(&self, probe: &Probe) -> Vec<u8> {
        let source = made_up(probe.family, 1);
        odd_frame(probe, source, host(probe.family))
    }
}

/// The host's address on the first cable of a lab.
fn host(family: Family) -> IpAddr {
    match family {
        Family::V4 => [198, 51, 100, 1].into(),
        Family::V6 => "2001:db8::1".parse().unwrap(),
    }
}

fn odd_frame(probe: &Probe, source: IpAddr, host: IpAddr) -> Vec<u8> {
    let port = match (probe.is_wrong, probe.is_tcp) {
        (true, _) => WRONG,
        (false, true) => 4001,
        (false, false) => 2003,
    };
    probe.frame(source, host, MAC, port)
}

/// All frames of a probe, in their order.
fn frames(probe: &Probe, source: IpAddr) -> Vec<Vec<u8>> {
    let host = host(source_family(source));
    let odd = odd_frame(probe, source, host);
    let mut frames: Vec<_> = SEQUENCE
        .map(|port| {
            let packet = knock_packet(source, host, port.parse().unwrap());
            let kind = if source.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] };
            [&MAC[..], &MAC, &kind, &packet.to_bytes()].concat()
        })
        .into();
    match (probe.is_wrong, probe.is_tcp) {
        (true, _) => frames.insert(1, odd),
        (false, true) => frames[2] = odd,
        (false, false) => frames[1] = odd,
    }
    frames
}

fn source_family(source: IpAddr) -> Family {
    if source.is_ipv4() { Family::V4 } else { Family::V6 }
}

fn sources(probes: &[Probe], first: u32) -> Vec<IpAddr> {
    // Numbers from 1,000,000 on are none that `World::new_source` gives.
    (first + 1_000_000..).zip(probes).map(|(n, probe)| made_up(probe.family, n)).collect()
}

/// Whether the odd frame counted, if the door is open now or not.
fn counted(probe: &Probe, is_open: bool) -> bool {
    is_open != probe.is_wrong
}

impl Player for World {
    fn play(&mut self, probes: &[Probe], first: u32) -> Vec<bool> {
        let sources = sources(probes, first);
        for (probe, &source) in probes.iter().zip(&sources) {
            for frame in frames(probe, source) {
                self.wire.send_frame(&frame).unwrap();
            }
        }
        self.settle();
        let open: HashSet<IpAddr> =
            self.gate.grants().unwrap().iter().map(|grant| grant.address).collect();
        probes.iter().zip(&sources).map(|(probe, s)| counted(probe, open.contains(s))).collect()
    }
}

/// A host without a gate.
struct Stack {
    _lab: Lab,
    _client: Peer,
    wire: Wire,
}

impl Stack {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let client = lab.peer("client", 1).unwrap();
        // It answers everyone.
        for (name, value) in [
            ("ipv4/icmp_ratelimit", "0"),
            ("ipv4/icmp_msgs_per_sec", "1000000"),
            ("ipv4/icmp_msgs_burst", "100000"),
            ("ipv6/icmp/ratelimit", "0"),
        ] {
            set_sysctl(name, value).unwrap();
        }
        let wire = client.wire().unwrap();
        Self { _lab: lab, _client: client, wire }
    }
}

impl Player for Stack {
    fn play(&mut self, probes: &[Probe], first: u32) -> Vec<bool> {
        self.wire.drain().unwrap();
        let sources = sources(probes, first);
        for (probe, &source) in probes.iter().zip(&sources) {
            self.wire.send_frame(&odd_frame(probe, source, host(probe.family))).unwrap();
        }
        // The answer to this one comes last.
        let last = SocketAddr::new(made_up(Family::V4, first + 1), 40_000);
        let end = Packet::syn(last, SocketAddr::new(host(Family::V4), WRONG));
        self.wire.send(&end).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut answered = HashSet::new();
        while let Some(seen) = self.wire.receive(deadline).unwrap() {
            if seen.answers(&end) {
                return sources.iter().map(|source| answered.contains(source)).collect();
            }
            // Port unreachable, of ICMP and of ICMPv6.
            let closed = [Meaning::Unreachable(3, 3), Meaning::Unreachable(1, 4), Meaning::Reset];
            if closed.contains(&seen.meaning()) {
                answered.insert(seen.destination);
            }
        }
        panic!("the host never answered");
    }
}

/// A capture with these frames, replayed.
fn replay(policy: &Policy, probes: &[Probe]) -> Vec<bool> {
    let settings = Settings {
        host: vec![host(Family::V4), host(Family::V6)],
        untagged: true,
        engine: Options { max_attempts: 4_096, seed: 1, ..Options::default() },
    };
    let mut replay = Replay::new(policy, settings).unwrap();
    let sources = sources(probes, 0);
    for (probe, &source) in probes.iter().zip(&sources) {
        for bytes in frames(probe, source) {
            replay.frame(&Record {
                time: Some(1_000_000_000),
                kind: Kind::Read(Link::Ethernet, 0),
                place: Place::Gate,
                way: None,
                bytes: &bytes,
                length: bytes.len() as u32,
            });
        }
    }
    let open: HashSet<IpAddr> =
        replay.finish().openings.iter().map(|opening| opening.source).collect();
    probes.iter().zip(&sources).map(|(probe, s)| counted(probe, open.contains(s))).collect()
}
