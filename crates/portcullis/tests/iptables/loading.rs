//! `apply` and `remove` with these back ends.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use portcullis_firewall::iptables::{AddressStore, Family};
use portcullis_gate::nftables::Table;
use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::Packet;
use portcullis_lab::service::Echo;
use portcullis_lab::wire::Wire;
use portcullis_lab::{Lab, Peer, wait_until};

use crate::world::iptables::{Tools, Variant, word};
use crate::world::{FAMILIES, PATIENCE, knock_packet};

const RIGHT: [&str; 3] = ["tcp/1009", "udp/4001", "tcp/2003"];

/// Well after the `step_timeout` of the configuration.
const LATE: Duration = Duration::from_millis(2_600);

pub fn config(backend: &str, open_for: &str, extra: &str) -> String {
    format!(
        "[gate]\nbackend = \"{backend}\"\n\
         [door.ssh]\nguards = [\"tcp/22\"]\nsequence = [\"tcp/1009\", \"udp/4001\", \"tcp/2003\"]\n\
         step_timeout = \"2s\"\nopen_for = \"{open_for}\"\n{extra}"
    )
}

/// A host with this gate, and a client.
pub struct Place {
    pub tools: Tools,
    pub client: Peer,
    pub wire: Wire,
    _services: Vec<Echo>,
    _lab: Lab,
}

impl Place {
    pub fn new(variant: Variant) -> Self {
        let mut lab = Lab::new().unwrap();
        let client = lab.peer("client", 4).unwrap();
        let wire = client.wire().unwrap();
        let services = FAMILIES.map(|side| Echo::start((client.host(side), 22).into()).unwrap());
        let tools = Tools::new(variant);
        Self { tools, client, wire, _services: services.into(), _lab: lab }
    }

    pub fn apply(&self, config: &str) {
        let output = self.tools.portcullis("apply", Some(config));
        assert!(output.status.success(), "{output:?}");
    }

    pub fn host(&self, from: IpAddr) -> IpAddr {
        let side =
            FAMILIES.into_iter().find(|side| self.client.host(*side).is_ipv4() == from.is_ipv4());
        self.client.host(side.unwrap())
    }

    pub fn knock(&self, from: IpAddr, ports: &[&str]) {
        for port in ports {
            let packet = knock_packet(from, self.host(from), port.parse().unwrap());
            self.wire.send(&packet).unwrap();
        }
    }

    /// What a SYN to port 22 is answered with; `None` is silence.
    pub fn answer(&self, from: IpAddr) -> Option<Meaning> {
        // A source port of its own, so that connection tracking takes it for a new connection.
        static PORT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(20_000);
        let port = PORT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let to = SocketAddr::new(self.host(from), 22);
        let syn = Packet::syn(SocketAddr::new(from, port), to);
        let seen = self.wire.probe(&syn, Duration::from_millis(300)).unwrap();
        seen.map(|seen| seen.meaning())
    }

    pub fn is_open(&self, from: IpAddr) -> bool {
        self.answer(from) == Some(Meaning::SynAck)
    }

    /// The client's addresses, four of each family.
    pub fn addresses(&self, number: usize) -> [IpAddr; 2] {
        FAMILIES.map(|side| self.client.address(side, number))
    }
}

