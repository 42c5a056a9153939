//! `portcullis count` from outside, and the numbers that `docs/strength.md` quotes.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use portcullis_core::policy::Protocol;
use portcullis_core::strength::{Counts, Natural, Strength, Usable};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn portcullis(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn document() -> String {
    fs::read_to_string(root().join("docs/strength.md")).unwrap()
}

/// Digits in groups of three.
fn grouped(number: impl ToString) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(text).collect();
    groups.join(",")
}

#[test]
fn what_the_document_shows_is_what_the_program_prints() {
    let document = document();
    let mut shown = 0;
    for block in document.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let (command, expected) = block.split_once('\n').unwrap();
        let args: Vec<_> = command.strip_prefix("$ portcullis ").unwrap().split(' ').collect();
        let output = portcullis(&args);
        assert_eq!(text(&output.stdout), expected, "{command}");
        shown += 1;
    }
    assert_eq!(shown, 1);
}

#[test]
fn the_numbers_of_the_document_are_right() {
    let document = document();
    let has = |number: &str| assert!(document.contains(number), "{number}");
    for ports in [65_536u128, 65_535, 65_534] {
        let pairs = ports * (ports - 1);
        let choices = pairs * (ports - 2) / 6;
        let script = ports.pow(3) - 2 * choices;
        has(&grouped(ports));
        has(&grouped(ports.pow(3)));
        has(&grouped(ports.pow(3) / 2));
        has(&grouped(script));
        has(&grouped(4 * choices));
        // Where there is such a port, the program says so too.
        if let Ok(ports) = u16::try_from(ports) {
            let counts = Counts::of(3, 0, &Usable::first(ports, &[Protocol::Udp]));
            assert_eq!(counts.all, Natural::from(u128::from(ports).pow(3)));
            assert_eq!(counts.once.turning, Natural::from(4 * choices));
        }
        assert_eq!(script - 4 * choices, 3 * ports * ports - 2 * ports);
        // Two knocks and one, by the formula of the script.
        assert_eq!(ports * ports - pairs, ports);
    }
    has(&grouped(3 * 65_534u128 * 65_534 - 2 * 65_534));

    // Bits that are lost by forgiving.
    let lost = |tolerate| {
        let usable = Usable::first(u16::MAX, &[Protocol::Tcp, Protocol::Udp]);
        format!("{:.1}", Strength::of(3, tolerate, &usable).bits_lost())
    };
    assert_eq!((lost(1).as_str(), lost(2).as_str()), ("1.6", "2.6"));
    has("Three knocks lose 1.6 bits\nfor the first wrong port forgiven, and 2.6 for two");

    // What a fourth knock is worth.
    let worth = |protocols: &[Protocol]| {
        let usable = Usable::first(u16::MAX, protocols);
        let packets = |knocks| Strength::of(knocks, 0, &usable).packets;
        grouped((packets(4) / packets(3) / 1e4).round() as u64 * 10_000)
    };
    has(&format!(
        "by {}, with one protocol by {}",
        worth(&[Protocol::Tcp, Protocol::Udp]),
        worth(&[Protocol::Tcp])
    ));
}

#[test]
fn doors_of_a_configuration_are_counted_as_check_counts_them() {
    let file = root().join("docs/examples/full.toml");
    let file = file.to_str().unwrap();
    let json = |args: &[&str]| -> serde_json::Value {
        let output = portcullis(args);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let counted = json(&["count", file, "--json"]);
    let checked = json(&["check", file, "--json"]);
    let doors = checked["doors"].as_array().unwrap();
    assert_eq!(counted["counts"].as_array().unwrap().len(), doors.len());
    for (counted, checked) in counted["counts"].as_array().unwrap().iter().zip(doors) {
        assert_eq!(counted["door"], checked["name"]);
        assert_eq!(counted["sequences"], checked["sequences"]);
        let at = "seconds_to_guess_at_packets_per_second";
        assert_eq!(counted["by_tolerate"][0][at], checked[at]);
    }
    let one = json(&["count", file, "--json", "--door", "admin"]);
    assert_eq!(one["counts"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&one["counts"][0]["door"], &one["ban"]["configured"]),
        (&"admin".into(), &true.into())
    );
}

#[test]
fn wrong_use_says_what_would_be_right() {
    let file = root().join("docs/examples/shortest.toml");
    let file = file.to_str().unwrap();
    for (args, says) in [
        (&["count", "--knocks", "33"][..], "1..=32"),
        (&["count", "--knocks", "3", "--ports", "0"], "1..=65535"),
        (&["count", "--ports", "7"], "--knocks"),
        (&["count", "--knocks", "3", file], "cannot be used with"),
        (&["count", "--knocks", "3", "--protocols", "sctp"], "possible values: tcp, udp"),
        (&["count", "--knocks", "3", "--rate", "0"], "1.."),
        (&["count", "--knocks", "3", "--tolerate", "17"], "0..=16"),
        (&["count", "--knocks", "3", "--strikes", "1"], "2..=10000"),
        (
            &["count", "--knocks", "3", "--within", "5"],
            "error: `--within`: the duration has no unit\n  hint: use 1s to 1h\n",
        ),
        (&["count", "--knocks", "3", "--for", "721h"], "hint: use 1s to 720h\n"),
        (&["count", file, "--door", "shh"], "hint: did you mean `ssh`?"),
        (
            &["count", file, "--door", "\u{1b}[31m"],
            "unknown door `\\u{1b}[31m`\n  hint: the only known name is `ssh`",
        ),
    ] {
        let output = portcullis(args);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{args:?}");
        assert!(text(&output.stderr).contains(says), "{args:?}: {}", text(&output.stderr));
    }
    assert_eq!(portcullis(&["count", "/nonexistent"]).status.code(), Some(3));
}
