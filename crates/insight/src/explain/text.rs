//! An explanation as text.

use std::fmt::Write as _;

use super::explanation::{Explanation, moment};

/// Writes an explanation; the names of chains get so many columns.
pub fn write(explanation: &Explanation, columns: usize) -> String {
    let mut out = String::new();
    for event in &explanation.events {
        let time = moment(event.time);
        let _ = writeln!(out, "{time:>8}  {} from {}", event.sent, explanation.from);
        for met in event.met.iter().filter(|met| met.shown) {
            let mark = if met.matched { '*' } else { '-' };
            let _ = writeln!(out, "          {mark} {:<columns$} {}", met.chain, met.text);
        }
        for line in event.means.iter().chain([&event.fate]) {
            let _ = writeln!(out, "          => {line}");
        }
    }
    out
}
