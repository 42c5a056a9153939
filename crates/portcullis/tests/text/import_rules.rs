//! `portcullis import` of firewall rules and of iplock: the rules of the articles, of the wiki of nftables, and
//! a whole host's, against what is made of them and what is said of them. `PORTCULLIS_BLESS=1` writes the
//! expectations anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portcullis::config;
use portcullis_config::import::{Imported, Kind, NoteKind, import_files};
use portcullis_core::policy::{GatePolicy, Port, Refuse, Stance};
use proptest::prelude::*;

use crate::snapshot::difference;

/// Each with the files that it is made of, and where the expectation is.
const CASES: [(&str, Kind, &[&str]); 9] = [
    ("recipes/article-iplock", Kind::Iptables, &["recipes/article-iplock.rules"]),
    ("recipes/article-iptables", Kind::Iptables, &["recipes/article-iptables.rules"]),
    ("recipes/article-iptables-full", Kind::Iptables, &["recipes/article-iptables-full.rules"]),
    (
        "recipes/article-iptables-commands",
        Kind::Iptables,
        &["recipes/article-iptables-commands.rules"],
    ),
    ("recipes/base", Kind::Iptables, &["recipes/base.rules"]),
    ("recipes/nftables-wiki", Kind::Nft, &["recipes/nftables-wiki.rules"]),
    ("recipes/nftables-base", Kind::Nft, &["recipes/nftables-base.rules"]),
    ("iplock/article", Kind::Iplock, &["iplock/article.conf"]),
    (
        "iplock/host",
        Kind::Iplock,
        &[
            "iplock/host/general/10-variables.conf",
            "iplock/host/services.conf",
            "iplock/host/ipload.d/50-host.conf",
        ],
    ),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import")
}

/// The same knocks each time.
fn dice() -> impl FnMut() -> Option<u64> {
    let mut state = 7u64;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(state >> 33)
    }
}

fn import(kind: Kind, names: &[&str]) -> Imported {
    let files: Vec<_> = names
        .iter()
        .map(|name| ((*name).to_owned(), fs::read(folder().join(name)).unwrap()))
        .collect();
    import_files(kind, &files, &mut dice()).unwrap()
}

fn of_text(kind: Kind, text: &str) -> Imported {
    let files = [("x".to_owned(), text.as_bytes().to_vec())];
    import_files(kind, &files, &mut dice()).unwrap_or_else(|report| panic!("{report}"))
}

fn shown(imported: &Imported) -> String {
    let mut out = imported.toml.clone();
    for note in &imported.notes {
        let kind = note.kind.word();
        let (line, column) = note.place;
        out += &format!("{}:{line}:{column}: {kind}: {}\n", note.path, note.message);
        out += &note.hint.iter().map(|hint| format!("  hint: {hint}\n")).collect::<String>();
    }
    out
}

