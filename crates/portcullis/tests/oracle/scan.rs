//! Many ports asked at the same time, from the same source ports, on two CPUs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use portcullis::lab::Family;
use portcullis::lab::answer::Seen;
use portcullis::lab::packet::{ICMP, ICMPV6, TCP, UDP};
use portcullis::lab::wire::shuffled;

use crate::ask::on_cpu;
use crate::bytes::{Ends, Tcp, Udp};
use crate::probes::SYN;
use crate::{Rules, Services, on_two_cpus};

/// Guarded ports with a service behind them for TCP or UDP or both, and closed ones.
const GUARDED: [u16; 2] = [2222, 6000];
const CLOSED: [u16; 2] = [25, 26];

/// Source ports, from each of which every port is asked.
const SOURCES: std::ops::Range<u16> = 20_000..24_000;

/// How many source addresses, the source ports of which are the same.
const ADDRESSES: usize = 2;

/// How long nothing arrives when all answers have arrived.
const QUIET: Duration = Duration::from_millis(500);

/// Which probe, written where its answer repeats it: in the sequence number of a segment (the answer
/// acknowledges the next one), in the data of a datagram (the answer quotes it).
type Probe = (u8, usize, u16, u16);

/// What has come back.
#[derive(Default)]
struct Answers {
    by_probe: HashMap<Probe, usize>,
    wrong: Vec<String>,
}

/// Every answer comes from the port that was asked, one for each packet, and as many packets to
/// guarded ports are answered as to closed ones.
pub fn scan(rules: Rules, family: Family) {
    let mut world = rules.world();
    let _services = Services::start();
    on_two_cpus(&world);
    let to = world.client.host(family);
    let from: Vec<_> = (0..ADDRESSES).map(|_| world.new_source(family)).collect();
    let mut probes: Vec<Probe> = Vec::new();
    for source in SOURCES {
        for protocol in [TCP, UDP] {
            for address in 0..ADDRESSES {
                // The four ports of one source port are asked as close to each other as can be.
                let ports = [GUARDED, CLOSED].concat();
                probes.extend(ports.into_iter().map(|port| (protocol, address, source, port)));
            }
        }
    }
    let order = shuffled(7);
    for (some, turn) in probes.chunks_mut(4).zip(order) {
        some.rotate_left(usize::from(turn % 4));
        if turn & 4 == 0 {
            some.reverse();
        }
    }
    // Alternately, so that the ports of one source port are asked on both CPUs at once.
    let halves =
        [0, 1].map(|half| probes.iter().copied().skip(half).step_by(2).collect::<Vec<_>>());
    let mut answers = Answers::default();
    thread::scope(|scope| {
        let threads: Vec<_> = halves
            .iter()
            .enumerate()
            .map(|(cpu, half)| {
                let (from, wire) = (&from, world.client.sender().unwrap());
                scope.spawn(move || {
                    on_cpu(cpu);
                    for probe in half {
                        wire.send_frame(&frame(*probe, from, to)).unwrap();
                    }
                })
            })
            .collect();
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
    answers.judge();
}

fn frame((protocol, address, source, port): Probe, from: &[IpAddr], to: IpAddr) -> Vec<u8> {
    let ends = Ends { from: from[address], to, source, port };
    let ip = if protocol == TCP {
        Tcp { sequence: u32::from(source) << 16 | u32::from(port), ..Tcp::new(SYN) }.ip(&ends)
    } else {
        Udp::new(&[source.to_be_bytes(), port.to_be_bytes()].concat()).ip(&ends)
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

    fn judge(&self) {
        let few: Vec<_> = self.wrong.iter().take(20).collect();
        assert!(few.is_empty(), "{} answers from a wrong port: {few:#?}", self.wrong.len());
        let twice: Vec<_> =
            self.by_probe.iter().filter(|(_, count)| **count > 1).take(20).collect();
        assert!(twice.is_empty(), "answered more than once: {twice:?}");
        let asked = SOURCES.len() * ADDRESSES;
        for protocol in [TCP, UDP] {
            let lost = |port: u16| {
                let of_port = |probe: &&Probe| probe.0 == protocol && probe.3 == port;
                asked - self.by_probe.keys().filter(of_port).count()
            };
            let guarded: usize = GUARDED.into_iter().map(lost).sum();
            let closed: usize = CLOSED.into_iter().map(lost).sum();
            let list = [GUARDED, CLOSED].concat().into_iter().map(|port| (port, lost(port)));
            let list: Vec<_> = list.collect();
            eprintln!("protocol {protocol}: lost {list:?} of {asked} each");
            // If all are lost alike, the difference is below six of its standard deviations. A
            // burst that a busy machine loses hits neighbours, and so both kinds.
            let bound = 6.0 * ((guarded + closed + 1) as f64).sqrt();
            assert!(
                guarded.abs_diff(closed) as f64 <= bound,
                "protocol {protocol}: guarded ports lost {guarded}, closed ones {closed}; each port: {list:?}"
            );
            assert!(
                closed < asked,
                "protocol {protocol}: closed ports lost {closed} of {asked} each"
            );
        }
    }
}
