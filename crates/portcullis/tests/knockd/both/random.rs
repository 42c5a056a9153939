//! Random configurations and scripts, within what theirs and ours do alike.
//!
//! Left out is what `docs/knockd-compatibility.md` lists, and `differences` shows: segments
//! that repeat a SYN byte for byte, more than four different stray ports in one script, IPv6 beside
//! one-time sequences, waiting.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use portcullis_lab::Family;

/// The generator splitmix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below this.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Yes, in so many of a hundred cases.
    pub fn percent(&mut self, yes: usize) -> bool {
        self.below(100) < yes
    }

    /// One of them.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// One knock, or one packet: port, and whether it is UDP.
type Port = (u16, bool);

/// Most different ports of no door in one script: one more, and ours forgets what was knocked.
const MAX_STRAYS: usize = 4;

/// A configuration, and what happens to it.
#[derive(Debug, Clone)]
pub struct Case {
    pub config: String,
    /// The file `once`, if a door has one-time sequences.
    pub once: Option<String>,
    /// Each by a source of its own.
    pub scripts: Vec<(Family, String)>,
    /// Whether the scripts are played one after the other, and not mixed.
    pub one_by_one: bool,
    /// Doors whose commands run only once if they are opened again meanwhile, in ours.
    pub stopping: Vec<String>,
}

const FLAGS: [&str; 13] = [
    "syn", "ack", "fin", "rst", "psh", "urg", "!ack", "syn,!ack", "fin,!syn", "syn,ack", "!rst",
    "psh,urg", "SYN,!Fin",
];
const SENT: [&str; 10] =
    ["syn", "ack", "fin", "rst", "syn+ack", "fin+psh+urg", "none", "psh+ack", "syn+fin", "urg"];
const TARGETS: [&str; 2] = ["203.0.113.77", "2001:db8:7::7"];

struct Door {
    sequences: Vec<Vec<Port>>,
    flags: Option<&'static str>,
    target: Option<&'static str>,
}

/// The case of this number.
pub fn case(seed: u64) -> Case {
    let random = &mut Random::new(seed);
    let with_once = random.percent(6);
    let mut config = String::new();
    let mut doors = Vec::new();
    let mut stopping = Vec::new();
    let count = 1 + random.below(4);
    for index in 0..count {
        let once = with_once && index == 0;
        let name = format!("{}{index}", random.pick(&["door", "D", "x-"]));
        doors.push(door(random, &mut config, &name, once, &mut stopping));
    }
    let once = with_once.then(|| {
        let lines = doors[0].sequences.iter().map(|sequence| format!(" {}\n", text(sequence)));
        format!("# used ones are marked like this\n\n{}", lines.collect::<String>())
    });
    let mut scripts = Vec::new();
    for _ in 0..if with_once { 6 } else { 12 } {
        scripts.push(script(random, &doors, with_once));
    }
    Case { config, once, scripts, one_by_one: with_once || random.percent(30), stopping }
}

fn door(
    random: &mut Random,
    config: &mut String,
    name: &str,
    once: bool,
    stopping: &mut Vec<String>,
) -> Door {
    writeln!(config, "[{name}]").unwrap();
    // One more than there are scripts: theirs does not survive the last.
    let sequences: usize = if once { 8 } else { 1 };
    // All as long as the first: of a longer one, theirs takes the beginning for knocked already.
    let length = 1 + random.below(4);
    let mut sequences = vec![Vec::new(); sequences];
    for index in 0..sequences.len() {
        // And none like the one before, which would be that one used again.
        while sequences[index].is_empty() || index > 0 && sequences[index] == sequences[index - 1] {
            sequences[index] = (0..length).map(|_| port(random)).collect::<Vec<Port>>();
        }
    }
    if once {
        writeln!(config, "one_time_sequences = DIR/once").unwrap();
    } else {
        writeln!(config, "\tSequence = {}", text(&sequences[0])).unwrap();
    }
    let flags = match random.below(10) {
        0..4 => None,
        4..8 => Some("syn"),
        _ => Some(random.pick(&FLAGS)),
    };
    if let Some(flags) = flags {
        writeln!(config, "tcpflags={flags}").unwrap();
    }
    let target = random.percent(10).then(|| random.pick(&TARGETS));
    if let Some(target) = target {
        writeln!(config, "target = {target}").unwrap();
    }
    if random.percent(60) {
        writeln!(config, "seq_timeout = {}", 600 + random.below(600)).unwrap();
    }
    let mut command = |random: &mut Random, what: &str, likely| {
        for (suffix, likely) in [("", likely), ("_6", likely / 4)] {
            if random.percent(likely) {
                let echo = format!("echo {name} {what}{suffix} %IP% >> ran");
                writeln!(config, "{what}_Command{suffix} = {echo}").unwrap();
            }
        }
    };
    command(random, "Start", 70);
    if random.percent(30) {
        command(random, "Stop", 100);
        // Each second is one that the test waits.
        writeln!(config, "cmd_timeout = {}", usize::from(random.percent(8))).unwrap();
        stopping.push(name.to_owned());
    }
    Door { sequences, flags, target }
}

