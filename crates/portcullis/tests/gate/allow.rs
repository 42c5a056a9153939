//! Who needs no knock: networks, interfaces and names, in the real kernel.

use libtest_mimic::Trial;
use std::io::{ErrorKind, Seek, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::Packet;
use portcullis_lab::service::{Echo, talk};
use portcullis_lab::{Family, world};
use tempfile::TempDir;
use world::{By, FAMILIES, PATIENCE, World, write_config};

const CONFIG: &str = r#"
[gate]
stance = "STANCE"
allow = [ALLOW]

[door.ssh]
guards   = ["tcp/22"]
sequence = ["tcp/1009", "tcp/4001", "udp/2003"]
recogniser = "RECOGNISER"
"#;

/// Long enough for an answer that is going to come.
const WAIT: Duration = Duration::from_millis(500);

pub fn trials() -> Vec<Trial> {
    vec![
        world::trial("networks_begin_and_end_where_they_say", networks),
        world::trial("an_interface_is_allowed_as_a_whole", interface),
        world::trial("what_the_allowed_send_is_no_knock", no_knock),
        world::trial("names_are_looked_up_again_and_swapped", names),
        world::trial("apply_looks_names_up_once", apply_with_names),
        world::trial("a_name_that_comes_later_needs_a_new_start", late_name),
    ]
}

fn config(stance: &str, allow: &[&str]) -> String {
    let list: Vec<_> = allow.iter().map(|entry| format!("\"{entry}\"")).collect();
    CONFIG.replace("STANCE", stance).replace("ALLOW", &list.join(", "))
}

/// Whether this source reaches the service behind the guarded port.
fn gets_in(world: &World, from: IpAddr) -> bool {
    // Each time another connection: one that has been answered goes on.
    static PORT: AtomicU16 = AtomicU16::new(20_000);
    let from = SocketAddr::new(from, PORT.fetch_add(1, Ordering::Relaxed));
    let to = SocketAddr::new(world.host(from.ip()), 22);
    let answer = world.wire.probe(&Packet::syn(from, to), WAIT).unwrap();
    answer.map(|answer| answer.meaning()) == Some(Meaning::SynAck)
}

fn services(world: &World) -> [Echo; 2] {
    FAMILIES.map(|family| Echo::start(SocketAddr::new(world.client.host(family), 22)).unwrap())
}

fn networks() {
    for stance in ["guard", "closed"] {
        let allow =
            ["100.64.7.0/24", "100.64.7.9", "100.64.8.0/25", "100.64.9.9", "2001:db8:ffff:7::/64"];
        let world = World::new(By::Kernel, &config(stance, &allow));
        let _services = services(&world);
        for (source, allowed) in [
            ("100.64.6.255", false),
            ("100.64.7.0", true),
            ("100.64.7.255", true),
            ("100.64.8.0", true),
            ("100.64.8.127", true),
            ("100.64.8.128", false),
            ("100.64.9.8", false),
            ("100.64.9.9", true),
            ("100.64.9.10", false),
            ("2001:db8:ffff:6:ffff:ffff:ffff:ffff", false),
            ("2001:db8:ffff:7::", true),
            ("2001:db8:ffff:7:ffff:ffff:ffff:ffff", true),
            ("2001:db8:ffff:8::", false),
        ] {
            assert_eq!(gets_in(&world, source.parse().unwrap()), allowed, "{stance} {source}");
        }
    }
}

fn interface() {
    let mut world = World::new(By::Kernel, &config("guard", &["iface:other"]));
    let other = world.lab.peer("other", 1).unwrap();
    let _services = services(&world);
    for family in FAMILIES {
        let to = SocketAddr::new(world.client.host(family), 22);
        let refused = world.client.connect(world.client.address(family, 0), to, PATIENCE);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let mut stream = other.connect(other.address(family, 0), to, PATIENCE).unwrap();
        assert!(talk(&mut stream, b"hello", PATIENCE).unwrap());
    }
}

/// Neither wrong nor right.
fn no_knock() {
    let mut world = World::new(By::Kernel, &config("guard", &["100.64.7.0/24"]));
    let allowed: IpAddr = "100.64.7.1".parse().unwrap();
    let stranger: IpAddr = "100.64.6.1".parse().unwrap();
    for source in [allowed, stranger] {
        world.knock(source, &["tcp/1009", "tcp/4001"]);
    }
    world.settle();
    // The sentinel has come to the end of its sequence.
    assert_eq!(world.gate.knocking().unwrap(), 1);
    world.knock(allowed, &["udp/2003"]);
    world.settle();
    assert!(world.open_for(allowed).is_empty());
}

/// A file of hosts of our own, which is all that names are looked up in.
struct HostsFile {
    file: std::fs::File,
    _folder: TempDir,
}

impl HostsFile {
    fn new(text: &str) -> Self {
        let nothing = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
        let folder = TempDir::new().unwrap();
        for (name, text) in [("hosts", text), ("nsswitch.conf", "hosts: files\n")] {
            let ours = folder.path().join(name);
            std::fs::write(&ours, text).unwrap();
            let theirs = Path::new("/etc").join(name);
            mount(Some(&ours), &theirs, nothing, MsFlags::MS_BIND, nothing).unwrap();
        }
        let path = folder.path().join("hosts");
        let file = std::fs::File::options().write(true).open(path).unwrap();
        Self { file, _folder: folder }
    }

    /// The same file, since another would not be the one that is mounted.
    fn write(&mut self, text: &str) {
        self.file.set_len(0).unwrap();
        self.file.rewind().unwrap();
        self.file.write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for HostsFile {
    fn drop(&mut self) {
        for name in ["/etc/hosts", "/etc/nsswitch.conf"] {
            // The next test of this thread cannot put another one over a file that is gone.
            umount(name).unwrap();
        }
    }
}

fn names() {
    let first =
        "100.64.7.1 admin.example\n2001:db8:ffff::7 admin.example\n100.64.8.1 zulu.example\n";
    let mut hosts = HostsFile::new(first);
    let allow = ["admin.example", "zulu.example"];
    let mut world = World::new(By::Daemon, &config("closed", &allow));
    let _services = services(&world);
    let source = |text: &str| text.parse::<IpAddr>().unwrap();
    let said = |world: &World, line: &str| {
        let daemon = world.daemon.as_ref().unwrap();
        let heard = daemon.wait_for_line(PATIENCE, |heard| heard == line);
        assert!(heard.is_some(), "{line}: {:?}", daemon.lines());
    };
    said(&world, "admin.example: allowed from 100.64.7.1, 2001:db8:ffff::7");
    said(&world, "zulu.example: allowed from 100.64.8.1");
    let who = |world: &World| {
        let all = ["100.64.7.1", "100.64.7.2", "2001:db8:ffff::7", "100.64.8.1", "100.64.8.2"];
        all.into_iter().filter(|text| gets_in(world, source(text))).collect::<Vec<_>>()
    };
    assert_eq!(who(&world), ["100.64.7.1", "2001:db8:ffff::7", "100.64.8.1"]);
    let again = |world: &World| {
        let id = Pid::from_raw(world.daemon.as_ref().unwrap().id().cast_signed());
        kill(id, Signal::SIGHUP).unwrap();
    };
    resolver_can_do_nothing(world.daemon.as_ref().unwrap().id());
    hosts.write("100.64.7.2 admin.example\n100.64.8.1 zulu.example\n");
    again(&world);
    said(&world, "admin.example: allowed from 100.64.7.2");
    assert_eq!(who(&world), ["100.64.7.2", "100.64.8.1"]);
    // A name that is not found keeps what it had; the other one is looked up after it.
    hosts.write("100.64.8.2 zulu.example\n");
    again(&world);
    said(&world, "zulu.example: allowed from 100.64.8.2");
    assert_eq!(who(&world), ["100.64.7.2", "100.64.8.2"]);
    // New rules, and no daemon at all: both still know.
    let text = std::fs::read_to_string(&world.config).unwrap();
    write_config(&world.config, &text.replace("\"closed\"", "\"guard\""));
    hosts.write("");
    again(&world);
    said(&world, "rules loaded");
    assert_eq!(who(&world), ["100.64.7.2", "100.64.8.2"]);
    world.daemon.take().unwrap().kill().unwrap();
    assert_eq!(who(&world), ["100.64.7.2", "100.64.8.2"]);
    let names = world.gate.hosts().unwrap();
    assert_eq!(names.len(), 2);
}

/// The process that reads what name servers say is nobody, without any capability.
fn resolver_can_do_nothing(daemon: u32) {
    let children =
        std::fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children")).unwrap();
    let is_resolver = |id: &&str| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap();
        line.ends_with(b"run-process\0resolver\0")
    };
    let resolver = children.split_whitespace().find(is_resolver).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{resolver}/status")).unwrap();
    for (key, value) in [
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapInh", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        assert_eq!(line.trim_start_matches(':').trim(), value, "{key}");
    }
}

fn apply_with_names() {
    let mut hosts = HostsFile::new("100.64.7.1 admin.example\n");
    let mut world = World::new(By::Kernel, &config("guard", &["admin.example", "gone.example"]));
    let _services = services(&world);
    let allowed: IpAddr = "100.64.7.1".parse().unwrap();
    assert!(gets_in(&world, allowed));
    hosts.write("");
    let output = world.run(&["apply", world.config.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("gone.example could not be resolved"), "{said}");
    assert!(said.contains("only while `portcullis run` is active"), "{said}");
    assert!(!said.contains("admin.example could not be resolved"), "{said}");
    assert!(gets_in(&world, allowed), "the last answer counts");
    assert!(!gets_in(&world, world.client.address(Family::V4, 0)));
    assert_eq!(world.gate.hosts().unwrap().len(), 1);
}

fn late_name() {
    let _hosts = HostsFile::new("100.64.7.1 admin.example\n");
    let world = World::new(By::Daemon, &config("guard", &[]));
    let text = std::fs::read_to_string(&world.config).unwrap();
    write_config(&world.config, &text.replace("allow = []", "allow = [\"admin.example\"]"));
    let daemon = world.daemon.as_ref().unwrap();
    kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGHUP).unwrap();
    let heard = daemon.wait_for_line(PATIENCE, |line| line.contains("`allow` now has a host name"));
    assert!(heard.is_some(), "{:?}", daemon.lines());
}
