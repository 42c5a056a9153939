//! A gate that stands where no packet arrives: on a member of a bridge, below a macvlan, on an interface
//! that is renamed. Each shows that the guarded port is open then, and that nobody is told otherwise.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use portcullis_gate::nftables::Table;
use portcullis_lab::program::Program;
use portcullis_lab::service::Echo;
use portcullis_lab::{Lab, Peer};
use serde_json::Value;
use tempfile::TempDir;

use crate::world::{FAMILIES, PATIENCE, have, portcullis, program, trial, write_config};

const DOOR: &str = r#"
[door.ssh]
guards = ["tcp/22"]
sequence = ["tcp/47431", "udp/29117", "tcp/51123"]
"#;

/// What makes a host other than it was: lines of `ip` on the host and on the client, and then where
/// packets arrive, what `check` says, and what should be named.
struct Change {
    name: &'static str,
    host: &'static [&'static str],
    client: &'static [&'static str],
    device: &'static str,
    code: &'static str,
    names: &'static [&'static str],
}

const CHANGES: [Change; 7] = [
    Change {
        name: "bridge",
        host: &[
            "link add br0 type bridge",
            "addr flush dev client",
            "link set client master br0",
            "link set br0 up",
        ],
        client: &[],
        device: "br0",
        code: "interface-member",
        names: &["br0"],
    },
    Change {
        name: "macvlan",
        host: &[
            "link add link client name top type macvlan mode bridge",
            "addr flush dev client",
            "link set top up",
        ],
        client: &[],
        device: "top",
        code: "interface-below",
        names: &["client", "top"],
    },
    Change {
        name: "macvlan_in_a_bridge",
        host: &[
            "link add link client name top type macvlan mode passthru",
            "link add br0 type bridge",
            "addr flush dev client",
            "link set top master br0",
            "link set top up",
            "link set br0 up",
        ],
        client: &[],
        device: "br0",
        code: "interface-below",
        names: &["client", "br0"],
    },
    Change {
        name: "other_name",
        host: &[
            "link set client down",
            "link set client name eth9",
            "link property add dev eth9 altname client",
            "addr flush dev eth9",
            "link set eth9 up",
        ],
        client: &[],
        device: "eth9",
        code: "interface-other-name",
        names: &["eth9"],
    },
    Change {
        name: "vlan",
        host: &[
            "link add link client name top type vlan id 7",
            "addr flush dev client",
            "link set top up",
        ],
        client: &[
            "link add link host name top type vlan id 7",
            "addr flush dev host",
            "link set top up",
            "addr add 198.51.100.10/24 dev top",
            "addr add 2001:db8::10/64 dev top nodad",
        ],
        device: "top",
        code: "interface-below",
        names: &["client", "top"],
    },
    Change {
        name: "bond",
        host: &[
            "link add bond0 type bond mode active-backup",
            "addr flush dev client",
            "link set client down",
            "link set client master bond0",
            "link set bond0 up",
        ],
        client: &[],
        device: "bond0",
        code: "interface-member",
        names: &["bond0"],
    },
    Change {
        name: "vrf",
        host: &[
            "link add vrf0 type vrf table 10",
            "link set vrf0 up",
            "addr flush dev client",
            "link set client master vrf0",
        ],
        client: &[],
        device: "client",
        code: "interface-member",
        names: &["vrf0"],
    },
];

/// A trial for each place where a gate may stand in vain.
pub fn trials() -> impl Iterator<Item = Trial> {
    let topologies = CHANGES.iter().map(|change| {
        trial(format!("nobody_is_told_that_a_gate_beside_a_{}_holds", change.name), || {
            topology(change);
        })
    });
    let others = [
        trial("a_rename_is_heard_by_the_daemon", a_rename_is_heard_by_the_daemon),
        trial("a_bridge_is_heard_by_the_daemon", a_bridge_is_heard_by_the_daemon),
        trial("a_missing_interface_is_told", a_missing_interface_is_told),
    ];
    topologies.chain(others)
}

/// A host with a service at the guarded port, and a client on the cable `client`, which asks for
/// hardware addresses as others do.
struct House {
    _lab: Lab,
    client: Peer,
    _echo: Echo,
    folder: TempDir,
}

