//! Frames with something wrong in them: the kernel's rules, the daemon and a replay take each for the
//! same, and none takes for a knock or a wrong port what the host's own network stack drops.
//!
//! Each seed is a probe: one odd frame among right knocks, from a source of its own. If the frame is a
//! knock, the door opens; if it is a wrong port, the door stays shut. `PORTCULLIS_ODD=3600` plays new
//! seeds for an hour, from the time of day on or from `PORTCULLIS_ODD_FROM`; without it a fixed range and
//! those of `odd/seeds.txt`, which disagreed once. That file also has the ranges of long runs.

mod frame;
mod recogniser;
use libtest_mimic::Trial;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_lab::world;

use frame::{MUTATIONS, Probe};
use recogniser::{Recognisers, Took, Who};

/// Probes that are played at once.
const BATCH: usize = 500;

/// Seeds that are always played.
const SEEDS: std::ops::Range<u64> = 0..5_000;

/// How often a probe is repeated that the recognisers disagree about: a packet may have been lost.
const AGAIN: usize = 3;

/// What `docs/threat-model.md` lists: a probe with this in it is not held against this recogniser.
const TOLERATED: &[(&[&str], Who, &str)] = &[
    (&["udp-length"], Who::Kernel, "connection tracking does not compare the two lengths"),
    (&["udp-bytes-behind"], Who::Kernel, "the same"),
    // What fills the frame belongs to the IP packet then, behind the datagram.
    (&["udp", "ip-length", "link-padding"], Who::Kernel, "the same"),
    (
        &["long-data"],
        Who::Daemon,
        "it cannot verify the checksum of what does not fit into its ring",
    ),
    (&["sum-partial"], Who::Replay, "it takes such a checksum for one that is not filled in yet"),
    (
        &["link-other-host"],
        Who::Replay,
        "a capture does not say which hardware address is the host's",
    ),
    (&["tcp-options"], Who::Stack, "no recogniser reads the options of TCP"),
    (&["tcp-offset"], Who::Stack, "the same: what was data may be options then"),
];

pub fn trials() -> Vec<Trial> {
    vec![world::trial("recognisers_agree_on_odd_frames", agree)]
}

fn agree() {
    let mut recognisers = Recognisers::start();
    let mut played = Played::default();
    let known = include_str!("seeds.txt").lines().filter_map(|line| line.parse().ok());
    let seeds: Vec<u64> = known.chain(SEEDS).collect();
    for some in seeds.chunks(BATCH) {
        played.play(&mut recognisers, some);
    }
    if let Ok(seconds) = std::env::var("PORTCULLIS_ODD") {
        let end = Instant::now() + Duration::from_secs(seconds.parse().unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let from = std::env::var("PORTCULLIS_ODD_FROM").ok().map(|from| from.parse().unwrap());
        let first = from.unwrap_or(now.as_secs() << 24);
        let mut next = first;
        while Instant::now() < end && played.found.len() < 50 {
            let some: Vec<u64> = (next..).take(BATCH).collect();
            next += BATCH as u64;
            played.play(&mut recognisers, &some);
        }
        eprintln!("seeds {first} to {next}");
    }
    eprintln!(
        "{} probes, {} counted, {} played again",
        played.probes, played.counted, played.again
    );
    for (name, count) in &played.compared {
        assert!(*count > 0, "{name} was never compared");
    }
    assert!(
        played.found.is_empty(),
        "{} disagreements:\n{}",
        played.found.len(),
        played.found.join("\n")
    );
}

/// What has been played.
#[derive(Default)]
struct Played {
    probes: usize,
    counted: usize,
    again: usize,
    /// How many probes with each mutation have been compared.
    compared: BTreeMap<&'static str, usize>,
    found: Vec<String>,
}

impl Played {
    fn play(&mut self, recognisers: &mut Recognisers, seeds: &[u64]) {
        let probes: Vec<Probe> = seeds.iter().map(|&seed| Probe::new(seed)).collect();
        let took = recognisers.play(&probes);
        for (name, ..) in MUTATIONS {
            self.compared.entry(name).or_default();
        }
        for (probe, mut took) in probes.iter().zip(took) {
            self.probes += 1;
            self.counted += usize::from(took.daemon);
            for name in probe.names() {
                *self.compared.entry(name).or_default() += 1;
            }
            let mut left = AGAIN;
            while disagreement(probe, took).is_some() && left > 0 {
                left -= 1;
                self.again += 1;
                took = recognisers.play(std::slice::from_ref(probe))[0];
            }
            if let Some(what) = disagreement(probe, took) {
                let frame = recognisers.frame(probe);
                self.found.push(format!(
                    "seed {}: {what}: {} {} {} with {:?}\n  {took:?}\n  {}",
                    probe.seed,
                    probe.family,
                    if probe.is_tcp { "tcp" } else { "udp" },
                    if probe.is_wrong { "wrong port" } else { "knock" },
                    probe.names(),
                    frame.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
                ));
            }
        }
    }
}

/// What of this is wrong.
fn disagreement(probe: &Probe, took: Took) -> Option<String> {
    let names = probe.names();
    let protocol = if probe.is_tcp { "tcp" } else { "udp" };
    let has = |name: &&str| *name == protocol || names.contains(name);
    let excused =
        |who: Who| TOLERATED.iter().any(|(with, whose, _)| *whose == who && with.iter().all(has));
    let by = [(Who::Kernel, took.kernel), (Who::Daemon, took.daemon), (Who::Replay, took.replay)];
    let held: Vec<_> = by.into_iter().filter(|(who, _)| !excused(*who)).collect();
    if held.windows(2).any(|two| two[0].1 != two[1].1) {
        return Some("they disagree".to_owned());
    }
    let counting = held.iter().find(|(_, counted)| *counted);
    match counting {
        Some((who, _)) if !took.stack && !excused(Who::Stack) => {
            Some(format!("{who:?} counts what the stack drops"))
        }
        _ => None,
    }
}
