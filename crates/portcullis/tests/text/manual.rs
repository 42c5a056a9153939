//! The manual and the README's table say what the programs know, and shells get names of doors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use portcullis::cli::Cli;
use portcullis::manual::entries::entries;
use portcullis::manual::{Page, pages};
use portcullis_config::keys;

use portcullis_lab::world::completions::completions;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn bless() -> bool {
    std::env::var_os("PORTCULLIS_BLESS").is_some()
}

#[test]
fn the_pages_are_as_committed() {
    let folder = root().join("pkg/man");
    let made: BTreeMap<String, String> = pages(&Cli::command())
        .unwrap()
        .into_iter()
        .map(|Page { name, text }| (name, text))
        .collect();
    if bless() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in &made {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    let found: BTreeMap<String, String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let text = fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), text)
        })
        .collect();
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&made), names(&found), "PORTCULLIS_BLESS=1 writes them anew");
    for (name, text) in made {
        assert_eq!(text, found[&name], "{name} has changed; look at it, then bless it");
    }
}

#[test]
fn the_table_of_the_readme_is_that_of_the_reader() {
    let path = root().join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let begin = text.find("| key | value |").expect("a table of keys");
    let end = begin + text[begin..].find("\n\n").unwrap() + 1;
    if bless() && text[begin..end] != keys::table() {
        let text = format!("{}{}{}", &text[..begin], keys::table(), &text[end..]);
        fs::write(&path, text).unwrap();
        return;
    }
    assert_eq!(&text[begin..end], keys::table(), "PORTCULLIS_BLESS=1 writes it anew");
}

#[test]
fn pages_can_be_read_by_man() {
    let made = pages(&Cli::command()).unwrap();
    assert!(made.iter().any(|page| page.name == "portcullis-apply.1"));
    assert!(made.iter().any(|page| page.name == "knockd.1"));
    for Page { name, text } in made {
        assert!(text.contains(".SH NAME"), "{name}");
        assert!(!text.contains('\u{1b}'), "{name}");
    }
}

#[test]
fn each_page_of_a_command_has_one_entry_and_each_section() {
    let mut named: Vec<&str> = entries().map(|entry| entry.page).collect();
    named.sort_unstable();
    let made = pages(&Cli::command()).unwrap();
    let mut commands: Vec<&str> =
        made.iter().filter_map(|page| page.name.strip_suffix(".1")).collect();
    commands.sort_unstable();
    assert_eq!(named, commands);
    for page in made.iter().filter(|page| page.name.ends_with(".1")) {
        for section in [".SH \"EXIT STATUS\"", ".SH EXAMPLES", ".SH \"SEE ALSO\""] {
            assert_eq!(page.text.matches(section).count(), 1, "{}: {section}", page.name);
        }
    }
}

#[test]
fn references_to_our_own_pages_lead_to_pages() {
    let made = pages(&Cli::command()).unwrap();
    let known: BTreeSet<String> = made
        .iter()
        .filter_map(|page| page.name.rsplit_once('.'))
        .map(|(name, section)| format!("{name}({section})"))
        .collect();
    for entry in entries() {
        for page in entry.see.iter().filter(|page| page.contains("portcullis")) {
            assert!(known.contains(*page), "{}: {page}", entry.page);
        }
    }
}

#[test]
fn examples_are_command_lines_of_their_pages() {
    for entry in entries() {
        assert!((1..=4).contains(&entry.examples.len()), "{}", entry.page);
        for (line, explanation) in entry.examples {
            assert!(explanation.ends_with(':'), "{}: {explanation}", entry.page);
            let commands = ours(line);
            assert!(!commands.is_empty(), "{}: {line}", entry.page);
            for words in commands {
                let (program, first) = (*words.first().unwrap(), *words.get(1).unwrap());
                let parsed = match program {
                    "knock" => portcullis_client::cli::command().try_get_matches_from(&words),
                    "knockd" => portcullis::knockd::cli::command().try_get_matches_from(&words),
                    _ => Cli::command().try_get_matches_from(&words),
                };
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
                let page = match program {
                    "portcullis" => format!("portcullis-{first}"),
                    program => program.to_owned(),
                };
                let fits = entry.page == page || entry.page == "portcullis";
                assert!(fits, "{}: {line}", entry.page);
            }
        }
    }
}

/// The commands of a line of shell that are ours, without what the shell makes of the rest.
fn ours(line: &str) -> Vec<Vec<&str>> {
    let commands = line.split(['|', '&', '(', ')']).map(|command| {
        let words = command.split_whitespace().take_while(|word| !["<", ">"].contains(word));
        words.skip_while(|word| !["portcullis", "knock", "knockd"].contains(word)).collect()
    });
    commands.filter(|words: &Vec<&str>| !words.is_empty()).collect()
}

#[test]
fn a_shell_is_told_commands_and_options() {
    let mut commands: Vec<String> =
        completions(&["portcullis", "com"]).split_whitespace().map(str::to_owned).collect();
    commands.sort_unstable();
    assert_eq!(commands, ["compile", "completions"]);
    assert!(completions(&["portcullis", "apply", "--conf"]).contains("--confirm-within"));
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["completions", shell])
            .output()
            .unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("PORTCULLIS_COMPLETE"), "{shell}: {text}");
    }
}
