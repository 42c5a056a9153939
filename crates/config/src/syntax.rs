//! Text to a tree of TOML values, each with its place.

use toml::Spanned;
use toml::de::{DeTable, Error};

use super::report::{self, Diagnostic, Span};

/// The tree, if it can be relied upon. A table that is written twice does not spoil the rest of the
/// file; anything else might, and what follows from it would only distract.
pub fn parse<'a>(text: &'a str, found: &mut Vec<Diagnostic>) -> Option<Spanned<DeTable<'a>>> {
    let (tree, errors) = DeTable::parse_recoverable(text);
    let mut sound = true;
    // A second table of one name is one error, not one for each of its keys.
    let mut inside_duplicate = 0;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        if error.message() == "duplicate key" {
            if span.start >= inside_duplicate {
                let (diagnostic, is_header) = duplicate(text, span.clone());
                found.push(diagnostic);
                if is_header {
                    inside_duplicate = next_header(text, span.end);
                }
            }
        } else {
            sound = false;
            found.push(syntax(text, &error, span));
        }
    }
    sound.then_some(tree)
}

fn syntax(text: &str, error: &Error, span: Span) -> Diagnostic {
    let word = text.get(span.clone()).unwrap_or("");
    let diagnostic = report::error("syntax", span, error.message());
    // To the parser a bare word that begins with t or f is a failed `true` or `false`.
    if word.len() > 1 && error.message().starts_with("invalid boolean") {
        diagnostic.hint("write text between quotation marks")
    } else {
        diagnostic
    }
}

/// Something that is written twice, and whether it is a table.
fn duplicate(text: &str, span: Span) -> (Diagnostic, bool) {
    let name = text.get(span.clone()).unwrap_or("");
    let line_start = text
        .get(..span.start)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |at| at.saturating_add(1));
    let line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or("").trim();
    if !line.starts_with('[') {
        let message = format!("`{name}` is written twice");
        return (report::error("duplicate-key", span, message).hint("remove one of them"), false);
    }
    let header = line.split_inclusive(']').next().unwrap_or(line);
    let message = format!("there are two tables `{header}`");
    let hint = "rename one of them, or merge them";
    let mut diagnostic = report::error("duplicate-table", span, message).hint(hint);
    let mut at = 0usize;
    for earlier in text.get(..line_start).unwrap_or("").split_inclusive('\n') {
        let indent = earlier.len().saturating_sub(earlier.trim_start().len());
        if earlier.trim().starts_with(header) {
            let start = at.saturating_add(indent);
            diagnostic =
                diagnostic.related(start..start.saturating_add(header.len()), "first here");
            break;
        }
        at = at.saturating_add(earlier.len());
    }
    (diagnostic, true)
}

/// Where the next line begins that looks like the header of a table.
fn next_header(text: &str, from: usize) -> usize {
    let mut at = from;
    for line in text.get(from..).unwrap_or("").split_inclusive('\n') {
        if at > from && line.trim_start().starts_with('[') {
            return at;
        }
        at = at.saturating_add(line.len());
    }
    text.len()
}
