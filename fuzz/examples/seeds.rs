//! Writes `seeds/packet/`: the sample packets of the unit tests, one file each.

extern crate alloc;

// The samples are written against the module that they are tests of.
use portcullis_core::wire::{Captured, Link, Packet, Unreadable};

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../crates/core/src/wire/samples.rs"]
mod samples;

fn main() -> std::io::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/packet");
    std::fs::create_dir_all(&folder)?;
    for (name, _, frame) in samples::all() {
        std::fs::write(folder.join(name), frame)?;
    }
    for (name, _, frame, _) in samples::broken() {
        std::fs::write(folder.join(name), frame)?;
    }
    Ok(())
}
