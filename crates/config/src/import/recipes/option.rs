//! What one rule of iptables asks (iptables(8), iptables-extensions(8)).

use std::time::Duration;

use super::token::{Token, shown, unknown_port};
use crate::import::draft::{At, Draft, Said};
use crate::import::filter::{Does, List, Rule, Transport, Verdict};
use crate::import::ports;

/// A rule that was read.
pub struct Read {
    pub chain: String,
    /// It is of the table `filter`.
    pub filter: bool,
    /// Where it goes in the chain, from 0; at the end if nothing is said.
    pub position: Option<usize>,
    /// This is no rule, but the policy of the chain.
    pub policy: Option<String>,
    pub rule: Rule,
}

/// Splits a line. Whether a dash was one of those that typesetters make of hyphens is said too.
pub fn words(line: &str, at: At) -> (Vec<Token>, bool) {
    let mut out: Vec<Token> = Vec::new();
    let mut word: Option<Token> = None;
    let (mut quote, mut escaped, mut dashed) = (None, false, false);
    for (offset, c) in line.char_indices() {
        let here = At { byte: at.byte.saturating_add(offset), ..at };
        let space = c.is_whitespace() || c == '\u{feff}';
        if quote.is_none() && !escaped && space {
            out.extend(word.take());
            continue;
        }
        let current = word.get_or_insert_with(|| Token::new("", here, false));
        match c {
            _ if escaped => {
                current.text.push(c);
                escaped = false;
            }
            '\\' if quote != Some('\'') => escaped = true,
            _ if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                current.quoted = true;
            }
            '\u{2013}' | '\u{2014}' if current.text.is_empty() && quote.is_none() => {
                dashed = true;
                // One dash was two hyphens, where a long name follows.
                let rest = line.get(offset..).unwrap_or_default().chars().skip(1);
                let long = rest.take_while(|c| c.is_ascii_alphanumeric()).count() > 1;
                current.text.push_str(if long { "--" } else { "-" });
            }
            c => current.text.push(c),
        }
    }
    out.extend(word);
    (out, dashed)
}

/// Matches that ask for nothing but what their options say.
const MATCHES: [&str; 9] =
    ["tcp", "udp", "multiport", "state", "conntrack", "recent", "comment", "icmp", "icmp6"];

type Wrong = (At, String);

/// Reads the arguments of one command. `None` if it is one that says nothing of packets.
pub fn rule(line: &[Token], program: &str, draft: &mut Draft) -> Result<Option<Read>, Wrong> {
    let at = line.first().map(|word| word.at).unwrap_or_default();
    let text = shown(line);
    let command = format!("{program} {text}");
    let rule = Rule::new(at, text, command);
    let read = Read { chain: String::new(), filter: true, position: None, policy: None, rule };
    let reading = Reading {
        line,
        next: 0,
        read,
        matched: Vec::new(),
        port_at: None,
        syn_at: None,
        ports: Vec::new(),
        draft,
        nothing: false,
    };
    reading.all()
}

struct Reading<'a> {
    line: &'a [Token],
    next: usize,
    read: Read,
    /// Which matches are loaded, in the order in which they are asked.
    matched: Vec<String>,
    /// Which of them asks for the port, and which for the SYN.
    port_at: Option<usize>,
    syn_at: Option<usize>,
    /// The words of the ports, and what parts a range.
    ports: Vec<String>,
    draft: &'a mut Draft,
    nothing: bool,
}

/// A list while it is read: which match it is.
struct Recent {
    at: usize,
    name: String,
    does: Option<Does>,
    seconds: Option<Duration>,
    hits: bool,
    negated: bool,
}

