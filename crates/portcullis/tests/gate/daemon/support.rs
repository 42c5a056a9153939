//! A daemon on a host with one client.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use portcullis_gate::nftables::{Grant, Table};
use portcullis_lab::packet::Packet;
use portcullis_lab::program::Program;
use portcullis_lab::service::{Echo, talk};
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family, Lab, Peer};
use tempfile::TempDir;

pub const BOTH: [Family; 2] = [Family::V4, Family::V6];
/// How long anything may take that must happen.
pub const WAIT: Duration = Duration::from_secs(10);

/// A door that only the daemon may open.
pub const DOOR: &str = r#"
[door.ssh]
guards = ["tcp/22"]
sequence = ["tcp/7431", "udp/29117", "tcp/1123"]
open_for = "30s"
recogniser = "daemon"
"#;

pub const SEQUENCE: [(&str, u16); 3] = [("tcp", 7431), ("udp", 29_117), ("tcp", 1123)];

/// The host, its client, and the daemon.
pub struct House {
    pub lab: Lab,
    pub client: Peer,
    pub wire: Wire,
    pub daemon: Program,
    pub path: PathBuf,
    _echoes: Vec<Echo>,
    _directory: TempDir,
}

/// The program, to be run with these arguments.
pub fn portcullis(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments);
    command
}

/// A daemon that has said this.
pub fn start_until(path: &Path, begin: &str) -> Program {
    let state = path.with_file_name("state");
    let arguments = ["run", path.to_str().unwrap(), "-v", "--state-dir", state.to_str().unwrap()];
    let daemon = Program::start(&mut portcullis(&arguments)).unwrap();
    wait_for_line(&daemon, begin);
    daemon
}

/// A daemon that is ready.
pub fn start_daemon(path: &Path) -> Program {
    start_until(path, "ready: watching client")
}

/// Waits for a line that begins so.
pub fn wait_for_line(daemon: &Program, begin: &str) -> String {
    lines_until(daemon, begin).pop().unwrap()
}

fn lines_until(daemon: &Program, begin: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let found = daemon.wait_for_line(WAIT, |line| {
        seen.push(line.to_owned());
        line.starts_with(begin)
    });
    assert!(found.is_some(), "no line `{begin}` but {seen:#?}");
    seen
}

impl House {
    /// With a daemon that is ready, and an echo service behind the door.
    pub fn new(configuration: &str) -> Self {
        Self::new_with(configuration, "ready: watching client")
    }

    /// With a daemon that has said this.
    pub fn new_with(configuration: &str, begin: &str) -> Self {
        let mut lab = Lab::new().unwrap();
        let client = lab.peer("client", 3).unwrap();
        let echoes = BOTH.map(|f| Echo::start(SocketAddr::new(client.host(f), 22)).unwrap());
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("portcullis.toml");
        fs::write(&path, configuration).unwrap();
        let daemon = start_until(&path, begin);
        let wire = client.wire().unwrap();
        Self { lab, client, wire, daemon, path, _echoes: echoes.into(), _directory: directory }
    }

    /// The packets of a knock from the client's address of this number.
    pub fn knock(&self, family: Family, number: usize, ports: &[(&str, u16)]) -> Vec<Packet> {
        knock(self.client.address(family, number), self.client.host(family), ports)
    }

    /// Sends them.
    pub fn send(&self, packets: &[Packet]) {
        for packet in packets {
            self.wire.send(packet).unwrap();
        }
    }

    /// Waits until the daemon says that the door is open for the client's address of this number.
    pub fn wait_for_open(&self, family: Family, number: usize) {
        let line = format!("{}: ssh: open for ", self.client.address(family, number));
        self.wait_for_line(&line);
    }

    /// Waits for a line that begins so.
    pub fn wait_for_line(&self, begin: &str) -> String {
        wait_for_line(&self.daemon, begin)
    }

    /// Waits for a line that begins so; all lines up to it.
    pub fn lines_until(&self, begin: &str) -> Vec<String> {
        lines_until(&self.daemon, begin)
    }

    /// Whether the client's address of this number gets through to the service.
    pub fn gets_in(&self, family: Family, number: usize) -> bool {
        let to = SocketAddr::new(self.client.host(family), 22);
        match self.client.connect(self.client.address(family, number), to, WAIT) {
            Ok(mut stream) => talk(&mut stream, b"hello", WAIT).unwrap(),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
                false
            }
        }
    }
}

pub fn knock(from: IpAddr, to: IpAddr, ports: &[(&str, u16)]) -> Vec<Packet> {
    let from = SocketAddr::new(from, 45_000);
    let packet = |(protocol, port): &(&str, u16)| match *protocol {
        "tcp" => Packet::syn(from, SocketAddr::new(to, *port)),
        _ => Packet::udp(from, SocketAddr::new(to, *port), b"x"),
    };
    ports.iter().map(packet).collect()
}

/// The living grants of this host.
pub fn grants() -> Vec<Grant> {
    Table::open().unwrap().grants().unwrap()
}

/// The one child of a process.
pub fn child(id: u32) -> u32 {
    let [child] = children(id)[..] else { panic!("not one child") };
    child
}

/// The child of a keeper that runs commands.
pub fn runner(id: u32) -> u32 {
    let is_runner = |id: &u32| {
        let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap();
        arguments.split(|byte| *byte == 0).any(|argument| argument == b"runner")
    };
    children(id).into_iter().find(is_runner).unwrap()
}

pub fn children(id: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    children.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// Waits until a process is gone.
pub fn wait_for_end(id: u32) -> bool {
    let is_gone = || match fs::read_to_string(format!("/proc/{id}/stat")) {
        // Dead, but nobody has asked how.
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")),
        Err(_) => true,
    };
    portcullis_lab::wait_until(Instant::now() + WAIT, is_gone)
}
