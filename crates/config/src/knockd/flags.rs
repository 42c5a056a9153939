//! `syn,!ack`: which TCP segments a door sees.

use portcullis_core::knockd::FlagFilter;
use portcullis_core::wire::TcpFlags;

use super::lines::trim;
use crate::report::Diagnostic;
use crate::report::error;
use crate::suggest;

/// The flags that knockd knows. It has no word for the two of ECN.
pub const FLAGS: [(&str, TcpFlags); 6] = [
    ("fin", TcpFlags::FIN),
    ("syn", TcpFlags::SYN),
    ("rst", TcpFlags::RST),
    ("psh", TcpFlags::PSH),
    ("ack", TcpFlags::ACK),
    ("urg", TcpFlags::URG),
];

/// What is wrong with one list beyond this is not looked at.
const MAX_FOUND: usize = 32;

/// Adds what a list says to a filter; a later word on a flag replaces an earlier one. The spans of
/// what is wrong count from the beginning of `text`.
pub fn add(text: &[u8], filter: &mut FlagFilter) -> Result<(), Vec<Diagnostic>> {
    let mut found = Vec::new();
    let mut at = 0usize;
    for field in text.split(|byte| *byte == b',') {
        if found.len() >= MAX_FOUND {
            break;
        }
        let start = at;
        at = at.saturating_add(field.len()).saturating_add(1);
        let (item, span) = trim(field, start);
        let (wanted, name) = match item.strip_prefix(b"!") {
            Some(name) => (false, name),
            None => (true, item),
        };
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if let Some((_, flag)) = FLAGS.iter().find(|(known, _)| *known == name) {
            let (into, out_of) = if wanted {
                (&mut filter.set, &mut filter.clear)
            } else {
                (&mut filter.clear, &mut filter.set)
            };
            *into = *into | *flag;
            *out_of = TcpFlags::from_bits(out_of.bits() & !flag.bits());
        } else if name.is_empty() {
            let here = start..start.saturating_add(field.len().max(1));
            let hint = "write them as in `syn,!ack`, or remove the line";
            found.push(error("unknown-flag", here, "a flag is missing here").hint(hint));
        } else {
            let known = FLAGS.map(|(name, _)| name);
            let hint = suggest::hint(suggest::nearest(name.trim(), &known), &known);
            found.push(error("unknown-flag", span, "this is not a TCP flag").hint(hint));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}
