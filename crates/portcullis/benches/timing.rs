//! How long a port takes to answer: whether a scanner with a good clock can tell guarded ports and
//! knocks from closed ports.
//!
//! Probes to all ports are interleaved, in a random order, from random addresses. For each port it
//! prints the median time to an answer, how far that is from the median of a closed port, and the
//! Kolmogorov-Smirnov test of both distributions: a small p says that the ports can be told apart.
//! The closed ports after the first show what chance makes of it. No figure passes or fails.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark fails by panicking"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use portcullis::config::parse_str;
use portcullis_core::policy::Protocol;
use portcullis_firewall::compile::compile;
use portcullis_gate::nftables::Table;
use portcullis_lab::packet::Packet;
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family, Lab, Peer};

/// Probes to each port, unless the command line says how many.
const PROBES: usize = 3_000;

/// How long to wait for an answer that does not come.
const WAIT: Duration = Duration::from_millis(2);

/// The hardware address of both ends of the first peer's cable.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0];

const DOORS: &str = r#"
[door.ssh]
guards     = ["tcp/22", "udp/51820"]
sequence   = ["tcp/47431", "udp/29117", "tcp/51123"]
recogniser = "kernel"
[door.other]
guards     = ["tcp/2222"]
sequence   = ["udp/11111", "tcp/33333", "udp/22222"]
recogniser = "kernel"
"#;

type Target = (&'static str, u16);

/// The first one is what the others are compared with.
const TCP: [Target; 8] = [
    ("closed", 1000),
    ("also closed", 40_000),
    ("also closed", 60_000),
    ("guarded", 22),
    ("guarded by another", 2222),
    ("first knock", 47_431),
    ("last knock", 51_123),
    ("another's knock", 33_333),
];
const UDP: [Target; 6] = [
    ("closed", 1000),
    ("also closed", 40_000),
    ("guarded", 51_820),
    ("first knock", 11_111),
    ("second knock", 29_117),
    ("last knock", 22_222),
];

fn main() {
    let mut probes = PROBES;
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(number) => probes = number,
            Err(_) if argument == "--test" => return,
            Err(_) => {}
        }
    }
    if let Err(failure) = portcullis_lab::enter() {
        eprintln!("{failure}");
        return;
    }
    for stance in ["guard", "closed"] {
        for (bans, ban) in [("without bans", ""), ("with bans", "[ban]\nstrikes = 10000\n")] {
            let gate = format!("[gate]\nstance = \"{stance}\"\nrefuse = \"like-closed\"\n{ban}");
            // A thread of its own is another host, without what the one before has left behind.
            thread::scope(|scope| {
                scope.spawn(|| {
                    println!("stance {stance}, {bans}");
                    measure(&format!("{gate}{DOORS}"), probes);
                });
            });
        }
    }
}

/// One configuration, both families and protocols.
fn measure(configuration: &str, probes: usize) {
    let mut lab = Lab::new().unwrap();
    let client = lab.peer("client", 1).unwrap();
    portcullis_lab::set_sysctl("ipv4/icmp_ratelimit", "0").unwrap();
    portcullis_lab::set_sysctl("ipv6/icmp/ratelimit", "0").unwrap();
    // These are the machine's on older kernels, and not ours to change.
    let _ = portcullis_lab::set_sysctl("ipv4/icmp_msgs_per_sec", "1000000");
    let _ = portcullis_lab::set_sysctl("ipv4/icmp_msgs_burst", "1000000");
    let policy = parse_str("timing", configuration).unwrap().policy;
    let mut gate = Table::open().unwrap();
    gate.load(&compile(&policy).unwrap()).unwrap();
    let at = |port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let _tcp = [22, 2222].map(|port| TcpListener::bind(at(port)).unwrap());
    let _udp = UdpSocket::bind(at(51_820)).unwrap();
    // The kernel handles a packet on the CPU that sends it down the cable.
    let mut cpu = CpuSet::new();
    cpu.set(0).unwrap();
    let _ = sched_setaffinity(Pid::from_raw(0), &cpu);
    for family in [Family::V4, Family::V6] {
        for (protocol, targets) in [(Protocol::Tcp, &TCP[..]), (Protocol::Udp, &UDP[..])] {
            let samples = sample(&client, family, protocol, targets, probes);
            print(family, protocol, targets, &samples);
        }
    }
}

