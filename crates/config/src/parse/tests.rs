//! What holds for every file whatever.

use proptest::prelude::*;

use super::*;
use crate::{duration, report};

/// Neither panics nor sends a terminal anything but text.
fn is_harmless(text: &str) -> Result<(), TestCaseError> {
    let report = match parse_str("a.toml", text) {
        Ok(loaded) => {
            prop_assert!(!loaded.policy.doors.is_empty());
            loaded.warnings
        }
        Err(report) => {
            prop_assert!(report.errors() > 0);
            report
        }
    };
    let shown = report.render(false);
    prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    for found in report.findings().iter().take(report::MAX_SHOWN) {
        let span = found.span.clone().unwrap_or_default();
        let (line, column) = report.position(span.start);
        prop_assert!(
            shown.contains(&format!("a.toml:{line}:{column}\n")),
            "{line}:{column} {shown}"
        );
    }
    Ok(())
}

const FULL: &str = include_str!("../../../../docs/examples/full.toml");

/// Pieces of which files are made, so that nonsense comes near to sense.
const PIECES: &[&str] = &[
    "[door.ssh]",
    "[door.\u{1b}]",
    "[[door.a]]",
    "[gate]",
    "[ban]",
    "guards",
    "sequence",
    "tolerate",
    "open_for",
    "keys",
    "public",
    " = ",
    "=",
    "[",
    "]",
    "\"tcp/22\"",
    "\"udp/29117\"",
    "\"tcp/1\"",
    "\"5s\"",
    "5",
    "true",
    ",",
    "\n",
    "\r\n",
    "\t",
    "#",
    "'",
    "\"",
    "\"\"\"",
    "é",
    "\u{202e}",
    "\u{9b}",
    "\u{feff}",
    "\0",
    "日本",
    "{",
    "}",
    ".",
    "\u{1f6ab}",
];

proptest! {
    #[test]
    fn any_text_is_harmless(text in "\\PC*|(?s).{0,200}") {
        is_harmless(&text)?;
    }

    #[test]
    fn any_near_miss_is_harmless(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        is_harmless(&pieces.concat())?;
    }

    #[test]
    fn any_change_to_a_good_file_is_harmless(
        at in 0..FULL.len(),
        remove in 0..20usize,
        insert in prop::sample::select(PIECES),
    ) {
        let end = (at + remove).min(FULL.len());
        is_harmless(&[&FULL[..at], insert, &FULL[end..]].concat())?;
    }
}

#[test]
fn the_shortest_configuration_has_the_documented_defaults() {
    let text = include_str!("../../../../docs/examples/shortest.toml");
    let loaded = parse_str("shortest.toml", text).unwrap();
    assert!(loaded.warnings.findings().is_empty());
    let [door] = loaded.policy.doors.as_slice() else { panic!("one door") };
    assert_eq!(door.name.as_str(), "ssh");
    assert_eq!(door.guards.len(), 1);
    assert_eq!(door.sequence.len(), 3);
    assert_eq!(duration::format(door.step_timeout), "5s");
    assert_eq!(duration::format(door.open_for), "30s");
    assert_eq!((door.recogniser, door.tolerate), (Default::default(), 0));
    assert_eq!(loaded.policy.gate, Default::default());
}

#[test]
fn doors_keep_the_order_of_the_file() {
    let text: String = ["zulu", "alpha", "mike"]
        .iter()
        .enumerate()
        .map(|(i, name)| {
            format!("[door.{name}]\nguards = [\"tcp/{}\"]\nsequence = [\"tcp/{}\", \"udp/9\", \"tcp/50\"]\n", 22 + i, 40 + i)
        })
        .collect();
    let loaded = parse_str("order.toml", &text).unwrap();
    let names: Vec<_> = loaded.policy.doors.iter().map(|door| door.name.as_str()).collect();
    assert_eq!(names, ["zulu", "alpha", "mike"]);
}