/// With real connections, and the times that the kernel keeps.
pub fn door(variant: Variant, store: AddressStore) {
    let place = Place::new(variant);
    place.apply(&config(word(store), "2s", ""));
    let connect =
        |from: IpAddr| place.client.connect(from, SocketAddr::new(place.host(from), 22), PATIENCE);
    // A step that comes too late: it waits while the rest happens.
    let late = place.addresses(2);
    for from in late {
        place.knock(from, &RIGHT[..2]);
    }
    let begun = Instant::now();
    let mut kept = Vec::new();
    for from in place.addresses(0) {
        assert_eq!(connect(from).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        place.knock(from, &RIGHT);
        let made = connect(from).unwrap();
        // Nobody else gets in, and the wrong order opens nothing.
        let [four, six] = place.addresses(1);
        let other = if from.is_ipv4() { four } else { six };
        assert_eq!(place.answer(other), Some(Meaning::Reset));
        place.knock(other, &["tcp/1009", "tcp/2003", "udp/4001"]);
        assert_eq!(place.answer(other), Some(Meaning::Reset));
        kept.push((from, made));
    }
    for (from, mut made) in kept {
        assert!(wait_until(Instant::now() + PATIENCE, || !place.is_open(from)));
        // What was made lives on.
        assert!(portcullis_lab::service::talk(&mut made, b"still here", PATIENCE).unwrap());
    }
    thread::sleep(LATE.saturating_sub(begun.elapsed()));
    for from in late {
        place.knock(from, &RIGHT[2..]);
        assert_eq!(place.answer(from), Some(Meaning::Reset));
    }
    for (refuse, meaning4, meaning6) in [
        ("drop", None, None),
        ("reject", Some(Meaning::Unreachable(3, 13)), Some(Meaning::Unreachable(1, 1))),
    ] {
        let text = config(word(store), "2s", "");
        place.apply(&text.replace("[gate]", &format!("[gate]\nrefuse = \"{refuse}\"")));
        let [four, six] = place.addresses(3);
        assert_eq!((place.answer(four), place.answer(six)), (meaning4, meaning6), "{refuse}");
    }
    let output = place.tools.portcullis("remove", None);
    assert!(output.status.success(), "{output:?}");
    for from in place.addresses(3) {
        assert!(place.is_open(from));
    }
}

/// The rules of others stay as they are, in their order, and the jump comes first, once.
pub fn neighbours(variant: Variant, store: AddressStore) {
    let place = Place::new(variant);
    let tools = &place.tools;
    let theirs = "*filter\n:INPUT DROP [0:0]\n:portculli - [0:0]\n:theirs - [0:0]\n\
                  -A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n\
                  -A INPUT -p icmp -j ACCEPT\n-A INPUT -p ipv6-icmp -j ACCEPT\n\
                  -A theirs -j RETURN\nCOMMIT\n";
    for family in Family::BOTH {
        tools.restore(family, theirs);
    }
    tools.must("ipset", &["create", "theirs", "hash:ip"], "");
    let before = Family::BOTH.map(|family| tools.saved(family));
    let strangers = |family| -> String {
        let saved = tools.saved(family);
        let lines = saved.lines().filter(|line| !line.contains("portcullis"));
        lines.map(|line| format!("{line}\n")).collect()
    };
    let text = config(word(store), "30s", "");
    let jumps = |family| {
        let saved = tools.saved(family);
        let input: Vec<_> = saved.lines().filter(|line| line.starts_with("-A INPUT")).collect();
        let ours = |line: &&&str| line.ends_with("-j portcullis-input");
        (input.iter().filter(ours).count(), input.first().unwrap().ends_with("portcullis-input"))
    };
    for round in 0..3 {
        place.apply(&text);
        for (family, before) in Family::BOTH.into_iter().zip(&before) {
            assert_eq!(strangers(family), *before);
            assert_eq!(jumps(family), (1, true), "round {round}");
        }
        // Somebody puts a rule in front of ours, or loads our text a second time.
        let cut_in = "*filter\n-I INPUT 1 -p udp -m udp --dport 53 -j ACCEPT\nCOMMIT\n";
        let again = "*filter\n-A INPUT -j portcullis-input\nCOMMIT\n";
        if round == 0 {
            for family in Family::BOTH {
                tools.restore(family, cut_in);
                tools.restore(family, again);
            }
            place.apply(&text);
            assert_eq!(Family::BOTH.map(jumps), [(1, true); 2]);
            let back = "*filter\n-D INPUT -p udp -m udp --dport 53 -j ACCEPT\nCOMMIT\n";
            Family::BOTH.into_iter().for_each(|family| tools.restore(family, back));
        }
    }
    // What is saved and restored by others is the same gate: still for each address by itself.
    if store == AddressStore::Recent {
        for family in Family::BOTH {
            let saved = tools.must(SAVE[usize::from(family == Family::V6)], &[], "");
            tools.must(RESTORE[usize::from(family == Family::V6)], &[], &saved);
        }
    }
    for (knocker, other) in place.addresses(1).into_iter().zip(place.addresses(2)) {
        place.knock(knocker, &RIGHT);
        assert!(place.is_open(knocker));
        assert_eq!(place.answer(other), Some(Meaning::Reset));
    }
    let mut gate = Table::open().unwrap();
    for from in place.addresses(0) {
        assert_eq!(place.answer(from), Some(Meaning::Reset));
    }
    assert!(tools.portcullis("remove", None).status.success());
    assert_eq!(Family::BOTH.map(|family| tools.saved(family)), before);
    assert_eq!(tools.must("ipset", &["list", "-name"], ""), "theirs\n");
    assert!(!gate.remove().unwrap());
    let nothing = tools.portcullis("remove", None);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("nothing to remove"));
}

/// Who is in stays in; who has knocked halfway at the old doors has not knocked at the new ones.
pub fn again(variant: Variant, store: AddressStore) {
    let place = Place::new(variant);
    let text = config(word(store), "300s", "").replace("\"2s\"", "\"60s\"");
    place.apply(&text);
    for from in place.addresses(0) {
        place.knock(from, &RIGHT);
        assert!(place.is_open(from));
    }
    for from in place.addresses(1) {
        place.knock(from, &RIGHT[..2]);
    }
    let web = "[door.aaa]\nguards = [\"tcp/443\"]\nsequence = [\"tcp/5\", \"tcp/3\", \"tcp/4\"]\n";
    place.apply(&text.replace("[door.ssh]", &format!("{web}[door.ssh]")));
    for from in place.addresses(0) {
        assert!(place.is_open(from), "the grant is gone");
    }
    for from in place.addresses(1) {
        place.knock(from, &RIGHT[2..]);
        assert!(!place.is_open(from), "half a knock at the old door opened the new one");
        place.knock(from, &RIGHT);
        assert!(place.is_open(from));
    }
    // A door of another name has no grants, whatever it guards.
    place.apply(&text.replace("door.ssh", "door.other"));
    for from in place.addresses(0) {
        assert!(!place.is_open(from));
    }
}

