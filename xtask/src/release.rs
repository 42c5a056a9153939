//! `cargo xtask release`: whether this commit can be released. It changes nothing; `docs/RELEASE.md` is
//! the checklist that it belongs to.

mod build;
mod changelog;
mod documents;
mod manifests;

use std::fs;
use std::process::{Command, ExitCode, Stdio};

use crate::msrv;
use crate::run::root;
use manifests::Workspace;

/// What a check found: everything that is wrong, or why it could not look.
type Found = Result<Vec<String>, String>;

/// Checks everything and says it; 0: ready, 1: not ready, 3: something could not be checked.
pub fn run() -> ExitCode {
    let workspace = match Workspace::read() {
        Ok(workspace) => workspace,
        Err(why) => {
            eprintln!("error: {why}");
            return ExitCode::from(3);
        }
    };
    let version = workspace.version.clone();
    let (mut wrong, mut unknown) = (0, 0);
    let mut tell = |what: &str, found: Found| match found {
        Ok(problems) if problems.is_empty() => println!("ok     {what}"),
        Ok(problems) => {
            wrong += 1;
            println!("WRONG  {what}");
            for problem in problems {
                println!("         {problem}");
            }
        }
        Err(why) => {
            unknown += 1;
            println!("?      {what}: could not be checked: {why}");
        }
    };
    println!("is {version} ready to be released?\n");
    tell("one version everywhere", Ok(workspace.other_versions()));
    tell(
        "CHANGELOG.md has this version",
        read("CHANGELOG.md").map(|text| changelog::problems(&text, &version)),
    );
    tell(
        "docs/dependencies.md has each dependency, and no other",
        read("docs/dependencies.md").map(|text| workspace.dependencies(&text)),
    );
    tell(
        "README.md names the minimum version of Rust",
        read("README.md").map(|text| rust_version(&text)),
    );
    tell("links between documents lead somewhere", documents::broken_links(&root()));
    tell("the working tree is clean", clean());
    tell("this version is not tagged yet", untagged(&version));
    println!("       … building, which can take minutes");
    match build::build() {
        Ok(()) => {
            tell("the programs say this version", build::versions(&version));
            tell("the programs are stripped", build::sizes());
            tell("pkg/man is what the program writes", build::manual());
        }
        Err(why) => tell("the programs can be built", Err(why)),
    }
    println!();
    match (wrong, unknown) {
        (0, 0) => {
            println!("ready. Next: the steps by hand in docs/RELEASE.md");
            ExitCode::SUCCESS
        }
        (0, _) => {
            println!("{unknown} of the checks could not be made");
            ExitCode::from(3)
        }
        _ => {
            println!("not ready: {wrong} of the checks found something");
            ExitCode::FAILURE
        }
    }
}

/// A file of the repository.
fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))
}

fn rust_version(readme: &str) -> Vec<String> {
    let stated = msrv::stated().unwrap_or_default();
    let expected = format!("Rust {stated} or newer");
    if readme.contains(&expected) {
        return Vec::new();
    }
    vec![format!("README.md does not say `{expected}`, which is rust-version in Cargo.toml")]
}

fn clean() -> Found {
    let status = git(&["status", "--porcelain"])?;
    Ok(status.lines().map(|line| format!("{line}: commit it, or take it away")).collect())
}

fn untagged(version: &str) -> Found {
    let tag = format!("v{version}");
    let found = git(&["tag", "--list", &tag])?;
    if found.trim().is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![format!("there is a tag {tag} already: choose the next version in Cargo.toml")])
}

/// What git says.
fn git(args: &[&str]) -> Result<String, String> {
    let output = Command::new("git").current_dir(root()).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("git: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
