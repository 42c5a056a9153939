//! A native configuration in the making, with what is to be said of it.
//!
//! Every importer fills one of these. `advice` then adds what the check of the policy will say,
//! and `write` makes the text.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use portcullis_core::limits::{
    MAX_DOOR_NAME, MAX_OPEN_FOR, MAX_STEP_TIMEOUT, MIN_OPEN_FOR, MIN_STEP_TIMEOUT,
};
use portcullis_core::policy::{
    Allowed, Door, DoorName, GatePolicy, InterfaceName, Policy, Port, Recogniser, Refuse, Stance,
};

use super::ports::service_name;
use crate::duration;

/// A place: the number of the file, and the byte in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct At {
    pub file: usize,
    pub byte: usize,
}

/// An entry of a list, with its place, and why it is only a comment, if it is.
pub type Entry<T> = (T, At, Option<String>);

/// Adds an entry, unless the list has it already, and not only as a comment where this one is none. Says whether
/// it did.
pub fn add_entry<T: PartialEq>(list: &mut Vec<Entry<T>>, entry: Entry<T>) -> bool {
    let is_known = list
        .iter()
        .any(|(known, _, why)| *known == entry.0 && (why.is_none() || entry.2.is_some()));
    if !is_known {
        list.push(entry);
    }
    !is_known
}

/// The entries that are no comments.
fn kept<T: Clone>(list: &[Entry<T>]) -> Vec<T> {
    list.iter().filter(|(.., why)| why.is_none()).map(|(entry, ..)| entry.clone()).collect()
}

/// What the native configuration will say.
#[derive(Debug, Default)]
pub struct Draft {
    pub interfaces: Vec<InterfaceName>,
    pub stance: Stance,
    /// `None` leaves it to the stance.
    pub refuse: Option<Refuse>,
    pub log_refused: bool,
    pub public: Vec<Entry<Port>>,
    pub allow: Vec<Entry<Allowed>>,
    pub doors: Vec<Sketch>,
    pub left: Vec<Left>,
    pub said: Vec<Said>,
    /// What was left out already, by another way to it.
    known: BTreeSet<(At, String)>,
    /// The names that are taken, each with the last number that one like it was given.
    names: HashMap<String, u32>,
}

/// A door.
#[derive(Debug, Clone)]
pub struct Sketch {
    /// It guards nothing if its hooks do the opening.
    pub door: Door,
    pub places: Places,
    pub from: Vec<(String, At)>,
    /// What the check will not like of its sequence, or what became of it.
    pub comments: Vec<String>,
}

/// Where the parts of a door come from.
#[derive(Debug, Clone)]
pub struct Places {
    pub door: At,
    pub guards: At,
    pub sequence: At,
    pub step_timeout: At,
    pub open_for: At,
}

impl From<At> for Places {
    /// All are of one rule.
    fn from(at: At) -> Self {
        Self { door: at, guards: at, sequence: at, step_timeout: at, open_for: at }
    }
}

/// Something of the original that is not carried over.
#[derive(Debug)]
pub struct Left {
    pub at: At,
    pub text: String,
    pub why: String,
    /// What does the same beside the gate, if anything does.
    pub command: Option<String>,
}

/// Something to say to whoever imports.
#[derive(Debug)]
pub struct Said {
    pub at: At,
    pub kind: NoteKind,
    pub message: String,
    pub hint: Option<String>,
}

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteKind {
    /// Good to know.
    Note,
    /// Somebody has to do something about it.
    Hand,
    /// The original lets somebody in whom it should not; what is made of it does not.
    Hole,
}

impl NoteKind {
    /// As the note begins.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Hand => "warning",
            Self::Hole => "hole",
        }
    }
}

impl Said {
    pub fn new(at: At, kind: NoteKind, message: impl Into<String>) -> Self {
        Self { at, kind, message: message.into(), hint: None }
    }
    pub fn note(at: At, message: impl Into<String>) -> Self {
        Self::new(at, NoteKind::Note, message)
    }
    pub fn hand(at: At, message: impl Into<String>) -> Self {
        Self::new(at, NoteKind::Hand, message)
    }
    pub fn hole(at: At, message: impl Into<String>) -> Self {
        Self::new(at, NoteKind::Hole, message)
    }
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A door as it was meant.
pub struct Wanted {
    /// What it should be called; by what it guards if nothing is said.
    pub name: Option<String>,
    /// What the original calls the parts that it is made of, if it gives them names, and where these are.
    pub from: Vec<(String, At)>,
    pub places: Places,
    pub guards: Vec<Port>,
    pub sequence: Vec<Port>,
    pub step_timeout: Option<Duration>,
    pub open_for: Option<Duration>,
}

impl Draft {
    pub fn say(&mut self, said: Said) {
        self.said.push(said);
    }

