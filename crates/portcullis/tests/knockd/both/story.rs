//! What a daemon has logged and done, as far as its order is promised.
//!
//! The daemon's own lines come in the order of the packets. Those about commands are written by one
//! child of theirs for each opening, in its own time: they are in order for each door and source.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

/// What ends a line that an empty line follows.
pub const EMPTY_LINE_AFTER: char = '⏎';

/// What one daemon has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Story {
    /// Its lines about knocks and itself.
    pub daemon: Vec<String>,
    /// The lines about commands, by door and source.
    pub children: BTreeMap<Key, Vec<String>>,
    /// What commands have written, by door and source.
    pub ran: BTreeMap<Key, Vec<String>>,
}

/// A door, and the source that a line names, if it does.
pub type Key = (String, Option<IpAddr>);

impl Story {
    /// From the lines of a log and of what its commands have written, each of these beginning with
    /// its door. What helps the test itself is left out.
    pub fn new(log: &[String], ran: &[String]) -> Self {
        let mut story = Self::default();
        for line in log {
            if line.contains(": sentinel: ") || line.contains(": anchor: ") {
                continue;
            }
            match key(line) {
                Some(key) => story.children.entry(key).or_default().push(line.clone()),
                None => story.daemon.push(line.clone()),
            }
        }
        for line in ran {
            let door = line.split_whitespace().next().unwrap_or_default().to_owned();
            story.ran.entry((door, address(line))).or_default().push(line.clone());
        }
        story
    }

    /// How often the daemon has opened this door for this source.
    pub fn openings(&self, (door, source): &Key) -> usize {
        let Some(source) = source else { return 0 };
        let line = format!("{source}: {door}: OPEN SESAME");
        self.daemon.iter().filter(|other| **other == line).count()
    }

    /// Forgets what commands did for a door and a source.
    pub fn forget_commands(&mut self, key: &Key) {
        self.children.remove(key);
        self.ran.remove(key);
    }

    /// Where it differs from another one: the lines that only one of the two has, or all of them
    /// where only their order differs.
    pub fn differences(&self, other: &Self) -> String {
        let mut text = String::new();
        compare(&mut text, "the daemon's lines", &self.daemon, &other.daemon);
        for (what, ours, theirs) in [
            ("lines about commands", &self.children, &other.children),
            ("what commands have written", &self.ran, &other.ran),
        ] {
            let none = Vec::new();
            let keys: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
            for key in keys {
                let (one, two) = (ours.get(key).unwrap_or(&none), theirs.get(key).unwrap_or(&none));
                compare(&mut text, &format!("{what} of {key:?}"), one, two);
            }
        }
        text
    }
}

fn compare(text: &mut String, what: &str, one: &[String], two: &[String]) {
    if one == two {
        return;
    }
    let at = one.iter().zip(two).take_while(|(one, two)| one == two).count();
    writeln!(text, "{what} differ from line {} on:", at + 1).unwrap();
    for (side, lines) in [("first", one), ("second", two)] {
        writeln!(text, "  {side}: {:#?}", &lines[at..lines.len().min(at + 12)]).unwrap();
    }
}

/// The lines of a log without their timestamps, an empty one marked at the end of the one before.
///
/// # Panics
///
/// A line has no timestamp, or none of the right shape.
pub fn lines(log: &str) -> impl Iterator<Item = String> {
    // A line may be read while it is written, where it crosses a page of memory.
    let whole = log.rfind('\n').map_or("", |end| &log[..=end]);
    let mut lines: Vec<String> = Vec::new();
    for line in whole.lines() {
        if line.is_empty() {
            lines.last_mut().expect("an empty line before all others").push(EMPTY_LINE_AFTER);
            continue;
        }
        let (time, message) = line.split_once("] ").unwrap_or_else(|| panic!("no time: {line}"));
        let shape: String =
            time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "[0000-00-00 00:00", "{line}");
        lines.push(message.to_owned());
    }
    lines.into_iter()
}

/// Whether a line is about a command, and then which door's and source's.
fn key(line: &str) -> Option<Key> {
    for middle in [": running command: ", ": command returned non-zero status code "] {
        if let Some((door, command)) = line.split_once(middle) {
            return Some((door.to_owned(), address(command)));
        }
    }
    let (who, door) = line.strip_suffix(": command timeout")?.split_once(": ")?;
    Some((door.to_owned(), address(who)))
}

/// The first address among the words.
fn address(text: &str) -> Option<IpAddr> {
    text.split([' ', EMPTY_LINE_AFTER]).find_map(|word| word.parse().ok())
}
