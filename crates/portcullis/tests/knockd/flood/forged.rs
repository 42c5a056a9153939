//! Forged SYNs to the first port of a door, while others knock.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_lab::packet::Packet;
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family, wait_until};

use crate::both::daemon::{Daemon, Setup};
use crate::both::house::House;
use crate::both::{PATIENCE, SIDES, Which};
use crate::world::made_up;

const DOOR: &str =
    "[A]\nsequence = 7000,8000,9000\ntcpflags = syn\nstart_command = echo A %IP% >> ran\n";

/// Those who know the knocks.
const GENUINE: usize = 20;

/// Most lines about forged packets: at first, and in each second.
const LINES: (usize, u64) = (2_000, 200);

/// What was seen of one side.
struct Seen {
    opened: usize,
    sent: u64,
    took: Duration,
    memory: (u64, u64),
    lines: usize,
    processor: Duration,
}

/// So many a second.
pub fn flood(rate: u64) {
    let [theirs, ours] = SIDES.map(|which| {
        let seen = one(which, rate);
        eprintln!(
            "{which}: {} of {GENUINE} genuine knocks opened among {} forged in {:.1} s; \
             {} kB at first, {} kB at last; {} lines; {:.1} s of a processor",
            seen.opened,
            seen.sent,
            seen.took.as_secs_f64(),
            seen.memory.0,
            seen.memory.1,
            seen.lines,
            seen.processor.as_secs_f64(),
        );
        seen
    });
    if Which::Ours.is_ours() {
        assert!(ours.opened >= theirs.opened);
        assert_eq!(ours.opened, GENUINE);
        let (first, last) = ours.memory;
        assert!(last <= first + 1024, "from {first} kB to {last} kB");
        let most = LINES.0 + usize::try_from(LINES.1 * (ours.took.as_secs() + 1)).unwrap();
        assert!(ours.lines <= most, "{} lines, and not {most}", ours.lines);
    }
}

fn one(which: Which, rate: u64) -> Seen {
    let house = House::new();
    // The host need not answer all these.
    let arguments = ["-t", "raw", "-A", "PREROUTING", "-j", "DROP"];
    let status = std::process::Command::new("iptables").args(arguments).status().unwrap();
    assert!(status.success());
    let daemon = Daemon::start(which, &Setup::new(DOOR));
    let before = memory(&daemon);
    let host = SocketAddr::new(house.client.host(Family::V4), 7000);
    let sender = house.client.sender().unwrap();
    let done = AtomicBool::new(false);
    let begun = Instant::now();
    let mut genuine = Vec::new();
    let sent = thread::scope(|scope| {
        let flood = scope.spawn(|| forge(&sender, host, rate, &done));
        // Not before the flood has come to stay.
        thread::sleep(Duration::from_millis(1500));
        for _ in 0..GENUINE {
            genuine.push(house.knock("7000 wait:30 8000 wait:30 9000 wait:190"));
        }
        done.store(true, Ordering::Relaxed);
        flood.join().unwrap()
    });
    let took = begun.elapsed();
    let opened = || {
        let ran = daemon.ran();
        genuine.iter().filter(|source| ran.contains(&format!("A {source}"))).count()
    };
    let patience = if which.is_ours() { PATIENCE } else { PATIENCE / 5 };
    wait_until(Instant::now() + patience, || opened() == GENUINE);
    let lines = daemon.read("log").lines().count();
    let memory = (before, memory(&daemon));
    Seen { opened: opened(), sent, took, memory, lines, processor: processor(&daemon) }
}

/// Until it is told to stop; how many were sent.
fn forge(wire: &Wire, to: SocketAddr, rate: u64, done: &AtomicBool) -> u64 {
    let begun = Instant::now();
    let mut sent = 0;
    while !done.load(Ordering::Relaxed) {
        let due = u64::try_from(begun.elapsed().as_millis()).unwrap() * rate / 1_000;
        let packets = (sent..due).map(|number| {
            let number = u32::try_from(number).unwrap();
            let from: IpAddr = made_up(Family::V4, 500_000 + number);
            Packet::syn(SocketAddr::new(from, 1024 + (number % 60_000) as u16), to)
        });
        wire.send_all(packets).unwrap();
        sent = due;
        thread::sleep(Duration::from_millis(1));
    }
    sent
}

/// What its processes hold of the machine's memory, in kB.
fn memory(daemon: &Daemon) -> u64 {
    let of = |id: i32| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0)
    };
    daemon.family().into_iter().map(of).sum()
}

/// How long its processes have kept a processor busy.
fn processor(daemon: &Daemon) -> Duration {
    let of = |id: i32| -> u64 {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // proc_pid_stat(5): after the name in brackets, fields 3 on; 14 and 15 are the times.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
    };
    let ticks: u64 = daemon.family().into_iter().map(of).sum();
    // A tick is 10 ms everywhere (USER_HZ).
    Duration::from_millis(ticks * 10)
}
