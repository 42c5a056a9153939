//! The fuzz target's seeds, replayed by the ordinary tests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use portcullis::config::parse_str;

#[test]
fn no_seed_does_any_harm() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/config");
    let (mut good, mut bad) = (0, 0);
    for seed in fs::read_dir(seeds).unwrap() {
        let text = String::from_utf8_lossy(&fs::read(seed.unwrap().path()).unwrap()).into_owned();
        // Cut off at any place, it is either a configuration or refused with a place in it.
        for (end, _) in text.char_indices().chain([(text.len(), ' ')]) {
            match parse_str("seed.toml", &text[..end]) {
                Ok(_) => good += 1,
                Err(report) => {
                    assert!(report.errors() > 0);
                    assert!(report.render(false).contains("seed.toml:"));
                    bad += 1;
                }
            }
        }
    }
    assert!(good > 0 && bad > 100);
}
