//! `ufw allow from %IP% to any port 22 proto tcp`, and its reverse (ufw(8)).

use portcullis_core::policy::Protocol;

use super::ports;
use super::rule::{ADDRESS, Known, Program, Rule};

/// What is meant where no protocol is said.
const BOTH: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// Reads the arguments; `None` for anything that is not known for certain.
pub fn read(arguments: &[String]) -> Option<Known> {
    let mut words = arguments.iter().map(String::as_str).peekable();
    words.next_if_eq(&"--force");
    let delete = words.next_if_eq(&"delete").is_some();
    let mut number = None;
    if words.next_if_eq(&"insert").is_some() {
        number = Some(words.next()?.parse().ok()?);
    } else if words.next_if_eq(&"prepend").is_some() {
        number = Some(1);
    }
    (words.next()? == "allow").then_some(())?;
    let mut rule = Rule::new(Program::Ufw, String::new());
    let incoming = words.next_if_eq(&"in").is_some();
    if incoming && words.next_if_eq(&"on").is_some() {
        rule.interface = Some(words.next()?.into());
    }
    let mut from = None;
    let mut to = None;
    let mut ports = None;
    let mut protocol = None;
    while let Some(word) = words.next() {
        match word {
            "from" if from.is_none() => from = Some(words.next()?),
            "to" if to.is_none() => {
                to = Some(words.next()?);
                // A port that is not behind `to` is that of the other side.
                if words.next_if_eq(&"port").is_some() {
                    ports = Some(words.next()?);
                }
            }
            "proto" if protocol.is_none() => protocol = Some(ports::protocol(words.next()?)?),
            // It makes no difference to which rule is deleted.
            "comment" => drop(words.next()?),
            _ => return None,
        }
    }
    if from != Some(ADDRESS) {
        return None;
    }
    let protocols = protocol.as_ref().map_or(&BOTH[..], std::slice::from_ref);
    let text = ports?;
    // Lists and ranges need a protocol.
    if protocol.is_none() && text.contains([',', ':']) {
        return None;
    }
    let ports = ports::all(text.split(','), ':', protocols).ok()?;
    rule.destination = to.filter(|to| *to != "any").map(Into::into);
    let rule = rule.opening(ports)?;
    Some(if delete { Known::Delete(rule) } else { Known::Add(rule, number) })
}
