//! `7000,8000:udp,9000`: knocks as knockd writes them.

use std::num::NonZeroU16;
use std::ops::Range;

use portcullis_core::limits::MAX_KNOCKS;
use portcullis_core::policy::{Port, Protocol};

use super::lines::{shown, trim};
use crate::report::error;
use crate::report::{Diagnostic, Span};

/// Reads a sequence: `PORT[:PROTOCOL]` with commas between, TCP where nothing is said, spaces
/// anywhere but within a word. 1 to 32 knocks.
///
/// # Errors
/// All that is wrong with it, at least one. The spans count from the beginning of `text`.
pub fn parse_sequence(text: &[u8]) -> Result<Vec<Port>, Vec<Diagnostic>> {
    let mut ports = Vec::new();
    let mut found = Vec::new();
    if trim(text, 0).0.is_empty() {
        let hint = "name the ports, as in `7000,8000:udp,9000`";
        return Err(vec![error("bad-port", 0..text.len(), "the sequence is empty").hint(hint)]);
    }
    let mut at = 0usize;
    let mut fields = text.split(|byte| *byte == b',').enumerate();
    for (index, field) in fields.by_ref() {
        let span = at..at.saturating_add(field.len());
        at = span.end.saturating_add(1);
        if index >= MAX_KNOCKS {
            let message = format!("a sequence has at most {MAX_KNOCKS} knocks");
            found.push(error("too-many-knocks", span.start..text.len(), message));
            break;
        }
        match knock(field, span.start) {
            Ok(port) => ports.push(port),
            Err(diagnostic) => found.push(diagnostic),
        }
    }
    if found.is_empty() { Ok(ports) } else { Err(found) }
}

/// One knock, which begins at this byte.
fn knock(field: &[u8], at: usize) -> Result<Port, Diagnostic> {
    let (item, span) = trim(field, at);
    if item.is_empty() {
        let here = at..at.saturating_add(field.len().max(1));
        return Err(error("bad-port", here, "a port is missing here").hint("remove the comma"));
    }
    if item.contains(&b'#') {
        let hint = "a comment is a line of its own; put it above this one";
        return Err(error("bad-port", span, "this is not a port").hint(hint));
    }
    let mut parts = item.split(|byte| *byte == b':');
    let (number, number_span) = trim(parts.next().unwrap_or(item), span.start);
    let protocol = parts.next();
    if parts.next().is_some() {
        let message = "this is more than a port and a protocol";
        let hint = format!("write `{}:tcp` or `{}:udp`", shown(number), shown(number));
        return Err(error("bad-port", span, message).hint(hint));
    }
    let protocol = match protocol.map(|text| trim(text, 0).0.to_ascii_lowercase()) {
        None => Protocol::Tcp,
        Some(name) if name == b"tcp" => Protocol::Tcp,
        Some(name) if name == b"udp" => Protocol::Udp,
        Some(name) => return Err(unknown_protocol(number, &name, span)),
    };
    let number = port_number(number, item, number_span)?;
    Ok(Port { protocol, number })
}

fn unknown_protocol(number: &[u8], name: &[u8], span: Range<usize>) -> Diagnostic {
    // The two ways round are easily mixed up.
    let turned = matches!(number.to_ascii_lowercase().as_slice(), b"tcp" | b"udp")
        && name.iter().all(u8::is_ascii_digit)
        && !name.is_empty();
    let message = "the protocol is not `tcp` or `udp`";
    let diagnostic = error("unknown-protocol", span, message);
    if turned {
        diagnostic.hint(format!("write `{}:{}`", shown(name), shown(number)))
    } else {
        diagnostic.hint(format!("write `{}` for TCP or `{0}:udp` for UDP", shown(number)))
    }
}

fn port_number(number: &[u8], item: &[u8], span: Span) -> Result<NonZeroU16, Diagnostic> {
    if number.is_empty() {
        return Err(error(
            "bad-port",
            span.start..span.start.saturating_add(1),
            "the port is missing",
        ));
    }
    if number.iter().all(u8::is_ascii_digit) {
        let number = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
        return number.ok_or_else(|| error("bad-port", span, "a port is a number from 1 to 65535"));
    }
    let hint = hint(number, item).unwrap_or_else(|| "write it as in `7000` or `7000:udp`".into());
    Err(error("bad-port", span, "the port is not a decimal number").hint(hint))
}

/// What somebody who wrote this probably meant.
fn hint(number: &[u8], item: &[u8]) -> Option<String> {
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if number.split(|byte| byte.is_ascii_whitespace() || matches!(byte, b';' | b'.')).all(digits) {
        return Some("separate the ports with commas".into());
    }
    if let Some(rest) = number.strip_prefix(b"+").filter(|rest| digits(rest)) {
        return Some(format!("write `{}`", shown(rest)));
    }
    if let Some(hex) = number.strip_prefix(b"0x").or_else(|| number.strip_prefix(b"0X")) {
        let value = std::str::from_utf8(hex).ok().and_then(|hex| u16::from_str_radix(hex, 16).ok());
        return Some(match value.filter(|value| *value != 0) {
            Some(value) => format!("write `{value}`"),
            None => "a port is a number from 1 to 65535".into(),
        });
    }
    let halves = item.split(|byte| *byte == b'/').collect::<Vec<_>>();
    if let [left, right] = halves.as_slice() {
        // `7000/udp` of /etc/services, and `udp/7000` of the native configuration.
        for (port, protocol) in [(left, right), (right, left)] {
            let protocol = protocol.to_ascii_lowercase();
            if digits(port) && matches!(protocol.as_slice(), b"tcp" | b"udp") {
                return Some(format!("write `{}:{}`", shown(port), shown(&protocol)));
            }
        }
    }
    if number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-') && !number.starts_with(b"-")
    {
        return Some("write each port by itself; there are no ranges".into());
    }
    number
        .first()
        .is_some_and(u8::is_ascii_alphabetic)
        .then(|| "write the port number; names of services are not looked up".into())
}
