//! A host whose gate is attacked, and connections made by hand, segment by segment.

use std::cell::Cell;
use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use portcullis_lab::answer::{Meaning, Seen};
use portcullis_lab::packet::{ACK, PSH, Packet, Payload, RST, SYN};
use portcullis_lab::service::Echo;
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family, Lab, Peer, wait_until};

use crate::world::iptables::{self, Tools, Variant};
use crate::world::{FAMILIES, PATIENCE, knock_packet, made_up};

/// A guarded TCP port with a service behind it, one without, and a guarded UDP port with a service.
pub const GUARDED: u16 = 22;
pub const GUARDED_EMPTY: u16 = 2222;
pub const GUARDED_UDP: u16 = 51_820;
/// Ports with nothing behind them that mean nothing to the gate.
pub const CLOSED: u16 = 23;
pub const CLOSED_UDP: u16 = 51_821;
/// A public port with a service.
pub const PUBLIC: u16 = 80;
/// A public port without one.
pub const PUBLIC_EMPTY: u16 = 53;
/// The sequence of the door.
pub const KNOCKS: [&str; 3] = ["tcp/7431", "udp/29117", "tcp/1123"];
pub const KNOCK: u16 = 7_431;
pub const KNOCK_UDP: u16 = 29_117;

/// Long enough for an answer that is going to come, and for one that will not.
pub const WAIT: Duration = Duration::from_millis(300);
/// How long nothing has to come after the last thing asked was answered.
const QUIET: Duration = Duration::from_millis(40);

/// How the gate is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    Guard,
    Closed,
    ClosedDrop,
    GuardIptables(Variant),
    GuardIpset(Variant),
    ClosedIptables(Variant),
}

/// Those of nftables.
pub const NFTABLES: [Setup; 3] = [Setup::Guard, Setup::Closed, Setup::ClosedDrop];

impl Setup {
    /// All of them; those of iptables where its programs are there.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::from(NFTABLES);
        if iptables::are_there() {
            for variant in iptables::VARIANTS {
                all.push(Self::GuardIptables(variant));
                all.push(Self::GuardIpset(variant));
                all.push(Self::ClosedIptables(variant));
            }
        }
        all
    }

    /// All that answer strangers as a closed port would.
    pub fn answering() -> Vec<Self> {
        Self::all().into_iter().filter(|setup| *setup != Self::ClosedDrop).collect()
    }

    pub fn is_nftables(self) -> bool {
        NFTABLES.contains(&self)
    }

    pub fn config(self, open_for: &str) -> String {
        let (backend, stance, refuse) = match self {
            Self::Guard => ("nftables", "guard", "like-closed"),
            Self::Closed => ("nftables", "closed", "like-closed"),
            Self::ClosedDrop => ("nftables", "closed", "drop"),
            Self::GuardIptables(_) => ("iptables", "guard", "like-closed"),
            Self::GuardIpset(_) => ("ipset", "guard", "like-closed"),
            Self::ClosedIptables(_) => ("iptables", "closed", "like-closed"),
        };
        format!(
            "[gate]\nbackend = \"{backend}\"\nstance = \"{stance}\"\nrefuse = \"{refuse}\"\n\
             public = [\"tcp/{PUBLIC}\", \"tcp/{PUBLIC_EMPTY}\"]\n\
             [door.ssh]\nguards = [\"tcp/{GUARDED}\", \"tcp/{GUARDED_EMPTY}\", \"udp/{GUARDED_UDP}\"]\n\
             sequence = {KNOCKS:?}\nopen_for = \"{open_for}\"\nrecogniser = \"kernel\"\n"
        )
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guard => f.write_str("guard"),
            Self::Closed => f.write_str("closed"),
            Self::ClosedDrop => f.write_str("closed_drop"),
            Self::GuardIptables(variant) => write!(f, "guard_recent_{variant}"),
            Self::GuardIpset(variant) => write!(f, "guard_ipset_{variant}"),
            Self::ClosedIptables(variant) => write!(f, "closed_recent_{variant}"),
        }
    }
}

