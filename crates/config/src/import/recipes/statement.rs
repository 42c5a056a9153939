//! What one rule of nftables asks (nft(8)).

use portcullis_core::policy::Protocol;

use super::token::{Token, shown, unknown_port};
use crate::import::draft::{Draft, Said};
use crate::import::filter::{Does, List, Rule, Transport, Verdict, time};
use crate::import::ports;

/// Reads one rule. It is several where one statement is several rules.
pub fn rule(
    words: &[Token],
    text: String,
    command: String,
    draft: &mut Draft,
) -> Result<Vec<Rule>, String> {
    let at = words.first().map(|word| word.at).unwrap_or_default();
    let words: Vec<Token> = words.iter().filter(|word| word.text != "\n").cloned().collect();
    let rule = Rule::new(at, text, command);
    let mut reading = Reading { words: &words, next: 0, rule, more: Vec::new() };
    reading.all(draft)?;
    let Reading { mut rule, more: mut rules, .. } = reading;
    if rule.logs && rule.verdict == Verdict::None && rule.asks.lists.is_empty() {
        (rule.verdict, rule.logs) = (Verdict::Log, false);
    }
    // A map of verdicts is all that its rule does.
    if rules.is_empty() || rule.verdict != Verdict::None {
        rules.push(rule);
    }
    Ok(rules)
}

struct Reading<'a> {
    words: &'a [Token],
    next: usize,
    rule: Rule,
    /// Rules that come before it.
    more: Vec<Rule>,
}

