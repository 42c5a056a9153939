//! Many ports asked at the same time, from the same source ports, on two CPUs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_lab::Family;
use portcullis_lab::answer::Seen;
use portcullis_lab::packet::{ICMP, ICMPV6, TCP, UDP};
use portcullis_lab::wire::shuffled;

use crate::oracle::ask::on_cpu;
use crate::oracle::bytes::{Ends, Tcp, Udp};
use crate::oracle::probes::SYN;
use crate::oracle::{MANY, Rules, Services, on_two_cpus};

/// How many source addresses, the source ports of which are the same.
const ADDRESSES: usize = 2;

/// How long nothing arrives when all answers have arrived.
const QUIET: Duration = Duration::from_millis(500);

/// Which CPU handles a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cpus {
    /// One that follows from its addresses and ports.
    ByHash,
    /// That of the thread which sends it.
    OfSender,
}

/// Which probe, written where its answer repeats it: in the sequence number of a segment (the answer
/// acknowledges the next one), in the data of a datagram (the answer quotes it).
type Probe = (u8, usize, u16, u16);

/// In place of a protocol: a SYN with a signature (RFC 2385), which is dropped without an answer. A
/// reset would let connection tracking forget it.
const SIGNED: u8 = u8::MAX;

/// What has come back.
#[derive(Default)]
struct Answers {
    by_probe: HashMap<Probe, usize>,
    wrong: Vec<String>,
}

/// A few ports from many source ports. Of the guarded ones, one has services behind it.
pub fn few_ports(rules: Rules, family: Family) {
    let (guarded, closed) = ([2222, 6000], [25, 26]);
    let probes = groups(20_000..22_000, &guarded, &closed);
    scan(rules, family, alternately(probes), &guarded, &closed, Cpus::ByHash);
}

/// Many ports from a few source ports, as scanners do it.
pub fn many_ports(rules: Rules, family: Family) {
    let guarded: Vec<u16> = MANY.collect();
    let closed: Vec<u16> = (50_000..50_000 + MANY.len() as u16).collect();
    let probes = groups(20_000..20_008, &guarded, &closed);
    scan(rules, family, alternately(probes), &guarded, &closed, Cpus::ByHash);
}

/// A port and port 0 in the same moment, from the same source port.
pub fn beside_port_zero(rules: Rules, family: Family) {
    let mut halves = [Vec::new(), Vec::new()];
    for source in 20_000..22_000 {
        for protocol in [TCP, UDP] {
            for (address, port) in [2222, 25].into_iter().enumerate() {
                let side = usize::from(source % 2);
                halves[side].push((protocol, address, source, port));
                halves[1 - side].push((protocol, address, source, 0));
            }
        }
    }
    scan(rules, family, halves, &[2222], &[25], Cpus::OfSender);
}

/// After packets from every source port to port 0, of kinds that connection tracking remembers for a while where nobody answers
/// them.
pub fn from_used_source_ports(rules: Rules, family: Family) {
    let mut halves = [Vec::new(), Vec::new()];
    for source in 1..=u16::MAX {
        for protocol in [UDP, SIGNED] {
            halves[usize::from(source % 2)].push((protocol, 0, source, 0));
        }
    }
    for source in 30_000..30_500 {
        for protocol in [TCP, UDP] {
            halves[0].push((protocol, 0, source, 2222));
            halves[1].push((protocol, 0, source, 25));
        }
    }
    scan(rules, family, halves, &[2222], &[25], Cpus::OfSender);
}

/// Ports of both kinds from one source port, as close to each other as can be.
fn groups(sources: Range<u16>, guarded: &[u16], closed: &[u16]) -> Vec<Probe> {
    let mut turns = shuffled(7).into_iter().cycle();
    let mut probes = Vec::new();
    for source in sources {
        for (guarded, closed) in guarded.chunks(2).zip(closed.chunks(2)) {
            for protocol in [TCP, UDP] {
                for address in 0..ADDRESSES {
                    let mut ports = [guarded, closed].concat();
                    let turn = turns.next().unwrap();
                    let first = usize::from(turn) % ports.len();
                    ports.rotate_left(first);
                    if turn & 4 == 0 {
                        ports.reverse();
                    }
                    probes.extend(ports.into_iter().map(|port| (protocol, address, source, port)));
                }
            }
        }
    }
    probes
}

fn alternately(probes: Vec<Probe>) -> [Vec<Probe>; 2] {
    [0, 1].map(|half| probes.iter().copied().skip(half).step_by(2).collect())
}

