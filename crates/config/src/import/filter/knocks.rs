//! Doors that are made of lists of addresses: a knock puts its source on a list, the next one asks for it,
//! and the last list is what the port asks for. The lists are of `recent` or sets of nftables.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use portcullis_core::limits::MAX_KNOCKS;
use portcullis_core::policy::{Port, Protocol};
use portcullis_core::strength::monotone;

use super::{Does, Rule, Verdict};
use crate::import::draft::{At, Draft, Said, Wanted};

/// For which family the rules are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    Four,
    Six,
    Both,
}

/// Adds the doors that these rules are, and says what holes they have. Returns for each rule whether it
/// is a part of a door.
pub fn find(rules: &[Rule], families: Families, draft: &mut Draft) -> Vec<bool> {
    let mut puts: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, rule) in rules.iter().enumerate() {
        for list in rule.asks.lists.iter().filter(|list| matches!(list.does, Does::Puts(_))) {
            puts.entry(&list.name).or_default().push(index);
        }
    }
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let mut done: HashMap<&str, (Vec<Port>, usize)> = HashMap::new();
    let mut order = Vec::new();
    for (index, rule) in
        rules.iter().enumerate().filter(|(_, rule)| rule.verdict == Verdict::Accept)
    {
        let mut lists = rule.asks.lists.iter().rev();
        let asked =
            lists.find(|list| matches!(list.does, Does::Asks(_)) && puts.contains_key(&*list.name));
        let Some(list) = asked else { continue };
        let entry = done.entry(&list.name).or_insert_with(|| {
            order.push(&*list.name);
            (Vec::new(), index)
        });
        match &rule.asks.ports {
            Some(ports) => entry.0.extend(ports),
            None => {
                let what = "the knocks opened every port";
                let hint = "now the door guards tcp/22; write the ports that you need in `guards`";
                draft.say(Said::hand(rule.at, what).hint(hint));
                entry.0.extend(Port::tcp(22));
            }
        }
    }
    for name in order {
        let Some((guards, accepts)) = done.remove(name) else { continue };
        let Some(accept) = rules.get(accepts) else { continue };
        let steps = back(rules, &puts, name);
        used.extend(steps.iter().map(|(list, _)| *list));
        door(rules, &steps, accept, guards, families, draft);
    }
    rules.iter().map(|rule| rule.asks.lists.iter().any(|list| used.contains(&*list.name))).collect()
}

/// From the first knock to the last: the list that it puts its source on, and the rule that does it.
fn back<'a>(
    rules: &'a [Rule],
    puts: &HashMap<&'a str, Vec<usize>>,
    last: &'a str,
) -> Vec<(&'a str, usize)> {
    let mut steps = Vec::new();
    let mut seen = BTreeSet::new();
    let mut wanted = Some(last);
    while let Some(list) = wanted.filter(|list| steps.len() < MAX_KNOCKS && seen.insert(*list)) {
        let before = |index: &usize| -> Vec<&'a str> {
            let lists =
                rules.get(*index).map(|rule| rule.asks.lists.as_slice()).unwrap_or_default();
            let asked = lists.iter().filter(|asked| matches!(asked.does, Does::Asks(_)));
            asked.map(|asked| &*asked.name).filter(|name| puts.contains_key(name)).collect()
        };
        let Some(ways) = puts.get(list) else { break };
        let new =
            |names: &Vec<&'a str>| names.iter().rev().find(|name| !seen.contains(*name)).copied();
        // What can be reached without another list is where a sequence begins.
        let first = ways.iter().find(|index| before(index).is_empty());
        let next = || ways.iter().find(|index| new(&before(index)).is_some());
        let Some(&rule) = first.or_else(next) else { break };
        steps.push((list, rule));
        wanted = new(&before(&rule));
    }
    steps.reverse();
    steps
}

fn door(
    rules: &[Rule],
    steps: &[(&str, usize)],
    accept: &Rule,
    guards: Vec<Port>,
    families: Families,
    draft: &mut Draft,
) {
    let steps: Vec<_> =
        steps.iter().filter_map(|(list, index)| Some((*list, rules.get(*index)?))).collect();
    let said = draft.said.len();
    let mut sequence = Vec::new();
    let mut step_timeout: Option<Duration> = None;
    let last = steps.last().map(|(list, _)| *list);
    let mut open_for = last.and_then(|list| asked(accept, list));
    for (number, (list, rule)) in steps.iter().enumerate() {
        let number = number.saturating_add(1);
        knock(rule, list, number, &mut sequence, draft);
        // A time is kept where a list is asked, or with its entry.
        let next = steps.get(number).and_then(|(_, next)| asked(next, list));
        let time = [next, put(rule, list)].into_iter().flatten().min();
        if Some(*list) == last {
            open_for = open_for.or_else(|| put(rule, list));
        } else {
            if time.is_none() {
                let message = format!("the rules remember knock {number} without a time limit");
                draft.say(Said::hole(rule.at, message).hint("here `step_timeout` is the limit"));
            }
            step_timeout = step_timeout.max(time);
        }
    }
    if open_for.is_none() {
        let message = "a source that has knocked can start connections forever";
        draft.say(Said::hole(accept.at, message).hint("here `open_for` is the limit"));
    }
    weak(&sequence, &steps, rules, draft);
    family(rules, accept, &guards, families, draft);
    if steps.iter().any(|(_, rule)| rule.asks.lists.iter().any(|list| list.recent)) {
        flooded(accept.at, draft);
    }
    conditions(accept, draft);
    let new = draft.said.len();
    let (places, from) = (accept.at.into(), Vec::new());
    let wanted = Wanted { name: None, from, places, guards, sequence, step_timeout, open_for };
    if !draft.add_once(wanted) {
        // What holds for one family has been said.
        draft.said.drain(said..new);
    }
}

