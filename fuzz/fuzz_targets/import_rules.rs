//! Any bytes as rules of iptables, of nftables, or of iplock: doors or a report, never a panic; what is written
//! is TOML, what is said harms no terminal, and the check takes it or that was said.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::config::parse_str;
use portcullis_config::import::{Kind, import_files};

fuzz_target!(|bytes: &[u8]| {
    std::hint::black_box(Kind::of(bytes));
    for kind in [Kind::Iptables, Kind::Nft, Kind::Iplock] {
        let mut state = 1u64;
        let mut dice = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            Some(state >> 33)
        };
        let files = [("fuzz".to_owned(), bytes.to_vec())];
        let control = |c: char| c.is_control() && c != '\n';
        match import_files(kind, &files, &mut dice) {
            Ok(imported) => {
                let notes = imported.notes.iter().flat_map(|note| {
                    [Some(&note.message), note.hint.as_ref(), note.line.as_ref()]
                        .into_iter()
                        .flatten()
                });
                assert!(!notes.chain([&imported.toml]).any(|text| text.contains(control)));
                if let Err(report) = parse_str("imported.toml", &imported.toml) {
                    let said = |note: &portcullis_config::import::Note| {
                        note.message.starts_with("`portcullis check` will refuse")
                    };
                    assert!(imported.notes.iter().any(said), "{}\n{report}", imported.toml);
                }
            }
            Err(report) => assert!(!report.render(false).contains(control)),
        }
    }
});