/// Every answer comes from the port that was asked, one for each packet, and as many packets to
/// guarded ports are answered as to closed ones. Two threads send a half each, in step.
fn scan(
    rules: Rules,
    family: Family,
    halves: [Vec<Probe>; 2],
    guarded: &[u16],
    closed: &[u16],
    cpus: Cpus,
) {
    let mut world = rules.world();
    let _services = Services::start();
    if cpus == Cpus::ByHash {
        on_two_cpus(&world);
    }
    let to = world.client.host(family);
    let from: Vec<_> = (0..ADDRESSES).map(|_| world.new_source(family)).collect();
    let mut answers = Answers::default();
    let sent = [AtomicUsize::new(0), AtomicUsize::new(0)];
    thread::scope(|scope| {
        let threads = halves.iter().enumerate().map(|(cpu, half)| {
            let (from, sent, wire) = (&from, &sent, world.client.sender().unwrap());
            scope.spawn(move || {
                on_cpu(cpu);
                for (number, probe) in half.iter().enumerate() {
                    let frame = frame(*probe, from, to);
                    sent[cpu].store(number, Ordering::Release);
                    while sent[1 - cpu].load(Ordering::Acquire) < number {
                        thread::yield_now();
                    }
                    wire.send_frame(&frame).unwrap();
                }
                sent[cpu].store(usize::MAX, Ordering::Release);
            })
        });
        let threads: Vec<_> = threads.collect();
        let mut read = |wait: Duration| {
            while let Some(seen) = world.wire.receive(Instant::now() + wait).unwrap() {
                answers.note(&seen, &from);
            }
        };
        while threads.iter().any(|thread| !thread.is_finished()) {
            read(Duration::from_millis(1));
        }
        read(QUIET);
    });
    let asked: Vec<Probe> = halves.concat();
    answers.judge(&asked, guarded, closed);
}

fn frame((protocol, address, source, port): Probe, from: &[IpAddr], to: IpAddr) -> Vec<u8> {
    let ends = Ends { from: from[address], to, source, port };
    let sequence = u32::from(source) << 16 | u32::from(port);
    let ip = match protocol {
        TCP => Tcp { sequence, ..Tcp::new(SYN) }.ip(&ends),
        SIGNED => {
            let options = [vec![19, 18], vec![7; 16]].concat();
            Tcp { options, sequence, ..Tcp::new(SYN) }.ip(&ends)
        }
        _ => Udp::new(&sequence.to_be_bytes()).ip(&ends),
    };
    ip.frame()
}

impl Answers {
    fn note(&mut self, seen: &Seen, from: &[IpAddr]) {
        let Some(address) = from.iter().position(|from| *from == seen.destination) else { return };
        let payload = seen.payload();
        let pair = |at: usize| {
            let bytes = payload.get(at..at + 4).unwrap_or(&[0; 4]);
            (u16::from_be_bytes([bytes[0], bytes[1]]), u16::from_be_bytes([bytes[2], bytes[3]]))
        };
        let inner = 8 + if seen.destination.is_ipv4() { 20 } else { 40 };
        let (protocol, says, asked) = match seen.protocol {
            TCP => {
                let (port, source) = pair(0);
                let (high, low) = pair(8);
                let number = (u32::from(high) << 16 | u32::from(low)).wrapping_sub(1);
                (TCP, (source, port), ((number >> 16) as u16, number as u16))
            }
            ICMP | ICMPV6 => (UDP, pair(inner), pair(inner + 8)),
            other => {
                self.wrong.push(format!("protocol {other} from {:?}", seen.ports()));
                return;
            }
        };
        if says == asked {
            *self.by_probe.entry((protocol, address, asked.0, asked.1)).or_default() += 1;
        } else {
            self.wrong.push(format!("{asked:?} asked, {says:?} answers"));
        }
    }

    fn judge(&self, asked: &[Probe], guarded: &[u16], closed: &[u16]) {
        let few: Vec<_> = self.wrong.iter().take(20).collect();
        assert!(few.is_empty(), "{} answers from a wrong port: {few:#?}", self.wrong.len());
        let twice: Vec<_> =
            self.by_probe.iter().filter(|(_, count)| **count > 1).take(20).collect();
        assert!(twice.is_empty(), "answered more than once: {twice:?}");
        let mut told = Vec::new();
        for protocol in [TCP, UDP] {
            let count = |ports: &[u16]| {
                let of_ports = asked.iter().filter(|it| it.0 == protocol && ports.contains(&it.3));
                let lost = of_ports.clone().filter(|probe| !self.by_probe.contains_key(probe));
                (of_ports.count(), lost.count())
            };
            let ((all, lost), (all_closed, lost_closed)) = (count(guarded), count(closed));
            assert_eq!(all, all_closed);
            assert!(
                lost_closed <= all / 2,
                "protocol {protocol}: of {all}, closed ports lost {lost_closed}"
            );
            // If all are lost alike, the difference is below six of its standard deviations. A
            // burst that a busy machine loses hits neighbours, and so both kinds.
            let bound = 6.0 * ((lost + lost_closed + 1) as f64).sqrt();
            if lost.abs_diff(lost_closed) as f64 > bound {
                told.push(format!(
                    "protocol {protocol}: of {all} packets each, guarded ports lost {lost}, closed \
                     ones {lost_closed}"
                ));
            }
        }
        assert!(told.is_empty(), "{told:#?}");
    }
}
