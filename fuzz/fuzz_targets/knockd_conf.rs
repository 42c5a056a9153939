//! Any bytes as a `knockd.conf`: doors or a report, never a panic; and what follows from the doors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::config::parse_str;
use portcullis_config::import::import;
use portcullis_config::knockd::{dump, parse_bytes};

fuzz_target!(|text: &[u8]| {
    match parse_bytes("fuzz.conf", text) {
        Ok(configuration) => {
            for door in &configuration.doors {
                for address in ["192.0.2.1", "2001:db8::1"].map(|address| address.parse().unwrap())
                {
                    for command in [door.start_command(address), door.stop_command(address)] {
                        std::hint::black_box(command.map(|command| command.expand(address)));
                    }
                }
            }
            let dump = dump(&configuration);
            let harmful = |byte: &u8| byte.is_ascii_control() && !b"\n\t".contains(byte);
            assert!(!dump.iter().any(harmful), "a terminal would act upon the dump");
            // The policy may be a weak one, but it is written in TOML, and no name comes twice.
            let imported = import("fuzz.conf", text).expect("it was read before");
            let notes = imported.notes.iter().map(|note| note.message.as_str());
            let control = |c: char| c.is_control() && c != '\n';
            assert!(!notes.chain([imported.toml.as_str()]).any(|text| text.contains(control)));
            if let Err(report) = parse_str("imported.toml", &imported.toml) {
                let never =
                    ["syntax", "duplicate-key", "duplicate-table", "bad-name", "unknown-key"];
                assert!(
                    !report.findings().iter().any(|found| never.contains(&found.code)),
                    "{report}"
                );
            }
        }
        Err(report) => {
            assert!(report.errors() > 0);
            let shown = report.render(false);
            assert!(shown.contains("fuzz.conf:"), "{shown}");
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        }
    }
});