fn port(random: &mut Random) -> Port {
    (1001 + random.below(6) as u16, random.percent(25))
}

/// Never a knock.
fn stray(random: &mut Random) -> Port {
    (2001 + random.below(4) as u16, random.percent(50))
}

fn text(sequence: &[Port]) -> String {
    let ports: Vec<_> = sequence
        .iter()
        .map(|(port, udp)| format!("{port}{}", if *udp { ":udp" } else { "" }))
        .collect();
    ports.join(",")
}

/// Mostly the sequence of one door, with mistakes in it.
fn script(random: &mut Random, doors: &[Door], only_v4: bool) -> (Family, String) {
    let door = &doors[random.below(doors.len())];
    let target = door.target.filter(|_| random.percent(90));
    let target = target.filter(|target| !only_v4 || !target.contains(':'));
    let family = match target {
        Some(target) if target.contains(':') => Family::V6,
        Some(_) => Family::V4,
        None if only_v4 || random.percent(65) => Family::V4,
        None => Family::V6,
    };
    let at = target.map(|target| format!("@{target}")).unwrap_or_default();
    // One sequence in each script: the knocks of another one-time sequence would be strays.
    let sequence = &door.sequences[random.below(door.sequences.len())];
    let mut strays = BTreeSet::new();
    let mut bearable = |port: Port| {
        sequence.contains(&port)
            || strays.contains(&port)
            || strays.len() < MAX_STRAYS && strays.insert(port)
    };
    let mut words: Vec<String> = Vec::new();
    for _ in 0..1 + random.below(3) {
        for &knock in sequence {
            let right = if random.percent(93) { knock } else { port(random) };
            let right = if bearable(right) { right } else { knock };
            words.push(word(random, right, door.flags, &at));
            if random.percent(15) {
                let noise = if random.percent(25) { stray(random) } else { port(random) };
                let noise = if bearable(noise) { noise } else { knock };
                words.push(match random.below(3) {
                    0 => word(random, noise, None, &at),
                    1 if !noise.1 => format!("{}/{}{at}", noise.0, random.pick(&SENT)),
                    // The same once more, but not byte for byte.
                    _ => words.last().unwrap().clone(),
                });
            }
        }
    }
    (family, words.join(" "))
}

/// A packet to this port that a door with these flags sees, mostly.
fn word(random: &mut Random, (port, udp): Port, flags: Option<&str>, at: &str) -> String {
    if udp {
        return format!("{port}/udp{at}");
    }
    let admitted = |sent: &&&str| {
        flags.is_none_or(|flags| {
            flags.to_lowercase().split(',').all(|flag| match flag.strip_prefix('!') {
                Some(flag) => !sent.split('+').any(|other| other == flag),
                None => sent.split('+').any(|other| other == flag),
            })
        })
    };
    let fitting: Vec<&str> = SENT.iter().filter(admitted).copied().collect();
    let sent = if random.percent(90) && admitted(&&"syn") {
        "syn"
    } else if random.percent(95) && !fitting.is_empty() {
        random.pick(&fitting)
    } else {
        random.pick(&SENT)
    };
    format!("{port}/{sent}{at}")
}
