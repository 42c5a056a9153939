//! The table against what the program says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn what_is_told_in_words_alone_is_tested_elsewhere() {
    // `not-utf8`, `file-mode`: tests/text/check.rs. `file-owner`: the program's config/read.rs. `duplicate-door`: core,
    // policy/check/tests.rs. Those of the host: host.rs, topology.rs and conntrack.rs. `backend-not-here`:
    // tests/iptables/loading.rs. The other two nobody has seen.
    let words: Vec<_> =
        all().filter(|entry| matches!(entry.example, Example::Words(_))).map(|e| e.code).collect();
    let known = [
        "not-utf8",
        "duplicate-door",
        "too-many-overlaps",
        "unreachable-stage",
        "backend-not-here",
        "file-mode",
        "file-owner",
        "knock-answered",
        "interface-missing",
        "interface-other-name",
        "interface-member",
        "interface-below",
        "interface-no-address",
        "interface-with-master",
        "interface-on-top",
        "interface-without-gate",
        "conntrack-small",
        "conntrack-sparse",
        "conntrack-full",
        "conntrack-unchecked",
    ];
    assert_eq!(words, known);
}

/// What stands between quotation marks at the beginning of these.
fn quoted<'a>(parts: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    parts.filter_map(|part| part.trim_start().strip_prefix('"')?.split('"').next())
}

/// Every code that the sources can give to a finding of `check`.
fn emitted() -> BTreeSet<String> {
    let root = root();
    let mut codes = BTreeSet::new();
    for (problem, least) in [
        ("crates/core/src/policy/problem.rs", 10),
        ("crates/firewall/src/iptables/check.rs", 10),
        ("crates/config/src/topology.rs", 5),
    ] {
        let text = fs::read_to_string(root.join(problem)).unwrap();
        let (_, body) = text.split_once("pub const fn code(").unwrap();
        let (body, _) = body.split_once("\n    }\n").unwrap();
        let before = codes.len();
        codes.extend(quoted(body.split("=>").skip(1)).map(str::to_owned));
        assert!(codes.len() >= before + least, "{problem}");
    }
    let files = ["crates/config/src", "crates/portcullis/src/config"]
        .into_iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    for file in files {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        for call in ["error(", "warning(", "code: "] {
            codes.extend(quoted(text.split(call).skip(1)).map(str::to_owned));
        }
    }
    codes
}

#[test]
fn the_table_has_each_code_once_and_no_other() {
    let table: Vec<_> = all().map(|entry| entry.code.to_owned()).collect();
    let once: BTreeSet<_> = table.iter().cloned().collect();
    assert_eq!(once.len(), table.len());
    assert_eq!(once, emitted());
}

#[test]
fn entries_are_written_in_one_style() {
    assert!(WARNINGS.iter().all(|code| find(code).is_some()));
    for entry in all() {
        let Entry { code, title, why, remedy, .. } = entry;
        assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-' || b.is_ascii_digit()));
        assert!(!title.ends_with('.') && title.len() < 80, "{code}: {title}");
        for prose in [why, remedy] {
            assert!(prose.ends_with('.') && !prose.contains("  "), "{code}: {prose}");
        }
    }
}

#[test]
fn the_page_is_that_of_the_table() {
    let path = root().join("docs/problems.md");
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        fs::write(&path, page()).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "docs/problems.md is not current; set PORTCULLIS_BLESS=1");
}

#[test]
fn near_codes_are_suggested() {
    assert_eq!(hint("monotone_sequence"), "did you mean `monotone-sequence`?");
    assert_eq!(hint("guarded-knok"), "did you mean `guarded-knock`?");
    assert_eq!(hint("monotone"), "did you mean `monotone-sequence`?");
    assert_eq!(hint("banana"), "run `portcullis check --codes` to list all codes");
}
