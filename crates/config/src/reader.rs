//! Values of the types that keys have. Each reader says itself what is wrong.

use std::time::Duration;

use portcullis_core::policy::{Port, PortError};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::report::{Diagnostic, Span, error};
use super::{duration, suggest};

/// A value with its place.
pub type Value<'a> = Spanned<DeValue<'a>>;

/// A key with its place.
pub type Key<'a> = Spanned<DeString<'a>>;

/// Where a list stands, and each of its elements.
#[derive(Debug, Default)]
pub struct List {
    pub key: Option<Span>,
    pub elements: Vec<Span>,
}

/// The keys of a table in the order of the file.
pub fn entries<'t, 'a>(table: &'t DeTable<'a>) -> Vec<(&'t Key<'a>, &'t Value<'a>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// A value of another type than the key takes.
pub fn wrong_type(value: &Value<'_>, expected: &str) -> Diagnostic {
    let got = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(array) => match array.iter().next().map(Spanned::get_ref) {
            Some(DeValue::Table(_)) => "an array of tables",
            _ => "an array",
        },
        DeValue::Table(_) => "a table",
    };
    error("wrong-type", value.span(), format!("expected {expected}, found {got}"))
}

/// Advice on unknown words is given so many times.
const MAX_ADVICE: usize = 1_000;

/// Reports a key that nobody knows, and says which one was probably meant.
pub fn unknown_key(
    key: &Key<'_>,
    table: &str,
    known: &[&'static str],
    found: &mut Vec<Diagnostic>,
) -> Option<&'static str> {
    let message = format!("unknown key `{}` in {table}", key.get_ref());
    let diagnostic = error("unknown-key", key.span(), message);
    if found.len() > MAX_ADVICE {
        found.push(diagnostic);
        return None;
    }
    let near = suggest::nearest(key.get_ref(), known);
    found.push(diagnostic.hint(suggest::hint(near, known)));
    near
}

/// A key or value that is planned, but does not do anything yet. To ignore it would be dangerous:
/// whoever wrote it relies on it.
pub fn not_available(span: Span, what: &str, hint: &str) -> Diagnostic {
    let message = format!("{what} is not available in this version");
    error("not-available", span, message).hint(hint)
}

/// A list of items that `item` reads from strings, with the place of each. `None` if the list or
/// any item is wrong.
pub fn list<T>(
    value: &Value<'_>,
    expected: &str,
    found: &mut Vec<Diagnostic>,
    item: impl Fn(&Value<'_>) -> Result<T, Diagnostic>,
) -> Option<(Vec<T>, Vec<Span>)> {
    let DeValue::Array(array) = value.get_ref() else {
        let mut diagnostic = wrong_type(value, expected);
        if let Ok(_one) = item(value) {
            diagnostic = diagnostic.hint("write it between brackets, even if it is only one");
        }
        found.push(diagnostic);
        return None;
    };
    let mut good = true;
    let mut items = Vec::new();
    let mut spans = Vec::new();
    for element in array.iter() {
        match item(element) {
            Ok(read) => {
                items.push(read);
                spans.push(element.span());
            }
            Err(diagnostic) => {
                good = false;
                found.push(diagnostic);
            }
        }
    }
    good.then_some((items, spans))
}

/// A port such as `"tcp/22"`.
pub fn port(value: &Value<'_>) -> Result<Port, Diagnostic> {
    match value.get_ref() {
        DeValue::String(text) => text.parse().map_err(|problem: PortError| {
            let diagnostic = error("bad-port", value.span(), problem.to_string());
            match port_hint(text) {
                Some(hint) => diagnostic.hint(hint),
                None => diagnostic,
            }
        }),
        DeValue::Integer(number) => {
            let diagnostic = wrong_type(value, "a port such as `\"tcp/22\"`");
            Err(match format!("tcp/{number}").parse::<Port>() {
                Ok(port) => {
                    diagnostic.hint(format!("write `\"{port}\"` or `\"udp/{}\"`", port.number))
                }
                Err(_) => diagnostic,
            })
        }
        _ => Err(wrong_type(value, "a port such as `\"tcp/22\"`")),
    }
}

/// What somebody who wrote this probably meant.
fn port_hint(text: &str) -> Option<String> {
    let is_port = |text: &str| text.parse::<Port>().ok();
    let text = text.trim().to_ascii_lowercase();
    if let Some(port) = is_port(&text) {
        return Some(format!("write `{port}`"));
    }
    if let Some(port) = is_port(&format!("tcp/{text}")) {
        return Some(format!("write `{port}` or `udp/{}`", port.number));
    }
    // `22/tcp` of /etc/services, and `22:tcp` of knockd.
    let (left, right) = text.split_once(['/', ':'])?;
    let turned = [format!("{left}/{right}"), format!("{right}/{left}")];
    if let Some(port) = turned.iter().find_map(|text| is_port(text)) {
        return Some(format!("write `{port}`"));
    }
    if right.contains('-') && matches!(left, "tcp" | "udp") {
        return Some("write each port by itself; there are no ranges".into());
    }
    match (left, right) {
        ("tcp" | "udp", right) if right.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Some("write the port number; names of services are not looked up".into())
        }
        ("tcp" | "udp", _) => None,
        _ => Some("use `tcp` or `udp`".into()),
    }
}

/// A duration such as `"30s"`.
pub fn duration(value: &Value<'_>) -> Result<Duration, Diagnostic> {
    match value.get_ref() {
        DeValue::String(text) => duration::parse(text).map_err(|problem| {
            let diagnostic = error("bad-duration", value.span(), problem.to_string());
            match text.trim().parse::<u32>() {
                Ok(number) => diagnostic.hint(format!("write `\"{number}s\"` for seconds")),
                Err(_) => diagnostic.hint("write it as in `500ms`, `30s`, `5m` or `1m30s`"),
            }
        }),
        DeValue::Integer(number) => Err(wrong_type(value, "a duration such as `\"30s\"`")
            .hint(format!("write `\"{}s\"` for seconds", number.as_str()))),
        _ => Err(wrong_type(value, "a duration such as `\"30s\"`")),
    }
}

/// One of a few words.
pub fn word<'t>(value: &'t Value<'_>, known: &[&str]) -> Result<&'t str, Diagnostic> {
    match value.get_ref() {
        DeValue::String(text) if known.contains(&text.as_ref()) => Ok(text),
        DeValue::String(text) => {
            let message = format!("unknown value `{text}`");
            Err(error("unknown-value", value.span(), message)
                .hint(suggest::hint(suggest::nearest(text, known), known)))
        }
        _ => {
            let known: Vec<_> = known.iter().map(|word| format!("`\"{word}\"`")).collect();
            Err(wrong_type(value, &known.join(" or ")))
        }
    }
}

/// Yes or no.
pub fn boolean(value: &Value<'_>) -> Result<bool, Diagnostic> {
    match value.get_ref() {
        DeValue::Boolean(yes) => Ok(*yes),
        _ => Err(wrong_type(value, "`true` or `false`")),
    }
}

/// A whole number.
pub fn number(value: &Value<'_>) -> Result<i128, Diagnostic> {
    match value.get_ref() {
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| error("wrong-type", value.span(), "the number is too large")),
        _ => Err(wrong_type(value, "a whole number")),
    }
}
