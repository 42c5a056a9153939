//! The keys of one door.

use std::time::Duration;

use portcullis_core::limits;
use portcullis_core::policy::{Door, DoorName, Hook, Hooks, Port, Recogniser};
use toml::de::DeValue;

use super::reader::{self, Key, List, Value, entries, not_available, unknown_key, wrong_type};
use super::report::{Diagnostic, Span, error};
use super::{hook, keys};

/// Where the parts of a door stand.
#[derive(Debug)]
pub struct DoorSpans {
    /// The name in the header.
    pub name: Span,
    pub guards: List,
    pub sequence: List,
    pub step_timeout: Option<Span>,
    pub open_for: Option<Span>,
    pub recogniser: Option<Span>,
    pub tolerate: Option<Span>,
    /// It is to run something, if only somebody could read what.
    pub has_hooks: bool,
    /// Some value was wrong and the default stands for it, so that comparing this door to others
    /// would say things that are not so.
    pub flawed: bool,
}

/// The keys that a door has today.
pub const KEYS: [&str; 8] = keys::names("door");

/// Reads a door. `None` if it lacks what a door needs most: its ports and its sequence.
pub fn read(
    key: &Key<'_>,
    value: &Value<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<(Door, DoorSpans)> {
    let DeValue::Table(table) = value.get_ref() else {
        found.push(not_a_door(key, value));
        return None;
    };
    let name = DoorName::new(key.get_ref()).map_err(|problem| {
        let hint = "use letters, digits, `_`, `-` and `.`";
        found.push(error("bad-name", key.span(), problem.to_string()).hint(hint));
    });
    let mut reading = Reading::new(key);
    for (key, value) in entries(table) {
        reading.key(key, value, found);
    }
    reading.spans.has_hooks = reading.present.contains(&"on_open");
    if reading.spans.has_hooks {
        // It may be there for what it runs alone.
        reading.guards.get_or_insert_default();
    } else {
        let hint = "write the ports behind it, as in `guards = [\"tcp/22\"]`";
        reading.require("guards", hint, found);
    }
    if !reading.has_keys {
        let hint =
            "write its knocks, as in `sequence = [\"tcp/7431\", \"udp/29117\", \"tcp/1123\"]`";
        reading.require("sequence", hint, found);
    }
    let hooks = reading.hooks(found);
    let door = Door {
        name: name.ok()?,
        guards: reading.guards?,
        sequence: reading.sequence?,
        step_timeout: reading.step_timeout.unwrap_or(Door::DEFAULT_STEP_TIMEOUT),
        open_for: reading.open_for.unwrap_or(Door::DEFAULT_OPEN_FOR),
        recogniser: reading.recogniser.unwrap_or_default(),
        tolerate: reading.tolerate.unwrap_or_default(),
        hooks,
    };
    Some((door, reading.spans))
}

fn not_a_door(key: &Key<'_>, value: &Value<'_>) -> Diagnostic {
    let name = key.get_ref();
    if KEYS.contains(&name.as_ref()) {
        let message = format!("`{name}` belongs to a door, but this table has no name of a door");
        return error("wrong-type", key.span(), message)
            .hint("write a header such as `[door.ssh]`");
    }
    let hint = format!("write `[door.{name}]`, and each key on its own line below it");
    wrong_type(value, "a table").hint(hint)
}

/// What has been read of a door so far.
struct Reading {
    spans: DoorSpans,
    guards: Option<Vec<Port>>,
    sequence: Option<Vec<Port>>,
    step_timeout: Option<Duration>,
    open_for: Option<Duration>,
    recogniser: Option<Recogniser>,
    tolerate: Option<u8>,
    on_open: Option<Hook>,
    on_close: Option<Hook>,
    /// Where its key stands.
    on_close_key: Option<Span>,
    /// It is to be opened by keys, so that it needs no sequence.
    has_keys: bool,
    name: String,
    /// Keys that are there, or meant to be there by somebody who misspelled them.
    present: Vec<&'static str>,
}

impl Reading {
    fn new(key: &Key<'_>) -> Self {
        Self {
            spans: DoorSpans {
                name: key.span(),
                guards: List::default(),
                sequence: List::default(),
                step_timeout: None,
                open_for: None,
                recogniser: None,
                tolerate: None,
                has_hooks: false,
                flawed: false,
            },
            guards: None,
            sequence: None,
            step_timeout: None,
            open_for: None,
            recogniser: None,
            tolerate: None,
            on_open: None,
            on_close: None,
            on_close_key: None,
            has_keys: false,
            name: key.get_ref().to_string(),
            present: Vec::new(),
        }
    }

    fn key(&mut self, key: &Key<'_>, value: &Value<'_>, found: &mut Vec<Diagnostic>) {
        let name = key.get_ref().as_ref();
        self.present.extend(KEYS.iter().find(|known| **known == name));
        let result = match name {
            "guards" | "sequence" => {
                let expected = "an array of ports such as `[\"tcp/22\"]`";
                let (ports, elements) = reader::list(value, expected, found, reader::port).unzip();
                let list = List { key: Some(value.span()), elements: elements.unwrap_or_default() };
                if name == "guards" {
                    (self.guards, self.spans.guards) = (ports, list);
                } else {
                    (self.sequence, self.spans.sequence) = (ports, list);
                }
                Ok(())
            }
            "step_timeout" => {
                self.spans.step_timeout = Some(value.span());
                reader::duration(value).map(|read| self.step_timeout = Some(read))
            }
            "open_for" => {
                self.spans.open_for = Some(value.span());
                reader::duration(value).map(|read| self.open_for = Some(read))
            }
            "recogniser" => {
                self.spans.recogniser = Some(value.span());
                recogniser(value).map(|read| self.recogniser = Some(read))
            }
            "tolerate" => {
                self.spans.tolerate = Some(value.span());
                tolerate(value).map(|read| self.tolerate = Some(read))
            }
            "keys" => {
                self.has_keys = true;
                let hint = "remove the key and write a `sequence`; this version has no single \
                            packet authorization";
                Err(not_available(key.span(), "`keys`", hint))
            }
            "on_open" => {
                self.on_open = hook::read(value, found);
                Ok(())
            }
            "on_close" => {
                self.on_close_key = Some(key.span());
                self.on_close = hook::read(value, found);
                Ok(())
            }
            _ => {
                let table = format!("door `{}`", self.name);
                self.present.extend(unknown_key(key, &table, &KEYS, found));
                self.spans.flawed = true;
                Ok(())
            }
        };
        if let Err(diagnostic) = result {
            self.spans.flawed |= diagnostic.code != "not-available";
            found.push(diagnostic);
        }
    }

    /// What it runs. What runs at the end alone would undo what nobody has done.
    fn hooks(&mut self, found: &mut Vec<Diagnostic>) -> Option<Hooks> {
        if let Some(span) = self.on_close_key.take()
            && !self.present.contains(&"on_open")
        {
            let message = format!("door `{}` has `on_close` but no `on_open`", self.name);
            let hint = "write `on_open` too; if nothing should run, `on_open = [\"/bin/true\"]`";
            found.push(error("close-without-open", span, message).hint(hint));
        }
        let on_open = self.on_open.take()?;
        Some(Hooks { on_open, on_close: self.on_close.take() })
    }

    fn require(&self, key: &'static str, hint: &str, found: &mut Vec<Diagnostic>) {
        if !self.present.contains(&key) {
            let message = format!("door `{}` has no `{key}`", self.name);
            found.push(error("missing-key", self.spans.name.clone(), message).hint(hint));
        }
    }
}

fn recogniser(value: &Value<'_>) -> Result<Recogniser, Diagnostic> {
    Ok(match reader::word(value, &["both", "kernel", "daemon"])? {
        "kernel" => Recogniser::Kernel,
        "daemon" => Recogniser::Daemon,
        _ => Recogniser::Both,
    })
}

fn tolerate(value: &Value<'_>) -> Result<u8, Diagnostic> {
    // What is a little too large is for the check of the policy to say.
    u8::try_from(reader::number(value)?).map_err(|_| {
        let message = format!("`tolerate` is a number from 0 to {}", limits::MAX_TOLERATE);
        error("tolerate-too-large", value.span(), message)
    })
}
