//! The programs as they are shipped.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Found;
use crate::run::{cargo, root, succeeds};

const PROGRAMS: [&str; 3] = ["portcullis", "knockd", "knock"];

/// The largest program is 8 MB without debug information and 43 MB with it.
const LARGEST: u64 = 16 << 20;

/// Builds the programs.
pub fn build() -> Result<(), String> {
    let build = ["build", "--release", "--locked", "--bins", "-p", "portcullis"];
    if succeeds(cargo().args(build)) { Ok(()) } else { Err("they do not build".to_owned()) }
}

/// Whether each program says that it has this version.
pub fn versions(version: &str) -> Found {
    let mut wrong = Vec::new();
    for program in PROGRAMS {
        let said = output(Command::new(built(program)?).arg("--version"))?;
        let found = said.split(|c: char| c.is_whitespace() || "()".contains(c));
        if !found.into_iter().any(|word| word == version) {
            wrong.push(format!("`{program} --version` says: {}", said.trim()));
        }
    }
    Ok(wrong)
}

/// Whether the programs carry no debug information.
pub fn sizes() -> Found {
    let mut wrong = Vec::new();
    for program in PROGRAMS {
        let path = built(program)?;
        let size = fs::metadata(&path).map_err(|error| format!("{program}: {error}"))?.len();
        if size > LARGEST {
            let size = size >> 20;
            wrong.push(format!("{program} has {size} MB: is `strip` set in [profile.release]?"));
        }
    }
    Ok(wrong)
}

/// Whether `pkg/man` holds what the program writes.
pub fn manual() -> Found {
    let folder = root().join("target/release-man");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    output(Command::new(built("portcullis")?).args(["man", "--to"]).arg(&folder))?;
    Ok(differences(&pages(&root().join("pkg/man"))?, &pages(&folder)?))
}

fn differences(
    committed: &BTreeMap<String, String>,
    made: &BTreeMap<String, String>,
) -> Vec<String> {
    let names: std::collections::BTreeSet<_> = committed.keys().chain(made.keys()).collect();
    let differ = names.into_iter().filter(|name| committed.get(*name) != made.get(*name));
    differ
        .map(|name| {
            let what = match (committed.contains_key(name), made.contains_key(name)) {
                (true, true) => "is not current",
                (true, false) => "is written by no program any more",
                _ => "is missing",
            };
            format!(
                "pkg/man/{name} {what}: PORTCULLIS_BLESS=1 cargo test --release --test text manual"
            )
        })
        .collect()
}

/// Pages by their names.
fn pages(folder: &Path) -> Result<BTreeMap<String, String>, String> {
    let cannot = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::read_dir(folder)
        .map_err(cannot)?
        .map(|entry| {
            let path = entry.map_err(cannot)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, fs::read_to_string(&path).map_err(cannot)?))
        })
        .collect()
}

/// Where cargo has put a program.
fn built(program: &str) -> Result<PathBuf, String> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let path = root().join(target).join("release").join(program);
    if path.is_file() { Ok(path) } else { Err(format!("{} is not there", path.display())) }
}

/// What a program prints.
fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_differ_are_named_with_what_is_wrong() {
        let folder = |pages: &[(&str, &str)]| -> BTreeMap<String, String> {
            pages.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let committed = folder(&[("a.1", "a"), ("b.1", "old"), ("c.1", "c")]);
        let made = folder(&[("a.1", "a"), ("b.1", "new"), ("d.1", "d")]);
        let found = differences(&committed, &made);
        assert_eq!(found.len(), 3);
        for (line, says) in
            found.iter().zip(["b.1 is not current", "c.1 is written by no", "d.1 is missing"])
        {
            assert!(line.contains(says), "{line}");
        }
    }
}
