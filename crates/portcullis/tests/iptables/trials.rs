//! Chains on trial: what was there comes back by itself, and only what is confirmed is loaded at boot.

use std::fs;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portcullis::apply::state::{State, peek};
use portcullis_firewall::iptables::{AddressStore, Family};
use portcullis_gate::nftables::Table;
use portcullis_lab::{Lab, wait_until};

use crate::loading::config;
use crate::world::PATIENCE;
use crate::world::iptables::{Tools, Variant, word};

/// Rules of somebody else's, which nothing may change.
const THEIRS: &str = "*filter\n:theirs - [0:0]\n-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT\n\
                      -A theirs -j RETURN\nCOMMIT\n";

struct House {
    tools: Tools,
    _lab: Lab,
}

impl House {
    fn new(variant: Variant) -> Self {
        let house = Self { tools: Tools::new(variant), _lab: Lab::new().unwrap() };
        Family::BOTH.into_iter().for_each(|family| house.tools.restore(family, THEIRS));
        house
    }

    fn done(&self, words: &[&str], config: Option<&str>) {
        let output = self.tools.portcullis_with(words, config);
        assert!(output.status.success(), "{words:?}: {output:?}");
    }

    fn state(&self) -> State {
        peek(&self.tools.state()).unwrap()
    }

    /// The rules of both families; generations of lists are all the same.
    fn saved(&self) -> String {
        let saved = Family::BOTH.map(|family| self.tools.saved(family)).concat();
        let word = |word: &str| {
            let mut parts: Vec<&str> = word.split('_').collect();
            let of_stage = parts.len() == 4 || parts.last() == Some(&"allow");
            if word.starts_with("portcullis") && of_stage {
                parts[1] = "N";
            }
            parts.join("_")
        };
        let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
        saved.lines().map(|it| line(it) + "\n").collect()
    }

    fn wait_for(&self, saved: &str) {
        let soon = Instant::now() + PATIENCE;
        let there = wait_until(soon, || self.saved() == saved && self.state().pending.is_none());
        assert!(there, "{:?}:\n{}and not\n{saved}", self.state(), self.saved());
    }

    fn kill_timers(&self) {
        let state = self.tools.state();
        let ours = |line: &[u8]| {
            let mut words = line.split(|byte| *byte == 0);
            words.any(|word| word == b"rollback-timer")
                && words.any(|word| word == state.as_os_str().as_encoded_bytes())
        };
        for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            if ours(&line) {
                let pid: i32 = process.file_name().to_str().unwrap().parse().unwrap();
                kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            }
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.kill_timers();
    }
}

/// With all that the programs print again when they are asked.
fn old(store: AddressStore) -> String {
    let closed = "[gate]\nstance = \"closed\"\nlog_refused = true\n\
                  allow = [\"203.0.113.0/24\", \"2001:db8::/32\"]";
    config(word(store), "30s", "").replace("[gate]", closed)
}

fn new(store: AddressStore) -> String {
    old(store).replace("tcp/22", "tcp/2222").replace("tcp/1009", "tcp/1010")
}

/// From no gate, and from another one; also when the timer is killed, and somebody looks later.
pub fn nobody_confirms(variant: Variant, store: AddressStore) {
    let house = House::new(variant);
    for confirmed in [None, Some(old(store))] {
        if let Some(text) = &confirmed {
            house.done(&["apply"], Some(text));
        }
        let before = house.saved();
        assert_eq!(before.contains("--dport 22 "), confirmed.is_some(), "{before}");
        house.done(&["apply", "--confirm-within", "1s"], Some(&new(store)));
        assert!(house.saved().contains("--dport 2222 "));
        house.wait_for(&before);
        // Twice in a row: what came back is known again.
        house.done(&["apply", "--confirm-within", "60s"], Some(&new(store)));
        house.done(&["rollback"], None);
        house.wait_for(&before);
        house.done(&["apply", "--confirm-within", "1s"], Some(&new(store)));
        house.kill_timers();
        let deadline = house.state().pending.unwrap().deadline;
        let over = || portcullis_linux::clock().as_nanos() > deadline;
        assert!(wait_until(Instant::now() + PATIENCE, over));
        let late = house.tools.portcullis_with(&["confirm", "--yes"], None);
        assert_eq!(late.status.code(), Some(1), "{late:?}");
        house.wait_for(&before);
    }
    // Somebody has changed our chains: nobody knows a way back.
    let odd = "*filter\n-A portcullis-input -j RETURN\nCOMMIT\n";
    house.tools.restore(Family::V6, odd);
    let output = house.tools.portcullis_with(&["apply", "--confirm-within", "60s"], None);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(house.state().pending.is_none());
}

/// It stays, and comes back after a reboot; what was on trial then does not.
pub fn confirmed(variant: Variant, store: AddressStore) {
    let house = House::new(variant);
    let nothing = house.saved();
    house.done(&["apply", "--confirm-within", "60s"], Some(&old(store)));
    house.done(&["confirm", "--yes"], None);
    let confirmed = house.saved();
    assert!(confirmed.contains("--dport 22 "));
    house.done(&["apply", "--confirm-within", "60s"], Some(&new(store)));
    house.kill_timers();
    // The kernel forgets, and the unit runs.
    let flush = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";
    for program in ["iptables-restore", "ip6tables-restore"] {
        house.tools.must(program, &[], flush);
    }
    house.tools.must("ipset", &["destroy"], "");
    Family::BOTH.into_iter().for_each(|family| house.tools.restore(family, THEIRS));
    house.done(&["boot"], None);
    house.wait_for(&confirmed);
    // And again, with nothing to do.
    house.done(&["boot"], None);
    house.wait_for(&confirmed);
    house.done(&["remove"], None);
    house.wait_for(&nothing);
    assert_eq!(house.state(), State::default());
    house.done(&["boot"], None);
    house.wait_for(&nothing);
}

/// From chains to a table and back, and the other way.
pub fn other_back_end(variant: Variant, store: AddressStore) {
    let house = House::new(variant);
    let nothing = house.saved();
    let mut gate = Table::open().unwrap();
    let chains = old(store);
    let table = new(store).replace(&format!("\"{}\"", word(store)), "\"nftables\"");
    house.done(&["apply"], Some(&chains));
    let loaded = house.saved();
    house.done(&["apply", "--confirm-within", "1s"], Some(&table));
    house.wait_for(&loaded);
    assert!(gate.state().unwrap().is_none());
    // For good: one gate, not two.
    house.done(&["apply"], Some(&table));
    assert_eq!(house.saved(), nothing);
    assert_eq!(gate.door_names().unwrap().len(), 1);
    house.done(&["apply", "--confirm-within", "1s"], Some(&chains));
    assert!(gate.state().unwrap().is_none());
    house.wait_for(&nothing);
    assert_eq!(gate.door_names().unwrap().len(), 1);
    house.done(&["apply"], Some(&chains));
    assert!(gate.state().unwrap().is_none());
    house.wait_for(&loaded);
}
