//! Lines to sections, and what stands in a wrong one.

use portcullis_core::limits::MAX_DOORS;

use super::directives::{KEYS as DOOR_KEYS, NEARLY_OPTIONS, Reading, is_nearly_options, path};
use super::door::Name;
use super::lines::{Kind, Line, lines, shown};
use super::{Configuration, Located, OptionPlaces};
use crate::report::error;
use crate::report::{Diagnostic, Span};
use crate::suggest;

/// The keys below `[options]` that have a value.
const OPTION_KEYS: [&str; 3] = ["logfile", "pidfile", "interface"];

/// The only key without a value; it may stand in any section.
const SYSLOG_KEY: &str = "usesyslog";

/// Nobody wants to know more than this of one file, which is hardly a `knockd.conf` then.
const MAX_FOUND: usize = 10_000;

/// Advice on unknown words is given so many times.
const MAX_ADVICE: usize = 1_000;

/// Reads all lines. What is read is of use only if nothing is found.
pub fn read(text: &[u8], found: &mut Vec<Diagnostic>) -> Located {
    let mut reader = Reader {
        located: Located {
            configuration: Configuration::default(),
            options: OptionPlaces::default(),
            doors: Vec::new(),
        },
        section: Section::None,
        found,
    };
    for line in lines(text) {
        if reader.found.len() >= MAX_FOUND {
            break;
        }
        reader.line(&line);
    }
    reader.finish_section();
    reader.located
}

/// Which section the lines belong to.
enum Section {
    /// None has begun.
    None,
    Options,
    Door(Box<Reading>),
    /// One whose header is wrong, and has been reported.
    Unknown,
}

