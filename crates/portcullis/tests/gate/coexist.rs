//! Beside somebody else's firewall: not a byte of it changes, what it refuses stays refused, and what it
//! publishes stays reachable, whatever is done with the gate.
//!
//! The rules of others in `coexist/` are as their makers load them: those of ufw 0.36 and firewalld
//! 1.3 were saved from the running programs, those of Docker 27 and 28 are written after theirs, with
//! `docker0` at the address of the lab's second cable.

use libtest_mimic::Trial;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use portcullis_firewall::iptables::AddressStore;
use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::Packet;
use portcullis_lab::service::{Echo, talk};
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family, Lab, Peer, set_sysctl, wait_until, world};
use world::{FAMILIES, PATIENCE, have, knock_packet, program, write_config};

use world::iptables::{STORES, Tools, VARIANTS, Variant, word};

/// Long enough for an answer that is not going to come.
const SILENCE: Duration = Duration::from_millis(150);

const KNOCK: [&str; 3] = ["tcp/1009", "udp/4001", "tcp/2003"];

/// A port that theirs accept.
const ACCEPTED: u16 = 8080;
/// Ports that theirs refuse; the first is public to ours, the second guarded by the door.
const REFUSED: [u16; 2] = [8888, 8889];
/// The one line that a gate of iptables adds to what is not its own.
const JUMP: &str = "-A INPUT -j portcullis-input";

/// The port that Docker publishes, and those of the container: published, and not.
const PUBLISHED: u16 = 8081;
const CONTAINER: [u16; 2] = [80, 81];

/// Rules of somebody else.
#[derive(Debug, Clone, Copy)]
struct Others {
    name: &'static str,
    rules: Rules,
    /// Whether they refuse what comes in and they do not know.
    refuses: bool,
}

#[derive(Debug, Clone, Copy)]
enum Rules {
    /// For `nft`.
    Nft(&'static str),
    /// For `iptables-restore` and `ip6tables-restore`.
    Iptables(Variant, [&'static str; 2]),
}

fn all_others() -> Vec<Others> {
    let nft = |name, rules| Others { name, rules: Rules::Nft(rules), refuses: true };
    let mut all = vec![
        nft("nft", include_str!("coexist/filter.nft")),
        nft("firewalld", include_str!("coexist/firewalld.nft")),
    ];
    for variant in VARIANTS {
        let add =
            |name, rules, refuses| Others { name, rules: Rules::Iptables(variant, rules), refuses };
        let ufw = [include_str!("coexist/ufw.v4"), include_str!("coexist/ufw.v6")];
        let docker27 = [include_str!("coexist/docker27.v4"), include_str!("coexist/docker27.v6")];
        let docker28 = [include_str!("coexist/docker28.v4"), include_str!("coexist/docker28.v6")];
        all.push(add("ufw", ufw, true));
        all.push(add("docker27", docker27, false));
        all.push(add("docker28", docker28, false));
    }
    all
}

/// A way to have the gate.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// With nftables, in this stance.
    Nftables(&'static str),
    /// With the programs of this variant.
    Iptables(Variant, AddressStore),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nftables(stance) => write!(f, "nftables_{stance}"),
            Self::Iptables(variant, store) => write!(f, "{variant}_{}", word(*store)),
        }
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rules {
            Rules::Nft(_) => f.write_str(self.name),
            Rules::Iptables(variant, _) => write!(f, "{}_of_{variant}", self.name),
        }
    }
}

pub fn trials() -> Vec<Trial> {
    let there = have("nft") && world::iptables::are_there();
    let mut trials = Vec::new();
    for others in all_others() {
        let variants: &[Variant] = match &others.rules {
            Rules::Nft(_) => &VARIANTS,
            Rules::Iptables(variant, _) => std::slice::from_ref(variant),
        };
        let mut ways = vec![Way::Nftables("guard"), Way::Nftables("closed")];
        for &variant in variants {
            ways.extend(STORES.map(|store| Way::Iptables(variant, store)));
        }
        let variants: Vec<Variant> = variants.to_vec();
        for way in ways {
            let variant = match way {
                Way::Iptables(variant, _) => variant,
                Way::Nftables(_) => variants[0],
            };
            let trial = world::trial(format!("{way}_beside_{others}"), move || {
                beside(others, way, variant);
            });
            trials.push(trial.with_ignored_flag(!there));
        }
    }
    trials
}

/// A host with a firewall of somebody else, a client, and a container behind it.
struct Place {
    others: Others,
    way: Way,
    tools: Tools,
    client: Peer,
    container: Peer,
    wire: Wire,
    _services: Vec<Echo>,
    _lab: Lab,
}

impl Place {
    fn new(others: Others, way: Way, variant: Variant) -> Self {
        let mut lab = Lab::new().unwrap();
        let client = lab.peer("client", 4).unwrap();
        let container = lab.peer("docker0", 1).unwrap();
        set_sysctl("ipv4/ip_forward", "1").unwrap();
        set_sysctl("ipv6/conf/all/forwarding", "1").unwrap();
        let mut services = Vec::new();
        for family in FAMILIES {
            let host = client.host(family);
            for port in [22, ACCEPTED].into_iter().chain(REFUSED) {
                services.push(Echo::start(SocketAddr::new(host, port)).unwrap());
            }
            let inside = container.address(family, 0);
            for port in CONTAINER {
                let echo = container.run(|| Echo::start(SocketAddr::new(inside, port)).unwrap());
                services.push(echo.unwrap());
            }
        }
        let wire = client.wire().unwrap();
        let tools = Tools::new(variant);
        let place =
            Self { others, way, tools, client, container, wire, _services: services, _lab: lab };
        place.load_theirs();
        place
    }

