//! The programs of iptables in both of their variants, and what the kernel's lists hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use portcullis_firewall::iptables::{AddressStore, Family, Filter};
use tempfile::TempDir;

use super::{have, program, write_config};

/// Which program is behind the name `iptables`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Rules of nf_tables.
    Nft,
    /// Rules of ip_tables.
    Legacy,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nft => "iptables-nft",
            Self::Legacy => "iptables-legacy",
        })
    }
}

/// Both.
pub const VARIANTS: [Variant; 2] = [Variant::Nft, Variant::Legacy];
/// Both kinds of lists.
pub const STORES: [AddressStore; 2] = [AddressStore::Recent, AddressStore::Ipset];

/// All four ways of loading the gate.
pub fn ways() -> Vec<(Variant, AddressStore)> {
    VARIANTS.into_iter().flat_map(|v| STORES.into_iter().map(move |m| (v, m))).collect()
}

/// What the configuration calls the back end with such lists.
pub fn word(store: AddressStore) -> &'static str {
    match store {
        AddressStore::Recent => "iptables",
        AddressStore::Ipset => "ipset",
    }
}

/// Whether the programs are there.
pub fn are_there() -> bool {
    ["xtables-nft-multi", "xtables-legacy-multi", "ipset", "nft"].iter().all(|name| have(name))
}

/// A folder in which `iptables` and its relatives are those of one variant.
pub struct Tools {
    folder: TempDir,
}

impl Tools {
    /// A folder with the programs of this variant.
    pub fn new(variant: Variant) -> Self {
        let folder = TempDir::new().unwrap();
        let multi = match variant {
            Variant::Nft => "/usr/sbin/xtables-nft-multi",
            Variant::Legacy => "/usr/sbin/xtables-legacy-multi",
        };
        for name in ["iptables", "ip6tables"]
            .iter()
            .flat_map(|n| ["", "-save", "-restore"].map(|s| format!("{n}{s}")))
        {
            symlink(multi, folder.path().join(name)).unwrap();
        }
        symlink("/usr/sbin/ipset", folder.path().join("ipset")).unwrap();
        Self { folder }
    }

    /// The folder, for a `PATH`.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a script in the place of a program.
    pub fn replace(&self, name: &str, script: &str) {
        let path = self.path().join(name);
        fs::remove_file(&path).unwrap();
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs one of the programs to its end.
    pub fn run(&self, program: &str, arguments: &[&str], input: &str) -> Output {
        let path = self.path().join(program);
        let program = if path.exists() { path } else { program.into() };
        let mut child = Command::new(program)
            .args(arguments)
            .env("PATH", self.path())
            .env("XTABLES_LOCKFILE", self.path().join("lock"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs it; what it says. It must succeed.
    pub fn must(&self, program: &str, arguments: &[&str], input: &str) -> String {
        let output = self.run(program, arguments, input);
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}\n{input}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes a configuration, and runs the program under test with it.
    pub fn portcullis(&self, command: &str, config: Option<&str>) -> Output {
        self.portcullis_with(&[command], config)
    }

    /// Where the program under test keeps what is confirmed.
    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// The same, with these words for it.
    pub fn portcullis_with(&self, words: &[&str], config: Option<&str>) -> Output {
        let file = self.path().join("portcullis.toml");
        let state = self.state();
        let mut arguments = [words, &["--state-dir", state.to_str().unwrap()]].concat();
        if let Some(text) = config {
            write_config(&file, text);
            arguments.push(file.to_str().unwrap());
        }
        self.run(program(), &arguments, "")
    }

    /// The rules and the sets that are loaded, of one family, without what always changes.
    pub fn saved(&self, family: Family) -> String {
        let program = match family {
            Family::V4 => "iptables-save",
            Family::V6 => "ip6tables-save",
        };
        // While sets go, it finds rules whose set it does not find any more.
        let gone = |output: &Output| {
            String::from_utf8_lossy(&output.stderr).contains("in kernel doesn't exist")
        };
        let all = || self.run(program, &["-t", "filter"], "");
        let output = (0..20).map(|_| all()).find(|output| !gone(output)).unwrap_or_else(all);
        assert!(output.status.success(), "{program}: {output:?}");
        let saved = String::from_utf8(output.stdout).unwrap();
        let lines = saved.lines().filter(|line| !line.starts_with(['#', ':']));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// Loads what `iptables-save` has written.
    pub fn restore(&self, family: Family, text: &str) {
        let program = match family {
            Family::V4 => "iptables-restore",
            Family::V6 => "ip6tables-restore",
        };
        self.must(program, &["--noflush", "--wait"], text);
    }

    /// Who is in the lists of these rules, by name of the list; empty ones too.
    pub fn lists(&self, filters: &[Filter]) -> BTreeMap<String, BTreeSet<IpAddr>> {
        let mut lists: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        if filters.iter().all(|filter| filter.sets.is_empty()) {
            for entry in fs::read_dir("/proc/thread-self/net/xt_recent").unwrap() {
                let entry = entry.unwrap();
                let text = fs::read_to_string(entry.path()).unwrap();
                let sources = text.lines().map(|line| {
                    let source = line.strip_prefix("src=").unwrap().split(' ').next().unwrap();
                    source.parse().unwrap()
                });
                lists.insert(entry.file_name().into_string().unwrap(), sources.collect());
            }
            return lists;
        }
        let saved = self.must("ipset", &["save"], "");
        let mut networks = BTreeSet::new();
        for line in saved.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                // Nobody comes into the set of those who are allowed.
                ["create", name, "hash:net", ..] => drop(networks.insert(name)),
                ["add", name, ..] if networks.contains(name) => {}
                ["create", name, ..] => drop(lists.entry(name.to_owned()).or_default()),
                ["add", name, address, ..] => {
                    lists.entry(name.to_owned()).or_default().insert(address.parse().unwrap());
                }
                _ => {}
            }
        }
        lists
    }
}

/// A table of somebody else, behind all rules that are tested: who sees what these let pass.
pub struct Witness<'a>(&'a Tools);

/// The program `nft`.
pub const NFT: &str = "/usr/sbin/nft";

impl<'a> Witness<'a> {
    /// Loads it.
    pub fn new(tools: &'a Tools) -> Self {
        let table = "table inet witness {
            set seen4 { type ipv4_addr . inet_service; size 65535; flags dynamic; }
            set seen6 { type ipv6_addr . inet_service; size 65535; flags dynamic; }
            chain input {
                type filter hook input priority 50;
                add @seen4 { ip saddr . th sport }
                add @seen6 { ip6 saddr . th sport }
            }
        }";
        tools.must(NFT, &["-f", "-"], table);
        Self(tools)
    }

    /// The sources and source ports that it has seen since it was last asked.
    pub fn seen(&self) -> BTreeSet<(IpAddr, u16)> {
        let listed = self.0.must(NFT, &["list", "table", "inet", "witness"], "");
        // Not in the same transaction: nft would list the sets as they are to be.
        let flush = "flush set inet witness seen4\nflush set inet witness seen6\n";
        self.0.must(NFT, &["-f", "-"], flush);
        let pairs = listed.split([',', '{', '}', '\n']).filter_map(|words| {
            let (address, port) = words.trim().split_once(" . ")?;
            Some((address.parse().ok()?, port.parse().ok()?))
        });
        pairs.collect()
    }
}
