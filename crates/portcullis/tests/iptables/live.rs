//! What a person does at the loaded gate: the same for every back end, and with the same answers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use portcullis_firewall::iptables::AddressStore;
use portcullis_lab::service::talk;
use portcullis_lab::wait_until;
use serde_json::{Value, json};

use crate::loading::{Place, config};
use crate::world::iptables::{Variant, word};
use crate::world::{PATIENCE, program, write_config};

const RIGHT: [&str; 3] = ["tcp/1009", "udp/4001", "tcp/2003"];

/// Which back end is tested: nftables, if there is no address store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By {
    pub variant: Variant,
    pub store: Option<AddressStore>,
}

impl By {
    fn word(self) -> &'static str {
        self.store.map_or("nftables", word)
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.store {
            None => f.write_str("nftables"),
            Some(store) => write!(f, "{}_{store:?}", self.variant),
        }
    }
}

/// A test by its name.
type Test = (&'static str, fn(By));

/// Tests that each back end passes.
pub const TESTS: [Test; 6] = [
    ("every_command_tells_the_truth", commands),
    ("a_grant_by_hand_opens_and_ends", grant),
    ("a_revoked_connection_is_cut", cut),
    ("a_changed_gate_is_told", changed),
    ("every_kind_of_policy_is_known_again", kinds),
    ("nothing_loaded_is_told", nothing),
];

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}", self.code, self.out, self.err)
    }
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Whether the `recent` lists may be written. Those of an ordinary user's namespace belong to root of
/// the machine; what is done by hand can then not be tested.
pub fn may_write_lists() -> bool {
    let list = "/proc/thread-self/net/xt_recent/portcullis4_open_ssh";
    let may = std::fs::OpenOptions::new().write(true).open(list).is_ok();
    assert!(may || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI may not write {list}");
    may
}

struct Host {
    place: Place,
    file: String,
}

impl Host {
    fn new(by: By, open_for: &str) -> Self {
        let place = Place::new(by.variant);
        let file = place.tools.path().join("live.toml");
        let text = config(by.word(), open_for, "recogniser = \"kernel\"\n");
        // The longest step there is time for on a slow machine.
        write_config(&file, &text.replace("\"2s\"", "\"60s\""));
        Self { place, file: file.to_str().unwrap().to_owned() }
    }

    fn run(&self, words: &str) -> Said {
        let words: Vec<_> =
            words.split(' ').map(|word| if word == "FILE" { &self.file } else { word }).collect();
        let output = self.place.tools.run(program(), &words, "");
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn done(&self, words: &str) -> Said {
        let said = self.run(words);
        assert_eq!(said.code, 0, "{words}: {said:?}");
        said
    }

    fn apply(&self) {
        let state = self.place.tools.state();
        self.done(&format!("apply FILE --state-dir {}", state.to_str().unwrap()));
    }

    /// What bash is told about the last of these words.
    fn completions(&self, words: &[&str]) -> String {
        let index = format!("_CLAP_COMPLETE_INDEX={}", words.len() - 1);
        let mut arguments = vec!["PORTCULLIS_COMPLETE=bash", &index, "_CLAP_COMPLETE_COMP_TYPE=9"];
        arguments.extend(["_CLAP_COMPLETE_SPACE=false", "_CLAP_IFS=\n", program(), "--"]);
        arguments.extend(words);
        let output = self.place.tools.run("/usr/bin/env", &arguments, "");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Whether grants by hand can be tested.
    fn may_grant(&self, by: By) -> bool {
        by.store != Some(AddressStore::Recent) || may_write_lists()
    }

    fn remove(&self) -> Said {
        let state = self.place.tools.state();
        self.done(&format!("remove --state-dir {}", state.to_str().unwrap()))
    }

    /// Who may pass the door, in order.
    fn grants(&self) -> Vec<IpAddr> {
        let said = self.done("grants --json").json();
        let grants = said["grants"].as_array().unwrap();
        assert!(grants.iter().all(|grant| grant["door"] == "ssh"), "{grants:?}");
        grants.iter().map(|grant| grant["address"].as_str().unwrap().parse().unwrap()).collect()
    }

    fn status(&self) -> (i32, Value) {
        let said = self.run("status --json FILE");
        (said.code, said.json())
    }
}

/// What the people say whose work this is: the door stands open, and everybody knows.
fn commands(by: By) {
    let host = Host::new(by, "300s");
    host.apply();
    let text = host.done("status FILE");
    assert!(
        text.out.starts_with(&format!("gate      active, as configured in {}\n", host.file)),
        "{text:?}"
    );
    assert!(text.out.contains(&format!("\nbackend   {}\n", by.word())), "{text:?}");
    let (code, found) = host.status();
    assert_eq!((code, &found["loaded"], &found["difference"]), (0, &json!(true), &Value::Null));
    assert_eq!((&found["backend"], &found["attempts"]), (&json!(by.word()), &json!(0)));
    assert_eq!(host.grants(), [] as [IpAddr; 0]);

    let mut open = Vec::new();
    for from in host.place.addresses(0) {
        host.place.knock(from, &RIGHT);
        assert!(host.place.is_open(from));
        open.push(from);
        assert_eq!(host.grants(), open);
    }
    // In the middle of a knock, one of each family.
    for from in host.place.addresses(1) {
        host.place.knock(from, &RIGHT[..1]);
    }
    for from in host.place.addresses(2) {
        host.place.knock(from, &RIGHT[..2]);
    }
    let (code, found) = host.status();
    assert_eq!((code, &found["attempts"], &found["grants"]), (0, &json!(4), &json!(2)));
    let door = json!({ "name": "ssh", "recogniser": "kernel", "loaded": true, "grants": 2 });
    assert_eq!(found["doors"], json!([door]));
    let doors = host.done("doors --json FILE").json();
    assert_eq!(doors["doors"][0]["grants"], 2);
    assert!(!host.done("doors FILE").out.contains("not loaded"));
    for grant in host.done("grants --json").json()["grants"].as_array().unwrap() {
        let keys: Vec<_> = grant.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["address", "door", "length_ms", "remaining_ms"]);
        let left = grant["remaining_ms"].as_u64().unwrap();
        assert!((200_000..=300_000).contains(&left), "{grant}");
        // ipset does not keep it.
        let length =
            if by.store == Some(AddressStore::Ipset) { Value::Null } else { json!(300_000) };
        assert_eq!(grant["length_ms"], length);
    }

    assert_eq!(host.completions(&["portcullis", "grant", "ss"]), "ssh");
    let completed = host.completions(&["portcullis", "revoke", "ssh", ""]);
    for from in &open {
        assert!(completed.lines().any(|line| line.trim() == from.to_string()), "{completed}");
    }

    let bans = host.done("bans");
    assert!(bans.err.contains("has no bans") || bans.err.contains("no `[ban]`"), "{bans:?}");
    assert!(bans.err.contains("nobody is banned"), "{bans:?}");
    assert_eq!(host.done("bans --json").json(), json!({ "bans": [] }));
    for words in ["ban 203.0.113.7", "unban 203.0.113.7", "unban --all"] {
        let said = host.run(words);
        assert_eq!(said.code, 3, "{words}: {said:?}");
        assert!(said.err.contains("bans") && said.err.contains("hint: "), "{words}: {said:?}");
        assert!(!said.err.contains("not loaded"), "{words}: {said:?}");
    }
    for words in ["grant nowhere 203.0.113.7", "revoke nowhere 203.0.113.7"] {
        let said = host.run(words);
        assert_eq!(said.code, 3, "{words}: {said:?}");
        assert!(said.err.contains("the loaded gate has no door nowhere"), "{said:?}");
        assert!(said.err.contains("loaded doors: ssh"), "{said:?}");
    }
    if !host.may_grant(by) {
        return;
    }
    // Who has come in by a knock can be shut out again.
    for from in open {
        assert_eq!(
            host.done(&format!("revoke ssh {from}")).err,
            format!("{from}: ssh: grant revoked\n")
        );
        assert!(!host.place.is_open(from));
        let again = host.run(&format!("revoke ssh {from}"));
        assert_eq!((again.code, again.err), (1, format!("{from}: ssh: no grant\n")));
    }
    assert_eq!(host.done("revoke --all").err, "no active grants\n");
    let said = host.remove();
    assert!(said.err.contains("guarded ports are open again"), "{said:?}");
}

fn grant(by: By) {
    let host = Host::new(by, "4s");
    host.apply();
    if !host.may_grant(by) {
        return;
    }
    let other = |from: IpAddr| {
        let [four, six] = host.place.addresses(1);
        if from.is_ipv4() { four } else { six }
    };
    for from in host.place.addresses(0) {
        let words = format!("grant ssh {from} --config FILE --json");
        let said = host.done(&words).json();
        let expected = json!({
            "door": "ssh", "address": from.to_string(), "length_ms": 4_000, "renewed": false,
        });
        assert_eq!(said, expected);
        assert!(host.place.is_open(from) && !host.place.is_open(other(from)));
        assert_eq!(host.grants(), [from]);
        assert_eq!(host.done(&words).json()["renewed"], true);
        // It ends by itself, and is told no longer than it lasts.
        assert!(wait_until(Instant::now() + PATIENCE, || !host.place.is_open(from)));
        assert_eq!(host.grants(), [] as [IpAddr; 0]);
        assert_eq!(host.run(&format!("revoke ssh {from}")).code, 1);
    }
    // A time of its own.
    for from in host.place.addresses(2) {
        let said = host.run(&format!("grant ssh {from} --for 1m"));
        if by.store == Some(AddressStore::Recent) {
            assert_eq!(said.code, 3, "{said:?}");
            assert!(said.err.contains("every grant of door ssh lasts 4 seconds"), "{said:?}");
            assert!(said.err.contains("leave out `--for`"), "{said:?}");
            assert!(!host.place.is_open(from));
            continue;
        }
        assert_eq!(said.err, format!("{from}: ssh: open for 1m\n"));
        assert_eq!(host.done(&format!("grant ssh {from} --for 1h --json")).json()["renewed"], true);
        let found = host.done("grants --json").json();
        let left = found["grants"][0]["remaining_ms"].as_u64().unwrap();
        assert!((3_500_000..=3_600_000).contains(&left), "{found}");
        host.done(&format!("revoke ssh {from}"));
        assert!(!host.place.is_open(from));
    }
}

fn cut(by: By) {
    let host = Host::new(by, "300s");
    host.apply();
    if !host.may_grant(by) {
        return;
    }
    for from in host.place.addresses(0) {
        host.done(&format!("grant ssh {from} --config FILE"));
        let to = SocketAddr::new(host.place.host(from), 22);
        let mut made = host.place.client.connect(from, to, PATIENCE).unwrap();
        assert!(talk(&mut made, b"hello", PATIENCE).unwrap());
        let said = host.done(&format!("revoke ssh {from} --cut --json")).json();
        assert_eq!(said["revoked"][0]["address"], from.to_string());
        assert_eq!(said["cut"]["tcp"], 1);
        assert!(!talk(&mut made, b"hello", PATIENCE).unwrap_or(false), "data still flows");
        assert!(!host.place.is_open(from));
    }
}

fn changed(by: By) {
    let host = Host::new(by, "30s");
    host.apply();
    let tools = &host.place.tools;
    let is_told = |what: &str| {
        let (code, found) = host.status();
        assert_eq!(
            (code, &found["in_force"], &found["loaded"]),
            (1, &json!(false), &json!(true)),
            "{what}"
        );
        let difference = found["difference"].as_str().unwrap().to_owned();
        let text = host.run("status FILE");
        assert!(
            text.out.contains("loaded, but different from") && text.code == 1,
            "{what}: {text:?}"
        );
        assert!(text.err.contains("portcullis apply"), "{text:?}");
        assert!(!text.out.contains("not loaded"), "{text:?}");
        host.apply();
        assert_eq!(host.status().0, 0, "{what}");
        difference
    };
    // The configuration has changed.
    let text = std::fs::read_to_string(&host.file).unwrap();
    for (old, new) in [("tcp/22", "tcp/2222"), ("\"30s\"", "\"31s\""), ("tcp/2003", "tcp/2005")] {
        write_config(host.file.as_ref(), &text.replace(old, new));
        is_told(new);
        write_config(host.file.as_ref(), &text);
        host.apply();
    }
    // So has the kernel.
    let program = match by.store {
        None => {
            tools.must(
                crate::world::iptables::NFT,
                &["insert", "rule", "inet", "portcullis", "input", "accept"],
                "",
            );
            assert!(is_told("rule").contains("chain input"));
            return;
        }
        Some(_) => ["iptables", "ip6tables"],
    };
    for program in program {
        let must =
            |words: &str| drop(tools.must(program, &words.split(' ').collect::<Vec<_>>(), ""));
        must("-D INPUT -j portcullis-input");
        assert_eq!(is_told("jump"), format!("{program}: INPUT does not jump to the gate"));
        must("-I INPUT -j ACCEPT");
        assert_eq!(
            is_told("before"),
            format!("{program}: INPUT has another rule before the jump to the gate")
        );
        must("-D INPUT -j ACCEPT");
        must("-I portcullis-door-0 -j RETURN");
        assert_eq!(
            is_told("rule"),
            format!("{program}: rule 1 of chain portcullis-door-0 is different")
        );
        must("-D portcullis-door-0 2");
        let expected = format!("{program}: chain portcullis-door-0 has 1 rules instead of 2");
        assert_eq!(is_told("rule"), expected);
        must("-N portcullis-more");
        assert_eq!(is_told("chain"), format!("{program}: chain portcullis-more should not exist"));
    }
    // The other two back ends guard the same port, and are others.
    for other in ["nftables", "iptables", "ipset"].into_iter().filter(|it| *it != by.word()) {
        let theirs = config(other, "30s", "recogniser = \"kernel\"\n").replace("\"2s\"", "\"60s\"");
        write_config(host.file.as_ref(), &theirs);
        let (code, found) = host.status();
        let expected = format!("backend \"{}\" is loaded instead of \"{other}\"", by.word());
        assert_eq!((code, &found["difference"]), (1, &json!(expected)));
    }
}

/// Rules of all kinds are read back as what they are.
fn kinds(by: By) {
    let host = Host::new(by, "30s");
    let text = std::fs::read_to_string(&host.file).unwrap();
    let lists = "allow = [\"203.0.113.0/24\", \"198.51.100.7\", \"2001:db8:9::/48\", \"128.0.0.0/2\", \"iface:tun7\"]\n\
                 public = [\"tcp/80\", \"tcp/443\", \"udp/53\"]\n";
    for gate in [
        "refuse = \"drop\"\n",
        "refuse = \"reject\"\n",
        "interfaces = [\"client\"]\n",
        lists,
        "stance = \"closed\"\nlog_refused = true\n",
        "stance = \"closed\"\nrefuse = \"drop\"\n",
        &format!("stance = \"closed\"\nrefuse = \"reject\"\n{lists}"),
    ] {
        let more = "[door.\"a-second_one.with-a-very-long-name\"]\nguards = [\"udp/51820\", \"tcp/8443\", \"tcp/8444\"]\n\
                    sequence = [\"udp/777\", \"tcp/888\", \"udp/999\", \"tcp/666\"]\nrecogniser = \"kernel\"\n";
        write_config(
            host.file.as_ref(),
            &format!("{}{more}", text.replace("[gate]\n", &format!("[gate]\n{gate}"))),
        );
        host.apply();
        let (code, found) = host.status();
        assert_eq!((code, &found["difference"]), (0, &Value::Null), "{gate}");
        let doors = found["doors"].as_array().unwrap();
        assert!(doors.len() == 2 && doors.iter().all(|door| door["loaded"] == true), "{doors:?}");
        let long = "a-second_one.with-a-very-long-name";
        for who in ["203.0.113.9", "2001:db8::9"] {
            host.done(&format!("grant {long} {who} --config FILE"));
        }
        let said = host.done(&format!("revoke --all {long} --json")).json();
        assert_eq!(said["revoked"].as_array().unwrap().len(), 2, "{said}");
    }
    if by.store == Some(AddressStore::Ipset) {
        let tools = &host.place.tools;
        let list = tools.must("ipset", &["list", "-name"], "");
        let allow =
            list.lines().find(|name| name.starts_with("portcullis4") && name.ends_with("allow"));
        tools.must("ipset", &["add", allow.unwrap(), "192.0.2.0/24"], "");
        let (code, found) = host.status();
        let expected = format!("iptables: set {} has other networks", allow.unwrap());
        assert_eq!((code, &found["difference"]), (1, &json!(expected)));
    }
}

fn nothing(by: By) {
    let host = Host::new(by, "30s");
    for loaded_before in [false, true] {
        if loaded_before {
            host.apply();
            host.remove();
        }
        let said = host.run("status FILE");
        assert!(
            said.code == 1
                && said.out.starts_with("gate      not loaded; all guarded ports are open\n"),
            "{said:?}"
        );
        let (_, found) = host.status();
        assert_eq!((&found["loaded"], &found["backend"]), (&json!(false), &Value::Null));
        assert!(host.done("grants").err.contains("the gate is not loaded"));
        assert!(host.done("bans").err.contains("the gate is not loaded"));
        assert!(host.done("doors FILE").out.contains("not loaded"));
        for words in
            ["grant ssh 203.0.113.7", "revoke ssh 203.0.113.7", "revoke --all", "ban 203.0.113.7"]
        {
            let said = host.run(words);
            assert_eq!(said.code, 3, "{words}: {said:?}");
            assert!(
                said.err.contains("the gate is not loaded")
                    && said.err.contains("portcullis apply"),
                "{said:?}"
            );
        }
        let said = host.remove();
        assert!(said.err.contains("nothing to remove"), "{said:?}");
    }
}

/// One grant more than a list holds would end the oldest without a word.
pub fn full_list() {
    let host = Host::new(By { variant: Variant::Nft, store: Some(AddressStore::Recent) }, "300s");
    host.apply();
    if !may_write_lists() {
        return;
    }
    for number in 1..=100 {
        portcullis_gate::iptables::recent::add(
            "portcullis4_open_ssh",
            IpAddr::from([192, 0, 2, number]),
        )
        .unwrap();
    }
    let said = host.run("grant ssh 203.0.113.7");
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains("portcullis4_open_ssh is full"), "{said:?}");
    assert!(said.err.contains("portcullis revoke"), "{said:?}");
    assert_eq!(host.grants().len(), 100);
    // Who is in can be renewed, and who goes makes room.
    host.done("grant ssh 192.0.2.1");
    host.done("revoke ssh 192.0.2.2");
    host.done("grant ssh 203.0.113.7");
    assert_eq!(host.done("revoke --all ssh").err.lines().count(), 100);
    assert_eq!(host.grants(), [] as [IpAddr; 0]);
}

/// In a container the lists belong to somebody else: what can be read is told, and what cannot be done
/// is said in one sentence.
pub fn read_only() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new(By { variant: Variant::Nft, store: Some(AddressStore::Recent) }, "300s");
    host.apply();
    let from = host.place.addresses(0)[0];
    host.place.knock(from, &RIGHT);
    assert!(host.place.is_open(from));
    // Where this is an ordinary user's namespace, it is so already.
    let list = "/proc/thread-self/net/xt_recent/portcullis4_open_ssh";
    let _ = std::fs::set_permissions(list, std::fs::Permissions::from_mode(0o444));
    assert_eq!(host.grants(), [from]);
    for words in ["grant ssh 203.0.113.7".to_owned(), format!("revoke ssh {from}")] {
        // Without what lets root of the machine write everywhere.
        let arguments = ["--bounding-set", "-dac_override", program()];
        let arguments: Vec<_> = arguments.into_iter().chain(words.split(' ')).collect();
        let output = host.place.tools.run("/usr/bin/setpriv", &arguments, "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{words}: {said}");
        assert!(
            said.contains("cannot change the list portcullis4_open_ssh: Permission denied"),
            "{said}"
        );
        assert!(said.contains("ip_list_perms"), "{said}");
    }
    assert!(host.place.is_open(from));
}