struct Reader<'f> {
    located: Located,
    section: Section,
    found: &'f mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn line(&mut self, line: &Line<'_>) {
        if let Some(nul) = line.text.iter().position(|byte| *byte == 0) {
            let at = line.span.start.saturating_add(nul);
            self.found.push(error("nul", at..at.saturating_add(1), "there is a NUL byte"));
            return;
        }
        match &line.kind {
            Kind::Header { name, span } => self.header(name, span.clone(), line.span.clone()),
            _ if line.text.starts_with(b"[") => {
                self.finish_section();
                self.section = Section::Unknown;
                self.found.push(bad_header(line));
            }
            _ if matches!(self.section, Section::None) => {
                self.section = Section::Unknown;
                let message = "this line does not belong to a section";
                let hint = "begin with a line such as `[options]` or `[openSSH]`";
                self.found.push(error("no-section", line.span.clone(), message).hint(hint));
            }
            Kind::Directive { key, key_span, value, value_span } => {
                let key = String::from_utf8_lossy(key).to_ascii_lowercase();
                self.directive(&key, key_span.clone(), value, value_span.clone());
            }
            Kind::Word => self.word(line),
        }
    }

    fn header(&mut self, name: &[u8], span: Span, whole: Span) {
        self.finish_section();
        self.section = Section::Unknown;
        if name == b"options" {
            self.section = Section::Options;
        } else if self.located.doors.len() >= MAX_DOORS {
            let message = format!("there are more than {MAX_DOORS} doors");
            // One is enough.
            if !self.found.iter().any(|found| found.code == "too-many-doors") {
                self.found.push(error("too-many-doors", whole, message));
            }
        } else if let Some(name) = Name::new(name) {
            self.section = Section::Door(Box::new(Reading::new(name, span)));
        } else {
            let hint = "write a name between the brackets, which the log will show";
            self.found.push(error("bad-section", whole, "the section has no name").hint(hint));
        }
    }

    /// A line without `=`.
    fn word(&mut self, line: &Line<'_>) {
        let word = String::from_utf8_lossy(line.text).to_ascii_lowercase();
        if word == SYSLOG_KEY {
            self.located.configuration.options.use_syslog = true;
            self.located.options.use_syslog = Some(line.span.clone());
            return;
        }
        let diagnostic = error("syntax", line.span.clone(), "expected `key = value`");
        let first = word.split(|c: char| c.is_whitespace() || c == ':').next().unwrap_or(&word);
        let hint = if word.starts_with(';') || word.starts_with("//") {
            "a comment begins with `#`".into()
        } else if OPTION_KEYS.contains(&first) || DOOR_KEYS.contains(&first) {
            self.flaw();
            format!("write `{first} = ...`")
        } else if first == SYSLOG_KEY || suggest::nearest(first, &[SYSLOG_KEY]).is_some() {
            "write `UseSyslog` alone on its line".into()
        } else {
            "each line is a section, a directive, or a comment that begins with `#`; a directive \
             cannot go on in the next line"
                .into()
        };
        self.found.push(diagnostic.hint(hint));
    }

    fn directive(&mut self, key: &str, key_span: Span, value: &[u8], at: Span) {
        let known = match &mut self.section {
            Section::Options => {
                if OPTION_KEYS.contains(&key) {
                    self.option(key, value, at);
                    return;
                }
                &OPTION_KEYS[..]
            }
            Section::Door(door) => {
                if DOOR_KEYS.contains(&key) {
                    door.directive(key, value, at, self.found);
                    return;
                }
                &DOOR_KEYS[..]
            }
            Section::None | Section::Unknown => return,
        };
        let diagnostic = self.unknown_key(key, key_span, known);
        self.found.push(diagnostic);
    }

    fn option(&mut self, key: &str, value: &[u8], at: Span) {
        let options = &mut self.located.configuration.options;
        let places = &mut self.located.options;
        match key {
            "logfile" => (options.log_file, places.log_file) = (path(value), Some(at)),
            "pidfile" => (options.pid_file, places.pid_file) = (path(value), Some(at)),
            _ => match std::str::from_utf8(value) {
                Ok(name) => {
                    options.interface = (!name.is_empty()).then(|| name.into());
                    places.interface = Some(at);
                }
                Err(_) => {
                    let message = "no interface has such a name";
                    let hint = "write it as `ip link` shows it";
                    self.found.push(error("bad-name", at, message).hint(hint));
                }
            },
        }
    }

    fn unknown_key(&mut self, key: &str, span: Span, known: &[&'static str]) -> Diagnostic {
        if key.is_empty() {
            self.flaw();
            let hint = "write the name of a directive before the `=`";
            return error(
                "unknown-key",
                span.start..span.start.saturating_add(1),
                "a key is missing",
            )
            .hint(hint);
        }
        let place = match &self.section {
            Section::Door(door) => format!("door `{}`", shown(door.name.as_bytes())),
            _ => "`[options]`".into(),
        };
        let message = format!("unknown key `{}` in {place}", shown(key.as_bytes()));
        let diagnostic = error("unknown-key", span, message);
        if key == SYSLOG_KEY {
            return diagnostic.hint("write `UseSyslog` alone on its line");
        }
        match &self.section {
            Section::Door(door) if OPTION_KEYS.contains(&key) && is_nearly_options(&door.name) => {
                return diagnostic.hint(NEARLY_OPTIONS);
            }
            Section::Options if DOOR_KEYS.contains(&key) => {
                return diagnostic
                    .hint("write it below the section of a door, such as `[openSSH]`");
            }
            _ if self.found.len() > MAX_ADVICE => return diagnostic,
            _ => {}
        }
        let near = suggest::nearest(key, known);
        if near.is_some() {
            self.flaw();
        }
        diagnostic.hint(suggest::hint(near, known))
    }

    /// What is wrong here might have been the knocks.
    fn flaw(&mut self) {
        if let Section::Door(door) = &mut self.section {
            door.flawed = true;
        }
    }

    fn finish_section(&mut self) {
        if let Section::Door(door) = std::mem::replace(&mut self.section, Section::None) {
            let places = door.places.clone();
            if let Some(door) = door.finish(self.found) {
                self.located.configuration.doors.push(door);
                self.located.doors.push(places);
            }
        }
    }
}

/// A line that begins like a header and is none.
fn bad_header(line: &Line<'_>) -> Diagnostic {
    let message = "the header of a section is the whole line, from `[` to `]`";
    let diagnostic = error("bad-section", line.span.clone(), message);
    match line.text.iter().position(|byte| *byte == b']') {
        Some(end) => {
            let rest = line.text.get(end.saturating_add(1)..).unwrap_or_default();
            let header = line.text.get(..=end).unwrap_or_default();
            diagnostic.hint(if rest.trim_ascii().starts_with(b"#") {
                "a comment is a line of its own; put it above this one".into()
            } else {
                format!("write `{}` and go on in the next line", shown(header))
            })
        }
        None => diagnostic.hint("close it with `]`"),
    }
}
