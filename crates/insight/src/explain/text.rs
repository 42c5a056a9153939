//! A story as text.

use std::io::{self, Write};

use super::story::Story;

/// Writes a story; the names of chains get so many columns.
///
/// # Errors
/// It cannot be written.
pub fn write(story: &Story, columns: usize, out: &mut impl Write) -> io::Result<()> {
    for event in &story.events {
        let time = event.time.as_secs_f64();
        writeln!(out, "{time:>7.1}s  {} from {}", event.sent, story.from)?;
        for met in event.met.iter().filter(|met| met.shown) {
            let mark = if met.matched { '*' } else { '-' };
            writeln!(out, "          {mark} {:<columns$} {}", met.chain, met.text)?;
        }
        for line in event.means.iter().chain([&event.fate]) {
            writeln!(out, "          => {line}")?;
        }
    }
    out.flush()
}
