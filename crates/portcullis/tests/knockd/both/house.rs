//! The host that knockd runs on, a client beside it, and scripts of packets.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use portcullis_lab::packet::{ACK, FIN, PSH, Packet, Payload, RST, SYN};
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family, Lab, Peer, wait_until};

use super::daemon::{Daemon, Setup};
use super::{PATIENCE, SIDES, Which};
use crate::world::made_up;

/// TCP flag URG (RFC 9293, section 3.1).
const URG: u8 = 0x20;

/// Where the numbers of made-up sources begin that serve the test itself.
const HELPERS: u32 = 3_000_000;

/// This thread's network, with one client.
pub struct House {
    pub lab: Lab,
    pub client: Peer,
    pub wire: Wire,
    sources: Cell<u32>,
    helpers: Cell<u32>,
    sequence: Cell<u32>,
    last: RefCell<Option<Packet>>,
}

impl House {
    /// With the client on the interface `client`.
    pub fn new() -> Self {
        Self::with_interface("client")
    }

    /// With the client on an interface of this name.
    pub fn with_interface(name: &str) -> Self {
        let mut lab = Lab::new().unwrap();
        let client = lab.peer(name, 4).unwrap();
        let wire = client.wire().unwrap();
        Self {
            lab,
            client,
            wire,
            sources: Cell::new(0),
            helpers: Cell::new(HELPERS),
            sequence: Cell::new(1),
            last: RefCell::default(),
        }
    }

    /// Both daemons on this host, both watching the same wire.
    pub fn start_both(&self, setup: &Setup) -> [Daemon; 2] {
        let daemons = SIDES.map(|which| Daemon::spawn(which, setup));
        for daemon in &daemons {
            let which = daemon.which;
            daemon.wait_until_ready().unwrap_or_else(|refused| panic!("{which}: {refused:#?}"));
        }
        self.anchor();
        self.settle(&[&daemons[0], &daemons[1]]);
        daemons
    }

    /// One daemon on this host.
    pub fn start(&self, which: Which, setup: &Setup) -> Daemon {
        let daemon = Daemon::start(which, setup);
        self.anchor();
        self.settle(&[&daemon]);
        daemon
    }

    /// Begins the attempt that is the oldest from now on.
    pub fn anchor(&self) {
        self.play(self.helper(), "64002/udp");
    }

    /// A source that nobody has used.
    pub fn new_source(&self, family: Family) -> IpAddr {
        self.sources.set(self.sources.get() + 1);
        made_up(family, self.sources.get())
    }

    fn helper(&self) -> IpAddr {
        self.helpers.set(self.helpers.get() + 1);
        made_up(Family::V4, self.helpers.get())
    }

    /// The host's address that this source would knock at.
    pub fn host(&self, like: IpAddr) -> IpAddr {
        self.client.host(if like.is_ipv4() { Family::V4 } else { Family::V6 })
    }

    /// Sends what a script says, from this source. Its words:
    ///
    /// | word | packet |
    /// |---|---|
    /// | `7000` | a SYN with a sequence number of its own |
    /// | `7000/udp` | a datagram |
    /// | `7000/syn+ack`, `7000/none` | a segment with these flags |
    /// | `7000@203.0.113.77` | the same, to this address |
    /// | `=` | the last packet, byte for byte |
    /// | `wait:200` | none; so many milliseconds pass |
    /// | `at:100` | none; until so many milliseconds of a second of the clock, as theirs counts whole ones |
    pub fn play(&self, from: IpAddr, script: &str) {
        for word in script.split_whitespace() {
            if let Some(millis) = word.strip_prefix("wait:") {
                thread::sleep(Duration::from_millis(millis.parse().unwrap()));
                continue;
            }
            if let Some(millis) = word.strip_prefix("at:") {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
                let wanted = Duration::from_millis(millis.parse().unwrap());
                let now = Duration::from_nanos(now.subsec_nanos().into());
                let left = wanted + Duration::from_secs(1) - now;
                thread::sleep(left.checked_sub(Duration::from_secs(1)).unwrap_or(left));
                continue;
            }
            let packet = self.packet(from, word);
            self.wire.send(&packet).unwrap();
            self.last.replace(Some(packet));
        }
    }

    /// The packet that a word of a script means.
    pub fn packet(&self, from: IpAddr, word: &str) -> Packet {
        if word == "=" {
            return self.last.borrow().clone().expect("there is no packet to repeat");
        }
        let (what, to) = word.split_once('@').unwrap_or((word, ""));
        let to = if to.is_empty() { self.host(from) } else { to.parse().unwrap() };
        let (port, kind) = what.split_once('/').unwrap_or((what, "syn"));
        let to = SocketAddr::new(to, port.parse().unwrap());
        let from = SocketAddr::new(from, 40_000);
        if kind == "udp" {
            return Packet::udp(from, to, &[0]);
        }
        let mut packet = Packet::tcp(from, to, flags(kind));
        if let Payload::Tcp(tcp) = &mut packet.payload {
            tcp.sequence = self.sequence.get();
            self.sequence.set(self.sequence.get().wrapping_add(0x0101_0101));
        }
        packet
    }

    /// Plays a script from a new IPv4 source, which it gives.
    pub fn knock(&self, script: &str) -> IpAddr {
        let source = self.new_source(Family::V4);
        self.play(source, script);
        source
    }

    /// Waits until everything sent so far has been seen: by knocking at the sentinel's door, again
    /// if that got lost.
    pub fn settle(&self, daemons: &[&Daemon]) {
        for _ in 0..20 {
            let source = self.helper();
            self.play(source, "64001/udp");
            let line = format!("{source}: sentinel: OPEN SESAME");
            let seen = |daemon: &&Daemon| daemon.log().contains(&line);
            let soon = Instant::now() + PATIENCE / 20;
            if wait_until(soon, || daemons.iter().all(seen)) {
                return;
            }
        }
        for daemon in daemons {
            eprintln!("{}: {:#?}\n{:#?}", daemon.which, daemon.log(), daemon.said());
        }
        panic!("the sentinel's door never opened");
    }

    /// Waits until both have done the same, or until that can no longer be hoped for.
    pub fn same(&self, daemons: &[Daemon; 2], except: impl Fn(&mut super::story::Story)) {
        let [theirs, ours] = daemons;
        self.settle(&[theirs, ours]);
        theirs.wait_for_children();
        ours.wait_for_children();
        let stories = || {
            [theirs, ours].map(|daemon| {
                let mut story = daemon.story();
                except(&mut story);
                story
            })
        };
        let same = wait_until(Instant::now() + PATIENCE / 4, || {
            let [theirs, ours] = stories();
            theirs == ours
        });
        if !same {
            let [theirs_did, ours_did] = stories();
            panic!(
                "theirs, then ours: {}\nof {}",
                theirs_did.differences(&ours_did),
                theirs.setup.config
            );
        }
    }
}

/// TCP flags by name.
fn flags(names: &str) -> u8 {
    let flag = |name| match name {
        "fin" => FIN,
        "syn" => SYN,
        "rst" => RST,
        "psh" => PSH,
        "ack" => ACK,
        "urg" => URG,
        "none" => 0,
        _ => panic!("no flag is called {name}"),
    };
    names.split('+').map(flag).fold(0, |all, flag| all | flag)
}
