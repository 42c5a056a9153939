//! Any bytes as doors of knockd and what happens to them: the engine does what its model does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_testkit::knockd::{compare, from_bytes};

fuzz_target!(|bytes: &[u8]| {
    let (doors, script) = from_bytes(bytes);
    for look_first in [false, true] {
        if let Err(difference) = compare(doors.clone(), &script, false, look_first) {
            panic!("{difference}");
        }
    }
});
