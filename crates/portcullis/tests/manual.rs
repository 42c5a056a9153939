//! The manual and the README's table say what the programs know, and shells get names of doors.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is a test")]

mod shell;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use portcullis::cli::Cli;
use portcullis::manual::{Page, pages};
use portcullis_config::keys;

use shell::completions;

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