impl Reading<'_> {
    fn word(&mut self) -> Option<&str> {
        let word = self.words.get(self.next)?;
        self.next = self.next.saturating_add(1);
        Some(&word.text)
    }

    fn peek(&self, ahead: usize) -> &str {
        let word = self.words.get(self.next.saturating_add(ahead));
        word.filter(|word| !word.quoted).map(|word| &*word.text).unwrap_or_default()
    }

    /// One value, or those in braces. `None` for what is not equal to it.
    fn values(&mut self) -> Option<Vec<String>> {
        if self.peek(0) == "==" {
            self.next = self.next.saturating_add(1);
        }
        if self.peek(0) == "!=" {
            return None;
        }
        let mut out = Vec::new();
        if self.peek(0) == "{" {
            self.next = self.next.saturating_add(1);
            while let Some(word) = self.word() {
                match word {
                    "}" => break,
                    "," => {}
                    word => out.push(word.to_owned()),
                }
            }
            return Some(out);
        }
        out.push(self.word()?.to_owned());
        while self.peek(0) == "," {
            self.next = self.next.saturating_add(1);
            out.push(self.word()?.to_owned());
        }
        Some(out)
    }

    fn all(&mut self, draft: &mut Draft) -> Result<(), String> {
        while let Some(word) = self.word().map(str::to_owned) {
            let start = self.next.saturating_sub(1);
            if self.one(&word, draft)?.is_none() {
                // Whatever else is asked has no counterpart: up to the verdict.
                let verdicts = ["accept", "drop", "reject", "return", "jump", "goto", "continue"];
                while !self.peek(0).is_empty() && !verdicts.contains(&self.peek(0)) {
                    self.next = self.next.saturating_add(1);
                }
                let end = self.next.max(start.saturating_add(1));
                let other = self.words.get(start..end).unwrap_or_default();
                self.rule.asks.others.push(shown(other));
            }
        }
        Ok(())
    }

    /// One match or statement; `None` if it is not known.
    fn one(&mut self, word: &str, draft: &mut Draft) -> Result<Option<()>, String> {
        let done = Ok(Some(()));
        match word {
            "accept" => self.rule.verdict = Verdict::Accept,
            "drop" => self.rule.verdict = Verdict::Drop,
            "reject" => {
                let reset =
                    self.peek(0) == "with" && self.peek(1) == "tcp" && self.peek(2) == "reset";
                self.rule.verdict = if reset { Verdict::Reset } else { Verdict::Reject };
                if self.peek(0) == "with" {
                    self.next = self.words.len();
                }
            }
            "return" => self.rule.verdict = Verdict::Return,
            "continue" => {}
            "jump" | "goto" => {
                let to = self.word().ok_or("a chain is missing")?.to_owned();
                self.rule.verdict = Verdict::Jump(to, word == "goto");
            }
            "counter" => {
                if self.peek(0) == "packets" {
                    self.next = self.next.saturating_add(4);
                } else if self.peek(0) == "name" {
                    self.next = self.next.saturating_add(2);
                }
            }
            "comment" => self.next = self.next.saturating_add(1),
            "log" => {
                while ["prefix", "level", "group", "flags", "snaplen"].contains(&self.peek(0)) {
                    self.next = self.next.saturating_add(2);
                }
                self.rule.logs = true;
            }
            "ip" | "ip6" => return self.address(word),
            "tcp" | "udp" | "th" => return self.transport(word),
            "meta" => {
                let key = self.word().unwrap_or_default().to_owned();
                return self.meta(&key);
            }
            "iif" | "iifname" | "l4proto" | "nfproto" => return self.meta(word),
            "icmp" | "icmpv6" => {
                self.rule.asks.protocol = Some(Transport::Icmp);
                self.word();
                self.values();
            }
            "ct" if self.peek(0) == "state" => {
                self.next = self.next.saturating_add(1);
                if self.peek(0) == "vmap" {
                    self.next = self.next.saturating_add(1);
                    self.state_map();
                    return done;
                }
                let Some(states) = self.values() else { return Ok(None) };
                self.rule.asks.states.extend(states);
            }
            "add" | "update" | "delete" => return self.list(word == "delete", draft),
            _ => return Ok(None),
        }
        done
    }

    /// `ct state vmap { established : accept, invalid : drop }`: a rule for each.
    fn state_map(&mut self) {
        let Some(entries) = self.values() else { return };
        let mut entries = entries.iter().map(String::as_str);
        while let Some(state) = entries.next() {
            let (state, mut verdict) = match state.split_once(':') {
                Some((state, verdict)) => (state, verdict),
                None => (state, entries.next().unwrap_or_default()),
            };
            if matches!(verdict, ":" | "") {
                verdict = entries.next().unwrap_or_default();
            }
            let verdict = match verdict.trim_start_matches(':') {
                "accept" => Verdict::Accept,
                "drop" => Verdict::Drop,
                "jump" | "goto" => {
                    Verdict::Jump(entries.next().unwrap_or_default().into(), verdict == "goto")
                }
                other => Verdict::Other(other.into()),
            };
            let mut rule = self.rule.clone();
            rule.asks.states = vec![state.to_owned()];
            rule.verdict = verdict;
            self.more.push(rule);
        }
    }

    fn meta(&mut self, key: &str) -> Result<Option<()>, String> {
        let start = self.next;
        let Some(values) = self.values() else { return Ok(None) };
        match key {
            "iif" | "iifname" => self.rule.asks.interfaces.extend(values),
            "nfproto" => self.rule.asks.four = Some(values == ["ipv4"]),
            "l4proto" => return Ok(self.protocol(&values)),
            _ => {
                self.next = start;
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    fn protocol(&mut self, values: &[String]) -> Option<()> {
        let mut known = values.iter().map(|value| Transport::named(value));
        let first = known.next()?;
        let same = known.all(|other| other == first);
        if same {
            self.rule.asks.protocol = Some(first);
        }
        // `{ tcp, udp }` is said again by the ports that follow.
        (same || self.peek(0) == "th").then_some(())
    }

    /// `ip saddr …`, `ip protocol …`.
    fn address(&mut self, family: &str) -> Result<Option<()>, String> {
        let four = family == "ip";
        let key = self.word().unwrap_or_default().to_owned();
        self.rule.asks.four = Some(four);
        match &*key {
            "saddr" if self.peek(0) == "." => {
                // `ip saddr . tcp dport @set`: the port of the packet is part of what is asked for.
                let parts: Vec<_> = (0..5).map(|ahead| self.peek(ahead).to_owned()).collect();
                let [_, protocol, field, set, ..] = &parts[..] else { return Ok(None) };
                let (Some(set), "dport", "tcp" | "udp" | "th") =
                    (set.strip_prefix('@'), &**field, &**protocol)
                else {
                    return Ok(None);
                };
                let Some([port]) = self.rule.asks.ports.as_deref() else {
                    return Err(
                        "it looks up a port in a set, but does not match that port before".into()
                    );
                };
                let name = joined(set, port.number.get());
                self.next = self.next.saturating_add(4);
                self.asks(name);
            }
            "saddr" => {
                if let Some(set) = self.peek(0).strip_prefix('@') {
                    let name = set.to_owned();
                    self.next = self.next.saturating_add(1);
                    self.asks(name);
                    return Ok(Some(()));
                }
                let Some(values) = self.values() else { return Ok(None) };
                self.rule.asks.sources.extend(values.into_iter().filter(|v| !v.ends_with("/0")));
            }
            "protocol" | "nexthdr" => {
                let Some(values) = self.values() else { return Ok(None) };
                return Ok(self.protocol(&values));
            }
            _ => return Ok(None),
        }
        Ok(Some(()))
    }

    fn asks(&mut self, name: String) {
        let after_port = self.rule.asks.ports.is_some();
        self.rule.asks.lists.push(List { name, does: Does::Asks(None), after_port, recent: false });
    }

    /// `tcp dport …`, `tcp flags …`.
    fn transport(&mut self, protocol: &str) -> Result<Option<()>, String> {
        let protocols: &[Protocol] = match (protocol, self.rule.asks.protocol) {
            ("tcp", _) | (_, Some(Transport::Port(Protocol::Tcp))) => &[Protocol::Tcp],
            ("udp", _) | (_, Some(Transport::Port(Protocol::Udp))) => &[Protocol::Udp],
            _ => &[Protocol::Tcp, Protocol::Udp],
        };
        if let [one] = protocols {
            self.rule.asks.protocol = Some(Transport::Port(*one));
        }
        let key = self.word().unwrap_or_default().to_owned();
        match &*key {
            "dport" => {
                let Some(values) = self.values() else { return Ok(None) };
                let named = ports::all(values.iter().map(String::as_str), '-', protocols);
                self.rule.asks.ports = Some(named.map_err(unknown_port)?);
            }
            "flags" => {
                let start = self.next;
                while !self.peek(0).is_empty()
                    && (self.peek(0).contains(['&', '|', '(', ')', '=', '/', ','])
                        || ["syn", "ack", "fin", "rst", "psh", "urg"].contains(&self.peek(0)))
                {
                    self.next = self.next.saturating_add(1);
                }
                let words = self.words.get(start..self.next).unwrap_or_default();
                let last = words.last().map(|word| &*word.text).unwrap_or_default();
                // `tcp flags syn` is met by a SYN-ACK too.
                let masked = words.iter().any(|word| word.text.contains(['&', '/']));
                let negated = words.iter().any(|word| word.text == "!=");
                let first = words.first().map(|word| &*word.text).unwrap_or_default();
                if !negated && masked && (last == "syn" || first == "syn") {
                    self.rule.asks.syn = true;
                } else {
                    let words = shown(words);
                    self.rule.asks.others.push(format!("tcp flags {words}"));
                }
            }
            _ => return Ok(None),
        }
        Ok(Some(()))
    }

    /// `add @set { ip saddr . 234 timeout 1s }`, and the older `set add ip saddr @set`.
    fn list(&mut self, delete: bool, draft: &mut Draft) -> Result<Option<()>, String> {
        let at = self.words.get(self.next).map(|word| word.at).unwrap_or_default();
        let set = self.word().unwrap_or_default().to_owned();
        let Some(set) = set.strip_prefix('@') else { return Ok(None) };
        if self.word() != Some("{") {
            return Err("it changes a set in an unknown way".into());
        }
        let mut inside: Vec<String> = Vec::new();
        while let Some(word) = self.word() {
            if word == "}" {
                break;
            }
            inside.push(word.to_owned());
        }
        let words: Vec<_> = inside.iter().map(String::as_str).collect();
        let (name, rest) = match &words[..] {
            [family @ ("ip" | "ip6"), "saddr", ".", port, rest @ ..] => {
                self.rule.asks.four = Some(*family == "ip");
                let port = ports::one(port, Protocol::Tcp);
                let port = port.ok_or("it adds something to a set that is not a port")?;
                (joined(set, port.number.get()), rest)
            }
            [family @ ("ip" | "ip6"), "saddr", rest @ ..] => {
                self.rule.asks.four = Some(*family == "ip");
                (set.to_owned(), rest)
            }
            _ => return Err("it adds something to a set that is not the source".into()),
        };
        let mut timeout = None;
        if let ["timeout", text, ..] = rest {
            timeout = time(text);
            if timeout.is_none() {
                let message = format!("unknown time `{text}`");
                draft.say(Said::hand(at, message).hint("set `step_timeout` or `open_for`"));
            }
        }
        let does = if delete { Does::Removes } else { Does::Puts(timeout) };
        let after_port = self.rule.asks.ports.is_some();
        self.rule.asks.lists.push(List { name, does, after_port, recent: false });
        Ok(Some(()))
    }
}

/// What a set of addresses and ports holds for one port.
fn joined(set: &str, port: u16) -> String {
    format!("{set} . {port}")
}
