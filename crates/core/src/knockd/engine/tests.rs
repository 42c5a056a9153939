//! The engine by example.

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
    engine: KnockdEngine,
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
        let mut engine = KnockdEngine::new(doors, options);
        engine.set_local_addresses(&[OTHER.into(), HOST.into(), Ipv6Addr::LOCALHOST.into()]);
        Self {
            engine,
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
                    self.engine.handle_timeout(self.now);
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
        let seen = self.engine.handle_packet(&packet, self.now);
        self.seen.push(seen);
        self.fetch();
    }

    fn fetch(&mut self) {
        while let Some(event) = self.engine.next_event() {
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
    assert_eq!(script.engine.knockers(), 0);
    assert_eq!(script.engine.poll_timeout(), None);
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

#[test]
fn a_door_sees_only_what_its_flags_admit() {
    // SYN to one, ACK to the other: each is blind to the other's knocks.
    let ack = FlagFilter { set: TcpFlags::ACK, clear: TcpFlags::default() };
    let bare = FlagFilter { set: TcpFlags::SYN, clear: TcpFlags::ACK };
    let both = || vec![door("1,2,3", bare), door("1,3,2", ack)];
    assert_eq!(opened(both(), "1/s 3/a 2/s 2/a 3/s"), [0]);
    assert_eq!(opened(both(), "1/a 2/s 3/a 3/s 2/a"), [1]);
    // A SYN to a port that only the ACK door sees: knockd's filter lets it pass for neither.
    let apart = || vec![door("1,2,3", bare), door("1,9", ack)];
    assert_eq!(opened(apart(), "1 9 2 3"), [0], "hidden, and no stray");
    assert_eq!(opened(apart(), "1 9/sa 2 3"), [0], "of no interest to the first door");
    let wide = || vec![door("1,2,3", ANY), door("1,9", ack)];
    assert_eq!(opened(wide(), "1 9/sa 2 3"), [] as [usize; 0], "seen by one, wrong for the other");
    // Only those that see the first knock start.
    let mut script = Script::new(vec![door("1,2", bare), door("1,2", ack), door("1,2", SYN)]);
    script.run("1/sa 2/sa 2");
    assert_eq!(
        script.log(),
        "1 @1 stage 1; 2 @1 stage 1; 1 @1 stage 2; 1 @1 opened; 2 @1 stage 2; 2 @1 opened"
    );
    assert_eq!(script.seen(), [Seen::Knock, Seen::Knock, Seen::Ignored]);
}

#[test]
fn a_door_of_one_knock_opens_at_once() {
    let mut script = Script::new(doors(&["7", "7,8", "9:udp"]));
    script.run("9/u 7");
    assert_eq!(script.log(), "2 @1 stage 1; 2 @1 opened; 0 @1 stage 1; 0 @1 opened; 1 @1 stage 1");
    // The other door's attempt is in progress: nothing new until it is over.
    assert_eq!(script.run("7").log(), "");
    assert_eq!(script.run("7").log(), "0 @1 stage 1; 0 @1 opened; 1 @1 stage 1");
    assert_eq!(script.engine.knockers(), 1);
}

#[test]
fn packets_are_for_whom_they_are_for() {
    let all = || vec![door("1,2", SYN), at(VIRTUAL, door("1,2", SYN))];
    assert_eq!(opened(all(), ">1 1 >9 1 >1 2 >9 2"), [0, 1], "two knockers");
    assert_eq!(opened(all(), ">1 1 >9 2 >1 2"), [0]);
    assert_eq!(opened(all(), ">1 1 >2 2"), [0], "two addresses of the host are one");
    assert_eq!(opened(all(), ">5 1 2"), [] as [usize; 0]);
    let mut script = Script::new(all());
    assert_eq!(script.run(">5 1 2").seen(), [Seen::Ignored; 2]);

    // A target that is an address of the host: a packet to it is for both doors, in file order.
    let both = || vec![at(OTHER, door("1,2", SYN)), door("1,3", SYN), at(OTHER, door("1,4", SYN))];
    let mut script = Script::new(both());
    script.run(">2 1");
    assert_eq!(script.log(), "0 @1 stage 1; 1 @1 stage 1; 2 @1 stage 1");
    assert_eq!(script.engine.knockers(), 2);
    assert_eq!(script.run(">1 3").log(), "1 @1 stage 2; 1 @1 opened");
    assert_eq!(script.run(">2 4").log(), "2 @1 stage 2; 2 @1 opened");
    // They are late together, in file order.
    script.run(">2 1").log();
    assert_eq!(script.run("+25000 .").log(), "0 @1 late at 1; 1 @1 late at 1; 2 @1 late at 1");

    // Only what began together is told of together, even if half of it is gone.
    let both = vec![door("1,2", SYN), at(OTHER, door("1,4", ANY)), door("1,3", SYN)];
    let mut script = Script::new(both);
    script.run("@1 >2 1 @2 >1 1 @1 >2 4/a").log();
    let late = "0 @1 late at 1; 2 @1 late at 1; 0 @2 late at 1; 2 @2 late at 1";
    assert_eq!(script.run("+25000 .").log(), late);

    // Without a word about the host's addresses, every address is one.
    let mut script = Script::new(doors(&["1"]));
    script.engine.local = None;
    assert_eq!(script.run(">77 1").opened(), [0]);
}

#[test]
fn a_few_strays_are_borne_and_one_more_is_not() {
    let all = || doors(&["7000,8000,9000"]);
    assert_eq!(opened(all(), "7000 1 2 3 4 8000 1/u 9000"), [] as [usize; 0]);
    assert_eq!(opened(all(), "7000 1 2 3 4 8000 9000"), [0]);
    assert_eq!(opened(all(), "7000 1 2 1 2 3 8000 3 3 4 4/a 1/r 9000"), [0], "distinct ones");
    assert_eq!(opened(all(), "1 2 3 4 7000 5 8000 9000"), [0], "before is before");
    assert_eq!(opened(all(), "7000 1 2 3 4 5 8000 9000 7000 1 2 3 4 8000 9000"), [0]);
    assert_eq!(opened(all(), "7000 1 2 3 4 @2 5 @1 8000 9000"), [0], "somebody else's");
    assert_eq!(opened(all(), "7000 1 2 3 4 >5 5 >1 8000 9000"), [0], "for somebody else");
    assert_eq!(opened(all(), "7000 1 2 3 4 8000/a 9000/- 8000 9000"), [0], "flags of no door");
    assert_eq!(opened(all(), "7000 0 0/u 1 2 3 8000 9000"), [] as [usize; 0], "port 0 is one");
    let mut script = Script::new(all());
    script.run("1 7000 1 2 3 4 1 7000/a 5 8000");
    let stray = [Seen::Stray; 5];
    let all = [&[Seen::Ignored, Seen::Knock][..], &stray, &[Seen::Ignored, Seen::Wrong]].concat();
    assert_eq!(script.seen(), [&all[..], &[Seen::Ignored]].concat());
    assert_eq!((script.engine.knockers(), script.engine.poll_timeout()), (0, None));
}

#[test]
fn only_the_same_segment_is_one_sent_again() {
    let all = || doors(&["1,2,3"]);
    let mut script = Script::new(all());
    script.run("1 =1 2 =2 =2 3");
    let (knock, again) = (Seen::Knock, Seen::Repeated);
    assert_eq!(script.seen(), [knock, again, knock, again, again, knock]);
    assert_eq!(script.opened(), [0]);
    // The flags differ; it is no SYN; it is a datagram; it counted in another attempt.
    assert_eq!(opened(all(), "1 =1/sa 2 3"), [] as [usize; 0]);
    let any = || vec![door("1,2,3", ANY), door("1:udp,2", ANY)];
    assert_eq!(opened(any(), "1/a =1/a 2 3"), [] as [usize; 0]);
    assert_eq!(opened(any(), "1/u =1/u 2 3"), [] as [usize; 0]);
    assert_eq!(opened(all(), "1 3 =1 2 3"), [0], "of an attempt that is lost");
    assert_eq!(opened(doors(&["1,1"]), "1 =1 1 =1"), [0]);
    // The last eight are remembered, not more.
    let long = || doors(&["1,2,3,4,5,6,7,8,9,10"]);
    let mut script = Script::new(long());
    script.run("1 2 3 4 5 6 7 8");
    script.sequence = 0;
    assert_eq!(script.run("1 2 3 4 5 6 7 8").opened(), [] as [usize; 0]);
    script.sequence = 8;
    assert_eq!(script.run("9 10").opened(), [0], "none of these counted, or was wrong");
    let mut script = Script::new(long());
    script.run("1 2 3 4 5 6 7 8 9");
    script.sequence = 0;
    assert_eq!(script.run("1").seen().pop(), Some(Seen::Wrong), "nine are one too many");
}

#[test]
fn the_time_is_up_at_the_deadline_and_not_before() {
    let mut script = Script::new(vec![
        within(2_000, door("1,2,3", SYN)),
        within(1_000, door("1,3", SYN)),
        within(2_000, door("1,4", SYN)),
        within(2_000, door("1,2,4", SYN)),
    ]);
    let start = script.now;
    script.run("1").log();
    let first = start.after(Duration::from_millis(1_000));
    assert_eq!(script.engine.poll_timeout(), Some(first));
    script.now = Instant::from_nanos(first.as_nanos() - 1);
    assert_eq!(script.run(".").log(), "");
    script.now = first;
    assert_eq!(script.run(".").log(), "1 @1 late at 1");
    assert_eq!(script.run("2").log(), "0 @1 stage 2; 3 @1 stage 2");
    let second = start.after(Duration::from_millis(2_000));
    assert_eq!(script.engine.poll_timeout(), Some(second));
    script.now = Instant::from_nanos(second.as_nanos() - 1);
    assert_eq!(script.run(".").log(), "");
    script.now = second;
    // The knock comes too late, and begins nothing.
    assert_eq!(script.run("3").log(), "0 @1 late at 2; 3 @1 late at 2");
    assert_eq!((script.engine.knockers(), script.engine.poll_timeout()), (0, None));

    // A long time without a look: still in the order in which they were late.
    script.run("@1 1 +500 @2 1 +100000").log();
    let late = "1 @1 late at 1; 1 @2 late at 1; 0 @1 late at 1; 2 @1 late at 1; 3 @1 late at 1; \
                0 @2 late at 1; 2 @2 late at 1; 3 @2 late at 1";
    assert_eq!(script.run(".").log(), late);
    script.run("@1 1 +500 @2 1 +100000").log();
    assert!(script.run("9").log().starts_with(late), "a packet looks too");
}

#[test]
fn no_time_at_all_is_late_at_the_next_look() {
    let zero = || vec![within(0, door("1,2", SYN)), within(0, door("1", SYN))];
    let mut script = Script::new(zero());
    script.run("1");
    assert_eq!(script.log(), "0 @1 stage 1; 1 @1 stage 1; 1 @1 opened");
    assert_eq!(script.engine.poll_timeout(), Some(script.now));
    assert_eq!(script.run("2").log(), "0 @1 late at 1");
    script.run("1").log();
    assert_eq!(script.run(".").log(), "0 @1 late at 1");
}

#[test]
fn an_hour_may_be_as_long_as_it_likes() {
    let forever = Door { timeout: Duration::MAX, ..door("1,2", SYN) };
    let mut script = Script::new(vec![forever]);
    script.run("1").log();
    script.now = Instant::from_nanos(u64::MAX - 1);
    assert_eq!(script.run(". 2").log(), "0 @1 stage 2; 0 @1 opened");
    // The clock has no later moment: no time is left, as for a timeout of zero.
    script.now = Instant::from_nanos(u64::MAX);
    assert_eq!(script.run("1 . 2").log(), "0 @1 stage 1; 0 @1 late at 1");
}

#[test]
fn a_clock_that_goes_back_does_no_harm() {
    let mut script = Script::new(doors(&["1,2"]));
    script.now = Instant::from_millis(60_000);
    script.run("1");
    script.now = Instant::ORIGIN;
    assert_eq!(script.run("2").opened(), [0]);
}

#[test]
fn nobody_can_knock() {
    let addresses =
        ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "::ffff:192.0.2.1"];
    let loopback = ["127.0.0.1", "::1", "127.3.4.5"];
    for (text, allowed) in
        addresses.map(|text| (text, false)).into_iter().chain(loopback.map(|text| (text, true)))
    {
        for allow_loopback in [false, true] {
            let mut script = Script::new(doors(&["1"]));
            script.engine.options.allow_loopback = allow_loopback;
            script.source = text.parse().unwrap();
            let opens = allowed && allow_loopback;
            assert_eq!(script.run("1").opened().len(), usize::from(opens), "{text}");
        }
    }
}

#[test]
fn fragments_and_other_protocols_are_nothing() {
    let mut script = Script::new(doors(&["1,2"]));
    script.run("1");
    for segment in [Segment::Fragment, Segment::Other(1), Segment::Other(6)] {
        let packet = Packet { source: script.source, destination: script.destination, segment };
        assert_eq!(script.engine.handle_packet(&packet, script.now), Seen::Ignored);
    }
    assert_eq!(script.run("2").opened(), [0]);
}

#[test]
fn a_sequence_opens_once_where_it_should() {
    let all = || vec![once(door("1,2,3", SYN)), door("1,2,4", SYN), door("1,3,2", SYN)];
    let mut script = Script::new(all());
    // The second source is on its way to the same door, and to another one.
    script.run("@1 1 2 @2 1 2 @1 3").log();
    assert_eq!(script.engine.knockers(), 1);
    assert_eq!(script.run("@2 3").log(), "", "the door is shut, and the other was lost");
    assert_eq!(script.run("1 2 4").opened(), [1]);
    assert_eq!(script.run("1 2 3").opened(), [] as [usize; 0], "no replay");

    // It is as if it were not there: its ports break nothing.
    let mut script = Script::new(vec![once(door("5,6", SYN)), door("1,2", SYN)]);
    assert_eq!(script.run("1 5 2").opened(), [] as [usize; 0]);
    assert_eq!(script.run("5 6 1 5 2").opened(), [0, 1]);

    // Two at one blow, one of them of a single knock.
    let mut script = Script::new(vec![once(door("1", SYN)), once(door("1", SYN)), door("1", SYN)]);
    assert_eq!(script.run("1 1").opened(), [0, 1, 2, 2]);
}

#[test]
fn a_used_sequence_stays_used() {
    let used = || once(door("1,2", SYN));
    let mut script = Script::new(vec![used(), door("8,9", SYN)]);
    let mut replace = |doors: Vec<Door>, words: &str| {
        script.engine.replace_doors(doors);
        script.run(words).opened()
    };
    assert_eq!(replace(vec![used(), door("8,9", SYN)], "1 2"), [0], "nothing has changed");
    assert_eq!(replace(vec![used(), door("8,9", SYN)], "1 2"), [] as [usize; 0]);
    assert_eq!(replace(vec![door("8,9", SYN), used()], "1 2"), [] as [usize; 0]);
    assert_eq!(replace(vec![within(9_000, used())], "1 2"), [] as [usize; 0]);
    assert_eq!(replace(vec![once(door("1,2", ANY))], "1 2"), [] as [usize; 0]);
    assert_eq!(replace(vec![door("1,2", SYN)], "1 2"), [0], "that door opens more than once");
    assert_eq!(replace(vec![once(door("1,3", SYN))], "1 2 1 3 1 3"), [0]);
    assert_eq!(replace(vec![once(door("", SYN))], "1 3"), [] as [usize; 0]);
    assert_eq!(replace(vec![at(OTHER, used())], "1 2 >2 1 2"), [0], "the next one");
    assert_eq!(replace(vec![at(OTHER, used()), at(OTHER, used())], "1 2 1 2"), [] as [usize; 0]);
    // Of two that were there, one is used: the other one is not.
    let both = || [once(door("1,2", SYN)), once(door("1,2", ANY))];
    assert_eq!(replace(both().into(), ">1 1/a 2/a"), [1]);
    let [first, second] = both();
    assert_eq!(replace(vec![second, first], "1 2 1 2"), [1]);
}

#[test]
fn attempts_go_on_when_the_doors_change() {
    let old = || vec![door("1,2,3", SYN), door("1,2,4", SYN), at(VIRTUAL, door("5,6,7", SYN))];
    let start = || {
        let mut script = Script::new(old());
        script.run("@1 1 2 +1000 @2 >9 5 >1 1");
        script.log();
        script
    };
    // The same ones in another order, and one more with the same beginning.
    let mut script = start();
    let [first, second, third] = old().try_into().unwrap();
    let new = vec![third, door("1,2,3,4", SYN), second, first];
    script.engine.replace_doors(new);
    assert_eq!(script.engine.knockers(), 3);
    assert_eq!(script.run("@1 3").log(), "3 @1 stage 3; 3 @1 opened");
    assert_eq!(script.run("@2 2 >9 6 7").opened(), [0]);
    assert_eq!(script.run("+24999 .").log(), "");
    assert_eq!(script.run("+1 .").log(), "2 @2 late at 2; 3 @2 late at 2");
    assert_eq!(script.run(">1 1").log(), "1 @2 stage 1; 2 @2 stage 1; 3 @2 stage 1");

    // Their time goes on, their strays and their fingerprints stay.
    let mut script = start();
    script.run("@1 >1 91 92 93 94").seen();
    script.engine.replace_doors(vec![door("1,2,4", SYN), door("3", SYN)]);
    assert_eq!(script.engine.knockers(), 2);
    script.sequence = 1;
    assert_eq!(script.run("=1 91").seen(), [Seen::Repeated, Seen::Stray]);
    assert_eq!(script.run("95").seen(), [Seen::Wrong]);
    assert_eq!(script.run("+25000 .").log(), "0 @2 late at 1");

    // A door that changed has lost its attempts, and so has one that went.
    let mut script = start();
    script.engine.replace_doors(vec![within(9_000, door("1,2,3", SYN)), door("1,2,4,5", SYN)]);
    assert_eq!((script.engine.knockers(), script.engine.poll_timeout()), (0, None));
    assert_eq!(script.run("@1 >1 1 2 3").opened(), [0]);

    // Of two equal doors that were on their way, one goes.
    let mut script = Script::new(doors(&["1,2", "1,2"]));
    script.run("1").log();
    script.engine.replace_doors(doors(&["7", "1,2"]));
    assert_eq!(script.run("2").opened(), [1]);
}

#[test]
fn whoever_knocked_last_is_evicted_last() {
    let mut script = Script::new(doors(&["1,2,3"]));
    script.engine =
        KnockdEngine::new(doors(&["1,2,3"]), Options { max_knockers: 3, ..Options::default() });
    script.run("@1 1 @2 1 @3 1 @1 2 @4 1");
    assert_eq!(script.engine.knockers(), 3);
    assert_eq!(script.run("@1 3 @2 2 3 @3 2 3 @4 2 3").opened().len(), 3);
    // The one that went is the one that had waited longest; nobody is told.
    script.run("@1 1 @2 1 @3 1 @1 2 @4 1").log();
    assert_eq!(script.run("@2 2").log(), "");
    assert_eq!(script.run("+25000 .").log(), "0 @1 late at 2; 0 @3 late at 1; 0 @4 late at 1");
}

#[test]
fn attempts_go_on_when_the_room_changes() {
    let many = |count: u16| -> Vec<Door> {
        (0..count).map(|last| door(&format!("7,{}", last + 10), SYN)).collect()
    };
    let mut script = Script::new(many(1));
    let options = Options::default();
    script.engine = KnockdEngine::new(many(1), options);
    script.run("@1 7 @2 7").log();
    // So many doors leave room for fewer knockers; then there is room again.
    for count in [300, 2] {
        script.engine.replace_doors(many(count));
        assert_eq!(script.engine.knockers(), 2);
        script.run("+1 @3 7");
        assert_eq!(script.engine.knockers(), 3);
        assert_eq!(script.log.len(), count.into());
        script.run("8 9 10").log();
    }
    assert_eq!(script.run("@1 10 @2 10").opened(), [0, 0]);
}
