//! Documents, and what the programs say, are written in the words of `docs/STYLE.md`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The left columns of the two tables below that heading: what not to write anywhere, and what not to
/// write in messages.
fn phrases(style: &str) -> [Vec<String>; 2] {
    let section = style.split("## Phrases to replace").nth(1).unwrap();
    let mut tables = section.split("\n| not | but |\n|---|---|\n").skip(1).map(|table| {
        let rows = table.lines().take_while(|line| line.starts_with("| "));
        rows.map(|row| bare(row.split('|').nth(1).unwrap())).collect()
    });
    [tables.next().unwrap(), tables.next().unwrap()]
}

/// The words of a document, outside of code, each between single spaces.
fn words(text: &str) -> String {
    let prose: String = text.split("```").step_by(2).collect();
    let prose: String = prose.split('`').step_by(2).collect();
    format!(" {} ", bare(&prose))
}

/// Words in small letters, each between single spaces, without what stands between them.
fn bare(text: &str) -> String {
    let letters = text.to_lowercase().replace(|c: char| !c.is_alphanumeric() && c != '\'', " ");
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The phrases in a text, each with the words before it.
fn found<'a>(words: &str, phrases: impl Iterator<Item = &'a String>, path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for phrase in phrases {
        for (at, _) in words.match_indices(&format!(" {phrase} ")) {
            let before: String = words[..at].chars().rev().take(30).collect();
            let before: String = before.chars().rev().collect();
            found.push(format!("{}: …{before} **{phrase}**", path.display()));
        }
    }
    found
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
    let [phrases, _] = phrases(&fs::read_to_string(root().join("docs/STYLE.md")).unwrap());
    assert!(phrases.len() > 15, "{phrases:?}");
    let documents = documents();
    assert!(documents.len() > 8, "{documents:?}");
    let all = documents
        .iter()
        .flat_map(|path| found(&words(&fs::read_to_string(path).unwrap()), phrases.iter(), path));
    let all: Vec<_> = all.collect();
    assert!(all.is_empty(), "docs/STYLE.md says what to write instead:\n{}", all.join("\n"));
}

/// The strings of a source file that a person may read: those with spaces in them. Not those of its tests,
/// nor the reasons of lints.
fn strings(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut strings = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let (before, here) = rest.split_at(at);
        if let Some(comment) = here.strip_prefix("//") {
            rest = &comment[comment.find('\n').unwrap_or(comment.len())..];
        } else if let Some(inner) = here.strip_prefix('\'') {
            // A character; otherwise a lifetime.
            let length = if inner.starts_with('\\') { 2 } else { 1 };
            let end = inner.char_indices().nth(length).filter(|(_, c)| *c == '\'');
            rest = end.map_or(inner, |(end, _)| &inner[end + 1..]);
        } else if let Some(inner) = here.strip_prefix('"') {
            let hashes = before.len() - before.trim_end_matches('#').len();
            let end = if before.trim_end_matches('#').ends_with('r') {
                inner.find(&format!("\"{}", "#".repeat(hashes)))
            } else {
                let mut escaped = false;
                inner.find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                })
            };
            let (text, after) = inner.split_at(end.unwrap());
            if text.contains(' ') && !before.ends_with("reason = ") {
                strings.push(text.replace("\\\n", " ").replace("\\n", " "));
            }
            rest = &after[1..];
        } else {
            rest = &here[1..];
        }
    }
    strings
}

/// All source files of what people run, but for tests and the rules, whose comments are nft's.
fn sources() -> Vec<PathBuf> {
    // Nobody but us runs the lab.
    let except =
        ["crates/lab", "crates/firewall/src/compile", "crates/firewall/src/iptables/compile.rs"];
    let except = except.map(|folder| root().join(folder));
    let mut sources = Vec::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_test = ["tests", "tests.rs", "benches", "examples", "target"].contains(&&*name);
            if is_test || except.contains(&path) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") {
                sources.push(path);
            }
        }
    }
    sources
}

#[test]
fn messages_use_none_of_the_phrases_to_replace() {
    let phrases = phrases(&fs::read_to_string(root().join("docs/STYLE.md")).unwrap());
    let sources = sources();
    assert!(sources.len() > 200, "{}", sources.len());
    let mut all = Vec::new();
    for path in sources {
        let strings = strings(&fs::read_to_string(&path).unwrap());
        for string in strings {
            all.extend(found(&words(&string), phrases.iter().flatten(), &path));
        }
    }
    assert!(all.is_empty(), "docs/STYLE.md says what to write instead:\n{}", all.join("\n"));
}

#[test]
fn strings_are_found_but_not_comments_characters_and_reasons() {
    let source = r##"
        // "in a comment"
        let quote = '"';
        fn f<'a>(a: &'a str) -> char { '\'' }
        println!("for {x} \
                  ever", "a \" b", r#"raw "text" here"#, "one");
        #[expect(dead_code, reason = "a reason for it")]
    "##;
    let found = strings(source).iter().map(|text| bare(text)).collect::<Vec<_>>();
    assert_eq!(found, ["for x ever", "a b", "raw text here"]);
}

#[test]
fn a_phrase_is_found_across_lines_but_not_inside_a_word_or_in_code() {
    assert!(words("It is for\never.").contains(" for ever "));
    assert!(!words("for everything").contains(" for ever "));
    assert!(!words("a\n```\nfor ever\n```\nb").contains(" for ever "));
    assert!(!words("see `stays_for_ever`").contains(" for ever "));
}
