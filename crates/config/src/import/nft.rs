//! `nft add rule inet filter input ip saddr %IP% tcp dport 22 accept` (nft(8)). Its reverse needs the
//! number of the rule, which only a shell can find out; by its text a rule is deleted only if
//! somebody believes that nft can do that.

use super::ports;
use super::rule::{self, ADDRESS, Known, Program, Rule};

/// Reads the arguments; `None` for anything that is not known for certain.
pub fn read(arguments: &[String]) -> Option<Known> {
    // To nft it is all one whether its command is one word or many.
    let text = arguments.join(" ").replace(',', " , ").replace('{', " { ").replace('}', " } ");
    let mut words = text.split_whitespace().peekable();
    let delete = match words.next()? {
        "add" | "insert" => false,
        "delete" => true,
        _ => return None,
    };
    (words.next()? == "rule").then_some(())?;
    let family = words.next_if(|word| ["ip", "ip6", "inet"].contains(word)).unwrap_or("ip");
    let (table, chain) = (words.next()?, words.next()?);
    if !rule::is_for_this_host(chain) {
        return None;
    }
    let mut rule = Rule::new(Program::Nft, format!("{family} {table} {chain}"));
    let mut ports = Vec::new();
    let (mut from_knocker, mut accepts) = (false, false);
    while let Some(word) = words.next() {
        // Nothing but a comment comes after the verdict, and it ends the rule.
        if accepts != (word == "comment") {
            return None;
        }
        match word {
            "ip" | "ip6" => match words.next()? {
                "saddr" if !from_knocker => {
                    from_knocker = (words.next()? == ADDRESS).then_some(true)?
                }
                "daddr" => rule.destination = Some(list(&mut words)?.join(",")),
                _ => return None,
            },
            "iif" | "iifname" => {
                rule.interface = Some(list(&mut words)?.join(",").replace('"', ""));
            }
            "tcp" | "udp" if ports.is_empty() => {
                (words.next()? == "dport").then_some(())?;
                ports = ports::all(list(&mut words)?, '-', &[ports::protocol(word)?]).ok()?;
            }
            "ct" => {
                (words.next()? == "state").then_some(())?;
                let mut states = list(&mut words)?;
                states.contains(&"new").then_some(())?;
                states.sort_unstable();
                rule.details.push(format!("ct state {}", states.join(",")));
            }
            "counter" => {}
            "comment" => words.by_ref().for_each(drop),
            "accept" => accepts = true,
            _ => return None,
        }
    }
    if !(from_knocker && accepts) {
        return None;
    }
    let rule = rule.opening(ports)?;
    Some(if delete { Known::Delete(rule) } else { Known::Add(rule, None) })
}

/// `a`, `a , b` or `{ a , b }`.
fn list<'a>(
    words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
) -> Option<Vec<&'a str>> {
    let braces = words.next_if_eq(&"{").is_some();
    let mut items = vec![words.next()?];
    while words.next_if_eq(&",").is_some() {
        // A comma may stand before the closing brace too.
        match words.peek()? {
            &"}" => break,
            _ => items.extend(words.next()),
        }
    }
    if braces && words.next()? != "}" {
        return None;
    }
    Some(items)
}
