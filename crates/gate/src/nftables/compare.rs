//! Whether what the kernel shows is what was sent.

use portcullis_linux::netlink::message::Attributes;

use super::elements::Listed;
use super::{DYNSET_TIMEOUT, object};

/// Attributes of expressions that may be missing if they are 0: flags of look-ups and of changes of
/// sets, the timeout that no change has that deletes, the operation of a mask, flags of checksums,
/// the code of a reset.
const OPTIONAL: [(&str, u16); 6] = [
    ("lookup", 5),
    ("dynset", 9),
    ("dynset", DYNSET_TIMEOUT),
    ("bitwise", 6),
    ("payload", 8),
    ("reject", 2),
];
/// The expression that shows what it has counted.
const COUNTER: &str = "counter";
/// The longest tick of a clock of Linux, in milliseconds (`CONFIG_HZ=100`).
const TICK: u64 = 10;

/// That all that was sent of a table, chain or set came back; otherwise what is different, in a word
/// of `words` if there is one for it.
pub fn same_object(
    sent: &[u8],
    found: &[u8],
    skip: &[u16],
    words: &[(u16, &str)],
) -> Result<(), String> {
    for sent in Attributes(sent).filter(|sent| !skip.contains(&sent.kind)) {
        let same = match Attributes(found).get(sent.kind) {
            Some(found) if sent.nested => same_object(sent.value, found, &[], &[]).is_ok(),
            Some(found) => sent.value == found,
            None => zero(sent.value),
        };
        if !same {
            let word = words.iter().find(|(kind, _)| *kind == sent.kind);
            return Err(match word {
                Some((_, word)) => format!("has another {word}"),
                None => format!("is different (attribute {})", sent.kind),
            });
        }
    }
    Ok(())
}

/// That a rule has the same expressions and the same comment; otherwise what is different.
pub fn same_rule(sent: Attributes<'_>, found: Attributes<'_>) -> Result<(), String> {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    if sent.get(object::RULE_USERDATA) != found.get(object::RULE_USERDATA) {
        return Err("has another comment".to_owned());
    }
    let mut found = found.within(object::RULE_EXPRESSIONS);
    let mut sent = sent.within(object::RULE_EXPRESSIONS);
    loop {
        let (sent, found) = match (sent.next(), found.next()) {
            (None, None) => return Ok(()),
            (Some(sent), Some(found)) => (Attributes(sent.value), Attributes(found.value)),
            _ => return Err("has more or fewer expressions".to_owned()),
        };
        let name = sent.text(NAME).unwrap_or_default();
        // What has been counted since is nobody's mistake.
        if name == COUNTER && found.text(NAME) == Some(name) {
            continue;
        }
        if found.text(NAME) != Some(name) || !equal(name, sent.within(DATA), found.within(DATA)) {
            return Err(format!("is different (expression {name})"));
        }
    }
}

/// Whether attributes are equal, in any order.
fn equal(expression: &str, sent: Attributes<'_>, found: Attributes<'_>) -> bool {
    let optional = |kind| OPTIONAL.contains(&(expression, kind));
    let all_sent = sent.into_iter().all(|sent| match found.get(sent.kind) {
        Some(found) if sent.nested => equal("", Attributes(sent.value), Attributes(found)),
        Some(found) if (expression, sent.kind) == ("dynset", DYNSET_TIMEOUT) => {
            let time = |bytes: &[u8]| bytes.first_chunk().copied().map(u64::from_be_bytes);
            time(sent.value).zip(time(found)).is_some_and(|(sent, found)| {
                sent.checked_sub(found).is_some_and(|less| less <= TICK)
            })
        }
        Some(found) => sent.value == found,
        None => optional(sent.kind) && zero(sent.value),
    });
    all_sent
        && found.into_iter().all(|found| {
            sent.get(found.kind).is_some() || optional(found.kind) && zero(found.value)
        })
}

fn zero(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte == 0)
}

/// All of an element that matters, as bytes that are equal only for equal elements.
pub fn canonical(element: Listed<'_>) -> Option<Vec<u8>> {
    let key = element.key()?;
    let data = element.data_attributes().unwrap_or_default();
    let userdata = element.userdata().unwrap_or_default();
    let mut bytes = Vec::with_capacity(key.len() + data.len() + userdata.len() + 16);
    bytes.extend_from_slice(key);
    flatten(&mut bytes, Attributes(data));
    bytes.extend_from_slice(userdata);
    bytes.extend_from_slice(&element.flags().to_ne_bytes());
    bytes.extend_from_slice(&(userdata.len() as u64).to_ne_bytes());
    Some(bytes)
}

/// Data of an element, without the flag that says which attributes hold attributes: a value (1), or
/// a verdict (2) with its code (1) and chain (2).
fn flatten(bytes: &mut Vec<u8>, data: Attributes<'_>) {
    for attribute in data {
        bytes.extend_from_slice(&attribute.kind.to_ne_bytes());
        bytes.extend_from_slice(&(attribute.value.len() as u64).to_ne_bytes());
        match attribute.kind {
            2 => {
                for part in Attributes(attribute.value) {
                    bytes.extend_from_slice(&part.kind.to_ne_bytes());
                    bytes.extend_from_slice(part.value);
                }
            }
            _ => bytes.extend_from_slice(attribute.value),
        }
    }
}
