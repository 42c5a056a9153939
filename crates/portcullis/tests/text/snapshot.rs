//! Texts that are held against files. `PORTCULLIS_BLESS=1` writes the files anew.

use std::fs;
use std::path::Path;

/// How this text differs from what the file says.
pub fn difference(name: &str, shown: &str, path: &Path) -> Option<String> {
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        fs::write(path, shown).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    (shown != expected).then(|| format!("--- {name}\n{shown}--- not\n{expected}"))
}
