//! What a packet costs that is neither a knock nor for a guarded port, in the kernel and in the
//! daemon: one door against ten thousand, and against a rendering with one rule for each step.
//!
//! Everything is measured in the same run, in turn, several times; the best of each is taken, and
//! what sending alone costs is subtracted. Only the ratios mean something.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark fails by panicking"
)]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis::lab::packet::Packet;
use portcullis::lab::wire::Wire;
use portcullis::lab::{self, Family, Lab, Peer};
use portcullis::netlink::nftables::Gate;
use portcullis_core::engine::{Direction, Engine, Frame, Options};
use portcullis_core::policy::Policy;
use portcullis_core::time::Instant as Moment;
use portcullis_core::wire::Link;
use portcullis_firewall::compile::compile;
use portcullis_testkit::policies::many;

/// Packets of one measurement in the kernel.
const BURST: usize = 100_000;

/// How often each thing is measured.
const ROUNDS: usize = 7;

/// A port that is in no door.
const NEITHER: u16 = 64_999;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    daemon();
    if let Err(failure) = lab::enter() {
        eprintln!("{failure}");
        return;
    }
    kernel();
}

/// The same doors as it is usually written: a set and a rule for each step.
fn one_rule_per_step(policy: &Policy) -> String {
    let mut sets = String::new();
    let mut rules = String::new();
    for (index, door) in policy.doors.iter().enumerate() {
        for (step, port) in door.sequence.iter().enumerate() {
            writeln!(sets, "set d{index}s{step} {{ type ipv4_addr; flags dynamic,timeout; }}")
                .unwrap();
            let before = match step {
                0 => String::new(),
                _ => format!("ip saddr @d{index}s{} ", step - 1),
            };
            let (protocol, number) = (port.protocol, port.number);
            writeln!(
                rules,
                "{protocol} dport {number} {before}add @d{index}s{step} {{ ip saddr timeout 5s }}"
            )
            .unwrap();
        }
        let (guard, last) = (door.guards[0].number, door.sequence.len() - 1);
        writeln!(rules, "tcp dport {guard} ip saddr != @d{index}s{last} drop").unwrap();
    }
    format!(
        "table inet linear\ndelete table inet linear\ntable inet linear {{\n{sets}\nchain input {{\n\
         type filter hook input priority -99; policy accept;\nct state established accept\n{rules}}}\n}}\n"
    )
}

fn nft(text: &str) -> bool {
    use std::io::Write as _;
    let child =
        Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = child else { return false };
    let written =
        child.stdin.take().is_some_and(|mut stdin| stdin.write_all(text.as_bytes()).is_ok());
    written && child.wait().is_ok_and(|status| status.success())
}

/// What is loaded while packets are sent.
enum Rules {
    None,
    Automaton(u16),
    Linear(u16),
}

fn kernel() {
    let mut lab = Lab::new().unwrap();
    let client = lab.peer("client", 1).unwrap();
    let wire = client.sender().unwrap();
    let mut gate = Gate::open().unwrap();
    let have_nft = nft("table inet linear\ndelete table inet linear\n");
    let mut rows = vec![
        ("no rules".to_owned(), Rules::None),
        ("automaton, 1 door".to_owned(), Rules::Automaton(1)),
        ("automaton, 100 doors".to_owned(), Rules::Automaton(100)),
        ("automaton, 10,000 doors".to_owned(), Rules::Automaton(10_000)),
    ];
    if have_nft {
        for count in [1, 100, 1_000] {
            rows.push((format!("one rule per step, {count} doors"), Rules::Linear(count)));
        }
    } else {
        eprintln!("nft is not installed: no comparison with one rule per step");
    }
    let mut best = vec![Duration::MAX; rows.len()];
    let mut counts = vec![0; rows.len()];
    for _ in 0..ROUNDS {
        for (row, (_, rules)) in rows.iter().enumerate() {
            match rules {
                Rules::None => {}
                Rules::Automaton(count) => {
                    let ruleset = compile(&many(*count)).unwrap();
                    counts[row] = ruleset.rule_count();
                    gate.load(&ruleset).unwrap();
                }
                Rules::Linear(count) => {
                    let text = one_rule_per_step(&many(*count));
                    counts[row] = 1 + 5 * usize::from(*count);
                    assert!(nft(&text));
                }
            }
            // The slow ones need not be sent as many.
            let burst = if matches!(rules, Rules::Linear(1_000)) { BURST / 10 } else { BURST };
            best[row] = best[row].min(per_packet(&client, &wire, burst));
            gate.remove().unwrap();
            if have_nft {
                nft("table inet linear\ndelete table inet linear\n");
            }
        }
    }
    println!("in the kernel: a SYN to a port of no door, from sending it to its being refused");
    let one = best[1].saturating_sub(best[0]);
    for (row, (name, _)) in rows.iter().enumerate() {
        let own = best[row].saturating_sub(best[0]);
        let (of_all, of_rules) = (ratio(best[row], best[1]), ratio(own, one));
        println!(
            "  {name:<32} {:>6} rules {:>8} ns  x{of_all:<6.2} of one door; rules alone x{of_rules:.2}",
            counts[row],
            best[row].as_nanos()
        );
    }
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(1e-9)
}

fn per_packet(client: &Peer, wire: &Wire, burst: usize) -> Duration {
    let to = SocketAddr::new(client.host(Family::V4), NEITHER);
    let from = SocketAddr::new(client.address(Family::V4, 0), 40_000);
    let packet = Packet::syn(from, to);
    let sent = wire.send_all(std::iter::repeat_n(&packet, burst)).unwrap();
    sent.took / u32::try_from(sent.packets).unwrap()
}

fn daemon() {
    const PACKETS: u32 = 500_000;
    println!("in the daemon: a SYN to a port of no door, from 256 sources in turn");
    let mut best = [Duration::MAX; 2];
    let mut engines =
        [1, 10_000].map(|count| Engine::new(&many(count), Options::default()).unwrap());
    let from = SocketAddr::from(([198, 51, 100, 7], 40_000));
    let packet = Packet::syn(from, SocketAddr::from(([198, 51, 100, 1], NEITHER)));
    for _ in 0..ROUNDS {
        for (engine, best) in engines.iter_mut().zip(&mut best) {
            let mut frames: Vec<Vec<u8>> = (0..256u16)
                .map(|host| {
                    let mut packet = packet.clone();
                    let from = SocketAddr::from(([10, 0, 0, host as u8], 40_000));
                    packet.ends = Packet::syn(from, SocketAddr::from(([198, 51, 100, 1], 1))).ends;
                    packet.to_bytes()
                })
                .collect();
            let start = Instant::now();
            let mut wrong = 0u32;
            for number in 0..PACKETS {
                let bytes = &mut frames[(number % 256) as usize];
                let frame = Frame { link: Link::Raw, direction: Direction::ToHost, bytes };
                let verdict = engine.handle_packet(frame, Moment::from_millis(number.into()));
                wrong += u32::from(verdict.index() == 10);
            }
            assert_eq!(wrong, PACKETS);
            *best = (*best).min(start.elapsed() / PACKETS);
        }
    }
    for (name, best_of) in ["1 door", "10,000 doors"].into_iter().zip(best) {
        println!(
            "  {name:<32} {:>21} ns  x{:.2} of one door",
            best_of.as_nanos(),
            ratio(best_of, best[0])
        );
    }
}
