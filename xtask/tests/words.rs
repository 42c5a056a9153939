//! Documents are written in the words of `docs/STYLE.md`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The left column of the table below that heading: what not to write.
fn phrases(style: &str) -> Vec<String> {
    let section = style.split("## Phrases to replace").nth(1).unwrap();
    let table = section.split("\n| not | but |\n|---|---|\n").nth(1).unwrap();
    let rows = table.lines().take_while(|line| line.starts_with("| "));
    rows.map(|row| row.split('|').nth(1).unwrap().trim().to_lowercase()).collect()
}

/// The words of a document, outside of code, each between single spaces.
fn words(text: &str) -> String {
    let prose: String = text.split("```").step_by(2).collect();
    let prose: String = prose.split('`').step_by(2).collect();
    let letters = prose.to_lowercase().replace(|c: char| !c.is_alphanumeric() && c != '\'', " ");
    format!(" {} ", letters.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn documents() -> Vec<PathBuf> {
    // One is the list itself. The other is generated from what the program says, and the map of the code
    // is for those who write it.
    let except = ["STYLE.md", "problems.md", "ARCHITECTURE.md"];
    let folders = [root(), root().join("docs"), root().join("fuzz")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter(|path| !except.contains(&name(path).as_str()))
        .collect()
}

#[test]
fn documents_use_none_of_the_phrases_to_replace() {
    let phrases = phrases(&fs::read_to_string(root().join("docs/STYLE.md")).unwrap());
    assert!(phrases.len() > 15, "{phrases:?}");
    let documents = documents();
    assert!(documents.len() > 8, "{documents:?}");
    let mut found = Vec::new();
    for path in documents {
        let words = words(&fs::read_to_string(&path).unwrap());
        for phrase in &phrases {
            for (at, _) in words.match_indices(&format!(" {phrase} ")) {
                let before: String = words[..at].chars().rev().take(30).collect();
                let before: String = before.chars().rev().collect();
                found.push(format!("{}: …{before} **{phrase}**", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "docs/STYLE.md says what to write instead:\n{}", found.join("\n"));
}

#[test]
fn a_phrase_is_found_across_lines_but_not_inside_a_word_or_in_code() {
    assert!(words("It is for\never.").contains(" for ever "));
    assert!(!words("for everything").contains(" for ever "));
    assert!(!words("a\n```\nfor ever\n```\nb").contains(" for ever "));
    assert!(!words("see `stays_for_ever`").contains(" for ever "));
}
