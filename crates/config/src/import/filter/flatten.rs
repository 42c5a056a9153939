//! The chains that a packet for this host goes through, as one list.

use std::collections::HashMap;

use super::{Asks, MAX_RULES, Rule, Transport, Verdict};
use crate::import::draft::{Draft, Said};

/// Chains within chains are followed so far.
const MAX_DEPTH: usize = 16;

/// The rules from this chain on, each with all that is asked on the way to it.
///
/// Where a chain is left early under conditions, whatever it would accept after that is left out aloud: it
/// would be open to more than it was.
pub fn flatten(chains: &HashMap<String, Vec<Rule>>, start: &str, draft: &mut Draft) -> Vec<Rule> {
    let mut walk = Walk { chains, draft, out: Vec::new(), steps: 0, full: false };
    walk.chain(start, &Asks::default(), &mut Vec::new());
    walk.out
}

struct Walk<'a> {
    chains: &'a HashMap<String, Vec<Rule>>,
    draft: &'a mut Draft,
    out: Vec<Rule>,
    /// Rules that were met, each as often as a packet can come to it.
    steps: usize,
    full: bool,
}

impl Walk<'_> {
    /// Follows a chain. `true` if no packet comes back from it.
    fn chain(&mut self, name: &str, asked: &Asks, way: &mut Vec<String>) -> bool {
        let chains = self.chains;
        let Some(rules) = chains.get(name) else { return false };
        let mut left_early = false;
        for rule in rules {
            self.steps = self.steps.saturating_add(1);
            if self.steps > MAX_RULES {
                if !std::mem::replace(&mut self.full, true) {
                    let why = "packets have too many ways through these chains";
                    let hint =
                        "import only the chains with the knocks, and convert the others by hand";
                    self.draft.say(Said::hand(rule.at, why).hint(hint));
                }
                return true;
            }
            let Some(asks) = both(asked, &rule.asks) else { continue };
            match &rule.verdict {
                Verdict::Return if rule.asks.nothing() => return false,
                // The gate lets this host talk to itself.
                Verdict::Return if asks.interfaces.iter().any(|name| name == "lo") => {}
                Verdict::Return => {
                    left_early = true;
                    let why = "a return with conditions cannot be converted";
                    self.draft.leave(rule, why, true);
                }
                Verdict::Jump(to, for_good) if chains.contains_key(to) => {
                    if way.len() >= MAX_DEPTH || way.contains(to) {
                        self.draft.leave(
                            rule,
                            "the chains form a loop, or are nested too deeply",
                            true,
                        );
                        continue;
                    }
                    if asks.lists.iter().any(|list| list.does.changes()) {
                        // What is done on the way is done once, by the rule itself.
                        let on_the_way =
                            Rule { asks: asks.clone(), verdict: Verdict::None, ..rule.clone() };
                        self.out.push(on_the_way);
                    }
                    way.push(to.clone());
                    let ends = self.chain(to, &asks, way);
                    way.pop();
                    left_early |= *for_good && !rule.asks.nothing();
                    if (ends || *for_good) && rule.asks.nothing() {
                        return true;
                    }
                }
                // Knocks are asked of everybody anyway.
                Verdict::Accept if left_early && asks.lists.is_empty() => {
                    let why = "some packets leave the chain before this rule";
                    self.draft.leave(rule, why, true);
                }
                verdict => {
                    let ends = rule.asks.nothing()
                        && !matches!(verdict, Verdict::None | Verdict::Log | Verdict::Other(_));
                    self.out.push(Rule { asks, ..rule.clone() });
                    if ends && !left_early {
                        return true;
                    }
                }
            }
        }
        false
    }
}

/// What both ask together; `None` if no packet is meant by both.
fn both(one: &Asks, other: &Asks) -> Option<Asks> {
    let mut asks = one.clone();
    asks.four = match (one.four, other.four) {
        (Some(one), Some(other)) if one != other => return None,
        (one, other) => one.or(other),
    };
    asks.protocol = match (one.protocol, other.protocol) {
        (Some(one), Some(other)) if one != other => return None,
        (one, other) => one.or(other),
    };
    if let Some(theirs) = &other.ports {
        let mut ports = theirs.clone();
        if let Some(ours) = &one.ports {
            ports.retain(|port| ours.contains(port));
        }
        if let Some(Transport::Port(protocol)) = asks.protocol {
            ports.retain(|port| port.protocol == protocol);
        }
        if ports.is_empty() {
            return None;
        }
        asks.ports = Some(ports);
    }
    merge(&mut asks.interfaces, &other.interfaces, "interface", &mut asks.others);
    merge(&mut asks.sources, &other.sources, "source", &mut asks.others);
    if asks.states.is_empty() {
        asks.states.clone_from(&other.states);
    } else if !other.states.is_empty() {
        asks.states.retain(|state| other.states.contains(state));
        if asks.states.is_empty() {
            return None;
        }
    }
    asks.syn |= other.syn;
    let after_port = one.ports.is_some();
    asks.lists.extend(other.lists.iter().cloned().map(|mut list| {
        list.after_port |= after_port;
        list
    }));
    asks.others.extend(other.others.iter().cloned());
    Some(asks)
}

/// One of ours and one of theirs: the same ones, or a condition that has no counterpart.
fn merge(ours: &mut Vec<String>, theirs: &[String], what: &str, others: &mut Vec<String>) {
    if ours.is_empty() {
        ours.extend_from_slice(theirs);
    } else if !theirs.is_empty() && *ours != theirs {
        others.push(format!("also {what} {}", theirs.join(",")));
    }
}