/// Nanoseconds to the answers of each target.
fn sample(
    client: &Peer,
    family: Family,
    protocol: Protocol,
    targets: &[Target],
    probes: usize,
) -> Vec<Vec<u64>> {
    let wire = client.wire().unwrap();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut samples = vec![Vec::with_capacity(probes); targets.len()];
    let mut order: Vec<usize> = (0..targets.len()).collect();
    for _ in 0..probes {
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        for &target in &order {
            let source = random.source(family);
            let to = SocketAddr::new(client.host(family), targets[target].1);
            let packet = match protocol {
                Protocol::Tcp => Packet::syn(source, to),
                Protocol::Udp => Packet::udp(source, to, &[]),
            };
            samples[target].extend(time(&wire, &packet, source));
        }
    }
    samples.iter_mut().for_each(|sample| sample.sort_unstable());
    samples
}

/// Nanoseconds from sending a packet to reading its answer.
fn time(wire: &Wire, packet: &Packet, source: SocketAddr) -> Option<u64> {
    let mut frame = [MAC, MAC].concat();
    frame.extend(if source.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] });
    frame.extend(packet.to_bytes());
    wire.drain().unwrap();
    let start = Instant::now();
    wire.send_frame(&frame).unwrap();
    loop {
        let answer = wire.receive(Instant::now()).unwrap();
        let took = start.elapsed();
        if answer.is_some_and(|seen| seen.answers(packet)) {
            return u64::try_from(took.as_nanos()).ok();
        }
        if took > WAIT {
            return None;
        }
    }
}

fn print(family: Family, protocol: Protocol, targets: &[Target], samples: &[Vec<u64>]) {
    println!(
        "  {family} {protocol:<25}{:>7}{:>11}{:>12}{:>8}{:>11}",
        "n", "median ns", "difference", "KS D", "p"
    );
    let reference = &samples[0];
    for ((name, port), sample) in targets.iter().zip(samples) {
        let (d, p) = kolmogorov_smirnov(sample, reference);
        println!(
            "  {:<30}{:>7}{:>11}{:>+12}{d:>8.3}{p:>11.2e}",
            format!("{name} ({port})"),
            sample.len(),
            median(sample),
            median(sample) as i64 - median(reference) as i64,
        );
    }
}

fn median(sorted: &[u64]) -> u64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// The greatest distance of two distributions, and how likely one at least as great is by chance.
fn kolmogorov_smirnov(one: &[u64], other: &[u64]) -> (f64, f64) {
    let (mut i, mut j, mut d) = (0, 0, 0.0_f64);
    while i < one.len() && j < other.len() {
        let least = one[i].min(other[j]);
        i += one[i..].iter().take_while(|value| **value == least).count();
        j += other[j..].iter().take_while(|value| **value == least).count();
        d = d.max((i as f64 / one.len() as f64 - j as f64 / other.len() as f64).abs());
    }
    let root = (one.len() as f64 * other.len() as f64 / (one.len() + other.len()) as f64).sqrt();
    let l = (root + 0.12 + 0.11 / root) * d;
    // The series does not converge at 0, where p is 1.
    if l < 0.2 || !l.is_finite() {
        return (d, 1.0);
    }
    let term =
        |k: i32| (-2.0 * l * l * f64::from(k * k)).exp() * if k % 2 == 1 { 1.0 } else { -1.0 };
    (d, (2.0 * (1..=100).map(term).sum::<f64>()).clamp(0.0, 1.0))
}

/// The generator xorshift: enough to be in no order.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// One of sixty thousand addresses, each in a network of its own in IPv6, and of as many ports.
    fn source(&mut self, family: Family) -> SocketAddr {
        let number = self.below(60_000) as u16;
        let address: IpAddr = match family {
            Family::V4 => Ipv4Addr::from(0x6440_0000 | u32::from(number)).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0xffff, number, 0, 0, 0, 1).into(),
        };
        SocketAddr::new(address, 20_000 + self.below(40_000) as u16)
    }
}