/// A host (this thread's network) with services, and an attacker who can write any packet.
pub struct Stage {
    pub lab: Lab,
    pub client: Peer,
    pub wire: Wire,
    pub tools: Tools,
    /// The service behind the guarded UDP port, in each family.
    pub datagrams: [UdpSocket; 2],
    port: Cell<u16>,
    sources: Cell<u32>,
    services: Vec<Echo>,
}

impl Stage {
    /// The host without a gate; the one to come uses this variant of iptables, if any.
    pub fn without_gate(setup: Setup) -> Self {
        let mut lab = Lab::new().unwrap();
        let client = lab.peer("client", 4).unwrap();
        let wire = client.wire().unwrap();
        let variant = match setup {
            Setup::GuardIptables(variant)
            | Setup::GuardIpset(variant)
            | Setup::ClosedIptables(variant) => variant,
            _ => Variant::Nft,
        };
        let services =
            FAMILIES.into_iter().flat_map(|family| [(family, GUARDED), (family, PUBLIC)]);
        let services = services
            .map(|(family, port)| Echo::start((client.host(family), port).into()).unwrap())
            .collect();
        let datagrams = FAMILIES.map(|family| {
            let socket = UdpSocket::bind((client.host(family), GUARDED_UDP)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        });
        unlimited_icmp();
        Self {
            lab,
            client,
            wire,
            tools: Tools::new(variant),
            datagrams,
            port: Cell::new(20_000),
            sources: Cell::new(0),
            services,
        }
    }

    /// The host behind its gate. A grant lasts for this long.
    pub fn new(setup: Setup, open_for: &str) -> Self {
        let stage = Self::without_gate(setup);
        stage.load(setup, open_for);
        stage
    }

    /// Lets the services of TCP listen on all addresses of this family instead of one of each.
    pub fn listen_everywhere(&mut self, family: Family) {
        self.services.clear();
        let all = if family == Family::V4 { "0.0.0.0" } else { "::" };
        let all: IpAddr = all.parse().unwrap();
        self.services
            .extend([GUARDED, PUBLIC].map(|port| Echo::start((all, port).into()).unwrap()));
    }

    /// Loads the gate.
    pub fn load(&self, setup: Setup, open_for: &str) {
        self.apply(&setup.config(open_for));
    }

    /// Loads this configuration.
    pub fn apply(&self, config: &str) {
        let output = self.tools.portcullis("apply", Some(config));
        assert!(output.status.success(), "{output:?}");
    }

    /// A source port that no connection has had yet.
    pub fn new_port(&self) -> u16 {
        self.port.set(self.port.get() + 1);
        assert!(self.port.get() < 40_000, "these are all");
        self.port.get()
    }

    /// An address that nobody has used, and a port.
    pub fn new_source(&self, family: Family) -> SocketAddr {
        self.sources.set(self.sources.get() + 1);
        SocketAddr::new(made_up(family, self.sources.get()), self.new_port())
    }

    pub fn to(&self, from: IpAddr, port: u16) -> SocketAddr {
        let family = if from.is_ipv4() { Family::V4 } else { Family::V6 };
        SocketAddr::new(self.client.host(family), port)
    }

    /// Makes these knocks, each answered or not by now.
    pub fn knock(&self, from: IpAddr, knocks: &[&str]) {
        for knock in knocks {
            let host = self.to(from, 0).ip();
            self.wire.send(&knock_packet(from, host, knock.parse().unwrap())).unwrap();
        }
        self.settle();
    }

    /// Waits until the host has dealt with all that was sent.
    pub fn settle(&self) {
        self.exchange(&[]);
    }

    /// Sends these packets, and gives all that has come back when the host has dealt with them.
    pub fn exchange(&self, packets: &[Packet]) -> Vec<Seen> {
        self.exchange_with(|wire| {
            wire.send_all(packets).unwrap();
        })
    }

    /// The same with whatever is sent.
    pub fn exchange_with(&self, send: impl FnOnce(&Wire)) -> Vec<Seen> {
        self.wire.drain().unwrap();
        send(&self.wire);
        // Whatever is answered last: the public port, to a source that does nothing else.
        let from = self.client.address(Family::V4, 3);
        let deadline = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        let mut last = None;
        while last.is_none() {
            assert!(Instant::now() < deadline, "the public port does not answer");
            let from = SocketAddr::new(from, self.new_port());
            let syn = Packet::syn(from, self.to(from.ip(), PUBLIC));
            self.wire.send(&syn).unwrap();
            let soon = Instant::now() + WAIT;
            while let Some(seen) = self.wire.receive(soon).unwrap() {
                if seen.answers(&syn) {
                    last = Some((from, seen));
                    break;
                }
                all.push(seen);
            }
        }
        while let Some(seen) = self.wire.receive(Instant::now() + QUIET).unwrap() {
            all.push(seen);
        }
        if let Some((from, seen)) = last {
            self.reset(from, &seen);
        }
        all.retain(|seen| seen.destination != from);
        all
    }

    /// The answers of each of these ports to the same packets, each of which has a source address of
    /// its own. Where answers differ the ports are asked again: a busy machine may lose one.
    pub fn answers<const N: usize>(
        &self,
        family: Family,
        ports: [u16; N],
        packets: &[&Make<'_>],
    ) -> Vec<[Option<Seen>; N]> {
        let mut rows = vec![[const { None }; N]; packets.len()];
        let mut open: Vec<usize> = (0..packets.len()).collect();
        for _ in 0..3 {
            let sources: Vec<IpAddr> = open.iter().map(|_| self.new_source(family).ip()).collect();
            for (at, port) in ports.into_iter().enumerate() {
                let packets = open.iter().zip(&sources).map(|(number, source)| {
                    let from = SocketAddr::new(*source, self.new_port());
                    packets[*number](from, self.to(*source, port))
                });
                let mut seen = self.exchange(&packets.collect::<Vec<_>>());
                for (number, source) in open.iter().zip(&sources) {
                    let found = seen.iter().position(|seen| seen.destination == *source);
                    rows[*number][at] = found.map(|found| seen.swap_remove(found));
                }
            }
            open.retain(|number| {
                let mut answers = rows[*number].iter().map(|seen| seen.as_ref().map(comparable));
                let first = answers.next();
                answers.any(|answer| Some(&answer) != first.as_ref())
            });
        }
        rows
    }

    /// Whether a new connection from this address is let in.
    pub fn admits(&self, from: IpAddr) -> bool {
        let from = SocketAddr::new(from, self.new_port());
        let syn = Packet::syn(from, self.to(from.ip(), GUARDED));
        match self.wire.probe(&syn, WAIT).unwrap() {
            Some(seen) if seen.meaning() == Meaning::SynAck => {
                self.reset(from, &seen);
                true
            }
            _ => false,
        }
    }

    /// Waits until the grant of this address has ended.
    pub fn wait_for_end(&self, from: IpAddr) {
        assert!(wait_until(Instant::now() + PATIENCE, || !self.admits(from)), "it never ends");
    }

    /// Makes a connection to the guarded service from an end that may; knocks first, where it may
    /// not, or not any longer.
    pub fn admitted(&self, from: SocketAddr) -> Connection {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Connection::open(self, from, GUARDED) {
                Ok(connection) => return connection,
                Err(answer) => assert!(Instant::now() < deadline, "the door is shut: {answer:?}"),
            }
            self.knock(from.ip(), &KNOCKS);
        }
    }

    /// Gives up a connection of which this is the SYN-ACK.
    fn reset(&self, from: SocketAddr, seen: &Seen) {
        let mut packet = Packet::tcp(from, self.to(from.ip(), seen.ports().unwrap().0), RST);
        if let Payload::Tcp(tcp) = &mut packet.payload {
            tcp.sequence = number(seen, 8);
        }
        self.wire.send(&packet).unwrap();
    }
}

/// A packet from one end to the other.
pub type Make<'a> = dyn Fn(SocketAddr, SocketAddr) -> Packet + 'a;

/// One end of a connection, made by hand: nobody but the test sends for it.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    pub from: SocketAddr,
    to: SocketAddr,
    /// The number of the next byte that we send, and of the next that we expect.
    next: u32,
    expected: u32,
}

