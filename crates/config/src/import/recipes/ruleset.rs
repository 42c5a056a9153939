//! What `nft list ruleset` prints, and scripts for `nft -f` (nft(8)).

use std::collections::HashMap;

use portcullis_core::policy::Stance;

use super::statement::rule;
use super::token::{Token, shown};
use crate::import::draft::{At, Draft};
use crate::import::filter::{Families, Opened, Rule, input, together};

/// A chain on the hook `input`.
struct Base {
    table: String,
    chain: String,
    priority: i64,
    closed: Option<At>,
    families: Families,
}

/// What is known so far.
#[derive(Default)]
struct Ruleset {
    /// Of each table, by family and name.
    chains: HashMap<String, HashMap<String, Vec<Rule>>>,
    bases: Vec<Base>,
    defines: HashMap<String, Vec<Token>>,
}

/// Reads the files.
pub fn read(files: &[(String, String)], draft: &mut Draft) {
    let mut ruleset = Ruleset::default();
    for (index, (_, text)) in files.iter().enumerate() {
        let tokens = tokens(text, index);
        let mut reader = Reader { tokens: &tokens, next: 0, draft, ruleset: &mut ruleset };
        reader.file();
    }
    let Ruleset { chains, mut bases, .. } = ruleset;
    bases.sort_by_key(|base| base.priority);
    let mut opened = Vec::new();
    let mut stance = Stance::Guard;
    for base in &bases {
        let Some(chains) = chains.get(&base.table) else { continue };
        draft.stance = Stance::Guard;
        let ports = input(chains, &base.chain, base.families, base.closed, draft);
        // Every chain that refuses must have accepted a port for it to be open.
        let needed = draft.stance == Stance::Closed;
        opened.push(Opened { ports, needed, alone: "was open only in one of the chains" });
        stance = if needed { Stance::Closed } else { stance };
    }
    draft.stance = stance;
    draft.public = together(&opened);
}

/// Splits a text: words, `{`, `}`, `;`, `,` and line ends. Comments are left out.
fn tokens(text: &str, file: usize) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::new();
    let mut word: Option<Token> = None;
    let mut quote = false;
    let mut comment = false;
    let mut escaped = false;
    for (byte, c) in text.char_indices() {
        let at = At { file, byte };
        if comment && c != '\n' {
            continue;
        }
        comment = false;
        if quote && !matches!(c, '"' | '\n') {
            word.get_or_insert_with(|| Token::new("", at, true)).text.push(c);
            continue;
        }
        // Nobody has a string of several lines: it ends with its line.
        if std::mem::take(&mut quote) && c == '"' {
            out.extend(word.take());
            continue;
        }
        match c {
            '\n' if std::mem::take(&mut escaped) => {}
            '\\' => escaped = true,
            '"' => {
                out.extend(word.take());
                word = Some(Token::new("", at, true));
                quote = true;
            }
            '#' => {
                out.extend(word.take());
                comment = true;
            }
            '{' | '}' | ';' | ',' | '\n' => {
                out.extend(word.take());
                out.push(Token::new(c, at, false));
            }
            c if c.is_whitespace() => out.extend(word.take()),
            c => word.get_or_insert_with(|| Token::new("", at, false)).text.push(c),
        }
    }
    out.extend(word);
    out
}