/// `run` works with nftables alone and says so, at the line that chose otherwise; `explain` does not;
/// and a change of the back end leaves one gate.
pub fn other_commands(variant: Variant) {
    let place = Place::new(variant);
    let tools = &place.tools;
    for store in crate::world::iptables::STORES {
        let text = config(word(store), "30s", "");
        let file = tools.path().join("portcullis.toml");
        crate::world::write_config(&file, &text);
        let file = file.to_str().unwrap();
        let output = tools.run(crate::world::program(), &["run", file], "");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("[backend-not-here]") && said.contains(":2:11"), "{said}");
        let packets =
            ["tcp/1009", "tcp/9", "tcp/1009", "tcp/1009", "udp/4001", "tcp/2003", "tcp/22"];
        let said = tools.must(
            crate::world::program(),
            &[&["explain", file][..], &packets, &["+30s", "+1s", "tcp/22"]].concat(),
            "",
        );
        let said: Vec<_> =
            said.lines().filter_map(|line| line.trim().strip_prefix("=> ")).collect();
        let on = "goes on to the other rules of INPUT";
        let expected = [
            "knock 1 of 3 of door ssh; the next one must come within 2s",
            on,
            "a wrong port; the attempt ends",
            on,
            "knock 1 of 3 of door ssh; the next one must come within 2s",
            on,
            "a knock made already; nothing changes",
            on,
            "knock 2 of 3 of door ssh; the next one must come within 2s",
            on,
            "door ssh opens for 203.0.113.7 for 30s",
            on,
            on,
            "door ssh closed 1.1s ago",
            "refused",
        ];
        assert_eq!(said, expected);
        crate::world::write_config(
            Path::new(file),
            &text.replace("[gate]", "[gate]\nstance = \"closed\"\nallow = [\"198.51.100.0/24\"]"),
        );
        let closed = |packets: &[&str], from: &str| {
            let arguments = [&["explain", "--from", from, file][..], packets].concat();
            let said = tools.must(crate::world::program(), &arguments, "");
            let said = said.lines().filter_map(|line| line.trim().strip_prefix("=> "));
            said.map(str::to_owned).collect::<Vec<_>>()
        };
        let (dropped, lost) = ("dropped without an answer", "a wrong port; the attempt ends");
        let packets = ["tcp/1009", "tcp/9", "icmp", "tcp/22", "tcp/22:ack"];
        let expected = [expected[0], dropped, lost, dropped, on, dropped, on];
        assert_eq!(closed(&packets, "203.0.113.7"), expected);
        assert_eq!(closed(&packets, "198.51.100.7"), [on; 5]);
        let nftables = text.replace(word(store), "nftables");
        place.apply(&nftables);
        place.apply(&text);
        assert!(!Table::open().unwrap().remove().unwrap(), "two gates");
        for from in place.addresses(0) {
            assert_eq!(place.answer(from), Some(Meaning::Reset));
        }
    }
    assert!(tools.portcullis("remove", None).status.success());
}

const SAVE: [&str; 2] = ["iptables-save", "ip6tables-save"];
const RESTORE: [&str; 2] = ["iptables-restore", "ip6tables-restore"];

/// When one family cannot be loaded, the other is as it was.
pub fn both_or_none(variant: Variant) {
    for store in crate::world::iptables::STORES {
        let place = Place::new(variant);
        let tools = &place.tools;
        let closed =
            "[gate]\nstance = \"closed\"\nlog_refused = true\nallow = [\"203.0.113.0/24\"]";
        let text = config(word(store), "30s", "").replace("[gate]", closed);
        let sets = || tools.must("ipset", &["list", "-name"], "");
        let saved = || (Family::BOTH.map(|family| tools.saved(family)), sets());
        for loaded_before in [false, true] {
            if loaded_before {
                place.apply(&text);
            }
            let before = saved();
            let multi = tools.path().join("iptables-save");
            let multi = std::fs::read_link(multi).unwrap();
            // The trial goes well, and then the real thing fails.
            let script = format!(
                "#!/bin/sh\ncase \"$*\" in *--test*) exec {} iptables-restore \"$@\";; esac\n\
                 echo 'line 3 failed' >&2; exit 1\n",
                multi.display()
            );
            tools.replace("iptables-restore", &script);
            let changed = text.replace("tcp/22", "tcp/2222");
            let output = tools.portcullis("apply", Some(&changed));
            assert_eq!(output.status.code(), Some(3), "{output:?}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("iptables-restore failed"), "{said}");
            assert!(said.contains("line 3 failed"), "{said}");
            assert_eq!(saved(), before, "{store:?}, loaded before: {loaded_before}");
            std::fs::remove_file(tools.path().join("iptables-restore")).unwrap();
            std::os::unix::fs::symlink(multi, tools.path().join("iptables-restore")).unwrap();
        }
    }
}
