//! The files that are named, and those in the folders that are named.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_config::import::Kind;
use portcullis_config::knockd::MAX_BYTES;

use crate::config::read::read_bytes;
use crate::exit::Failure;

/// Files that are read in all, and folders within folders.
const MAX_FILES: usize = 4_096;
const MAX_DEPTH: usize = 8;

/// What a file is called, and what is in it.
type File = (String, Vec<u8>);

/// Reads them all, in the order in which ipload would: `general/` first, and `NN-name.conf` of `ipload.d` last
/// (ipload(5)).
pub fn read(named: &[PathBuf]) -> Result<Vec<File>, Failure> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(one(path)?);
            continue;
        }
        let mut found = Vec::new();
        folder(path, 0, &mut found)?;
        let has = |path: &Path, name: &str| path.components().any(|part| part.as_os_str() == name);
        // `false` comes first.
        let order = |file: &PathBuf| {
            (
                has(file, "ipload.d"),
                !has(file.strip_prefix(path).unwrap_or(file), "general"),
                file.clone(),
            )
        };
        found.sort_by_cached_key(order);
        if found.is_empty() {
            let message = format!("`{}` has no `*.conf` files", path.display());
            return Err(Failure::could_not(message));
        }
        for file in found {
            files.push(one(&file)?);
        }
    }
    Ok(files)
}

/// What they all are.
pub fn kind(files: &[File]) -> Result<Kind, Failure> {
    // A file with nothing but comments in it is of any kind.
    let mut kinds = files.iter().filter(|(_, bytes)| files.len() == 1 || says_something(bytes));
    let Some((first, bytes)) = kinds.next() else { return Ok(Kind::Knockd) };
    let kind = Kind::of(bytes);
    match kinds.find(|(_, bytes)| Kind::of(bytes) != kind) {
        None => Ok(kind),
        Some((other, _)) => {
            let message = format!("`{first}` and `{other}` have different formats");
            Err(Failure::wrong_use(message).hint(
                "run `portcullis import` once for each format, or name the format with `--from`",
            ))
        }
    }
}

fn says_something(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').any(|line| {
        let line = line.trim_ascii();
        !line.is_empty() && !line.starts_with(b"#")
    })
}

fn one(path: &Path) -> Result<File, Failure> {
    let source = read_bytes(path, MAX_BYTES)?;
    Ok((source.name, source.bytes))
}

fn folder(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failure = |error| {
        Failure::could_not(format!("cannot read the directory `{}`: {error}", path.display()))
    };
    for entry in fs::read_dir(path).map_err(failure)? {
        let inside = entry.map_err(failure)?.path();
        if inside.is_dir() && depth < MAX_DEPTH {
            folder(&inside, depth.saturating_add(1), found)?;
        } else if inside.extension().is_some_and(|extension| extension == "conf") {
            found.push(inside);
        }
        if found.len() > MAX_FILES {
            let message = format!("`{}` has more than {MAX_FILES} `*.conf` files", path.display());
            return Err(Failure::could_not(message).hint("name the directory of ipload"));
        }
    }
    Ok(())
}
