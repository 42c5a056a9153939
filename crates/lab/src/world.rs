//! A host with a gate, a client beside it, and either recogniser: what the end-to-end tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

pub mod completions;
pub mod iptables;
pub mod old_kernel;
pub mod recorder;
pub mod sshd;
mod trials;

pub use trials::{alone, main, module, one_by_one, run, trial, trial_with};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use portcullis_core::policy::{Port, Protocol};
use portcullis_firewall::ruleset::Tracking;
use portcullis_firewall::simulator;
use portcullis_gate::nftables::Table;
use tempfile::TempDir;

use crate::packet::{ACK, FIN, Packet, Payload, RST, SYN};
use crate::program::Program;
use crate::wire::{Wire, in_order};
use crate::{Family, Lab, Peer, wait_until};

/// The program under test: cargo puts it beside the folder of the test that runs.
pub fn program() -> &'static str {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| {
        let test = std::env::current_exe().unwrap();
        let program = test.parent().unwrap().with_file_name("portcullis");
        program.into_os_string().into_string().unwrap()
    });
    &PROGRAM
}

/// How long anything may take that should happen at once; a loaded machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Both.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

const FIN_SYN: u8 = FIN | SYN;

/// A door whose opening says that everything sent before its knocks has been seen.
const SENTINEL: &str = r#"
[door.sentinel]
guards   = ["tcp/64000"]
sequence = ["tcp/64101", "tcp/64303", "tcp/64202"]
open_for = "300s"
recogniser = "RECOGNISER"
"#;

/// Who recognises the knocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The rules alone.
    Kernel,
    /// `portcullis run`.
    Daemon,
}

/// Both.
pub const RECOGNISERS: [By; 2] = [By::Kernel, By::Daemon];

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Daemon => "daemon",
        })
    }
}

/// A host (this thread's network) with a gate, and a client.
pub struct World {
    /// The network.
    pub lab: Lab,
    /// Who knocks.
    pub client: Peer,
    /// The client's end of the cable.
    pub wire: Wire,
    /// What the host's kernel holds.
    pub gate: Table,
    /// `portcullis run`, where it recognises.
    pub daemon: Option<Program>,
    /// The file that both are given.
    pub config: PathBuf,
    folder: TempDir,
    sources: u32,
}

impl World {
    /// Puts the configuration in place, `RECOGNISER` in it standing for the recogniser: the rules
    /// alone are loaded for the kernel, and `portcullis run` is started for the daemon.
    pub fn new(by: By, config: &str) -> Self {
        let mut lab = Lab::new().unwrap();
        let client = lab.peer("client", 4).unwrap();
        let wire = client.wire().unwrap();
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("portcullis.toml");
        let text = format!("{config}{SENTINEL}").replace("RECOGNISER", &by.to_string());
        write_config(&path, &text);
        let mut world = Self {
            lab,
            client,
            wire,
            gate: Table::open().unwrap(),
            daemon: None,
            config: path,
            folder,
            sources: 0,
        };
        match by {
            By::Kernel => {
                world.done(&["apply", world.config.to_str().unwrap()]);
            }
            By::Daemon => world.start_daemon(),
        }
        world
    }

    /// Runs a command that changes rules, which keeps its state in this world's own folder: never in
    /// that of the machine.
    pub fn run(&self, arguments: &[&str]) -> std::process::Output {
        let state = self.folder.path().join("state");
        portcullis(&[arguments, &["--state-dir", state.to_str().unwrap()]].concat())
    }

    /// The same, which must do what it is asked.
    pub fn done(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// Starts `portcullis run`, and waits until it watches.
    pub fn start_daemon(&mut self) {
        let mut command = Command::new(program());
        command.arg("run").arg(&self.config).stdin(Stdio::null());
        let program = Program::start(&mut command).unwrap();
        let ready = program.wait_for_line(PATIENCE, |line| line.starts_with("ready"));
        assert!(ready.is_some(), "the daemon never became ready: {:?}", program.lines());
        self.daemon = Some(program);
    }

    /// An address that nobody has used.
    pub fn new_source(&mut self, family: Family) -> IpAddr {
        self.sources += 1;
        made_up(family, self.sources)
    }

    /// From this source to this port of the host, as a knock would come.
    pub fn knock_packet(&self, from: IpAddr, port: Port) -> Packet {
        knock_packet(from, self.host(from), port)
    }

    /// The address of the host in the family of this one.
    pub fn host(&self, like: IpAddr) -> IpAddr {
        self.client.host(if like.is_ipv4() { Family::V4 } else { Family::V6 })
    }

    /// Sends these knocks from this source.
    pub fn knock(&self, from: IpAddr, ports: &[&str]) {
        in_order(|| {
            for port in ports {
                self.wire.send(&self.knock_packet(from, port.parse().unwrap())).unwrap();
            }
        })
        .unwrap();
    }

    /// The doors that are open for this source now.
    pub fn open_for(&mut self, source: IpAddr) -> BTreeSet<String> {
        self.open().remove(&source).unwrap_or_default()
    }

    /// The doors that are open now, by source.
    pub fn open(&mut self) -> BTreeMap<IpAddr, BTreeSet<String>> {
        let names = self.gate.door_names().unwrap();
        let mut open: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for grant in self.gate.grants().unwrap() {
            let (_, name) = names.iter().find(|(class, _)| *class == grant.class).unwrap();
            open.entry(grant.address).or_default().insert(name.clone());
        }
        open
    }

    /// Waits until everything sent so far has been seen: by knocking at a door of its own, again if
    /// a packet of that was lost.
    pub fn settle(&mut self) {
        for _ in 0..20 {
            let source = self.new_source(Family::V4);
            self.knock(source, &["tcp/64101", "tcp/64303", "tcp/64202"]);
            let soon = Instant::now() + PATIENCE / 20;
            if wait_until(soon, || self.open_for(source).contains("sentinel")) {
                return;
            }
        }
        panic!("the sentinel's door never opened: {:?}", self.daemon.as_ref().map(Program::lines));
    }
}

/// A source address that no interface has; different for different numbers.
pub fn made_up(family: Family, number: u32) -> IpAddr {
    let [a, b, c, d] = number.to_be_bytes();
    match family {
        Family::V4 => Ipv4Addr::new(100, 64 + (b & 0x3f), c, d).into(),
        Family::V6 => {
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, high, low).into()
        }
    }
}

