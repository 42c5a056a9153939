//! The manifests of the workspace, as cargo reads them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::run::cargo;

/// What the manifests say.
pub struct Workspace {
    /// The version that is to be released: that of the crate `portcullis`.
    pub version: String,
    /// Version of each crate by its name.
    versions: BTreeMap<String, String>,
    /// Names of what crates of others are needed, and by which of ours.
    needed: BTreeMap<String, BTreeSet<String>>,
}

impl Workspace {
    /// Asks cargo.
    pub fn read() -> Result<Self, String> {
        let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
        let output = cargo().args(arguments).output().map_err(|error| format!("cargo: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Self::parse(&output.stdout).ok_or_else(|| "cargo metadata: not understood".to_owned())
    }

    fn parse(metadata: &[u8]) -> Option<Self> {
        let metadata: Value = serde_json::from_slice(metadata).ok()?;
        let mut versions = BTreeMap::new();
        let mut needed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for package in metadata["packages"].as_array()? {
            let name = package["name"].as_str()?;
            versions.insert(name.to_owned(), package["version"].as_str()?.to_owned());
            for dependency in package["dependencies"].as_array()? {
                // Those with a path are ours.
                if dependency["path"].is_null() {
                    let theirs = dependency["name"].as_str()?.to_owned();
                    needed.entry(theirs).or_default().insert(name.to_owned());
                }
            }
        }
        let version = versions.get("portcullis")?.clone();
        Some(Self { version, versions, needed })
    }

    /// Crates with a version of their own.
    pub fn other_versions(&self) -> Vec<String> {
        let others = self.versions.iter().filter(|(_, version)| **version != self.version);
        others
            .map(|(name, version)| {
                format!("{name} is {version}: write `version.workspace = true` in its Cargo.toml")
            })
            .collect()
    }

    /// Dependencies without a reason in the page about them, and reasons without a dependency.
    pub fn dependencies(&self, page: &str) -> Vec<String> {
        let explained = explained(page);
        let missing = self.needed.iter().filter(|(name, _)| !explained.contains(name.as_str()));
        let missing = missing.map(|(name, by)| {
            let by: Vec<_> = by.iter().map(String::as_str).collect();
            format!("no line for `{name}`, which {} needs: say why", by.join(", "))
        });
        let stale = explained.iter().filter(|name| !self.needed.contains_key(**name));
        let stale = stale.map(|name| format!("a line for `{name}`, which no crate needs any more"));
        missing.chain(stale).collect()
    }
}

/// The crates in the first column of the tables.
fn explained(page: &str) -> BTreeSet<&str> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let first = rows.filter_map(|row| row.split('|').nth(1));
    // Between the first and the second backtick, the third and the fourth, … stands a name.
    first.flat_map(|column| column.split('`').skip(1).step_by(2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{"packages": [
        {"name": "portcullis", "version": "0.2.0", "dependencies": [
            {"name": "portcullis-core", "path": "/x/core"}, {"name": "toml"}, {"name": "nix"}]},
        {"name": "portcullis-core", "version": "0.1.0", "dependencies": [
            {"name": "hashbrown"}, {"name": "proptest", "kind": "dev"}]}]}"#;

    fn workspace() -> Workspace {
        Workspace::parse(METADATA.as_bytes()).unwrap()
    }

    #[test]
    fn a_crate_with_another_version_is_named() {
        assert_eq!(workspace().version, "0.2.0");
        let others = workspace().other_versions();
        assert_eq!(others.len(), 1);
        assert!(others[0].starts_with("portcullis-core is 0.1.0"), "{others:?}");
    }

    #[test]
    fn each_dependency_needs_a_line_and_each_line_a_dependency() {
        let page = "| crate | why |\n|---|---|\n| `toml`, `nix` | reads `serde` |\n\
                    | `hashbrown` | tables |\n| `old` | was used |\nText about `proptest`.\n";
        let found = workspace().dependencies(page);
        assert_eq!(
            found,
            [
                "no line for `proptest`, which portcullis-core needs: say why",
                "a line for `old`, which no crate needs any more"
            ]
        );
    }

    #[test]
    fn the_page_of_this_repository_is_complete() {
        let page = crate::release::read("docs/dependencies.md").unwrap();
        assert_eq!(Workspace::read().unwrap().dependencies(&page), [""; 0]);
    }
}