    /// Loads theirs, in the place of what they have loaded before.
    fn load_theirs(&self) {
        match self.others.rules {
            Rules::Nft(rules) => {
                let table = rules.split(" {").next().unwrap();
                drop(self.nft(&[&format!("{table}\ndelete {table}\n{rules}")]));
            }
            Rules::Iptables(_, [four, six]) => {
                drop(self.tools.must("iptables-restore", &["--wait"], four));
                drop(self.tools.must("ip6tables-restore", &["--wait"], six));
            }
        }
    }

    fn nft(&self, arguments: &[&str]) -> String {
        let output = Command::new("nft").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// All rules of the host but ours, to the byte, without what they have counted.
    fn theirs(&self, gate_is_there: bool) -> String {
        match (self.others.rules, self.way) {
            (Rules::Nft(_), _) => {
                let all = self.nft(&["-s", "list", "ruleset"]);
                let mut tables: Vec<String> = Vec::new();
                for line in all.lines() {
                    if line.starts_with("table ") {
                        tables.push(String::new());
                    }
                    let Some(table) = tables.last_mut() else { continue };
                    table.push_str(line);
                    table.push('\n');
                }
                // An empty table of iptables stays where that has never been called before.
                let ours = ["table inet portcullis ", "table ip filter ", "table ip6 filter "];
                tables.retain(|table| !ours.iter().any(|ours| table.starts_with(ours)));
                tables.concat()
            }
            (Rules::Iptables(..), way) => {
                let way_is_iptables = matches!(way, Way::Iptables(..)) && gate_is_there;
                let mut all = String::new();
                for program in ["iptables-save", "ip6tables-save"] {
                    let saved = self.tools.must(program, &[], "");
                    let is_jump = |line: &&str| *line == JUMP;
                    let jumps = saved.lines().filter(is_jump).count();
                    assert_eq!(jumps, usize::from(way_is_iptables), "{saved}");
                    for line in saved.lines().filter(|line| !line.starts_with('#')) {
                        let ours = line.starts_with(":portcullis")
                            || line.starts_with("-A portcullis")
                            || line == JUMP;
                        let line = match line.strip_prefix(':') {
                            Some(chain) => chain.split(" [").next().unwrap(),
                            None => line,
                        };
                        if !(way_is_iptables && ours) {
                            all.push_str(line);
                            all.push('\n');
                        }
                    }
                }
                all
            }
        }
    }

    fn config(&self, knock: &[&str], more: &str) -> String {
        let gate = match self.way {
            Way::Nftables(stance) => format!("stance = \"{stance}\""),
            Way::Iptables(_, store) => format!("backend = \"{}\"", word(store)),
        };
        let [public, guarded] = REFUSED;
        let [one, two, three] = knock else { panic!() };
        let recogniser = "recogniser = \"kernel\"";
        let text = format!(
            "[gate]\n{gate}\npublic = [\"tcp/{ACCEPTED}\", \"tcp/{public}\"]\n\
             [door.ssh]\nguards = [\"tcp/22\", \"tcp/{guarded}\"]\n\
             sequence = [\"{one}\", \"{two}\", \"{three}\"]\nopen_for = \"300s\"\n{recogniser}\n{more}"
        );
        let path = self.tools.path().join("portcullis.toml");
        write_config(&path, &text);
        path.to_str().unwrap().to_owned()
    }

    fn portcullis(&self, arguments: &[&str]) {
        let state = self.tools.path().join("state");
        let state = ["--state-dir", state.to_str().unwrap()];
        self.tools.must(program(), &[arguments, &state].concat(), "");
    }

    fn from(&self, to: IpAddr) -> IpAddr {
        self.client.address(if to.is_ipv4() { Family::V4 } else { Family::V6 }, 0)
    }

    /// Whether a SYN from here is answered by a service, in this time.
    fn answered(&self, from: IpAddr, to: SocketAddr, within: Duration) -> bool {
        static SOURCE: AtomicU16 = AtomicU16::new(20_000);
        let from = SocketAddr::new(from, SOURCE.fetch_add(1, Ordering::Relaxed));
        let answer = self.wire.probe(&Packet::syn(from, to), within).unwrap();
        answer.map(|answer| answer.meaning()) == Some(Meaning::SynAck)
    }

    fn reaches(&self, to: IpAddr, port: u16) -> bool {
        self.answered(self.from(to), SocketAddr::new(to, port), PATIENCE / 4)
    }

    fn refused(&self, from: IpAddr, to: IpAddr, port: u16) -> bool {
        !self.answered(from, SocketAddr::new(to, port), SILENCE)
    }

    fn knock(&self, knock: &[&str]) {
        for family in FAMILIES {
            let host = self.client.host(family);
            for port in knock {
                let packet = knock_packet(self.from(host), host, port.parse().unwrap());
                self.wire.send(&packet).unwrap();
            }
        }
    }

    /// Theirs do what they have always done, and port 22 is open or not.
    fn check(&self, open: bool, when: &str) {
        for family in FAMILIES {
            let host = self.client.host(family);
            let from = self.from(host);
            let as_it_should =
                if open { self.reaches(host, 22) } else { self.refused(from, host, 22) };
            assert!(as_it_should, "{when}, {family}: port 22");
            assert!(self.reaches(host, ACCEPTED), "{when}, {family}: port {ACCEPTED}");
            if self.others.refuses {
                for port in REFUSED {
                    assert!(self.refused(from, host, port), "{when}, {family}: port {port}");
                }
            } else {
                self.check_container(family, when);
            }
        }
        if self.others.name == "firewalld" {
            let denied = "192.0.2.7".parse().unwrap();
            let host = self.client.host(Family::V4);
            assert!(self.refused(denied, host, ACCEPTED), "{when}: the rich rule");
        }
    }

    /// With real connections: the published port, and out of the container; not to another port.
    fn check_container(&self, family: Family, when: &str) {
        let host = self.client.host(family);
        let published = SocketAddr::new(host, PUBLISHED);
        let stream = self.client.connect(self.from(host), published, PATIENCE);
        let mut stream = stream.unwrap_or_else(|error| panic!("{when}, {family}: {error}"));
        assert!(talk(&mut stream, b"hello", PATIENCE).unwrap(), "{when}, {family}");
        let inside = self.container.address(family, 0);
        let [_, other] = CONTAINER;
        assert!(
            self.refused(self.from(inside), inside, other),
            "{when}, {family}: port {other} of the container"
        );
        if self.others.name == "docker28" {
            let denied = match family {
                Family::V4 => "192.0.2.66",
                Family::V6 => "2001:db8:66::1",
            };
            let denied = denied.parse().unwrap();
            assert!(self.refused(denied, host, PUBLISHED), "{when}: DOCKER-USER");
        }
        let outside = SocketAddr::new(self.client.address(family, 1), 9_000);
        let _echo = self.client.run(|| Echo::start(outside).unwrap()).unwrap();
        let stream = self.container.connect(inside, outside, PATIENCE);
        let mut stream = stream.unwrap_or_else(|error| panic!("{when}, {family}: {error}"));
        assert!(talk(&mut stream, b"hello", PATIENCE).unwrap(), "{when}, {family}");
    }
}

fn beside(others: Others, way: Way, variant: Variant) {
    let place = Place::new(others, way, variant);
    let before = place.theirs(false);
    let same = |gate_is_there, when: &str| {
        let now = place.theirs(gate_is_there);
        let pairs =
            now.lines().map(Some).chain([None; 9]).zip(before.lines().map(Some).chain([None; 9]));
        let different: Vec<_> = pairs.filter(|(now, before)| now != before).take(3).collect();
        assert!(now == before, "{when}: {different:#?}");
    };
    assert!(before.lines().count() > 10, "{before}");
    place.check(true, "before");

    let config = place.config(&KNOCK, "");
    place.portcullis(&["apply", &config]);
    same(true, "loaded");
    place.check(false, "loaded");
    if let Way::Nftables(_) = way {
        // That takes the jump of a gate of iptables away (docs/known-issues.md).
        place.load_theirs();
        same(true, "theirs loaded anew");
        place.check(false, "theirs loaded anew");
    }
    place.knock(&KNOCK);
    for family in FAMILIES {
        let host = place.client.host(family);
        let open = || !place.refused(place.from(host), host, 22);
        assert!(wait_until(Instant::now() + PATIENCE, open), "{family}: the door does not open");
    }
    place.check(true, "open");

    place.portcullis(&["apply", &config]);
    same(true, "loaded again");
    // With another knock, and a door more; grants stay.
    let other = ["udp/6007", "tcp/3001", "tcp/9001"];
    let more = "[door.web]\nguards = [\"tcp/8443\"]\n\
                sequence = [\"tcp/5003\", \"udp/7007\", \"tcp/4009\"]\nrecogniser = \"kernel\"\n";
    let config = place.config(&other, more);
    place.portcullis(&["apply", &config]);
    same(true, "changed");
    place.check(true, "changed");

    if let Way::Nftables(_) = way {
        let trial = place.config(&KNOCK, "");
        place.portcullis(&["apply", &trial, "--confirm-within", "30s"]);
        same(true, "on trial");
        place.portcullis(&["rollback"]);
        same(true, "rolled back");
        place.check(true, "rolled back");
    }

    place.portcullis(&["remove"]);
    same(false, "removed");
    place.check(true, "removed");
    // Ours are all gone.
    assert!(!place.nft(&["list", "ruleset"]).contains("portcullis"));
    if let Way::Iptables(..) = way {
        assert_eq!(place.tools.must("ipset", &["list", "-name"], ""), "");
    }
}
