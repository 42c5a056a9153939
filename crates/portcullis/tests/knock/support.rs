//! The two programs, and what arrives.

use std::fmt::Display;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_lab::answer::Seen;
use portcullis_lab::packet::{ACK, SYN, TCP, UDP};
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family, Lab, Peer};

use crate::world::PATIENCE;

/// A datagram to this port says that all before it has arrived.
const END: u16 = 64_999;

/// A program that knocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knock {
    Ours,
    Theirs,
}

/// A test of one program, and its name.
pub type Test = (&'static str, fn(Knock));

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// `tcp 198.51.100.10 7000`: each knock that arrived, in order.
    pub knocks: Vec<String>,
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

/// A host from which to knock, and the peer that is knocked at.
pub struct World {
    pub peer: Peer,
    pub wire: Wire,
    _lab: Lab,
}

impl World {
    pub fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        // The names in `names` are its addresses.
        let peer = lab.peer("peer", 2).unwrap();
        assert_eq!(peer.address(Family::V4, 0).to_string(), "198.51.100.10");
        assert_eq!(peer.address(Family::V6, 0).to_string(), "2001:db8::10");
        let wire = peer.wire().unwrap();
        Self { peer, wire, _lab: lab }
    }

    /// Runs it on the host, as an ordinary user: without any capability.
    pub fn run(&self, program: Knock, arguments: &[&str]) -> Run {
        self.wire.drain().unwrap();
        let output = command(program).args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run {
            knocks: self.knocks(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            code: output.status.code(),
        }
    }

    /// The knocks that have arrived until now.
    fn knocks(&self) -> Vec<String> {
        let end = SocketAddr::new(self.peer.address(Family::V4, 0), END);
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.send_to(b"end", end).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut knocks = Vec::new();
        loop {
            let seen = self.wire.receive(deadline).unwrap().expect("the end never arrived");
            if seen.ports().is_some_and(|(_, to)| to == END) {
                return knocks;
            }
            knocks.extend(knock(&seen));
        }
    }

    /// The knocks that arrive within this time.
    pub fn knocks_within(&self, wait: Duration) -> Vec<String> {
        let deadline = Instant::now() + wait;
        let seen = std::iter::from_fn(|| self.wire.receive(deadline).unwrap());
        seen.filter_map(|seen| knock(&seen)).collect()
    }
}

/// A process that runs it as an ordinary user would.
pub fn command(program: Knock) -> Command {
    match program {
        Knock::Ours => unprivileged(env!("CARGO_BIN_EXE_knock")),
        Knock::Theirs => unprivileged("knock"),
    }
}

/// A process without any capability, also where this one is root.
pub fn unprivileged(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--", program]).stdin(Stdio::null());
    command
}

/// What has been knocked, if this is a knock: a bare SYN, or a datagram, which then has one zero byte.
fn knock(seen: &Seen) -> Option<String> {
    let (_, port) = seen.ports()?;
    let protocol = match seen.protocol {
        TCP if seen.flags()? & (SYN | ACK) == SYN => "tcp",
        UDP => {
            assert_eq!(seen.payload().get(8..), Some(&[0][..]), "the data of a datagram");
            "udp"
        }
        _ => return None,
    };
    Some(format!("{protocol} {} {port}", seen.destination))
}

/// As [`Run::knocks`]: `7000` or `7000:udp` at this address.
pub fn at(address: impl Display, ports: &[&str]) -> Vec<String> {
    let line = |port: &&str| {
        let (number, protocol) = port.split_once(':').unwrap_or((port, "tcp"));
        format!("{protocol} {address} {number}")
    };
    ports.iter().map(line).collect()
}
