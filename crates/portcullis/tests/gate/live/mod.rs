//! What a person does at the loaded gate: looks at it, lets somebody pass, shuts somebody out; with
//! real packets, with and without the daemon.

mod banning;
mod cutting;
mod granting;
mod looking;
use libtest_mimic::Trial;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Output};

use portcullis_firewall::compile::compile;
use portcullis_gate::nftables::Table;
use portcullis_lab::service::Echo;
use portcullis_lab::world;
use serde_json::Value;
use world::{By, PATIENCE, World, program};

/// Two doors of TCP and one of UDP.
const CONFIG: &str = r#"
[gate]
refuse = "like-closed"

[door.ssh]
guards     = ["tcp/22"]
sequence   = ["tcp/1009", "tcp/4001", "udp/2003"]
open_for   = "5m"
recogniser = "RECOGNISER"

[door.web]
guards     = ["tcp/443", "tcp/8443"]
sequence   = ["tcp/6007", "udp/3001", "tcp/9001"]
open_for   = "5m"
recogniser = "RECOGNISER"

[door.vpn]
guards     = ["udp/51820"]
sequence   = ["udp/7007", "tcp/8009", "udp/5003"]
open_for   = "5m"
recogniser = "RECOGNISER"
"#;

pub fn trials() -> Vec<Trial> {
    let mut trials = granting::trials();
    trials.extend(cutting::trials());
    trials.extend(banning::trials());
    trials.extend(looking::trials());
    trials
}

/// The rules of this world, with room for four elements in a set.
fn make_small(world: &World, set: &str) {
    let policy = portcullis::config::load(&world.config).unwrap().policy;
    let mut ruleset = compile(&policy).unwrap();
    ruleset.sets.iter_mut().find(|it| it.name == set).unwrap().size = Some(4);
    Table::open().unwrap().load(&ruleset).unwrap();
}

/// What a command said, and how it ended.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs a command, with these words and then these options.
fn run(words: &str, more: &[&str]) -> Said {
    let words: Vec<_> = words.split(' ').chain(more.iter().copied()).collect();
    world::portcullis(&words).into()
}

/// Runs a command that must do what it is asked.
fn done(words: &str, more: &[&str]) -> Said {
    let said = run(words, more);
    assert_eq!(said.code, 0, "{words} {more:?}: {said:?}");
    said
}

fn ssh_session(words: &str, connection: Option<&str>) -> Said {
    let mut command = Command::new(program());
    command.args(words.split(' ')).env_remove("SSH_CONNECTION");
    command.envs(connection.map(|value| ("SSH_CONNECTION", value)));
    command.output().unwrap().into()
}

/// The living grants of the doors of [`CONFIG`], as doors and addresses.
fn grants() -> Vec<(String, String)> {
    let said = done("grants --json", &[]).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let grants = said["grants"].as_array().unwrap().iter();
    let grants = grants.map(|grant| (text(&grant["door"]), text(&grant["address"])));
    grants.filter(|(door, _)| door != "sentinel").collect()
}

fn granted(door: &str, address: IpAddr) -> (String, String) {
    (door.to_owned(), address.to_string())
}

/// Whether the client gets through to this port of the host; if not, it is refused.
fn passes(world: &World, from: IpAddr, port: u16) -> bool {
    match world.client.connect(from, SocketAddr::new(world.host(from), port), PATIENCE) {
        Ok(_) => true,
        // A handshake that is half done when its grant ends is reset.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
            ) =>
        {
            false
        }
        Err(error) => panic!("{from} to {port}: {error}"),
    }
}

/// Services behind the doors, for the host's address in this family.
fn services(world: &World, like: IpAddr) -> Vec<Echo> {
    let host = world.host(like);
    [22, 443].map(|port| Echo::start(SocketAddr::new(host, port)).unwrap()).into()
}

/// `--config` of this world.
fn config(world: &World) -> [&str; 2] {
    ["--config", world.config.to_str().unwrap()]
}

/// Both ways to have a gate.
const WAYS: [By; 2] = [By::Kernel, By::Daemon];
