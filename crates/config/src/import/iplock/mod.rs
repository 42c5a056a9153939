//! The rules of iplock, which `ipload` compiles for iptables (ipload(5)), for what they say of this host's own
//! ports.
//!
//! | module | what it holds |
//! |---|---|
//! | `syntax` | files to sections of keys and values; of two values, the later |
//! | `variables` | `${name}`, and what conditions come to |
//! | `order` | which rule comes after which |
//! | `rule` | one rule: what it asks, and what it does |
//! | `value` | lists, states, times and knocks |

mod order;
mod rule;
mod syntax;
mod value;
mod variables;

use std::collections::HashMap;

use portcullis_core::policy::Refuse;

use super::draft::{At, Draft, Said};
use super::filter::{self, Families, Rule, knocks};
use rule::{INPUT, Made};
use syntax::Section;
use variables::Variables;

/// Reads the files: what comes later changes what was said before.
pub fn read(files: &[(String, String)], draft: &mut Draft) {
    let sections = syntax::read(files, draft);
    let mut variables = Variables::new(&sections, draft);
    let mut chains: HashMap<String, Vec<Rule>> = HashMap::new();
    let mut knocking: Vec<At> = Vec::new();
    for section in order::rules(&sections, draft) {
        match rule::make(section, &mut variables, draft) {
            Made::Nothing => {}
            Made::Rules(rules) => {
                for (chain, rule) in rules {
                    chains.entry(chain).or_default().push(rule);
                }
            }
            Made::Door(rule, wanted) => {
                knocks::flooded(rule.at, draft);
                knocks::easy(&wanted.sequence, rule.at, draft);
                knocks::conditions(&rule, draft);
                knocking.push(rule.at);
                draft.add_once(*wanted);
            }
        }
    }
    if let [_, second, ..] = knocking[..] {
        let message =
            "iplock gives the lists of all doors the same names, so with two doors neither opens";
        draft.say(Said::note(second, message).hint("here both open"));
    }
    let closed = input(&sections, &mut variables, draft);
    draft.public = filter::input(&chains, INPUT, Families::Both, closed, draft);
}

/// What becomes of packets that no rule decides about: where it says that they are refused.
fn input(sections: &[Section], variables: &mut Variables<'_>, draft: &mut Draft) -> Option<At> {
    let chain = sections.iter().find(|section| {
        section.kind == "chain"
            && section.get(&["exact_name"]).map_or(&*section.name, |e| &e.value) == INPUT
    });
    let Some(chain) = chain else {
        let message =
            "these files do not define the chain INPUT, so the gate leaves all other ports alone";
        let hint = "iplock's own files refuse everything else; import its directories, such as \
                    /usr/share/iplock/ipload /etc/iplock/ipload, or write `stance = \"closed\"`";
        draft.say(Said::note(At::default(), message).hint(hint));
        return None;
    };
    let mut of_filter = |key: &str| {
        let entry = chain.get(&[key])?;
        let value = variables.expand(&entry.value, entry.at, draft);
        let parts = value::list(&value);
        let named = parts.iter().find_map(|part| part.strip_prefix("filter:").map(str::to_owned));
        let any = || parts.iter().find_map(|part| part.strip_prefix("*:").map(str::to_owned));
        named.or_else(any).or_else(|| parts.into_iter().next())
    };
    let (policy, kind) = (of_filter("policy"), of_filter("type"));
    let logs = of_filter("log").is_some_and(|log| !log.is_empty());
    // Both refuse where nothing is said.
    let refuses = |word: &Option<String>| {
        word.as_deref().is_none_or(|word| ["DROP", "REJECT"].contains(&&*word.to_ascii_uppercase()))
    };
    if !refuses(&policy) && !refuses(&kind) {
        return None;
    }
    draft.log_refused = logs;
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("REJECT")) {
        draft.refuse = Some(Refuse::Reject);
    }
    Some(chain.at)
}