/// What the program has said, and how it ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl House {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let client = lab.peer("client", 1).unwrap();
        ip(&["link set client address 02:00:00:00:01:01 arp on"]).unwrap();
        client.run(|| ip(&["link set host arp on"])).unwrap().unwrap();
        let echo = Echo::start("[::]:22".parse().unwrap()).unwrap();
        Self { _lab: lab, client, _echo: echo, folder: TempDir::new().unwrap() }
    }

    /// A configuration of a gate on these interfaces.
    fn config(&self, names: &[&str]) -> PathBuf {
        let path = self.folder.path().join("portcullis.toml");
        write_config(&path, &format!("[gate]\ninterfaces = {names:?}\n{DOOR}"));
        path
    }

    fn say(&self, command: &str, names: &[&str]) -> Said {
        let (path, state) = (self.config(names), self.folder.path().join("state"));
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push(path.to_str().unwrap());
        if command == "apply" {
            arguments.extend(["--state-dir", state.to_str().unwrap()]);
        }
        let output = portcullis(&arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        Said { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// Starts `portcullis run`, and waits for a line that begins so.
    fn run(&self, names: &[&str], begin: &str) -> Program {
        let state = self.folder.path().join("run");
        let mut command = Command::new(program());
        command.arg("run").arg(self.config(names)).arg("--state-dir").arg(state);
        let daemon = Program::start(&mut command).unwrap();
        wait_for(&daemon, begin);
        daemon
    }

    /// Whether the client gets in without a knock, by each version of IP.
    fn is_open(&self) -> [bool; 2] {
        FAMILIES.map(|family| {
            let to = SocketAddr::new(self.client.host(family), 22);
            match self.client.connect(self.client.address(family, 0), to, PATIENCE) {
                Ok(_) => true,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => false,
                Err(error) => panic!("{family}: {error}"),
            }
        })
    }

    /// `status` says that the gate holds, which it does: nobody gets in.
    fn holds(&self, names: &[&str]) {
        let said = self.say("status", names);
        assert!(
            said.code == 0 && said.out.contains("gate      active"),
            "{}{}",
            said.out,
            said.err
        );
        assert_eq!(self.is_open(), [false; 2], "{names:?}");
    }

    /// `status` says that the gate does not hold, which is so; and this.
    fn does_not_hold(&self, names: &[&str], words: &[&str]) {
        assert_eq!(self.is_open(), [true; 2], "{names:?}");
        let said = self.say("status", names);
        assert_eq!(said.code, 1, "{}{}", said.out, said.err);
        assert!(!said.out.contains("gate      active"), "{}", said.out);
        for word in words {
            assert!(said.err.contains(word), "{word}: {}", said.err);
        }
        let found: Value = serde_json::from_str(&self.say("status --json", names).out).unwrap();
        assert_eq!(found["in_force"], Value::Bool(false), "{found}");
        assert!(!found["findings"].as_array().unwrap().is_empty(), "{found}");
    }

    /// The host's addresses, on this interface.
    fn address(&self, device: &str) {
        let [v4, v6] = FAMILIES.map(|family| self.client.host(family));
        let four = format!("addr replace {v4}/24 dev {device}");
        ip(&[four.as_str(), &format!("addr replace {v6}/64 dev {device} nodad")]).unwrap();
    }
}

/// Runs `ip` with each of these lines; what it says if it fails.
fn ip(lines: &[&str]) -> Result<(), String> {
    for line in lines {
        let output = Command::new("ip").args(line.split(' ')).output().unwrap();
        if !output.status.success() {
            return Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    Ok(())
}

/// Waits for a line of the daemon that begins so.
fn wait_for(daemon: &Program, begin: &str) -> String {
    let mut seen = Vec::new();
    let line = daemon.wait_for_line(PATIENCE, |line| {
        seen.push(line.to_owned());
        line.starts_with(begin)
    });
    line.unwrap_or_else(|| panic!("no line `{begin}` but {seen:#?}"))
}

fn topology(change: &Change) {
    if !have("ip") {
        return;
    }
    let house = House::new();
    let names = &["client"];
    assert_eq!(house.say("apply", names).code, 0);
    house.holds(names);
    match ip(change.host) {
        // Not every kernel has every kind.
        Err(error) if error.contains("Unknown device type") => return,
        result => result.unwrap(),
    }
    if change.name == "vrf" {
        for protocol in ["tcp", "udp"] {
            let name = format!("ipv4/{protocol}_l3mdev_accept");
            portcullis_lab::set_sysctl(&name, "1").unwrap();
        }
    }
    // Hosts answer for their addresses on any interface, and clients remember who answered.
    portcullis_lab::set_sysctl("ipv4/conf/all/arp_ignore", "1").unwrap();
    house.client.run(|| ip(change.client)).unwrap().unwrap();
    house.address(change.device);
    house.client.run(|| ip(&["neigh flush all"])).unwrap().unwrap();

    let list = format!("interfaces = {:?}", change.names);
    house.does_not_hold(names, &["`client` ", &list]);
    let check = house.say("check", names);
    assert_eq!(check.code, 1, "{}", check.err);
    for words in [change.code, &list, "portcullis.toml:2:15"] {
        assert!(check.err.contains(words), "{words}: {}", check.err);
    }
    let remove = || portcullis(&["remove", "--state-dir", house.folder.path().to_str().unwrap()]);
    assert!(remove().status.success());
    // At boot the address may come a moment later, so the daemon begins all the same.
    let waits = change.code == "interface-below";
    if waits {
        let daemon = house.run(names, "warning[interface-below]");
        wait_for(&daemon, "ready: watching client");
        house.does_not_hold(names, &["`client` "]);
        drop(daemon);
        assert!(remove().status.success());
    }
    for command in if waits { &["apply"][..] } else { &["apply", "run"] } {
        let said = house.say(command, names);
        assert!(said.code == 1 && said.err.contains(change.code), "{command}: {}", said.err);
        assert_eq!(Table::open().unwrap().state().unwrap(), None, "{command} left a table");
    }
    // What was advised.
    let said = house.say("apply", change.names);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!said.err.contains("warning[interface"), "{}", said.err);
    house.holds(change.names);
}

fn a_rename_is_heard_by_the_daemon() {
    if !have("ip") {
        return;
    }
    let house = House::new();
    let names = &["client"];
    let daemon = house.run(names, "ready: watching client");
    house.holds(names);
    let rename = |from: &str, to: &str| {
        let down = format!("link set {from} down");
        let name = format!("link set {from} name {to}");
        ip(&[down.as_str(), &name, &format!("link set {to} up")]).unwrap();
        house.address(to);
    };
    rename("client", "eth9");
    let line = wait_for(&daemon, "warning: the gate is no longer active on interface client: ");
    assert!(line.contains("renamed to `eth9`") && line.contains("\"eth9\""), "{line}");
    house.does_not_hold(names, &["no interface `client`"]);
    rename("eth9", "client");
    wait_for(&daemon, "the gate is active on interface client again");
    house.holds(names);
    // What the line advises.
    rename("client", "eth9");
    wait_for(&daemon, "warning: the gate is no longer active on interface client: ");
    house.config(&["eth9"]);
    daemon.signal(Signal::SIGHUP).unwrap();
    wait_for(&daemon, "ready: watching eth9");
    house.holds(&["eth9"]);
}

fn a_bridge_is_heard_by_the_daemon() {
    if !have("ip") {
        return;
    }
    let house = House::new();
    let names = &["lo", "client"];
    let daemon = house.run(names, "ready: watching ");
    house.holds(names);
    ip(CHANGES[0].host).unwrap();
    house.address("br0");
    let line = wait_for(&daemon, "warning: the gate is no longer active on interface client: ");
    assert!(line.contains("a port of the bridge `br0`"), "{line}");
    assert!(line.contains("interfaces = [\"lo\", \"br0\"]"), "{line}");
    house.does_not_hold(names, &["a port of the bridge `br0`"]);
    // The same file is refused now, and what was in force stays.
    daemon.signal(Signal::SIGHUP).unwrap();
    wait_for(&daemon, "warning: cannot use the new configuration; the old one stays");
    // Who starts anew keeps the doors on other interfaces, and says it.
    drop(daemon);
    let daemon = house.run(names, "warning[interface-member]");
    wait_for(&daemon, "ready: watching ");
    drop(daemon);
    let daemon = house.run(&["lo", "br0"], "ready: watching ");
    house.holds(&["lo", "br0"]);
    drop(daemon);
}

fn a_missing_interface_is_told() {
    if !have("ip") {
        return;
    }
    let house = House::new();
    ip(&["link add later type veth peer name end"]).unwrap();
    let names = &["client", "later"];
    assert_eq!(house.say("apply", names).code, 0);
    house.holds(names);
    ip(&["link delete later"]).unwrap();
    let said = house.say("status", names);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.err.contains("no interface `later`"), "{}", said.err);
    assert!(said.out.contains("sees no packets: none arrive on later"), "{}", said.out);
    let said = house.say("apply", names);
    assert!(said.code == 3 && said.err.contains("interface-missing"), "{}", said.err);
    // Rules go by names: one that comes later is guarded at once.
    ip(&["link add later type veth peer name end"]).unwrap();
    house.holds(names);
}
