//! Files to sections of keys and values; of two values, the later.

use std::collections::HashMap;

use crate::import::draft::At;
use crate::import::draft::{Draft, Said};

/// A section, with what all the files say of it.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// `rule` of `[rule::ssh]`.
    pub kind: String,
    pub name: String,
    /// Where it is first.
    pub at: At,
    pub entries: Vec<Entry>,
    /// It had no header of its own.
    pub headless: bool,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    pub value: String,
    pub at: At,
}

impl Section {
    /// The value of the first of these keys that is there.
    pub fn get(&self, keys: &[&str]) -> Option<&Entry> {
        keys.iter().find_map(|key| self.entries.iter().find(|entry| entry.key == *key))
    }

    fn set(&mut self, key: &str, how: &str, value: &str, at: At) {
        let known = self.entries.iter_mut().find(|entry| entry.key == key);
        match (known, how) {
            (Some(_), "?") => {}
            (Some(entry), "+") => {
                entry.value.push_str(value);
                entry.at = at;
            }
            (Some(entry), _) => {
                value.clone_into(&mut entry.value);
                entry.at = at;
            }
            (None, _) => {
                let (key, value) = (key.to_owned(), value.to_owned());
                self.entries.push(Entry { key, value, at });
            }
        }
    }
}

/// The keys of a rule (ipload(5)).
pub const KEYS: [&str; 47] = [
    "action",
    "after",
    "before",
    "chain",
    "chains",
    "comment",
    "condition",
    "conditions",
    "conntrack",
    "description",
    "destination",
    "destination_interface",
    "destination_interfaces",
    "destination_port",
    "destination_ports",
    "destinations",
    "enabled",
    "except_destination",
    "except_destinations",
    "except_source",
    "except_sources",
    "interface",
    "interfaces",
    "knock",
    "knock_clear",
    "knocks",
    "limit",
    "limits",
    "log",
    "protocol",
    "protocols",
    "recent",
    "section",
    "set",
    "set_data",
    "set_from_file",
    "set_type",
    "source",
    "source_interface",
    "source_interfaces",
    "source_port",
    "source_ports",
    "sources",
    "state",
    "states",
    "table",
    "tables",
];

/// Reads all files, in this order.
pub fn read(files: &[(String, String)], draft: &mut Draft) -> Vec<Section> {
    let mut all = Sections::default();
    for (index, (_, text)) in files.iter().enumerate() {
        all.file(index, text, draft);
    }
    all.list
}

#[derive(Default)]
struct Sections {
    list: Vec<Section>,
    known: HashMap<(String, String), usize>,
}

impl Sections {
    fn section(&mut self, kind: &str, name: &str, at: At) -> usize {
        let list = &mut self.list;
        *self.known.entry((kind.to_owned(), name.to_owned())).or_insert_with(|| {
            let (kind, name) = (kind.to_owned(), name.to_owned());
            list.push(Section { kind, name, at, ..Section::default() });
            list.len().saturating_sub(1)
        })
    }

    fn file(&mut self, file: usize, text: &str, draft: &mut Draft) {
        let mut here: Option<usize> = None;
        // Rules whose headers an article has lost.
        let mut headless: Option<usize> = None;
        for (byte, line) in logical_lines(text) {
            let indent =
                line.len().saturating_sub(line.trim_start_matches('\u{feff}').trim_start().len());
            let at = At { file, byte: byte.saturating_add(indent) };
            let line = line.trim_start_matches('\u{feff}').trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                let (kind, name) = header.trim().split_once("::").unwrap_or((header.trim(), ""));
                here = Some(self.section(kind, name, at));
                headless = None;
                continue;
            }
            let Some((left, value)) = line.split_once('=') else {
                let hint = "write `key = value`, or `[rule::name]`";
                draft.leave_text(at, line, "this line is neither a key nor a section", hint);
                continue;
            };
            let key = left.trim_end().trim_end_matches(['?', '+', ':']).trim_end();
            let how = left.trim_end().get(key.len()..).unwrap_or_default().trim();
            let value = value.trim();
            let section = match here {
                Some(section) => section,
                None if KEYS.contains(&key) => {
                    let again = headless
                        .and_then(|index| self.list.get(index))
                        .is_none_or(|section| section.get(&[key]).is_some());
                    let index = match headless {
                        Some(index) if !again => index,
                        _ => {
                            let name = format!("rule-{}", self.list.len().saturating_add(1));
                            let index = self.section("rule", &name, at);
                            let message = "this rule has no header; here a new rule begins";
                            let hint = "write `[rule::name]` above it";
                            draft.say(Said::note(at, message).hint(hint));
                            if let Some(section) = self.list.get_mut(index) {
                                section.headless = true;
                            }
                            index
                        }
                    };
                    headless = Some(index);
                    index
                }
                None => self.section("variables", "", at),
            };
            if let Some(section) = self.list.get_mut(section) {
                section.set(key, how, value, at);
            }
        }
    }
}

/// The lines, with where they begin; one that ends in `\` goes on in the next.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut start = 0usize;
    let mut goes_on = false;
    for line in text.split_inclusive('\n') {
        let whole = line.trim_end_matches(['\n', '\r']);
        let (part, more) = match whole.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (whole, false),
        };
        match out.last_mut().filter(|_| goes_on) {
            Some((_, before)) => before.push_str(part.trim_start()),
            None => out.push((start, part.to_owned())),
        }
        goes_on = more;
        start = start.saturating_add(line.len());
    }
    out
}
