//! The fuzz target's seeds, replayed by the ordinary tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use portcullis_core::wire::{Captured, Checksum, Link};

#[test]
fn no_seed_does_any_harm() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/packet");
    let mut readable = 0;
    for seed in fs::read_dir(seeds).unwrap() {
        let bytes = fs::read(seed.unwrap().path()).unwrap();
        // The first byte of a seed chooses the link; here each is tried, and each beginning of it.
        for link in [Link::Ethernet, Link::Cooked, Link::CookedV2, Link::Raw] {
            for skip in 0..2 {
                for end in skip..=bytes.len() {
                    let frame = &bytes[skip..end];
                    let whole = Captured::whole(link, frame);
                    let _ = whole.parse();
                    // As if a snap length had cut it.
                    let (length, checksum) = (bytes.len(), Checksum::Trust);
                    let cut = Captured { length, checksum, ..whole };
                    readable += usize::from(cut.parse_through_extensions().is_ok());
                }
            }
        }
    }
    assert!(readable > 20);
}
