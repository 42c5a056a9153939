//! `${name}`, and what conditions come to.

use std::collections::{HashMap, HashSet};

use super::syntax::Section;
use crate::import::draft::At;
use crate::import::draft::{Draft, Said};

/// Variables within variables are followed so far, and no value is longer.
const MAX_DEPTH: usize = 16;
const MAX_VALUE: usize = 65_536;

/// What iplock itself gives these, where nobody gives them anything else.
const DEFAULTS: [(&str, &str); 6] = [
    ("ssh_port", "22"),
    ("admin_interfaces", ""),
    ("admin_ips", ""),
    ("private_interfaces", ""),
    ("private_networks", ""),
    ("public_ips", ""),
];

/// All variables.
pub struct Variables<'a> {
    values: HashMap<&'a str, &'a str>,
    said: HashSet<String>,
    /// Whether a variable was read as nothing, since nobody has set it in these files.
    pub missed: bool,
}

impl<'a> Variables<'a> {
    /// Those of the sections; what is required and not there is said.
    pub fn new(sections: &'a [Section], draft: &mut Draft) -> Self {
        let of = |kind: &'static str| {
            sections.iter().filter(move |section| section.kind == kind).flat_map(|s| &s.entries)
        };
        let values: HashMap<&str, &str> =
            of("variables").map(|entry| (&*entry.key, &*entry.value)).collect();
        for entry in of("verify").filter(|entry| entry.value == "required") {
            if values.get(&*entry.key).is_none_or(|value| value.is_empty()) {
                let message = format!("`{}` is required, but empty", entry.key);
                let hint = "ipload refuses these files; set it below `[variables]`";
                draft.say(Said::hand(entry.at, message).hint(hint));
            }
        }
        Self { values, said: HashSet::new(), missed: false }
    }

    /// A value with the values of its variables.
    pub fn expand(&mut self, text: &str, at: At, draft: &mut Draft) -> String {
        let mut out = String::new();
        self.into(text, at, draft, MAX_DEPTH, &mut out);
        out
    }

    fn into(&mut self, text: &str, at: At, draft: &mut Draft, depth: usize, out: &mut String) {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                rest = after;
                continue;
            };
            rest = after;
            let name = name.trim();
            let value = match self.values.get(name) {
                Some(value) => *value,
                None => self.missing(name, at, draft),
            };
            if depth == 0 || out.len().saturating_add(value.len()) > MAX_VALUE {
                if self.said.insert(format!("{name} too deep")) {
                    let message = format!("`${{{name}}}` refers to itself, or is too long");
                    draft.say(Said::hand(at, message).hint("it is read as empty"));
                }
                continue;
            }
            self.into(value, at, draft, depth.saturating_sub(1), out);
        }
        out.push_str(rest);
    }

    fn missing(&mut self, name: &str, at: At, draft: &mut Draft) -> &'static str {
        let default = DEFAULTS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        self.missed |= default.is_none_or(str::is_empty);
        if self.said.insert(name.to_owned()) {
            let message = format!("`{name}` is not set in these files");
            let said = match default {
                Some(value) => Said::note(at, message)
                    .hint(format!("iplock's own files set it to \"{value}\"")),
                None => {
                    Said::hand(at, message).hint("it is read as empty; set it below `[variables]`")
                }
            };
            draft.say(said);
        }
        default.unwrap_or_default()
    }
}

/// What `'"a" == "b" && "c" != "d"'` comes to; `None` if it is written in another way.
pub fn condition(text: &str) -> Option<bool> {
    let text = text.trim();
    let text = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(text);
    match text.trim() {
        "" | "true" => return Some(true),
        "false" => return Some(false),
        _ => {}
    }
    let mut rest = text.trim();
    let mut any = false;
    let mut all = true;
    loop {
        let (left, after) = quoted(rest)?;
        let after = after.trim_start();
        let (equal, after) = match after.strip_prefix("==") {
            Some(after) => (true, after),
            None => (false, after.strip_prefix("!=")?),
        };
        let (right, after) = quoted(after.trim_start())?;
        all &= (left == right) == equal;
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(any || all);
        }
        rest = match rest.strip_prefix("&&") {
            Some(after) => after,
            None => {
                any |= std::mem::replace(&mut all, true);
                rest.strip_prefix("||")?
            }
        }
        .trim_start();
    }
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('"')?.split_once('"')
}

#[cfg(test)]
mod tests {
    use super::condition;

    #[test]
    fn conditions_come_to_something() {
        for (text, expected) in [
            ("", Some(true)),
            (r#"'"a" != ""'"#, Some(true)),
            (r#"'"" != ""'"#, Some(false)),
            (r#""a" == "a" && "b" == "c""#, Some(false)),
            (r#""a" == "b" || "b" == "b""#, Some(true)),
            (r#""a" == "a" || "b" == "c" && "d" == "e""#, Some(true)),
            (r#""a" = "b""#, None),
            (r#"a == b"#, None),
            (r#""a" == "#, None),
        ] {
            assert_eq!(condition(text), expected, "{text}");
        }
    }
}
