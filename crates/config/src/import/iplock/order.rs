//! Which rule comes after which: by sections, and within one by `before` and `after`.

use std::collections::{BTreeSet, HashMap};

use super::syntax::Section;
use super::value;
use crate::import::draft::{Draft, Said};

/// The sections that iplock has, in their order, and the one of a rule that names none.
const SECTIONS: [&str; 5] = ["header", "early_content", "content", "late_content", "footer"];
const DEFAULT: &str = "content";

/// The rules in the order in which a packet meets them.
pub fn rules<'a>(all: &'a [Section], draft: &mut Draft) -> Vec<&'a Section> {
    let of_kind = |kind: &'static str| all.iter().filter(move |section| section.kind == kind);
    let mut sections: Vec<Section> = of_kind("section").cloned().collect();
    let chained = SECTIONS.iter().zip(std::iter::once(None).chain(SECTIONS.iter().map(Some)));
    for (name, before) in chained {
        if !sections.iter().any(|section| section.name == *name) {
            let mut section = Section { name: (*name).into(), ..Section::default() };
            section.entries.extend(before.map(|before| super::syntax::Entry {
                key: "after".into(),
                value: (*before).into(),
                at: section.at,
            }));
            sections.push(section);
        }
    }
    let default = sections.iter().find(|section| {
        section.get(&["default"]).is_some_and(|entry| ["true", "on", "1"].contains(&&*entry.value))
    });
    let default = default.map_or(DEFAULT, |section| &section.name).to_owned();
    let sorted = sort(sections.iter().collect(), draft);
    let mut out = Vec::new();
    let mut rules: Vec<&Section> = of_kind("rule").collect();
    for section in sorted {
        let is_in = |rule: &&Section| {
            rule.get(&["section"]).map_or(&default, |entry| &entry.value) == &section.name
        };
        let (inside, others): (Vec<_>, Vec<_>) = rules.into_iter().partition(is_in);
        rules = others;
        out.extend(sort(inside, draft));
    }
    for rule in &rules {
        let message = format!("rule `{}` belongs to an unknown section", rule.name);
        draft.say(Said::hand(rule.at, message).hint("here it is the last rule"));
    }
    out.extend(rules);
    out
}

/// By `before` and `after`; those that come together stay as they were. Names that nobody has are ignored,
/// as ipload does.
fn sort<'a>(all: Vec<&'a Section>, draft: &mut Draft) -> Vec<&'a Section> {
    let names: HashMap<&str, usize> =
        all.iter().enumerate().map(|(index, section)| (&*section.name, index)).collect();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); all.len()];
    let mut waits: Vec<usize> = vec![0; all.len()];
    for (index, section) in all.iter().enumerate() {
        for (key, comes_before) in [("before", true), ("after", false)] {
            let named =
                section.get(&[key]).map(|entry| value::list(&entry.value)).unwrap_or_default();
            for other in named.iter().filter_map(|name| names.get(&**name)).copied() {
                let (first, second) = if comes_before { (index, other) } else { (other, index) };
                if let (Some(later), Some(count)) = (after.get_mut(first), waits.get_mut(second)) {
                    later.push(second);
                    *count = count.saturating_add(1);
                }
            }
        }
    }
    let mut ready: BTreeSet<usize> = waits
        .iter()
        .enumerate()
        .filter(|(_, count)| **count == 0)
        .map(|(index, _)| index)
        .collect();
    let mut out = Vec::new();
    let mut done = BTreeSet::new();
    while let Some(index) = ready.pop_first() {
        out.extend(all.get(index).copied());
        done.insert(index);
        for later in after.get(index).into_iter().flatten() {
            if let Some(count) = waits.get_mut(*later) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    ready.insert(*later);
                }
            }
        }
    }
    for (_, section) in all.iter().copied().enumerate().filter(|(index, _)| !done.contains(index)) {
        let message = format!("`before` and `after` of `{}` form a loop", section.name);
        let hint = "ipload refuses this; here it comes last";
        draft.say(Said::hand(section.at, message).hint(hint));
        out.push(section);
    }
    out
}