struct Reader<'a> {
    tokens: &'a [Token],
    next: usize,
    draft: &'a mut Draft,
    ruleset: &'a mut Ruleset,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.next);
        self.next = self.next.saturating_add(1);
        token
    }

    /// Up to the end of a statement, with all that stands in braces within it.
    fn statement(&mut self) -> &'a [Token] {
        let start = self.next;
        let mut depth = 0usize;
        while let Some(token) = self.peek() {
            match &*token.text {
                _ if token.quoted => {}
                "{" => depth = depth.saturating_add(1),
                "}" if depth == 0 => break,
                "}" => depth = depth.saturating_sub(1),
                "\n" | ";" if depth == 0 => break,
                _ => {}
            }
            self.next = self.next.saturating_add(1);
        }
        self.tokens.get(start..self.next.min(self.tokens.len())).unwrap_or_default()
    }

    /// The words up to a brace, which is taken, or to the end of the line.
    fn head(&mut self) -> Vec<&'a Token> {
        let mut words = Vec::new();
        while let Some(token) = self.peek() {
            match &*token.text {
                "\n" | ";" | "}" if !token.quoted => break,
                "{" if !token.quoted => {
                    self.next = self.next.saturating_add(1);
                    break;
                }
                _ => words.push(token),
            }
            self.next = self.next.saturating_add(1);
        }
        words
    }

    /// Whether a block begins here.
    fn is_opened(&self) -> bool {
        let before = self.next.checked_sub(1).and_then(|before| self.tokens.get(before));
        before.is_some_and(|token| token.text == "{")
    }

    /// What a statement within a block begins with; `None` at the end of the block, which is taken.
    fn within(&mut self) -> Option<&'a Token> {
        loop {
            let token = self.peek()?;
            match &*token.text {
                "\n" | ";" | "}" if !token.quoted => self.take(),
                _ => return Some(token),
            };
            if token.text == "}" {
                return None;
            }
        }
    }

    /// Passes over a statement.
    fn skip_statement(&mut self) {
        self.statement();
    }

    fn file(&mut self) {
        while let Some(token) = self.peek() {
            match &*token.text {
                "\n" | ";" | "}" => self.next = self.next.saturating_add(1),
                "table" => self.table(),
                "define" => {
                    let words = self.statement();
                    if let [_, name, equals, value @ ..] = words
                        && equals.text == "="
                    {
                        self.ruleset.defines.insert(format!("${}", name.text), value.to_vec());
                    }
                }
                "flush" | "delete" | "destroy" => self.skip_statement(),
                "add" | "insert" | "create" => self.add(),
                _ => {
                    let at = token.at;
                    let words = self.statement();
                    self.unknown(at, words, "this is not a rule");
                }
            }
        }
    }

    fn unknown(&mut self, at: At, words: &[Token], why: &str) {
        let hint = "write it as `nft list ruleset` prints it, or convert it by hand";
        self.draft.leave_text(at, &shown(words), why, hint);
    }

    /// `add rule inet filter input …`, `add chain …`, `add table …`.
    fn add(&mut self) {
        let Some(verb) = self.take() else { return };
        let kind = self.peek().map(|token| &*token.text).unwrap_or_default();
        match kind {
            "table" => self.table(),
            "set" | "map" | "element" | "counter" => self.skip_statement(),
            "chain" => {
                self.next = self.next.saturating_add(1);
                let head = self.head();
                let words: Vec<_> = head.iter().map(|token| &*token.text).collect();
                let (family, table, chain) = match words[..] {
                    [family, table, chain] => (family, table, chain),
                    [table, chain] => ("ip", table, chain),
                    _ => return,
                };
                self.chain(family, &format!("{family} {table}"), chain);
            }
            "rule" => {
                self.next = self.next.saturating_add(1);
                let words = self.statement();
                let families = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];
                let (family, rest) = match words {
                    [first, rest @ ..] if families.contains(&&*first.text) => (&*first.text, rest),
                    words => ("ip", words),
                };
                let [table, chain, rest @ ..] = rest else { return };
                let table = format!("{family} {}", table.text);
                self.rule(&table, &chain.text, rest, verb.text == "insert");
            }
            _ => {
                let words = self.statement();
                self.unknown(verb.at, words, "this is not a rule");
            }
        }
    }

    /// `table inet filter { … }`.
    fn table(&mut self) {
        self.next = self.next.saturating_add(1);
        let head = self.head();
        let words: Vec<_> = head.iter().map(|token| &*token.text).collect();
        let (family, name) = match words[..] {
            [family, name, ..] => (family, name),
            [name] => ("ip", name),
            _ => return,
        };
        if !self.is_opened() {
            return;
        }
        let table = format!("{family} {name}");
        while let Some(token) = self.within() {
            match &*token.text {
                "chain" => {
                    self.next = self.next.saturating_add(1);
                    let head = self.head();
                    let name = head.first().map(|token| token.text.clone()).unwrap_or_default();
                    self.chain(family, &table, &name);
                }
                _ => self.skip_statement(),
            }
        }
    }

    /// What stands in the braces of a chain.
    fn chain(&mut self, family: &str, table: &str, name: &str) {
        self.ruleset.chains.entry(table.into()).or_default().entry(name.into()).or_default();
        if !self.is_opened() {
            return;
        }
        if !["ip", "ip6", "inet"].contains(&family) {
            while self.within().is_some() {
                self.skip_statement();
            }
            return;
        }
        while let Some(token) = self.within() {
            match &*token.text {
                "type" => {
                    let words = self.statement();
                    self.hook(family, table, name, words);
                }
                "policy" => {
                    let words = self.statement();
                    let closed = words.get(1).is_some_and(|policy| policy.text == "drop");
                    let mut bases = self.ruleset.bases.iter_mut();
                    if let Some(base) = bases.find(|base| base.table == table && base.chain == name)
                    {
                        base.closed = closed.then_some(token.at);
                    }
                }
                "comment" => self.skip_statement(),
                _ => {
                    let words = self.statement();
                    self.rule(table, name, words, false);
                }
            }
        }
    }

    fn hook(&mut self, family: &str, table: &str, name: &str, words: &[Token]) {
        let after = |what: &str| {
            let at = words.iter().position(|word| word.text == what)?;
            words.get(at.saturating_add(1)..)
        };
        let hook = after("hook").and_then(|rest| rest.first());
        if hook.is_none_or(|hook| hook.text != "input") {
            return;
        }
        let priority = after("priority").unwrap_or_default();
        let named = |name: &str| match name {
            "raw" => -300,
            "mangle" => -150,
            "security" => 50,
            _ => 0,
        };
        let mut number = 0i64;
        let mut sign = 1i64;
        for word in priority {
            match &*word.text {
                "-" => sign = -1,
                "+" => sign = 1,
                text => {
                    let value = text.parse::<i32>().map_or_else(|_| named(text), i64::from);
                    number = number.saturating_add(value.saturating_mul(sign));
                }
            }
        }
        let families = match family {
            "ip" => Families::Four,
            "ip6" => Families::Six,
            _ => Families::Both,
        };
        let (table, chain) = (table.to_owned(), name.to_owned());
        self.ruleset.bases.push(Base { table, chain, priority: number, closed: None, families });
    }

    fn rule(&mut self, table: &str, chain: &str, words: &[Token], first: bool) {
        let Some(start) = words.first() else { return };
        let words = self.filled(words);
        let text = shown(&words);
        let command = format!("nft add rule {table} {chain} {text}");
        match rule(&words, text, command, self.draft) {
            Ok(rules) => {
                let tables = self.ruleset.chains.entry(table.into()).or_default();
                let chain = tables.entry(chain.into()).or_default();
                if first {
                    chain.splice(0..0, rules);
                } else {
                    chain.extend(rules);
                }
            }
            Err(why) => self.unknown(start.at, &words, &why),
        }
    }

    /// With the values of what is defined, one level deep within another.
    fn filled(&self, words: &[Token]) -> Vec<Token> {
        let mut filled = words.to_vec();
        for _ in 0..4 {
            let mut again = false;
            let mut out = Vec::new();
            for word in &filled {
                match self.ruleset.defines.get(&word.text) {
                    Some(value) if !word.quoted && out.len() < 4_096 => {
                        again = true;
                        out.extend(value.iter().cloned());
                    }
                    _ => out.push(word.clone()),
                }
            }
            filled = out;
            if !again {
                break;
            }
        }
        filled
    }
}