/// From this address to this port, as a knock would come.
pub fn knock_packet(from: IpAddr, to: IpAddr, port: Port) -> Packet {
    let (from, to) = (SocketAddr::new(from, 40_000), SocketAddr::new(to, port.number.get()));
    match port.protocol {
        Protocol::Tcp => Packet::syn(from, to),
        Protocol::Udp => Packet::udp(from, to, &[0]),
    }
}

/// Packets of every kind that the rules tell apart; the source of each is filled in later.
pub fn all_kinds(family: Family, host: IpAddr) -> Vec<(String, Packet)> {
    let (from, to) =
        (SocketAddr::new(made_up(family, 1), 40_000), |port| SocketAddr::new(host, port));
    let mut all = Vec::new();
    for port in [22, 2222, 80, 53, 1009, 8080, 68, 546] {
        for flags in [SYN, ACK, FIN | ACK, RST, SYN | ACK, SYN | RST, SYN | FIN, 0] {
            all.push((format!("tcp/{port} {flags:#x}"), Packet::tcp(from, to(port), flags)));
        }
        for source in [40_000, 67, 547] {
            let from = SocketAddr::new(from.ip(), source);
            all.push((format!("udp/{port} from {source}"), Packet::udp(from, to(port), b"x")));
        }
    }
    for kind in (0..=18).chain(126..=148) {
        for hop_limit in [64, 255] {
            let payload = Payload::Icmp { kind, code: 0, rest: [0, 9, 0, 9], data: vec![0; 24] };
            let mut packet = Packet::new(from.ip(), host, payload);
            packet.ttl = hop_limit;
            all.push((format!("icmp {kind} hop limit {hop_limit}"), packet));
        }
    }
    let payload = Payload::Other { protocol: 132, bytes: vec![0; 16] };
    all.push(("sctp".to_owned(), Packet::new(from.ip(), host, payload)));
    all
}

/// As the simulator has it.
pub fn simulated(packet: &Packet) -> simulator::Packet {
    let payload = match &packet.payload {
        Payload::Tcp(tcp) => simulator::Payload::Tcp {
            source_port: tcp.source,
            destination_port: tcp.destination,
            flags: tcp.flags,
        },
        &Payload::Udp { source, destination, .. } => {
            simulator::Payload::Udp { source_port: source, destination_port: destination }
        }
        Payload::Icmp { kind, .. } => simulator::Payload::Icmp { kind: *kind },
        Payload::Other { protocol, .. } => simulator::Payload::Other(*protocol),
    };
    // What connection tracking takes for no beginning, and errors about nothing that it knows.
    let is_ipv4 = packet.ends.source().is_ipv4();
    let begins_nothing = match payload {
        simulator::Payload::Tcp { flags, .. } => flags & (RST | ACK) == 0 && flags & FIN_SYN != SYN,
        simulator::Payload::Icmp { kind } if is_ipv4 => [3, 4, 5, 11, 12].contains(&kind),
        simulator::Payload::Icmp { kind } => (1..=4).contains(&kind),
        _ => false,
    };
    simulator::Packet {
        interface: "client".to_owned(),
        tracked: if begins_nothing { Tracking::Invalid } else { Tracking::New },
        hop_limit: packet.ttl,
        ..simulator::Packet::new(packet.ends.source(), packet.ends.destination(), payload)
    }
}

/// Lets the host of this thread answer every packet that asks for an ICMP error: otherwise it answers
/// only now and then, whatever the port.
pub fn unlimited_icmp() {
    crate::set_sysctl("ipv4/icmp_ratelimit", "0").unwrap();
    crate::set_sysctl("ipv6/icmp/ratelimit", "0").unwrap();
    // These are the machine's on older kernels, and not ours to change.
    let _ = crate::set_sysctl("ipv4/icmp_msgs_per_sec", "1000000");
    let _ = crate::set_sysctl("ipv4/icmp_msgs_burst", "1000000");
}

/// A configuration file that only its owner can read.
pub fn write_config(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Runs the program to its end, in the network of this thread. To change rules with it is for
/// [`World::run`], which keeps the state away from that of the machine.
pub fn portcullis(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Loads a script with `nft`; what that prints.
pub fn nft(script: &str) -> String {
    let mut command = Command::new("nft");
    let mut child =
        command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a peer program is there. In CI it must be.
pub fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.into_iter().any(|folder| folder.join(program).is_file());
    assert!(found || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI has no {program}");
    found
}
