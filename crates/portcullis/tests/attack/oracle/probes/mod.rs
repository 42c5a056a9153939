//! All kinds of probes.

mod fragments;
mod ipv4;
mod ipv6;
mod tcp;
mod udp;

use std::net::IpAddr;
use std::sync::Arc;

use portcullis_lab::Family;

use crate::oracle::bytes::{Ends, Frames, Ip, Tcp, Udp};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
pub const URG: u8 = 0x20;

/// The source port of probes, unless that is what is odd about them.
pub const SOURCE: u16 = 40_123;

type Make = Arc<dyn Fn(&Ends) -> Frames + Send + Sync>;

/// The source port of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// [`SOURCE`].
    Usual,
    Port(u16),
    /// That which the packet goes to.
    Asked,
}

/// One packet of a sequence; most kinds have one only.
#[derive(Clone)]
pub struct Step {
    /// Where it goes, if not to the port that is compared.
    pub port: Option<u16>,
    pub source: Source,
    /// How often it is sent.
    pub times: usize,
    /// Whether its answers are compared.
    pub compared: bool,
    pub make: Make,
}

impl Step {
    pub fn new<F: Into<Frames>>(make: impl Fn(&Ends) -> F + Send + Sync + 'static) -> Self {
        let make: Make = Arc::new(move |ends| make(ends).into());
        Self { port: None, source: Source::Usual, times: 1, compared: true, make }
    }

    /// To this port in place of the one that is compared.
    pub fn to(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }
}

/// Something to send to each port, the answers to which are compared.
#[derive(Clone)]
pub struct Kind {
    pub name: String,
    pub steps: Vec<Step>,
}

/// Collects kinds of one family.
pub struct Kinds {
    pub family: Family,
    pub kinds: Vec<Kind>,
}

impl Kinds {
    pub fn new(family: Family) -> Self {
        Self { family, kinds: Vec::new() }
    }

    pub fn is_v4(&self) -> bool {
        self.family == Family::V4
    }

    pub fn add<F: Into<Frames>>(
        &mut self,
        name: impl Into<String>,
        make: impl Fn(&Ends) -> F + Send + Sync + 'static,
    ) {
        self.add_steps(name, vec![Step::new(make)]);
    }

    pub fn add_steps(&mut self, name: impl Into<String>, steps: Vec<Step>) {
        self.kinds.push(Kind { name: name.into(), steps });
    }

    fn add_from<F: Into<Frames>>(
        &mut self,
        name: impl Into<String>,
        source: Source,
        make: impl Fn(&Ends) -> F + Send + Sync + 'static,
    ) {
        let step = Step { source, ..Step::new(make) };
        self.add_steps(name, vec![step]);
    }

    /// Each of the usual packets, changed on the way out.
    fn add_inner<F: Into<Frames>>(
        &mut self,
        name: &str,
        make: impl Fn(Ip) -> F + Copy + Send + Sync + 'static,
    ) {
        for (inner, packet) in INNER {
            self.add(format!("{inner}, {name}"), move |ends: &Ends| make(packet(ends)));
        }
    }
}

type Packet = fn(&Ends) -> Ip;

/// What is put behind odd IP headers: segments that the host treats in different ways, a datagram.
const INNER: [(&str, Packet); 5] = [
    ("TCP S", |ends| Tcp::new(SYN).ip(ends)),
    ("TCP A", |ends| Tcp::new(ACK).ip(ends)),
    ("TCP SF", |ends| Tcp::new(SYN | FIN).ip(ends)),
    ("TCP none", |ends| Tcp { data: b"data".to_vec(), ..Tcp::new(0) }.ip(ends)),
    ("UDP", |ends| Udp::new(b"hello").ip(ends)),
];

/// So many strikes at a closed port, which bring a ban. The answers to them do not matter.
pub fn strikes(times: usize) -> Step {
    let syn = Step::new(|ends: &Ends| Tcp::new(SYN).ip(ends)).to(27);
    Step { times, compared: false, ..syn }
}

/// Every kind of single probe.
pub fn all(family: Family) -> Vec<Kind> {
    let mut kinds = Kinds::new(family);
    tcp::add(&mut kinds);
    udp::add(&mut kinds);
    both(&mut kinds);
    match family {
        Family::V4 => ipv4::add(&mut kinds),
        Family::V6 => ipv6::add(&mut kinds),
    }
    fragments::add(&mut kinds);
    kinds.kinds
}

/// What IPv4 and IPv6 have in common.
fn both(kinds: &mut Kinds) {
    for traffic_class in [0x01, 0x02, 0x03, 0x04, 0x10, 0x28, 0xb8, 0xb9, 0xe0, 0xff] {
        kinds.add_inner(&format!("traffic class {traffic_class:#04x}"), move |ip| Ip {
            traffic_class,
            ..ip
        });
    }
    for hop_limit in [0, 1, 2, 255] {
        kinds.add_inner(&format!("hop limit {hop_limit}"), move |ip| Ip { hop_limit, ..ip });
    }
    for version in [0, 5, 15] {
        kinds.add_inner(&format!("version {version}"), move |ip| Ip { version, ..ip });
    }
    // The lengths of a header alone, of all, and wrong ones in between and beyond.
    for length in [0, 8, 19, 20, 21, 24, 27, 28, 30, 39, 40, 41, 60, 1000, 65_535] {
        kinds.add_inner(&format!("length field {length}"), move |ip| Ip {
            length: Some(length),
            ..ip
        });
    }
    for padding in [1, 6, 46] {
        kinds.add_inner(&format!("{padding} bytes behind the packet"), move |ip| Ip {
            padding: vec![b'p'; padding],
            ..ip
        });
    }
    for cut in 1..=19 {
        kinds.add_inner(&format!("cut by {cut} bytes"), move |mut ip| {
            ip.payload.truncate(ip.payload.len().saturating_sub(cut));
            ip
        });
    }
    kinds.add_inner("to the link's broadcast address", |ip| Ip { mac: [0xff; 6], ..ip });
    kinds.add_inner("to a link's multicast address", |ip| Ip {
        mac: [0x33, 0x33, 0, 0, 0, 1],
        ..ip
    });
    kinds.add_inner("from the host's own address", |ip| Ip { from: ip.to, ..ip });
    for protocol in [33, 132, 136] {
        kinds.add(format!("protocol {protocol} with ports"), move |ends: &Ends| {
            Ip::new(ends, protocol, Tcp::new(SYN).bytes(ends))
        });
    }
}

/// To another address, with the checksum that goes with it.
fn readdressed(packet: Packet, ends: &Ends, to: IpAddr, mac: [u8; 6]) -> Ip {
    Ip { mac, ..packet(&Ends { to, ..*ends }) }
}
