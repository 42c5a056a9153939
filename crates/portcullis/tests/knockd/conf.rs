//! `knockd.conf` as we read it, beside what the real knockd makes of it: what it takes and what it
//! refuses, what it understands, and in which words we refuse. `PORTCULLIS_BLESS=1` writes the
//! expected words anew.

use libtest_mimic::Trial;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use portcullis::config::load_knockd;
use portcullis::knockd::one_time;
use portcullis_config::knockd::{Configuration, dump, parse_bytes};
use portcullis_config::report::MAX_SHOWN;
use portcullis_lab::world;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;
use world::have;

const KNOCKD: &str = "/usr/sbin/knockd";

pub fn trials() -> Vec<Trial> {
    let theirs = |name, test: fn()| world::trial(name, test).with_ignored_flag(!have("knockd"));
    vec![
        world::trial("refusals_are_in_the_right_words", refusals),
        world::trial("every_finding_says_where", places),
        world::trial("what_cannot_be_read", unreadable),
        theirs("real_files_are_read_as_theirs_reads_them", real_files),
        theirs("each_rule_of_the_grammar_is_theirs", grammar),
        theirs("each_deviation_is_one", deviations),
        theirs("what_we_take_theirs_takes_too", random),
        theirs("theirs_goes_on_where_our_marks_end", one_time),
    ]
}

fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/knockd").join(folder);
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn refusals() {
    let bless = std::env::var_os("PORTCULLIS_BLESS").is_some();
    let mut wrong = Vec::new();
    for path in cases("bad") {
        let report = parse_bytes(name(&path), &fs::read(&path).unwrap()).unwrap_err();
        let shown = format!("{report}\n");
        let expected_path = path.with_extension("expected");
        if bless {
            fs::write(&expected_path, &shown).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if shown != expected {
            wrong.push(format!("--- {} says\n{shown}--- not\n{expected}", name(&path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn places() {
    for path in cases("bad") {
        let report = parse_bytes(name(&path), &fs::read(&path).unwrap()).unwrap_err();
        let shown = report.render(false);
        for found in report.findings().iter().take(MAX_SHOWN) {
            let (line, column) = report.position(found.span.clone().unwrap().start);
            let place = format!("--> {}:{line}:{column}\n", name(&path));
            assert!(shown.contains(&place), "{place} in\n{shown}");
        }
        let harmful = |c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{200b}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!shown.contains(harmful), "{shown:?}");
    }
}

fn unreadable() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing");
    let message = load_knockd(&missing).unwrap_err().to_string();
    assert_eq!(
        message,
        format!("error: cannot read `{}`: there is no such file", missing.display())
    );
    let large = folder.path().join("large");
    fs::write(&large, vec![b'\n'; (1 << 20) + 1]).unwrap();
    let message = load_knockd(&large).unwrap_err().to_string();
    assert_eq!(message, format!("error: `{}` is larger than 1 MiB", large.display()));
    fs::write(&large, vec![b'\n'; 1 << 20]).unwrap();
    assert_eq!(load_knockd(&large).unwrap(), Configuration::default());
}

/// What the real knockd makes of a configuration.
#[derive(Debug)]
struct Theirs {
    takes: bool,
    /// What it says of it as it reads, sorted.
    lines: Vec<String>,
}

/// What the real knockd makes of a configuration, with a file of one-time sequences beside it.
fn theirs(text: &[u8]) -> Theirs {
    theirs_with(text, " 5,6,7\n")
}

/// Lets the real knockd read a configuration, for an interface that does not exist: so it ends by
/// itself, and whether it came to look for the interface says whether it took the configuration.
fn theirs_with(text: &[u8], sequences: &str) -> Theirs {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("knockd.conf"), text).unwrap();
    fs::write(folder.path().join("sequences.txt"), sequences).unwrap();
    let output = Command::new(KNOCKD)
        .args(["-D", "-i", "no-such-link", "-c", "knockd.conf"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let all = [output.stdout, output.stderr].concat();
    let all = String::from_utf8_lossy(&all).into_owned();
    let takes = all.contains("could not open no-such-link");
    assert!(takes || all.contains("usage"), "{all}");
    Theirs { takes, lines: lines(&all) }
}

/// The lines about the configuration, without those that only one of the two writes: the interface,
/// which theirs does not mention when it is told another, and what is as it would be anyway or is empty.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with("config: ")).collect();
    lines.retain(|line| {
        !line.starts_with("config: interface: ")
            && !matches!(*line, "config: log file: " | "config: pid file: ")
            && *line != "config: new section: 'options'"
            && !line.ends_with(": seq_timeout: 25")
            && !line.ends_with(": cmd_timeout: 10")
    });
    lines.sort_unstable();
    lines.into_iter().map(Into::into).collect()
}

fn ours(text: &[u8]) -> Option<Vec<String>> {
    let configuration = parse_bytes("knockd.conf", text).ok()?;
    Some(lines(&String::from_utf8_lossy(&dump(&configuration))))
}

fn real_files() {
    for path in cases("good") {
        let text = fs::read(&path).unwrap();
        let configuration =
            parse_bytes(name(&path), &text).unwrap_or_else(|report| panic!("{report}"));
        assert!(!configuration.doors.is_empty());
        // Theirs would write to the log.
        let text = String::from_utf8_lossy(&text).replace("/var/log/", "");
        let mut theirs = theirs(text.as_bytes());
        assert!(theirs.takes, "{theirs:?}");
        // It reads the first of the one-time sequences at once.
        theirs.lines.retain(|line| line != "config: once: sequence: 5:tcp,6:tcp,7:tcp");
        assert_eq!(ours(text.as_bytes()).unwrap(), theirs.lines, "{}", name(&path));
    }
}

/// With a door that is right.
fn door(lines: &str) -> String {
    format!("[A]\nsequence = 1,2\n{lines}\n")
}

fn grammar() {
    let most = |count: usize| format!("[A]\nsequence = {}\n", vec!["7"; count].join(","));
    let taken = [
        String::new(),
        "# nothing\n\n \t\n".into(),
        "[options]\n".into(),
        "[options]\n[options]\n".into(),
        "[options]\nLOGFILE=\nPidFile =\n".into(),
        "[A]\nsequence=1".into(),
        "  [ my door ]  \r\n\tSEQUENCE\t=\t1 , 2:UDP,3 :tcp, 4: udp\r\n".into(),
        "[[a]b]]\nsequence=00080\n".into(),
        "[A]\nsequence=1\n[A]\nsequence=2\n".into(),
        most(32),
        door("UseSyslog"),
        door("usesyslog"),
        door("seq_timeout=0"),
        door("timeout=-5").replace("-5", "+5"),
        door("start_command = a = b # c \"d\" 'e' \\"),
        door("command=x"),
        door("command_6="),
        door("stop_command="),
        door("stop_command_6=%IP% %ip% %% %PORT%"),
        door("cmd_timeout = 2147483647"),
        door("target = 192.0.2.1"),
        door("target = 2001:db8::1"),
        door("tcpflags = Fin,!SYN,rst,!psh,ack,!urg"),
        door("\u{b}seq_timeout\u{c}=\u{c}7\u{b}"),
        "[A]\none_time_sequences = sequences.txt\n".into(),
    ];
    for text in &taken {
        let theirs = theirs(text.as_bytes());
        assert!(theirs.takes, "theirs refuses {text:?}");
        let mut lines = theirs.lines;
        lines.retain(|line| line != "config: A: sequence: 5:tcp,6:tcp,7:tcp");
        assert_eq!(ours(text.as_bytes()), Some(lines), "{text:?}");
    }
    let refused = [
        "logfile = x\n".into(),
        "UseSyslog\n".into(),
        "[]\n".into(),
        "[A\nsequence=1\n".into(),
        "[A] # x\nsequence=1\n".into(),
        "[A]\n".into(),
        "[A]\n[B]\nsequence=1\n".into(),
        "[OPTIONS]\nUseSyslog\n".into(),
        "[OPTIONS]\nlogfile=x\nsequence=1\n".into(),
        "[options]\nsequence=1\n".into(),
        "[options]\nusesyslog = yes\n".into(),
        "[options]\nUseSyslog # x\n".into(),
        "[A]\nsequence=7000::udp\n".into(),
        "[A]\nsequence=7000:\n".into(),
        "[A]\nsequence=7000:sctp\n".into(),
        "[A]\nsequence=7000:tcp # x\n".into(),
        "[A]\nsequence=65536\n".into(),
        most(33),
        door("logfile=x"),
        door("; x"),
        door("sequence"),
        door("=x"),
        door("unknown=x"),
        door("tcpflags="),
        door("tcpflags=syn,,ack"),
        door("tcpflags=syn,"),
        door("tcpflags=ece"),
        door("tcpflags=! syn"),
        door("tcpflags=syn|ack"),
        door("one_time_sequences="),
    ];
    for text in &refused {
        assert!(!theirs(text.as_bytes()).takes, "theirs takes {text:?}");
        assert_eq!(ours(text.as_bytes()), None, "{text:?}");
    }
    // A name is cut off, though theirs says the whole one first.
    let long_name = format!("[{}]\nsequence = 1\n", "n".repeat(200));
    let line = format!("config: {}: sequence: 1:tcp", "n".repeat(127));
    assert!(theirs(long_name.as_bytes()).lines.contains(&line));
    assert!(ours(long_name.as_bytes()).unwrap().contains(&line));
    // A later line replaces an earlier one, but flags add up.
    let last = door("sequence=3\ncommand=x\nstart_command=y\ntcpflags=syn\ntcpflags=ack,!syn");
    let configuration = parse_bytes("x", last.as_bytes()).unwrap();
    let once = b"[A]\nsequence=3\nstart_command=y\ntcpflags=!syn,ack\n";
    assert_eq!(configuration, parse_bytes("x", once).unwrap());
    assert!(theirs(last.as_bytes()).takes);
}

/// The table of `docs/knockd-compatibility.md`: it must say what the real one does, too.
fn deviations() {
    let sequence = |value: &str| format!("[A]\nsequence = {value}\n");
    let theirs_takes = [
        (sequence("abc"), "bad-port"),
        (sequence("0"), "bad-port"),
        (sequence(""), "bad-port"),
        (sequence("7000,8000,"), "bad-port"),
        (sequence("7000,,8000"), "bad-port"),
        (sequence("-1"), "bad-port"),
        (sequence("+80"), "bad-port"),
        (sequence("0x10"), "bad-port"),
        (sequence("7000 8000"), "bad-port"),
        (sequence("7000;8000"), "bad-port"),
        (sequence("7000,8000 # x"), "bad-port"),
        (sequence("7000:tcp:udp"), "bad-port"),
        (sequence("ssh"), "bad-port"),
        (door("seq_timeout = soon"), "bad-timeout"),
        (door("seq_timeout ="), "bad-timeout"),
        (door("cmd_timeout = 10s"), "bad-timeout"),
        (door("cmd_timeout = 5 # seconds"), "bad-timeout"),
        (door("cmd_timeout = 4294967297"), "bad-timeout"),
        (door("target = localhost"), "bad-address"),
        (door("target ="), "bad-address"),
        (door("one_time_sequences = sequences.txt"), "two-sequences"),
        (door("start_command = a\0b"), "nul"),
    ];
    for (text, code) in &theirs_takes {
        assert!(theirs(text.as_bytes()).takes, "theirs refuses {text:?}");
        let report = parse_bytes("x", text.as_bytes()).unwrap_err();
        assert!(report.findings().iter().all(|found| found.code == *code), "{report}");
    }
    let ours_takes = [
        "\u{feff}[A]\nsequence = 1\n".to_owned(),
        door("tcpflags = syn , ! ack").replace("! ", "!"),
        door(&format!("start_command = {}", "x".repeat(5_000))),
        // Opened when the daemon starts, and not when the configuration is read.
        "[A]\none_time_sequences = missing.txt\n".into(),
    ];
    for text in &ours_takes {
        assert!(!theirs(text.as_bytes()).takes, "theirs takes {text:?}");
        parse_bytes("x", text.as_bytes()).unwrap_or_else(|report| panic!("{report}"));
    }
    // Theirs compares this one letter by letter with an address that it has written itself.
    let text = door("target = 2001:DB8:0::1");
    let target = parse_bytes("x", text.as_bytes()).unwrap().doors[0].target;
    assert_eq!(target, Some("2001:db8::1".parse().unwrap()));
    assert!(theirs(text.as_bytes()).lines.contains(&"config: A: target: 2001:DB8:0::1".to_owned()));
}

/// One program can take over the file of the other: both agree on which sequence is next.
fn one_time() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sequences.txt");
    let all = "# used by both\n\n 1,2\n3:udp , 4\r\n\t5\n6:tcp,7:UDP";
    fs::write(&path, all).unwrap();
    let mut ours = one_time::load(&path).unwrap();
    let text = b"[A]\none_time_sequences = sequences.txt\n";
    let mut left = 4;
    while let Some(sequence) = ours.current().map(<[_]>::to_vec) {
        let theirs = theirs_with(text, &fs::read_to_string(&path).unwrap());
        let names: Vec<_> =
            sequence.iter().map(|port| format!("{}:{}", port.number, port.protocol)).collect();
        let line = format!("config: A: sequence: {}", names.join(","));
        assert!(theirs.lines.contains(&line), "{line} is not in {theirs:?}");
        assert!(ours.use_up(&sequence).unwrap().was_there);
        left -= 1;
    }
    assert_eq!(left, 0);
    assert!(!theirs_with(text, &fs::read_to_string(&path).unwrap()).takes);
}

/// Lines that may be right or wrong, in any order.
fn any_configuration() -> impl Strategy<Value = String> {
    let port = prop_oneof![
        6 => (1u32..=65_535).prop_map(|port| port.to_string()),
        1 => prop::sample::select(vec!["0", "65536", "x", "", "1 2", "+1", " 9 "]).prop_map(Into::into),
    ];
    let protocol =
        prop::sample::select(vec!["", "", "", ":tcp", ":udp", ":UDP ", " :tcp", ":", ":x"]);
    let sequence = prop::collection::vec((port, protocol), 1..4).prop_map(|knocks| {
        let knocks: Vec<_> =
            knocks.iter().map(|(port, protocol)| format!("{port}{protocol}")).collect();
        format!("Sequence={}", knocks.join(","))
    });
    let line = prop_oneof![
        4 => sequence,
        2 => prop::sample::select(vec!["[options]", "[A]", "[B b]", "[]", "[A", "[=]", "x", "#", " ", "=", "[A]="]).prop_map(Into::into),
        3 => (
            prop::sample::select(vec![
                "seq_timeout", "Timeout", "cmd_timeout", "TCPFLAGS", "target", "command", "Start_Command_6",
                "command_6", "stop_command", "stop_command_6", "logfile", "usesyslog", "key",
            ]),
            prop::sample::select(vec![" = ", "=", "", "==", " "]),
            prop::sample::select(vec!["", "1", "-7", "syn", "!ack,fin", "192.0.2.1", "::1", "%IP% = x", "[x]"]),
        ).prop_map(|(key, equals, value)| format!("{key}{equals}{value}")),
    ];
    let end = prop::sample::select(vec!["\n", "\r\n", " \n", "\n\n"]);
    let body = prop::collection::vec((line, end), 0..5);
    (prop::bool::weighted(0.9), body).prop_map(|(begun, lines)| {
        let lines: String = lines.into_iter().map(|(line, end)| line + end).collect();
        if begun { format!("[first]\nsequence=1\n{lines}") } else { lines }
    })
}

fn random() {
    let mut both = 0;
    let mut neither = 0;
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&any_configuration(), |text| {
        // Theirs would make a file of this name.
        let theirs = theirs(text.replace("logfile", "pidfile").as_bytes());
        if let Some(lines) = ours(text.replace("logfile", "pidfile").as_bytes()) {
            prop_assert!(theirs.takes);
            for line in lines {
                let zero = line.replace("_timeout: 0", "_timeout: -7");
                prop_assert!(
                    theirs.lines.contains(&line) || theirs.lines.contains(&zero),
                    "{}",
                    line
                );
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    // The property would hold if everything were refused.
    for _ in 0..200 {
        let text = any_configuration().new_tree(&mut runner).unwrap().current();
        *if ours(text.as_bytes()).is_some() { &mut both } else { &mut neither } += 1;
    }
    assert!(both > 20 && neither > 20, "{both} taken, {neither} refused");
}
