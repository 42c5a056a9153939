//! Sends every kind of probe to every port, and compares the answers.
//!
//! Each probe has a source address of its own, which tells the answers apart: so all are sent at
//! once, and silence is waited for once.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use portcullis_lab::Family;
use portcullis_lab::answer::Seen;
use portcullis_lab::wire::Wire;

use crate::oracle::answer::describe;
use crate::oracle::bytes::{Ends, Frames};
use crate::oracle::probes::{Kind, SOURCE, Source, Step};
use crate::world::{PATIENCE, World};

/// How often a kind is tried before a difference counts: a busy machine may lose a packet.
const TRIES: u32 = 4;

/// How long nothing arrives when all answers have arrived, on the first try.
const QUIET: Duration = Duration::from_millis(150);

/// Frames sent before answers are read: the socket has no room for all of them where its owner is
/// not root.
const CHUNK: usize = 64;

/// A port to ask. The first one of a list is what the others must be like.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    pub port: u16,
}

/// Who sends the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Senders {
    One,
    /// Each on a CPU of its own.
    Two,
}

/// A kind of probe that tells ports apart.
pub struct Difference {
    pub kind: String,
    /// What each port answered to each step.
    pub answers: Vec<(Target, String)>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.kind)?;
        let mut said: Vec<&str> = Vec::new();
        for (_, answer) in &self.answers {
            if said.contains(&answer.as_str()) {
                continue;
            }
            said.push(answer);
            let alike = self.answers.iter().filter(|(_, other)| other == answer);
            let ports: Vec<_> =
                alike.map(|(target, _)| format!("{} ({})", target.name, target.port)).collect();
            writeln!(f, "    {}\n        {answer}", ports.join("; "))?;
        }
        Ok(())
    }
}

/// What came of it.
pub struct Outcome {
    pub differences: Vec<Difference>,
    /// Kinds that the first port answers.
    pub answered: usize,
}

/// Asks all the targets.
pub fn compare(
    world: &mut World,
    family: Family,
    targets: &[Target],
    kinds: &[Kind],
    senders: Senders,
) -> Outcome {
    let mut outcome = Outcome { differences: Vec::new(), answered: 0 };
    let mut left: Vec<&Kind> = kinds.iter().collect();
    for attempt in 1..=TRIES {
        let answers = ask(world, family, targets, &left, senders, QUIET * attempt);
        let mut again = Vec::new();
        for (kind, answers) in left.into_iter().zip(answers) {
            let same = answers.iter().all(|answer| *answer == answers[0]);
            if same || attempt == TRIES {
                outcome.answered += usize::from(answers[0].iter().any(|step| !step.is_empty()));
            }
            if same {
                continue;
            }
            again.push(kind);
            if attempt == TRIES {
                let answers = answers.iter().map(spoken);
                let answers = targets.iter().copied().zip(answers).collect();
                outcome.differences.push(Difference { kind: kind.name.clone(), answers });
            }
        }
        left = again;
    }
    outcome
}

/// What one port answered: for each step the descriptions of all answers.
type Answers = Vec<Vec<String>>;

fn spoken(steps: &Answers) -> String {
    let steps = steps.iter().map(|answers| match answers.len() {
        0 => "silence".to_owned(),
        _ => answers.join(" and "),
    });
    steps.collect::<Vec<_>>().join(",\n        then ")
}

/// The answers of every target to every kind.
fn ask(
    world: &mut World,
    family: Family,
    targets: &[Target],
    kinds: &[&Kind],
    senders: Senders,
    quiet: Duration,
) -> Vec<Vec<Answers>> {
    let mut all = vec![vec![Answers::new(); targets.len()]; kinds.len()];
    let from: Vec<Vec<IpAddr>> =
        kinds.iter().map(|_| targets.iter().map(|_| world.new_source(family)).collect()).collect();
    let steps = kinds.iter().map(|kind| kind.steps.len()).max().unwrap_or_default();
    for number in 0..steps {
        let mut probes = Vec::new();
        let mut by_prober = HashMap::new();
        for (k, kind) in kinds.iter().enumerate() {
            let Some(step) = kind.steps.get(number) else { continue };
            for (t, target) in targets.iter().enumerate() {
                let port = step.port.unwrap_or(target.port);
                let source = match step.source {
                    Source::Usual => SOURCE,
                    Source::Port(source) => source,
                    Source::Asked => port,
                };
                let ends = Ends { from: from[k][t], to: world.client.host(family), source, port };
                by_prober.insert(ends.from, (k, t, probes.len()));
                all[k][t].push(Vec::new());
                probes.push((ends, (step.make)(&ends), step));
            }
        }
        exchange(world, &probes, senders, quiet, |to, seen| {
            let Some(&(k, t, probe)) = by_prober.get(&to) else { return };
            let (ends, sent, step): &Probe<'_> = &probes[probe];
            if step.compared {
                all[k][t][number].push(describe(seen, sent, ends));
            }
        });
        for answers in all.iter_mut().flatten() {
            if let Some(step) = answers.get_mut(number) {
                step.sort_unstable();
            }
        }
    }
    all
}

type Probe<'a> = (Ends, Frames, &'a Step);

/// Sends all, and hands over what arrives until nothing does.
fn exchange(
    world: &World,
    probes: &[Probe<'_>],
    senders: Senders,
    quiet: Duration,
    mut arrived: impl FnMut(IpAddr, &Seen),
) {
    let wire = &world.wire;
    wire.drain().unwrap();
    // A service that has been reached speaks again and again: not for ever.
    let end = Instant::now() + PATIENCE;
    let mut read = |wait: Duration| {
        while let Some(seen) = wire.receive(end.min(Instant::now() + wait)).unwrap() {
            arrived(seen.destination, &seen);
            if Instant::now() > end {
                break;
            }
        }
    };
    match senders {
        Senders::One => {
            for some in probes.chunks(CHUNK) {
                send(wire, some);
                read(Duration::ZERO);
            }
        }
        Senders::Two => {
            let (one, other) = probes.split_at(probes.len() / 2);
            thread::scope(|scope| {
                let threads = [one, other].into_iter().enumerate().map(|(cpu, half)| {
                    let wire = world.client.sender().unwrap();
                    scope.spawn(move || {
                        on_cpu(cpu);
                        send(&wire, half);
                    })
                });
                let threads: Vec<_> = threads.collect();
                while threads.iter().any(|thread| !thread.is_finished()) {
                    read(Duration::from_millis(1));
                }
            });
        }
    }
    read(quiet);
}

fn send(wire: &Wire, probes: &[Probe<'_>]) {
    for (_, sent, step) in probes {
        for _ in 0..step.times {
            for frame in &sent.frames {
                wire.send_frame(frame).unwrap();
            }
        }
    }
}

/// Keeps this thread, and with it what its packets set off, on one CPU; where there is only one, on
/// any.
pub fn on_cpu(cpu: usize) {
    let mut set = CpuSet::new();
    if set.set(cpu).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}