/// One knock, with its holes.
fn knock(rule: &Rule, list: &str, number: usize, sequence: &mut Vec<Port>, draft: &mut Draft) {
    let puts = rule.asks.lists.iter().find(|l| l.name == list && matches!(l.does, Does::Puts(_)));
    let ports = rule.asks.ports.as_deref().unwrap_or_default();
    let Some(port) = ports.first() else {
        let message = format!("knock {number} has no port, so any packet counts as this knock");
        draft.say(Said::hole(rule.at, message));
        return;
    };
    if puts.is_some_and(|list| !list.after_port) {
        let message = format!(
            "knock {number} counts before its port is checked: the kernel checks a rule from left to \
             right, and `{port}` comes later"
        );
        let hint = "any packet is this knock, so a client that tries to connect a few times opens the \
                    port; here only the knock itself counts";
        draft.say(Said::hole(rule.at, message).hint(hint));
    }
    if ports.len() > 1 {
        let message = format!("any of {} ports counts as knock {number}", ports.len());
        draft.say(Said::hole(rule.at, message).hint(format!("here only {port} counts")));
    }
    let before_syn = puts.is_some_and(|list| !list.after_port);
    if port.protocol == Protocol::Tcp && (rule.asks.not_only_new() || before_syn) {
        let message = format!("knock {number} need not be a SYN, so a stray ACK or RST counts too");
        draft.say(Said::hole(rule.at, message).hint("here a TCP knock is always a SYN"));
    }
    conditions(rule, draft);
    sequence.push(*port);
}

/// That lists of `recent` are short.
pub fn flooded(at: At, draft: &mut Draft) {
    let message =
        "`recent` keeps 100 addresses, so 100 forged ones push out every client that knocks";
    draft.say(
        Said::hole(at, message).hint("here there is room for a million, and nobody is pushed out"),
    );
}

/// What a rule of a door asks beside that, which no door asks.
pub fn conditions(rule: &Rule, draft: &mut Draft) {
    let asks = &rule.asks;
    for (what, values) in
        [("interface", &asks.interfaces), ("source", &asks.sources), ("condition", &asks.others)]
    {
        if !values.is_empty() {
            let message = format!("the door was only for the {what} {}", values.join(", "));
            let hint = "here it is for every client that knocks, at every interface";
            draft.say(Said::hand(rule.at, message).hint(hint));
        }
    }
}

fn weak(sequence: &[Port], steps: &[(&str, &Rule)], rules: &[Rule], draft: &mut Draft) {
    easy(sequence, steps.first().map(|(_, rule)| rule.at).unwrap_or_default(), draft);
    let stages = steps.split_last().map(|(_, stages)| stages).unwrap_or_default();
    let resets = |list: &str| {
        rules.iter().any(|rule| {
            let mut lists = rule.asks.lists.iter();
            rule.asks.ports.is_none() && lists.any(|l| l.name == list && l.does == Does::Removes)
        })
    };
    if let Some((_, rule)) = stages.iter().find(|(list, _)| !resets(list)) {
        let message = "the rules forgive a wrong port between the knocks, so a few scans in any order open the door";
        draft.say(Said::hole(rule.at, message).hint("here a wrong port ends the attempt"));
    }
}

/// Whether any scan of the ports opens a door with these knocks.
pub fn easy(sequence: &[Port], at: At, draft: &mut Draft) {
    if let [port] = sequence {
        let message =
            format!("one knock is not a secret: any scan that touches {port} opens the door");
        draft.say(Said::hole(at, message));
    } else if let Some(rising) = monotone(sequence) {
        let message = format!(
            "the port numbers of the knocks only {}, so one scan of the ports opens the door",
            if rising { "go up" } else { "go down" }
        );
        draft.say(Said::hole(at, message));
    }
}

/// The other family, which nobody thought of.
fn family(rules: &[Rule], accept: &Rule, guards: &[Port], families: Families, draft: &mut Draft) {
    let open = match (families, accept.asks.four) {
        (Families::Four, _) => Some("IPv6"),
        (Families::Six, _) => Some("IPv4"),
        (Families::Both, Some(four)) => {
            let closed = rules.iter().any(|rule| {
                let asks = &rule.asks;
                asks.four != Some(four)
                    && asks.lists.is_empty()
                    && asks
                        .ports
                        .as_ref()
                        .is_none_or(|ports| guards.iter().all(|p| ports.contains(p)))
                    && matches!(rule.verdict, Verdict::Drop | Verdict::Reject | Verdict::Reset)
            });
            (!closed).then_some(if four { "IPv6" } else { "IPv4" })
        }
        (Families::Both, None) => None,
    };
    if let Some(other) = open {
        let message =
            format!("{other} is open: these rules do not filter it, so it needs no knock");
        draft.say(
            Said::hole(accept.at, message).hint("here the ports are guarded over IPv4 and IPv6"),
        );
    }
}

/// How long ago at most the source must have been put on this list.
fn asked(rule: &Rule, name: &str) -> Option<Duration> {
    let mut lists = rule.asks.lists.iter().filter(|list| list.name == name);
    lists.find_map(|list| if let Does::Asks(time) = list.does { time } else { None })
}

/// For how long the source is put on this list.
fn put(rule: &Rule, name: &str) -> Option<Duration> {
    let mut lists = rule.asks.lists.iter().filter(|list| list.name == name);
    lists.find_map(|list| if let Does::Puts(time) = list.does { time } else { None })
}