#[test]
fn every_case_becomes_what_it_should_and_passes_the_check() {
    let mut wrong = Vec::new();
    for (name, kind, files) in CASES {
        let imported = import(kind, files);
        config::parse_str(name, &imported.toml).unwrap_or_else(|report| panic!("{report}"));
        for file in files {
            assert_eq!(Kind::of(&fs::read(folder().join(file)).unwrap()), kind, "{file}");
        }
        let shown = shown(&imported);
        let path = folder().join(name).with_extension("expected");
        wrong.extend(difference(name, &shown, &path));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the articles do not say of their own rules.
#[test]
fn the_holes_of_the_articles_are_named_with_their_lines() {
    let named = |kind, file: &str| -> Vec<(usize, String)> {
        let imported = import(kind, &[file]);
        let holes = imported.notes.iter().filter(|note| note.kind == NoteKind::Hole);
        let holes: Vec<_> = holes.map(|note| (note.place.0, note.message.clone())).collect();
        for (line, message) in &holes {
            assert!(imported.toml.contains(&format!("{file}:{line}: {message}")), "{message}");
        }
        holes
    };
    let has = |holes: &[(usize, String)], line: usize, part: &str| {
        assert!(
            holes.iter().any(|(at, hole)| *at == line && hole.contains(part)),
            "{part}: {holes:?}"
        );
    };
    let holes = named(Kind::Iptables, "recipes/article-iplock.rules");
    for line in [4, 6, 8] {
        has(&holes, line, "counts before its port is checked");
        has(&holes, line, "need not be a SYN");
    }
    has(&holes, 3, "IPv6 is open");
    has(&holes, 3, "`recent` keeps 100 addresses");
    let holes = named(Kind::Iptables, "recipes/article-iptables-full.rules");
    has(&holes, 8, "need not be a SYN");
    has(&holes, 8, "one knock is not a secret");
    has(&holes, 9, "IPv6 is open");
    assert!(!holes.iter().any(|(_, hole)| hole.contains("before its port is checked")));
    let holes = named(Kind::Nft, "recipes/nftables-wiki.rules");
    has(&holes, 25, "only go up");
    has(&holes, 25, "the rules forgive a wrong port between the knocks");
    assert!(!holes.iter().any(|(_, hole)| hole.contains("IPv6 is open")));
}

#[test]
fn a_base_firewall_becomes_the_stance_closed() {
    let imported = import(Kind::Iptables, &["recipes/base.rules"]);
    let gate = config::parse_str("x", &imported.toml).unwrap().policy.gate;
    let port = |number| Port::tcp(number).unwrap();
    let expected = GatePolicy {
        stance: Stance::Closed,
        refuse: Refuse::Drop,
        public: vec![port(80), port(443)],
        allow: vec!["203.0.113.7".parse().unwrap(), "iface:wg0".parse().unwrap()],
        ..GatePolicy::default()
    };
    assert_eq!(gate, expected);
    // Nothing is left out in silence: of every rule something is said, or it is what the gate does anyway.
    let text = fs::read_to_string(folder().join("recipes/base.rules")).unwrap();
    let carried = [
        "-A INPUT -i lo -j ACCEPT",
        "--ctstate RELATED,ESTABLISHED",
        "-s 203.0.113.7/32",
        "-i wg0 -j ACCEPT",
        "--dports 80,443",
        "KNOCKING",
        "GATE",
        "PASSED",
    ];
    for (number, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with("-A")) {
        let said = imported.notes.iter().any(|note| note.place.0 == number + 1);
        assert!(said || carried.iter().any(|part| line.contains(part)), "{line}");
    }
}

/// What asks for more than the gate can ask is open to nobody, rather than to more.
#[test]
fn nothing_becomes_open_to_more_than_it_was() {
    for rule in [
        "-p tcp -m tcp --dport 80 -m limit --limit 1/s -j ACCEPT",
        "-p tcp --dport 80 -m socket -j ACCEPT",
        "! -s 192.0.2.1 -p tcp --dport 80 -j ACCEPT",
        "-s 192.0.2.1 -p tcp --dport 80 -j ACCEPT",
        "-p tcp ! --dport 22 -j ACCEPT",
        "-p tcp --sport 53 -j ACCEPT",
        "-i eth1 -p tcp --dport 80 -j ACCEPT",
        "-d 192.0.2.1 -p tcp --dport 80 -j ACCEPT",
        "-p tcp -j ACCEPT",
        "-m set --match-set friends src -j ACCEPT",
        "-m state --state NEW -j ACCEPT",
        "-s 192.0.2.0/24 -i eth1 -j ACCEPT",
        "-p tcp --dport 80 -m recent --rcheck --name friends -j ACCEPT",
        "-p tcp -m multiport --dports 80,no-such-service -j ACCEPT",
        "-p tcp --dport 80 -m string --string x --algo bm -j ACCEPT",
    ] {
        let text = format!("*filter\n:INPUT DROP [0:0]\n-A INPUT {rule}\nCOMMIT\n");
        let imported = of_text(Kind::Iptables, &text);
        let gate = config::parse_str("x", &imported.toml).unwrap().policy.gate;
        assert_eq!(
            (gate.stance, &gate.public[..], &gate.allow[..]),
            (Stance::Closed, &[][..], &[][..]),
            "{rule}"
        );
        assert!(
            imported.notes.iter().any(|note| note.kind == NoteKind::Hand && note.place.0 == 3),
            "{rule}"
        );
    }
    for rule in [
        "tcp dport != 22 accept",
        "tcp dport 80 limit rate 1/second accept",
        "ip daddr 192.0.2.1 tcp dport 80 accept",
        "iifname != \"eth0\" accept",
        "ip saddr @friends accept",
        "tcp dport vmap { 80 : accept }",
        "meta mark 5 accept",
        "ip protocol tcp accept",
        "meta nfproto ipv4 tcp dport 80 accept",
        "tcp flags ack tcp dport 80 accept",
        "ct state new accept",
    ] {
        let text = format!(
            "table inet f {{\nchain in {{\ntype filter hook input priority 0; policy drop;\n{rule}\n}}\n}}\n"
        );
        let imported = of_text(Kind::Nft, &text);
        let gate = config::parse_str("x", &imported.toml).unwrap().policy.gate;
        assert_eq!(
            (gate.stance, &gate.public[..], &gate.allow[..]),
            (Stance::Closed, &[][..], &[][..]),
            "{rule}"
        );
        assert!(imported.notes.iter().any(|note| note.kind == NoteKind::Hand), "{rule}");
    }
    // A variable that is in another file must not open what it closes.
    for key in ["sources", "knocks", "interfaces", "limit"] {
        let text = format!(
            "[chain::INPUT]\ntype = DROP\n[rule::x]\nchains = INPUT\nprotocols = tcp\n\
             destination_port = 80\n{key} = ${{elsewhere}}\naction = ACCEPT\n"
        );
        let imported = of_text(Kind::Iplock, &text);
        let policy = config::parse_str("x", &imported.toml).unwrap().policy;
        assert!(policy.gate.public.is_empty() && policy.doors.is_empty(), "{key}");
    }
}

/// Both families' rules make one gate; what only one of them opens is not open yet.
#[test]
fn two_families_are_one_gate() {
    let rules = |program: &str, ports: &str| {
        let text = format!(
            "# Generated by {program} v1.8.9\n*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m multiport \
             --dports {ports} -j ACCEPT\nCOMMIT\n"
        );
        (program.to_owned(), text.into_bytes())
    };
    let files = [rules("iptables-save", "80,443"), rules("ip6tables-save", "443,8080")];
    let imported = import_files(Kind::Iptables, &files, &mut dice()).unwrap();
    let gate = config::parse_str("x", &imported.toml).unwrap().policy.gate;
    assert_eq!(gate.public, [Port::tcp(443).unwrap()]);
    assert!(imported.toml.contains("# \"tcp/8080\", # ip6tables-save:4: was open only over IPv6"));
}

/// A rule that somebody has put behind a `#` is none, and a comment makes no other file of a `knockd.conf`.
#[test]
fn comments_are_comments() {
    let text = "iptables -P INPUT DROP\n# iptables -A INPUT -p tcp --dport 23 -j ACCEPT\n\
                #iptables -A INPUT -p tcp --dport 24 -j ACCEPT\niptables -A INPUT -p tcp --dport 80 -j ACCEPT\n";
    let imported = of_text(Kind::Iptables, text);
    let gate = config::parse_str("x", &imported.toml).unwrap().policy.gate;
    assert_eq!(gate.public, [Port::tcp(80).unwrap()]);
    let knockd = b"# iptables -A INPUT -j DROP\n[options]\n[x]\nsequence = 1,2,3\n";
    assert_eq!(Kind::of(knockd), Kind::Knockd);
}

/// Later files change what earlier ones say, and the order of rules is that of `before` and `after`.
#[test]
fn files_of_iplock_change_each_other() {
    let file = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
    let files = [
        file(
            "a",
            "[chain::INPUT]\ntype = DROP\n[variables]\nport = 80\n[rule::late]\nafter = early\n\
                   chains = INPUT\nprotocol = tcp\ndestination_port = ${port}\naction = ACCEPT\n\
                   [rule::early]\nchains = INPUT\nprotocol = tcp\ndestination_port = 81\naction = DROP\n",
        ),
        file("b", "[variables]\nport += 81\n[variables]\nport ?= 5\nport = 82, 81\n"),
    ];
    let imported = import_files(Kind::Iplock, &files, &mut dice()).unwrap();
    let gate = config::parse_str("x", &imported.toml).unwrap().policy.gate;
    // 81 is refused before it is accepted.
    assert_eq!(gate.public, [Port::tcp(82).unwrap()]);
}

fn run(arguments: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    let output = command.arg("import").args(arguments).current_dir(folder()).output().unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    (output, stderr)
}

#[test]
fn from_outside() {
    let (output, stderr) = run(&["recipes/article-iplock.rules"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains(
        "recipes/article-iplock.rules:4:1: hole: knock 3 counts before its port is checked"
    ));
    assert!(
        stderr
            .contains("  | -A INPUT -m recent --rcheck --seconds 10 --name knock2 -m recent --set")
    );
    let (output, stderr) = run(&["iplock/host"]);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let files: Vec<_> = CASES[8]
        .2
        .iter()
        .map(|name| (name.to_string(), fs::read(folder().join(name)).unwrap()))
        .collect();
    let imported = import_files(Kind::Iplock, &files, &mut dice()).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), imported.toml);
    let (output, stderr) = run(&["iplock/article.conf", "recipes/base.rules"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("have different formats"), "{stderr}");
    let (output, stderr) = run(&["flags.conf", "names.conf"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("is a second file"), "{stderr}");
    let (output, stderr) = run(&["--from", "nft", "recipes/base.rules"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
    assert!(stderr.contains("error[nothing-to-import]"), "{stderr}");
    // Knocks that are drawn are other ones each time.
    let (first, _) = run(&["recipes/article-iptables-full.rules"]);
    let (second, _) = run(&["recipes/article-iptables-full.rules"]);
    assert_ne!(first.stdout, second.stdout);
}

/// Thousands of rules take no longer than they should, and chains that go round end.
#[test]
fn many_rules_and_circles() {
    let mut text = String::from("*filter\n:INPUT DROP [0:0]\n");
    for number in 0..20_000u32 {
        text += &format!(
            "-A INPUT -s 192.0.2.{} -p tcp --dport {} -j DROP\n",
            number % 256,
            1 + number % 60_000
        );
    }
    of_text(Kind::Iptables, &text);
    let mut text = String::from("*filter\n:INPUT DROP [0:0]\n-A INPUT -j c0\n");
    for number in 0..12 {
        for _ in 0..12 {
            text += &format!("-A c{number} -p tcp -j c{}\n", (number + 1) % 12);
        }
    }
    of_text(Kind::Iptables, &text);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever words come in whatever order: no panic, and what is written is read.
    #[test]
    fn nothing_panics(
        words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..60),
        odd in any::<String>(),
        draws in any::<bool>(),
    ) {
        let text = words.join(" ").replace("NEWLINE", "\n").replace("ODD", &odd);
        for kind in [Kind::Iptables, Kind::Nft, Kind::Iplock] {
            for before in ["", "*filter\n:INPUT DROP\n", "table inet f { chain in { type filter hook input priority 0; policy drop;\n", "[chain::INPUT]\ntype=DROP\n[rule::x]\nchains=INPUT\n"] {
                let files = [("x".to_owned(), format!("{before}{text}").into_bytes())];
                let mut dice = dice();
                let Ok(imported) = import_files(kind, &files, &mut || draws.then(&mut dice).flatten()) else { continue };
                let said = imported.notes.iter().map(|note| note.message.as_str());
                let control = |c: char| c.is_control() && c != '\n';
                prop_assert!(!said.chain([imported.toml.as_str()]).any(|text| text.contains(control)));
                if let Err(report) = config::parse_str("x", &imported.toml) {
                    let announced = imported.notes.iter().any(|note| note.message.starts_with("`portcullis check` will refuse"));
                    prop_assert!(announced, "{}\n{}", imported.toml, report);
                }
            }
        }
    }
}

const WORDS: [&str; 92] = [
    "-A",
    "INPUT",
    "-p",
    "tcp",
    "udp",
    "icmp",
    "-m",
    "recent",
    "--set",
    "--rcheck",
    "--seconds",
    "10",
    "--name",
    "a",
    "b",
    "--remove",
    "--dport",
    "22",
    "100",
    "300",
    "200",
    "-j",
    "ACCEPT",
    "DROP",
    "REJECT",
    "RETURN",
    "a",
    "b",
    "NEWLINE",
    "NEWLINE",
    "NEWLINE",
    "-A INPUT",
    "-A a",
    "-I",
    "1",
    "!",
    "--syn",
    "-s",
    "192.0.2.1",
    "-i",
    "lo",
    "eth0",
    "--update",
    "multiport",
    "--dports",
    "1:65535",
    "80,443",
    "\"",
    "'",
    "\\",
    "{",
    "}",
    "{",
    "}",
    ";",
    "table",
    "inet",
    "chain",
    "set",
    "@a",
    "@b",
    "ip",
    "saddr",
    ".",
    "dport",
    "add",
    "timeout",
    "1s",
    "accept",
    "drop",
    "jump",
    "ct",
    "state",
    "established",
    "vmap",
    "define",
    "$x",
    "=",
    "knocks = 1,2,3",
    "action = ACCEPT",
    "chains = INPUT",
    "destination_port = 22",
    "protocols = tcp",
    "[rule::x]",
    "[variables]",
    "${x}",
    "x = ${x}",
    "condition = '\"\" == \"\"'",
    "section = content",
    "ODD",
    "tcp dport 22 ip saddr @a accept",
    "tcp dport 100 add @a { ip saddr timeout 5s }",
];
