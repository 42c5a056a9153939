//! Text to headers and directives, each with its place.

use portcullis_core::text::plain;

use crate::report::Span;

/// A line that says something, without the white space around it.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub text: &'a [u8],
    pub span: Span,
    pub kind: Kind<'a>,
}

/// What a line is by its looks.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// `[name]`, whatever the name is made of.
    Header { name: &'a [u8], span: Span },
    /// `key = value`; the value may hold `=`, and may be empty.
    Directive { key: &'a [u8], key_span: Span, value: &'a [u8], value_span: Span },
    /// Anything else.
    Word,
}

/// The lines that are neither blank nor comments. A comment is a line whose first character is `#`.
pub fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut at = 0usize;
    text.split(|byte| *byte == b'\n')
        .map(move |line| {
            let start = at;
            at = at.saturating_add(line.len()).saturating_add(1);
            trim(line, start)
        })
        .filter(|(line, _)| !line.is_empty() && !line.starts_with(b"#"))
        .map(|(text, span)| Line { kind: kind(text, &span), text, span })
}

fn kind<'a>(text: &'a [u8], span: &Span) -> Kind<'a> {
    if let Some(name) = text.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        let start = span.start.saturating_add(1);
        return Kind::Header { name, span: start..start.saturating_add(name.len()) };
    }
    let Some(equals) = text.iter().position(|byte| *byte == b'=') else { return Kind::Word };
    let (key, value) = text.split_at(equals);
    let (key, key_span) = trim(key, span.start);
    // The equals sign itself stands where an empty value would.
    let value = value.get(1..).unwrap_or_default();
    let after = span.start.saturating_add(equals).saturating_add(1);
    let (value, value_span) = trim(value, after);
    Kind::Directive { key, key_span, value, value_span }
}

/// Without the white space around it (`isspace` of the C locale), and where that is when the whole
/// begins at this byte.
pub fn trim(text: &[u8], at: usize) -> (&[u8], Span) {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    let end =
        text.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last.saturating_add(1));
    let trimmed = text.get(start..end).unwrap_or_default();
    (trimmed, at.saturating_add(start)..at.saturating_add(end))
}

/// A part of the text for a message: harmless, and not long.
pub fn shown(text: &[u8]) -> String {
    const MOST: usize = 64;
    match text.get(..MOST) {
        Some(begin) if text.len() > MOST => {
            format!("{}...", plain(&String::from_utf8_lossy(begin)))
        }
        _ => plain(&String::from_utf8_lossy(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_places() {
        let text = b" [ a ]\r\n# c\n\n\tkey = a = b \nword\n[x] # y\n k=";
        let found: Vec<_> = lines(text)
            .map(|line| {
                assert_eq!(&text[line.span.clone()], line.text);
                match line.kind {
                    Kind::Header { name, span } => {
                        assert_eq!(&text[span], name);
                        format!("[{}]", shown(name))
                    }
                    Kind::Directive { key, key_span, value, value_span } => {
                        assert_eq!((&text[key_span], &text[value_span]), (key, value));
                        format!("{}={}", shown(key), shown(value))
                    }
                    Kind::Word => shown(line.text),
                }
            })
            .collect();
        assert_eq!(found, ["[ a ]", "key=a = b", "word", "[x] # y", "k="]);
    }
}