    /// Leaves something out, and says so once.
    pub fn leave_out(&mut self, left: Left, kind: NoteKind, hint: Option<String>) {
        if self.known.insert((left.at, left.why.clone())) {
            let message = format!("not converted: {}", left.why);
            self.said.push(Said { at: left.at, kind, message, hint });
            self.left.push(left);
        }
    }

    /// Leaves out a text that is not understood, or has no counterpart.
    pub fn leave_text(&mut self, at: At, text: &str, why: &str, hint: &str) {
        let (text, why) = (text.trim().to_owned(), why.to_owned());
        self.leave_out(Left { at, text, why, command: None }, NoteKind::Hand, Some(hint.into()));
    }

    /// Adds a door, unless one with these ports and knocks is there already. Says whether it did.
    pub fn add_once(&mut self, mut wanted: Wanted) -> bool {
        let mut seen = BTreeSet::new();
        wanted.guards.retain(|port| seen.insert(*port));
        let is_same = |sketch: &&Sketch| {
            sketch.door.guards == wanted.guards && sketch.door.sequence == wanted.sequence
        };
        if let Some(sketch) = self.doors.iter().find(is_same) {
            let message =
                format!("this is door `{}` again, for the other address family", sketch.door.name);
            self.say(Said::note(wanted.places.door, message));
            return false;
        }
        self.add(wanted).is_some()
    }

    /// Adds a door, within the limits.
    pub fn add(&mut self, wanted: Wanted) -> Option<&mut Sketch> {
        let Wanted { name, from, places, guards, sequence, step_timeout, open_for } = wanted;
        let name = self.name(name.as_deref(), &guards)?;
        if let Some((original, at)) = from.first().filter(|(original, _)| original != name.as_str())
        {
            self.say(Said::note(*at, format!("door `{original}` is now called `{name}`")));
        }
        let mut clamp = |key, at, shorter, wanted: Duration, least, most| {
            let kept = wanted.clamp(least, most);
            if kept != wanted {
                let message = format!(
                    "`{key}` of door `{name}` is {} instead of {}",
                    duration::format(kept),
                    duration::format(wanted)
                );
                let kind = if kept < wanted { shorter } else { NoteKind::Note };
                self.said.push(Said::new(at, kind, message));
            }
            kept
        };
        let step_timeout = clamp(
            "step_timeout",
            places.step_timeout,
            NoteKind::Note,
            step_timeout.unwrap_or(Door::DEFAULT_STEP_TIMEOUT),
            MIN_STEP_TIMEOUT,
            MAX_STEP_TIMEOUT,
        );
        let open_for = clamp(
            "open_for",
            places.open_for,
            NoteKind::Hand,
            open_for.unwrap_or(Door::DEFAULT_OPEN_FOR),
            MIN_OPEN_FOR,
            MAX_OPEN_FOR,
        );
        let door = Door {
            name,
            guards,
            sequence,
            step_timeout,
            open_for,
            recogniser: Recogniser::default(),
            tolerate: 0,
            hooks: None,
        };
        self.doors.push(Sketch { door, places, from, comments: Vec::new() });
        self.doors.last_mut()
    }

    /// A name that the native configuration takes, and that no other door has.
    fn name(&mut self, wanted: Option<&str>, guards: &[Port]) -> Option<DoorName> {
        let by_port = || match guards.first() {
            Some(port) => match service_name(port.number.get()) {
                Some(service) => service.to_owned(),
                None => format!("{}-{}", port.protocol, port.number),
            },
            None => "door".into(),
        };
        let wanted = wanted.and_then(valid).unwrap_or_else(by_port);
        let mut name = wanted.clone();
        while self.names.contains_key(&name) {
            let last = self.names.entry(wanted.clone()).or_insert(1);
            *last = last.saturating_add(1);
            let number = format!("-{last}");
            let kept = MAX_DOOR_NAME.saturating_sub(number.len());
            name = format!("{}{number}", wanted.get(..kept).unwrap_or(&wanted));
        }
        self.names.insert(name.clone(), 1);
        DoorName::new(&name).ok()
    }

    /// The policy that it comes to.
    pub fn policy(&self) -> Policy {
        let gate = GatePolicy {
            interfaces: self.interfaces.clone(),
            stance: self.stance,
            refuse: self.refuse.unwrap_or_else(|| Refuse::default_of(self.stance)),
            public: kept(&self.public),
            allow: kept(&self.allow),
            log_refused: self.log_refused,
            ..GatePolicy::default()
        };
        Policy { gate, doors: self.doors.iter().map(|sketch| sketch.door.clone()).collect() }
    }
}

/// The name with a hyphen for each run of what a native name cannot hold; `None` if nothing is left of it.
fn valid(name: &str) -> Option<String> {
    let mut out = String::new();
    for c in name.chars() {
        let fits = c.is_ascii_alphanumeric() || (matches!(c, '_' | '-' | '.') && !out.is_empty());
        if out.len() >= MAX_DOOR_NAME {
            break;
        } else if fits {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    let kept = out.trim_end_matches('-');
    (!kept.is_empty()).then(|| kept.to_owned())
}
