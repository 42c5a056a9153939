//! The fuzz targets' seeds, replayed by the ordinary tests.

use std::fs;
use std::path::Path;

use portcullis::config::parse_str;
use portcullis_config::import::import;
use portcullis_config::knockd::parse_bytes;
use portcullis_core::engine::Options;
use portcullis_insight::replay::file::Capture;
use portcullis_insight::replay::file::link::Places;
use portcullis_insight::replay::{Replay, Settings};

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

/// What an import says that has found no door.
const NO_DOOR: &str = "nothing-to-import";

#[test]
fn no_seed_of_knockd_does_any_harm() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/knockd_conf");
    let (mut good, mut bad) = (0, 0);
    for seed in fs::read_dir(seeds).unwrap() {
        let text = fs::read(seed.unwrap().path()).unwrap();
        for end in 0..=text.len() {
            match parse_bytes("seed.conf", &text[..end]) {
                Ok(configuration) => {
                    good += 1;
                    // To look for orders of knocks takes its time.
                    if end % 64 == 0 || end == text.len() {
                        match import("seed.conf", &text[..end]) {
                            Ok(imported) => assert!(imported.doors <= configuration.doors.len()),
                            Err(report) => {
                                assert!(report.findings().iter().any(|at| at.code == NO_DOOR));
                            }
                        }
                    }
                }
                Err(report) => {
                    assert!(report.errors() > 0);
                    assert!(report.render(false).contains("seed.conf:"));
                    bad += 1;
                }
            }
        }
    }
    assert!(good > 100 && bad > 100);
}

#[test]
fn no_capture_does_any_harm() {
    let policy = parse_str(
        "door",
        "[door.ssh]\nguards = [\"tcp/22\"]\nsequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n",
    );
    let policy = policy.unwrap().policy;
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/capture");
    let engine = Options { max_attempts: 64, seed: 0, ..Options::default() };
    let settings = Settings { engine, ..Settings::default() };
    let (mut whole, mut frames) = (0, 0);
    for seed in fs::read_dir(seeds).unwrap() {
        let mut bytes = fs::read(seed.unwrap().path()).unwrap();
        // Each with every byte wrong in turn.
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                bytes[at] ^= flip;
                if let Ok(mut capture) = Capture::open(Box::new(&bytes[..]), Places::default()) {
                    let mut replay = Replay::new(&policy, settings.clone()).unwrap();
                    replay.feed(&mut capture, |_| {});
                    let report = replay.finish();
                    whole += usize::from(report.damage.is_none());
                    frames += report.frames;
                }
                bytes[at] ^= flip;
            }
        }
    }
    assert!(whole > 100 && frames > 100);
}
