//! The matcher by example.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use super::*;
use crate::knockd::FlagFilter;

const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const VIRTUAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
const SYN: FlagFilter = FlagFilter { set: TcpFlags::SYN, clear: TcpFlags::from_bits(0) };
const ANY: FlagFilter = FlagFilter { set: TcpFlags::from_bits(0), clear: TcpFlags::from_bits(0) };

/// A door with these knocks, as in `7000,8000,9000:udp`.
fn door(knocks: &str, flags: FlagFilter) -> Door {
    let port = |knock: &str| match knock.strip_suffix(":udp") {
        Some(number) => Port::udp(number.parse().unwrap()).unwrap(),
        None => Port::tcp(knock.parse().unwrap()).unwrap(),
    };
    Door {
        sequence: knocks.split(',').filter(|knock| !knock.is_empty()).map(port).collect(),
        flags,
        timeout: Duration::from_secs(25),
        target: None,
        once: false,
    }
}

fn doors(knocks: &[&str]) -> Vec<Door> {
    knocks.iter().map(|knocks| door(knocks, SYN)).collect()
}

fn at(target: Ipv4Addr, door: Door) -> Door {
    Door { target: Some(target.into()), ..door }
}

fn once(door: Door) -> Door {
    Door { once: true, ..door }
}

fn within(millis: u64, door: Door) -> Door {
    Door { timeout: Duration::from_millis(millis), ..door }
}

fn source(number: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, number).into()
}

/// Somebody who sends packets, and what time it is for him.
struct Script {
    matcher: Matcher,
    now: Instant,
    source: IpAddr,
    destination: IpAddr,
    sequence: u32,
    log: Vec<String>,
    seen: Vec<Seen>,
}

