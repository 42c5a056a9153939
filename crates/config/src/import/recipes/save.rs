//! What `iptables-save` prints, and scripts that call `iptables`.

use std::collections::HashMap;

use super::option::{rule, words};
use super::token::Token;
use crate::import::draft::{At, Draft, Said};
use crate::import::filter::{Families, Opened, Rule, input, together};

/// Where packets for this host come in.
const INPUT: &str = "INPUT";

/// One family's table `filter`.
#[derive(Default)]
struct Table {
    chains: HashMap<String, Vec<Rule>>,
    /// Where the policy of `INPUT` refuses, if it does.
    closed: Option<At>,
    /// Whether anything is said of this family.
    any: bool,
}

/// Reads the files, which may be of either family.
pub fn read(files: &[(String, String)], draft: &mut Draft) {
    let mut tables = [Table::default(), Table::default()];
    for (index, (_, text)) in files.iter().enumerate() {
        let six = text.lines().take(3).any(|line| line.contains("ip6tables-save"));
        file(index, text, six, &mut tables, draft);
    }
    let [four, six] = tables;
    let both = four.any && six.any;
    let mut opened = Vec::new();
    for (table, families, alone) in [
        (four, Families::Four, "was open only over IPv4"),
        (six, Families::Six, "was open only over IPv6"),
    ] {
        if table.any {
            let families = if both { Families::Both } else { families };
            let ports = input(&table.chains, INPUT, families, table.closed, draft);
            opened.push(Opened { ports, needed: true, alone });
        }
    }
    draft.public = together(&opened);
}

fn file(index: usize, text: &str, six: bool, tables: &mut [Table; 2], draft: &mut Draft) {
    let (mut filter, mut said_dashes) = (true, false);
    let mut start = 0usize;
    // In a script, `#` begins a comment; in an article it is the prompt of every command.
    let prompts = !text.lines().any(|line| {
        let first = line.split_whitespace().find(|word| *word != "sudo").unwrap_or_default();
        first.starts_with(['-', '*', ':']) || program(first).is_some()
    });
    for line in text.split_inclusive('\n') {
        let offset = start;
        start = start.saturating_add(line.len());
        let (all, dashed) = words(line, At { file: index, byte: offset });
        let mut line_words: &[Token] = &all;
        // A prompt, or `sudo`, before a command; an article has `#`.
        while let Some((first, rest)) = line_words.split_first() {
            match &*first.text {
                "#" if !prompts => break,
                "#" | "$" | "sudo"
                    if rest.iter().take(2).any(|word| program(&word.text).is_some()) =>
                {
                    line_words = rest;
                }
                _ => break,
            }
        }
        let Some((first, rest)) = line_words.split_first() else { continue };
        let at = first.at;
        let (six, command, rest) = match program(&first.text) {
            Some(six) => (six, true, rest),
            None => (six, false, line_words),
        };
        let Some(table) = tables.get_mut(usize::from(six)) else { continue };
        let word = rest.first().map(|word| &*word.text).unwrap_or_default();
        if !command {
            match word {
                _ if word.starts_with('#') || word == "COMMIT" || word == "~" => continue,
                _ if word.starts_with('*') => {
                    filter = word == "*filter";
                    if !filter {
                        let message = format!(
                            "the table `{}` does not decide which packets get in",
                            &word.trim_start_matches('*')
                        );
                        draft.say(
                            Said::note(at, message).hint("keep it; the gate does not change it"),
                        );
                    }
                    continue;
                }
                _ if word.starts_with(':') => {
                    let policy = rest.get(1).map(|word| &*word.text).unwrap_or_default();
                    let chain = word.trim_start_matches(':');
                    if filter {
                        table.any |= chain == INPUT;
                        table.chains.entry(chain.to_owned()).or_default();
                        table.policy(chain, policy, at);
                    }
                    continue;
                }
                _ if word.starts_with('-') || word.starts_with('[') => {}
                _ => {
                    let hint = "`import` reads lines of `iptables-save` and commands of iptables";
                    draft.leave_text(at, line, "this line is not a rule", hint);
                    continue;
                }
            }
        }
        if dashed && !std::mem::replace(&mut said_dashes, true) {
            let message = "typographic dashes are read as hyphens";
            draft.say(Said::note(at, message));
        }
        let name = if six { "ip6tables" } else { "iptables" };
        match rule(rest, name, draft) {
            Ok(Some(read)) if filter && read.filter => {
                table.any |= read.chain == INPUT;
                if let Some(policy) = read.policy {
                    table.policy(&read.chain, &policy, at);
                    continue;
                }
                if ["FORWARD", "OUTPUT"].contains(&&*read.chain) {
                    draft.leave(
                        &read.rule,
                        "the gate filters only incoming packets; keep this rule",
                        false,
                    );
                    continue;
                }
                let chain = table.chains.entry(read.chain).or_default();
                match read.position {
                    Some(position) => chain.insert(position.min(chain.len()), read.rule),
                    None => chain.push(read.rule),
                }
            }
            Ok(Some(read)) => {
                draft.leave(&read.rule, "it is in another table; keep this rule", false);
            }
            Ok(None) => {}
            Err((at, why)) => {
                let hint = "write it as `iptables-save` prints it, or convert it by hand";
                draft.leave_text(at, line, &why, hint);
            }
        }
    }
}

impl Table {
    fn policy(&mut self, chain: &str, policy: &str, at: At) {
        if chain == INPUT {
            self.closed = (policy == "DROP").then_some(at);
        }
    }
}

/// Whether this word calls `iptables`; `true` for `ip6tables`.
fn program(word: &str) -> Option<bool> {
    match word.rsplit('/').next().unwrap_or(word) {
        "iptables" => Some(false),
        "ip6tables" => Some(true),
        _ => None,
    }
}
