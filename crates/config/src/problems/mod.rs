//! Each code that a finding in a configuration can have, explained: for `check --explain` and for
//! `docs/problems.md`, which is generated from this table.

mod backends;
mod doors;
mod entry;
mod gate;
mod host;
#[cfg(test)]
mod tests;
mod words;

use std::fmt::Write as _;

use portcullis_core::policy::Severity;

use super::suggest;
pub use entry::{Entry, Example};

/// Entries about one thing.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    /// What they are about.
    pub title: &'static str,
    /// The entries, in the order in which they are shown.
    pub entries: &'static [Entry],
}

/// All there are.
pub const CHAPTERS: [Chapter; 5] = [
    Chapter { title: "Syntax and values", entries: words::ENTRIES },
    Chapter { title: "The gate", entries: gate::ENTRIES },
    Chapter { title: "Doors and their knocks", entries: doors::ENTRIES },
    Chapter { title: "Back ends of iptables", entries: backends::ENTRIES },
    Chapter { title: "This host", entries: host::ENTRIES },
];

/// The codes of what does not forbid a configuration. All others are errors.
const WARNINGS: [&str; 29] = [
    "placeholder-inside",
    "nobody-gets-in",
    "refusal-stands-out",
    "duplicate-public",
    "duplicate-interface",
    "duplicate-allowed",
    "allowed-elsewhere",
    "one-try-bans",
    "knocks-ban",
    "duplicate-guard",
    "step-timeout-long",
    "open-for-long",
    "recent-slow",
    "recent-evicts",
    "ipset-fills",
    "backend-less-exact",
    "backend-many-networks",
    "file-mode",
    "file-owner",
    "knock-answered",
    "interface-missing",
    "interface-no-address",
    "interface-with-master",
    "interface-on-top",
    "interface-without-gate",
    "conntrack-small",
    "conntrack-sparse",
    "conntrack-full",
    "conntrack-unchecked",
];

impl Entry {
    /// Whether it forbids a configuration.
    pub fn severity(&self) -> Severity {
        if WARNINGS.contains(&self.code) { Severity::Warning } else { Severity::Error }
    }

    /// The same as a word.
    fn kind(&self) -> &'static str {
        match self.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// All entries.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    CHAPTERS.iter().flat_map(|chapter| chapter.entries)
}

/// The entry with this code.
pub fn find(code: &str) -> Option<&'static Entry> {
    all().find(|entry| entry.code == code)
}

/// Advice on a code that there is not.
pub fn hint(code: &str) -> String {
    let known: Vec<&str> = all().map(|entry| entry.code).collect();
    // Whoever knows a part of it knows most of it.
    let part = || known.iter().copied().find(|known| code.len() > 2 && known.contains(code));
    match suggest::nearest(code, &known).or_else(part) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "run `portcullis check --codes` to list all codes".into(),
    }
}

/// An entry as it is shown on a terminal.
pub fn text(entry: &Entry) -> String {
    let bold = anstyle::Style::new().bold();
    let mut out = format!("{bold}{}[{}]{bold:#}: {}\n\n", entry.kind(), entry.code, entry.title);
    wrap(&mut out, entry.why);
    out.push('\n');
    wrap(&mut out, &format!("Remedy: {}", entry.remedy));
    out.push('\n');
    match entry.example {
        Example::Text(text) => {
            out.push_str("Found in:\n\n");
            for line in text.lines() {
                let _ = writeln!(out, "    {line}");
            }
        }
        Example::Made(words, _) | Example::Words(words) => {
            wrap(&mut out, &format!("Found {words}."))
        }
    }
    out
}

/// The whole table as a page in Markdown.
pub fn page() -> String {
    let mut out = String::from(
        "<!-- Generated from crates/config/src/problems: do not edit.\n     \
         PORTCULLIS_BLESS=1 cargo test -p portcullis-config problems writes it again. -->\n\n\
         # What `portcullis check` finds\n\n\
         Each code that an error or a warning has, why it matters, and what to do about it.\n\
         `portcullis check --explain CODE` prints one of them, `portcullis check --codes` lists them.\n",
    );
    for chapter in CHAPTERS {
        let _ = writeln!(out, "\n## {}", chapter.title);
        for entry in chapter.entries {
            let _ = write!(out, "\n### {}\n\n*{}: {}.* ", entry.code, entry.kind(), entry.title);
            let _ = write!(out, "{}\n\n**Remedy:** {}\n\n", entry.why, entry.remedy);
            let _ = match entry.example {
                Example::Text(text) => writeln!(out, "```toml\n{}\n```", text.trim_end()),
                Example::Made(words, _) | Example::Words(words) => writeln!(out, "Found {words}."),
            };
        }
    }
    out
}

/// Codes, whether they are errors, and titles, a line each.
pub fn list() -> String {
    let width = all().map(|entry| entry.code.len()).max().unwrap_or(0);
    all().fold(String::new(), |mut out, entry| {
        let _ = writeln!(out, "{:width$}  {:7}  {}", entry.code, entry.kind(), entry.title);
        out
    })
}

/// Prose in lines of 80 columns at most.
fn wrap(out: &mut String, prose: &str) {
    let mut column = 0usize;
    for word in prose.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column.saturating_add(length) >= 80 {
            out.push('\n');
            column = 0;
        }
        if column > 0 {
            out.push(' ');
        }
        out.push_str(word);
        column = column.saturating_add(length).saturating_add(1);
    }
    out.push('\n');
}
