//! Any text as a configuration file: a policy or a report, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = portcullis::config::parse_str("fuzz.toml", text);
});
