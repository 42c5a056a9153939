//! Each problem against what the program says, back ends included.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_config::Report;
use portcullis_config::problems::{Example, all, find};
use portcullis_core::policy::Severity;

use super::parse_str;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn report(text: &str) -> Report {
    match parse_str("a.toml", text) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    }
}

#[test]
fn every_example_is_found_to_have_its_problem() {
    for entry in all() {
        let text = match entry.example {
            Example::Text(text) => text.to_owned(),
            Example::Made(_, make) => make(),
            Example::Words(_) => continue,
        };
        let report = report(&text);
        let severity =
            report.findings().iter().find(|at| at.code == entry.code).map(|at| at.severity);
        assert_eq!(severity, Some(entry.severity()), "{}\n{report}", entry.code);
    }
}

#[test]
fn whatever_is_found_in_the_tests_is_explained() {
    let folder = root().join("crates/portcullis/tests/check");
    let mut found = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            for finding in report(&fs::read_to_string(path).unwrap()).findings() {
                assert!(find(finding.code).is_some(), "{}", finding.code);
                found += 1;
            }
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn every_warning_has_a_remedy_where_it_is_found_too() {
    for entry in all() {
        if let Example::Text(text) = entry.example {
            let report = report(text);
            let warnings = report.findings().iter().filter(|f| f.severity == Severity::Warning);
            for warning in warnings {
                assert!(warning.hint.is_some(), "{}", warning.code);
            }
        }
    }
}