impl Reading<'_> {
    fn all(mut self) -> Result<Option<Read>, Wrong> {
        let mut lists: Vec<Recent> = Vec::new();
        let mut negated = false;
        while let Some(word) = self.word() {
            // `[0:0]` counts packets.
            if word.text.starts_with('[') && self.read.chain.is_empty() {
                continue;
            }
            if word.text == "!" {
                negated = true;
                continue;
            }
            let (option, joined) = match word.text.split_once('=') {
                Some((option, value)) if option.starts_with("--") => {
                    (option.to_owned(), Some(value.to_owned()))
                }
                _ => (word.text.clone(), None),
            };
            self.option(&option, joined, std::mem::take(&mut negated), &word, &mut lists)?;
        }
        if self.nothing {
            return Ok(None);
        }
        self.finish(lists)
    }

    fn word(&mut self) -> Option<Token> {
        let word = self.line.get(self.next).cloned();
        self.next = self.next.saturating_add(1);
        word
    }

    /// The value of an option; an article may have lost it.
    fn value(&mut self, option: &Token) -> Option<String> {
        match self.line.get(self.next) {
            Some(word) if word.quoted || !word.text.starts_with('-') || word.text == "-" => {
                self.next = self.next.saturating_add(1);
                Some(word.text.clone())
            }
            _ => {
                let message = format!("`{}` has no value", option.text);
                let hint = "the option is ignored; add the value, and import again";
                self.draft.say(Said::hand(option.at, message).hint(hint));
                None
            }
        }
    }

    fn option(
        &mut self,
        option: &str,
        joined: Option<String>,
        negated: bool,
        word: &Token,
        lists: &mut Vec<Recent>,
    ) -> Result<(), Wrong> {
        if self.command(option, word)? || self.recent(option, &joined, negated, word, lists) {
            return Ok(());
        }
        macro_rules! value {
            () => {
                match joined.clone().or_else(|| self.value(word)) {
                    Some(value) => value,
                    None => return Ok(()),
                }
            };
        }
        match option {
            "-p" | "--protocol" | "--proto" if !negated => {
                let value = value!();
                let any = ["all", "0"].contains(&&*value.to_ascii_lowercase());
                self.read.rule.asks.protocol = (!any).then(|| Transport::named(&value));
            }
            "-s" | "--source" | "--src" if !negated => {
                let value = value!();
                let kept = value.split(',').map(network);
                self.read.rule.asks.sources.extend(kept.filter(|s| !s.ends_with("/0")));
            }
            "-i" | "--in-interface" if !negated => {
                let value = value!();
                self.read.rule.asks.interfaces.push(value);
            }
            "-m" | "--match" => {
                let value = value!();
                self.matched.push(value.clone());
                if !MATCHES.contains(&&*value) {
                    self.read.rule.asks.others.push(format!("-m {value}"));
                }
                if value == "recent" {
                    let at = self.matched.len();
                    lists.push(Recent::new(at));
                }
            }
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" if !negated => {
                let value = value!();
                self.ports.extend(value.split(',').map(str::to_owned));
                self.port_at = Some(self.of_transport());
            }
            "--syn" => {
                let at = self.of_transport();
                if !negated {
                    self.syn_at = Some(at);
                }
            }
            "--tcp-flags" if !negated => {
                let (mask, set) = (value!(), value!());
                let at = self.of_transport();
                if set == "SYN" && mask.contains("SYN") {
                    self.syn_at = Some(at);
                } else {
                    self.read.rule.asks.others.push(format!("--tcp-flags {mask} {set}"));
                }
            }
            "--state" | "--ctstate" if !negated => {
                let value = value!();
                let states = value.split(',').map(str::to_ascii_lowercase);
                self.read.rule.asks.states.extend(states);
            }
            "--comment" | "--log-prefix" | "--log-level" | "--reject-with" | "--icmp-type"
            | "--icmpv6-type" | "--nflog-prefix" | "--nflog-group" => {
                let value = value!();
                if option == "--reject-with" && value == "tcp-reset" {
                    self.read.rule.verdict = Verdict::Reset;
                }
            }
            "-c" | "--set-counters" => {
                let _ = (value!(), value!());
            }
            "-j" | "--jump" | "-g" | "--goto" => {
                let value = value!();
                self.read.rule.verdict = match &*value {
                    "ACCEPT" => Verdict::Accept,
                    "DROP" => Verdict::Drop,
                    "REJECT" => Verdict::Reject,
                    "LOG" | "NFLOG" => Verdict::Log,
                    "RETURN" => Verdict::Return,
                    _ => Verdict::Jump(value, option.starts_with("-g") || option == "--goto"),
                };
            }
            _ if option.starts_with('-') => {
                let mut other = vec![option.to_owned()];
                other.extend(joined);
                while let Some(word) = self.line.get(self.next)
                    && (word.quoted || !(word.text.starts_with('-') || word.text == "!"))
                {
                    other.push(word.text.clone());
                    self.next = self.next.saturating_add(1);
                }
                let not = if negated { "! " } else { "" };
                self.read.rule.asks.others.push(format!("{not}{}", other.join(" ")));
            }
            _ => return Err((word.at, format!("`{option}` is not an option"))),
        }
        Ok(())
    }

    /// What is to be done with the rule.
    fn command(&mut self, option: &str, word: &Token) -> Result<bool, Wrong> {
        match option {
            "-t" | "--table" => {
                let table = self.value(word);
                self.read.filter = table.is_none_or(|table| table == "filter");
            }
            "-A" | "--append" | "-I" | "--insert" | "-P" | "--policy" => {
                let chain = self.value(word);
                self.read.chain = chain.ok_or((word.at, "a chain is missing".into()))?;
                match option {
                    "-I" | "--insert" => {
                        let number = self.line.get(self.next).and_then(|w| w.text.parse().ok());
                        if number.is_some() {
                            self.next = self.next.saturating_add(1);
                        }
                        self.read.position = Some(number.unwrap_or(1usize).saturating_sub(1));
                    }
                    "-P" | "--policy" => self.read.policy = self.value(word),
                    _ => {}
                }
            }
            "-N" | "--new-chain" | "-F" | "--flush" | "-X" | "--delete-chain" | "-Z" | "-L"
            | "-S" | "--list" => {
                self.nothing = true;
                self.next = self.line.len();
            }
            "-D" | "--delete" | "-R" | "--replace" => {
                let why = format!("`{option}` changes other rules, which `import` does not follow");
                return Err((word.at, why));
            }
            "-w" | "--wait" => {
                if self.line.get(self.next).is_some_and(|word| word.text.parse::<u32>().is_ok()) {
                    self.next = self.next.saturating_add(1);
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Options of `recent`.
    fn recent(
        &mut self,
        option: &str,
        joined: &Option<String>,
        negated: bool,
        word: &Token,
        lists: &mut [Recent],
    ) -> bool {
        let Some(list) = lists.last_mut() else { return false };
        let mut value = || joined.clone().or_else(|| self.value(word));
        match option {
            "--set" => list.does = Some(Does::Puts(None)),
            "--rcheck" | "--update" => list.does = Some(Does::Asks(None)),
            "--remove" => list.does = Some(Does::Removes),
            "--seconds" => {
                let seconds = value().and_then(|value| value.parse().ok());
                list.seconds = seconds.map(Duration::from_secs);
            }
            "--hitcount" => list.hits = value().is_some_and(|hits| hits != "1"),
            "--name" => list.name = value().unwrap_or_default(),
            "--mask" => drop(value()),
            "--rsource" | "--reap" | "--rttl" => {}
            "--rdest" => {
                let message = "the list holds the address of this host, not of the client, so one \
                               knock opens the port for everybody";
                let said = Said::hole(word.at, message);
                self.draft.say(said.hint("here a door opens only for the address that knocked"));
            }
            _ => return false,
        }
        list.negated |= negated;
        true
    }

    /// The match of TCP or UDP, which is loaded by its first option if nobody has loaded it.
    fn of_transport(&mut self) -> usize {
        let known = ["tcp", "udp", "multiport"];
        let at = self.matched.iter().rposition(|name| known.contains(&&**name));
        if let Some(at) = at {
            return at.saturating_add(1);
        }
        self.matched.push("tcp".into());
        self.matched.len()
    }

    fn finish(mut self, lists: Vec<Recent>) -> Result<Option<Read>, Wrong> {
        let at = self.read.rule.at;
        if self.read.chain.is_empty() {
            return Err((at, "a chain is missing".into()));
        }
        let asks = &mut self.read.rule.asks;
        if self.port_at.is_some() {
            let protocol = asks.protocol.and_then(Transport::with_ports);
            let words = self.ports.iter().map(String::as_str);
            let named = ports::all(words, ':', protocol.as_slice());
            asks.ports = Some(named.map_err(|word| (at, unknown_port(word)))?);
        }
        asks.syn = self.syn_at.is_some();
        for list in lists {
            let does = match list.does {
                Some(Does::Asks(_)) if list.hits || list.negated => Does::AsksOther,
                Some(Does::Asks(_)) => Does::Asks(list.seconds),
                Some(does) => does,
                None => return Err((at, "`recent` has no action here".into())),
            };
            let after_port = self.port_at.is_some_and(|port| port < list.at);
            asks.lists.push(List { name: list.name, does, after_port, recent: true });
        }
        Ok(Some(self.read))
    }
}

impl Recent {
    fn new(at: usize) -> Self {
        let name = "DEFAULT".into();
        Self { at, name, does: None, seconds: None, hits: false, negated: false }
    }
}

/// One address is written without its prefix.
fn network(text: &str) -> String {
    let bits = if text.contains(':') { "/128" } else { "/32" };
    text.strip_suffix(bits).unwrap_or(text).to_owned()
}
