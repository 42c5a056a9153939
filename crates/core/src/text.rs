//! Text of strangers, made safe for a terminal.

use alloc::string::String;

/// Whether a terminal might do something else with it than show it: control characters of both
/// sets, line and paragraph separators, and what changes the direction of writing or has no width.
pub fn is_armed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// The text with escapes for what is not harmless. For messages, where length does not matter.
pub fn plain(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_armed(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}
