//! Any bytes as a capture: frames, then an end or a reason, never a panic; and whatever is read can be
//! replayed. Cut anywhere, it gives no other frames than the whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::config::parse_str;
use portcullis_core::engine::Options;
use portcullis_insight::replay::file::Capture;
use portcullis_insight::replay::file::link::Places;
use portcullis_insight::replay::{Replay, Settings};

const DOOR: &str = "[door.ssh]\nguards = [\"tcp/22\"]\n\
                    sequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]\n";

/// The frames that can be read, up to some.
fn frames(bytes: &[u8]) -> Vec<(Option<u64>, Vec<u8>)> {
    let mut frames = Vec::new();
    let Ok(mut capture) = Capture::open(Box::new(bytes), Places::default()) else { return frames };
    while let Ok(Some(record)) = capture.record() {
        assert!(record.bytes.len() <= 262_144);
        frames.push((record.time, record.bytes.to_vec()));
        if frames.len() == 1_000 {
            break;
        }
    }
    frames
}

fuzz_target!(|bytes: &[u8]| {
    let all = frames(bytes);
    let half = frames(bytes.get(..bytes.len() / 2).unwrap_or_default());
    assert!(all.starts_with(&half));

    let policy = parse_str("fuzz.toml", DOOR).expect("it is right").policy;
    let engine = Options { max_attempts: 64, seed: 0, ..Options::default() };
    let settings = Settings { engine, ..Settings::default() };
    let mut replay = Replay::new(&policy, settings).expect("there is one door");
    if let Ok(mut capture) = Capture::open(Box::new(bytes), Places::default()) {
        replay.feed(&mut capture, |_| {});
        let report = replay.finish();
        assert!(report.openings.len() as u64 == report.opened || report.opened > 100_000);
    }
});