impl Connection {
    /// SYN, SYN-ACK, ACK; or what came instead of the SYN-ACK.
    pub fn open(stage: &Stage, from: SocketAddr, port: u16) -> Result<Self, Option<Meaning>> {
        let half = Self::half_open(stage, from, port)?;
        half.send(stage, ACK, b"");
        Ok(half)
    }

    /// SYN and SYN-ACK.
    pub fn half_open(stage: &Stage, from: SocketAddr, port: u16) -> Result<Self, Option<Meaning>> {
        let to = stage.to(from.ip(), port);
        let mut connection = Self { from, to, next: u32::from(stage.new_port()) << 8, expected: 0 };
        let syn = connection.segment(SYN, b"");
        let seen = stage.wire.probe(&syn, WAIT).unwrap();
        match seen {
            Some(seen) if seen.meaning() == Meaning::SynAck => {
                connection.next += 1;
                connection.expected = number(&seen, 4).wrapping_add(1);
                Ok(connection)
            }
            other => Err(other.map(|seen| seen.meaning())),
        }
    }

    /// A segment with the numbers that are due.
    pub fn segment(&self, flags: u8, data: &[u8]) -> Packet {
        let mut packet = Packet::tcp(self.from, self.to, flags);
        if let Payload::Tcp(tcp) = &mut packet.payload {
            tcp.sequence = self.next;
            tcp.acknowledgement = if flags & ACK == 0 { 0 } else { self.expected };
            tcp.data = data.to_vec();
        }
        packet
    }