impl Script {
    fn new(doors: Vec<Door>) -> Self {
        let options = Options { max_knockers: 64, ..Options::default() };
        let mut matcher = Matcher::new(doors, options);
        matcher.set_local_addresses(&[OTHER.into(), HOST.into(), Ipv6Addr::LOCALHOST.into()]);
        Self {
            matcher,
            now: Instant::from_millis(500),
            source: source(1),
            destination: HOST.into(),
            sequence: 0,
            log: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// Sends what the words say: `7000` a SYN, `=7000` the same one as the last, `7000/sa` a segment
    /// with these flags, `7000/-` one without any, `7000/u` a datagram. `@2` is the next source,
    /// `>9` the next destination, `+20` milliseconds that pass, `.` a look at the time.
    fn run(&mut self, words: &str) -> &mut Self {
        for word in words.split_whitespace() {
            let number = |at: usize| word[at..].parse::<u64>().unwrap();
            match &word[..1] {
                "+" => self.now = self.now.after(Duration::from_millis(number(1))),
                "@" => self.source = source(number(1) as u8),
                ">" => {
                    self.destination = Ipv4Addr::new(198, 51, 100, number(1) as u8).into();
                }
                "." => {
                    self.matcher.handle_timeout(self.now);
                    self.fetch();
                }
                _ => self.send(word),
            }
        }
        self
    }

    fn send(&mut self, word: &str) {
        let (port, flags) = word.split_once('/').unwrap_or((word, "s"));
        let again = port.starts_with('=');
        self.sequence += u32::from(!again);
        let destination_port = port.trim_start_matches('=').parse().unwrap();
        let segment = if flags == "u" {
            Segment::Udp { source_port: 40_000, destination_port }
        } else {
            let bit = |letter: char| match "fsrpau".find(letter) {
                Some(bit) => 1 << bit,
                None => 0,
            };
            Segment::Tcp {
                source_port: 40_000,
                destination_port,
                sequence: self.sequence,
                flags: TcpFlags::from_bits(flags.chars().map(bit).sum()),
            }
        };
        let packet = Packet { source: self.source, destination: self.destination, segment };
        let seen = self.matcher.handle_packet(&packet, self.now);
        self.seen.push(seen);
        self.fetch();
    }

    fn fetch(&mut self) {
        while let Some(event) = self.matcher.next_event() {
            self.log.push(line(event));
        }
    }

    /// The events since the last call.
    fn log(&mut self) -> String {
        core::mem::take(&mut self.log).join("; ")
    }

    /// What the packets since the last call were taken for.
    fn seen(&mut self) -> Vec<Seen> {
        core::mem::take(&mut self.seen)
    }

    /// The doors that opened since the last call.
    fn opened(&mut self) -> Vec<usize> {
        let log = core::mem::take(&mut self.log);
        log.iter().filter_map(|line| line.strip_suffix(" opened")?[..1].parse().ok()).collect()
    }
}

/// An event as `door source what`.
fn line(event: Event) -> String {
    let last = |source: IpAddr| match source {
        IpAddr::V4(v4) => v4.octets()[3].into(),
        IpAddr::V6(v6) => v6.segments()[7],
    };
    match event {
        Event::Stage { door, source, stage } => format!("{door} @{} stage {stage}", last(source)),
        Event::Opened { door, source } => format!("{door} @{} opened", last(source)),
        Event::TimedOut { door, source, stage } => {
            format!("{door} @{} late at {stage}", last(source))
        }
    }
}

fn opened(doors: Vec<Door>, words: &str) -> Vec<usize> {
    Script::new(doors).run(words).opened()
}

#[test]
fn the_last_knock_is_a_stage_too() {
    let mut script = Script::new(doors(&["7000,8000,9000"]));
    script.run("7000 8000 9000");
    assert_eq!(script.log(), "0 @1 stage 1; 0 @1 stage 2; 0 @1 stage 3; 0 @1 opened");
    assert_eq!(script.seen(), [Seen::Knock; 3]);
    assert_eq!(script.matcher.knockers(), 0);
    assert_eq!(script.matcher.poll_timeout(), None);
}

/// The table of what knockd does, with our differences: see `docs/knockd-compatibility.md`.
#[test]
fn knocks_mean_what_they_mean_to_knockd() {
    let one = || doors(&["7000,8000,9000"]);
    for (words, opens) in [
        ("7000 1234 8000 1235 9000", true),
        ("7000 8000/u 8000 9000", true),
        ("7000 7000 8000 9000", false),
        ("7000 8000 8000 9000", false),
        ("7000 7000 7000 8000 9000", true),
        ("7000 9000 7000 8000 9000", true),
        ("7000 7000/a 8000 8000/r 9000", true),
        ("7000/sa 8000/sa 9000/sf", true),
        ("7000 >2 8000 >1 9000", true),
        // Ours: a segment that is sent again is no second knock.
        ("7000 =7000 8000 =8000 9000", true),
        ("7000 =7000 =7000 8000 9000", true),
        // Ours: the time has no seconds.
        ("+400 7000 +24999 8000 9000", true),
        ("7000 +12500 8000 +12499 9000", true),
        ("7000 +12500 8000 +12500 9000", false),
    ] {
        assert_eq!(opened(one(), words), [0][..usize::from(opens)], "{words}");
    }
    let any = || vec![door("7000,8000,9000", ANY)];
    assert_eq!(opened(any(), "7000/a 8000/r 9000/fpu"), [0]);
    assert_eq!(opened(any(), "7000/- 8000/s 9000/u"), [] as [usize; 0]);
    assert_eq!(opened(any(), "7000 8000 9000/-"), [0]);
    // The answer to a refusal, or that of an open port, breaks the sequence, as in knockd.
    assert_eq!(opened(any(), "7000 7000/r 8000 9000"), [] as [usize; 0]);

    let two = || doors(&["7000,8000,9000", "5000,5001"]);
    assert_eq!(opened(two(), "7000 5000 8000 9000"), [] as [usize; 0]);
    assert_eq!(opened(two(), "7000 5000 5001"), [] as [usize; 0]);
    assert_eq!(opened(two(), "7000 5000 5000 5001"), [1]);

    assert_eq!(opened(doors(&["7000,7000,8000"]), "7000 7000 8000"), [0]);
    assert_eq!(opened(doors(&["7000,7000,8000"]), "7000 =7000 8000"), [] as [usize; 0]);

    let mut script = Script::new(one());
    script.run("7000");
    script.source = "2001:db8::1".parse().unwrap();
    script.destination = Ipv6Addr::LOCALHOST.into();
    script.run("8000 9000");
    assert_eq!(script.log(), "0 @1 stage 1");
}

#[test]
fn doors_that_share_a_beginning_do_not_touch_each_other() {
    for (all, words, opens) in [
        (["1,2", "1,2,3"], "1 2 3", &[0, 1][..]),
        (["1,2,3", "1,2"], "1 2 3", &[1, 0]),
        (["1,2,3", "1,3,2"], "1 3 2", &[1]),
        (["1,2,3", "1,3,2"], "1 2 3", &[0]),
        // Only one packet begins attempts: the second door's first knock came too early.
        (["1,2,3", "2,3,4"], "1 2 3 4", &[0]),
        (["1", "1,1"], "1 1", &[0, 1]),
        (["1,2", "1,2"], "1 2", &[0, 1]),
    ] {
        assert_eq!(opened(doors(&all), words), opens, "{all:?}");
    }
    let mut script = Script::new(doors(&["1,2", "1,3", "1,2,4"]));
    script.run("1 2");
    let first = "0 @1 stage 1; 1 @1 stage 1; 2 @1 stage 1; ";
    let second = "0 @1 stage 2; 0 @1 opened; 2 @1 stage 2";
    assert_eq!(script.log(), format!("{first}{second}"));
}

#[test]
fn sources_do_not_touch_each_other() {
    let all = || doors(&["7000,8000,9000"]);
    assert_eq!(opened(all(), "@1 7000 @2 7000 @1 8000 9000 @2 8000 9000"), [0, 0]);
    assert_eq!(opened(all(), "@1 7000 @2 7000 9000 @1 8000 9000"), [0]);
    let mut script = Script::new(all());
    script.run("@1 7000 +20000 @2 7000 +5000 8000 9000");
    let log = "0 @1 stage 1; 0 @2 stage 1; 0 @1 late at 1; 0 @2 stage 2; 0 @2 stage 3; 0 @2 opened";
    assert_eq!(script.log(), log);
}