    pub fn send(&self, stage: &Stage, flags: u8, data: &[u8]) {
        stage.wire.send(&self.segment(flags, data)).unwrap();
    }

    /// Whether the service sends back what it is sent. `wait` is for the whole answer.
    pub fn talks(&mut self, stage: &Stage, wait: Duration) -> bool {
        const TEXT: &[u8] = b"is there anybody";
        stage.wire.drain().unwrap();
        let data = self.segment(PSH | ACK, TEXT);
        stage.wire.send(&data).unwrap();
        let deadline = Instant::now() + wait;
        while let Some(seen) = stage.wire.receive(deadline).unwrap() {
            if !seen.answers(&data) {
                continue;
            }
            if seen.meaning() == Meaning::Reset {
                return false;
            }
            // Behind the header, whose length is in units of four bytes.
            let header = usize::from(seen.payload()[12] >> 4) * 4;
            if seen.payload()[header..] == *TEXT {
                let len = u32::try_from(TEXT.len()).unwrap();
                self.next = self.next.wrapping_add(len);
                self.expected = self.expected.wrapping_add(len);
                self.send(stage, ACK, b"");
                return true;
            }
        }
        false
    }

    /// The first segment of another connection between the same two ends.
    pub fn again(&self) -> Packet {
        let mut packet = self.segment(SYN, b"");
        if let Payload::Tcp(tcp) = &mut packet.payload {
            tcp.sequence = self.next.wrapping_add(0x0100_0000);
        }
        packet
    }
}

/// A number in the header of a segment.
fn number(seen: &Seen, at: usize) -> u32 {
    u32::from_be_bytes(seen.payload()[at..at + 4].try_into().unwrap())
}

/// Otherwise the kernel answers only now and then, whatever the port.
fn unlimited_icmp() {
    portcullis_lab::set_sysctl("ipv4/icmp_ratelimit", "0").unwrap();
    portcullis_lab::set_sysctl("ipv6/icmp/ratelimit", "0").unwrap();
    // These are the machine's on older kernels, and not ours to change.
    let _ = portcullis_lab::set_sysctl("ipv4/icmp_msgs_per_sec", "1000000");
    let _ = portcullis_lab::set_sysctl("ipv4/icmp_msgs_burst", "1000000");
}

/// The bytes in which answers about two ports must agree: in IPv4 an error's identification counts up
/// from packet to packet, with the header's checksum.
pub fn comparable(seen: &Seen) -> Vec<u8> {
    let mut bytes = seen.fingerprint();
    if seen.source.is_ipv4() {
        bytes[4..6].fill(0);
        bytes[10..12].fill(0);
    }
    bytes
}

/// An answer in short.
pub fn say(seen: &Option<Seen>) -> String {
    seen.as_ref().map_or("silence".into(), |seen| {
        format!("{:?} in {} bytes", seen.meaning(), seen.bytes.len())
    })
}
