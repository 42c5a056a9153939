//! What the pages say beside the definitions of the command lines: examples, exit codes, files, and
//! other pages. Tests hold each command to an entry, and each example to the command line.

mod live;
mod programs;
mod rules;

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

/// What a page says at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The name of the page without its section: `portcullis-apply`.
    pub page: &'static str,
    /// Command lines, each with a sentence that says what it does.
    pub examples: &'static [(&'static str, &'static str)],
    /// Exit codes, each with what it says.
    pub exits: &'static [(&'static str, &'static str)],
    /// Files that the program reads or writes, each with what it is.
    pub files: &'static [(&'static str, &'static str)],
    /// Other pages: `nft(8)`.
    pub see: &'static [&'static str],
}

/// All entries.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    [rules::ENTRIES, live::ENTRIES, programs::ENTRIES].into_iter().flatten()
}

/// The entry of a page.
pub fn entry(page: &str) -> Option<&'static Entry> {
    entries().find(|entry| entry.page == page)
}

impl Entry {
    /// As the last sections of a page, in the order of man-pages(7).
    pub fn render(&self) -> String {
        let mut page = Roff::new();
        listed(&mut page, "EXIT STATUS", self.exits, bold);
        listed(&mut page, "FILES", self.files, italic);
        page.control("SH", ["EXAMPLES"]);
        for (line, explanation) in self.examples {
            page.control("PP", []).text(prose(explanation));
            page.control("PP", []).control("nf", []).control("RS", ["4"]);
            page.text([bold(*line)]);
            page.control("RE", []).control("fi", []);
        }
        see_also(&mut page, self.see);
        page.to_roff()
    }
}

fn listed(page: &mut Roff, title: &str, rows: &[(&str, &str)], style: fn(String) -> Inline) {
    if rows.is_empty() {
        return;
    }
    page.control("SH", [title]);
    for (head, text) in rows {
        page.control("TP", []).text([style((*head).to_owned())]).text(prose(text));
    }
}

/// The section of other pages.
pub(super) fn see_also(page: &mut Roff, names: &[&str]) {
    page.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for name in names {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        let (name, section) = name.split_once('(').unwrap_or((name, ""));
        line.push(bold(name));
        line.push(roman(format!("({section}")));
    }
    page.text(line);
}

/// Markdown, of which only code is known.
pub(super) fn prose(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts
        .filter(|(_, part)| !part.is_empty())
        .map(|(number, part)| if number % 2 == 1 { italic(part) } else { roman(part) })
        .collect()
}

/// What the pages say alike.
mod common {
    type Row = (&'static str, &'static str);

    /// Of commands that check nothing but their command line.
    pub const WRONG_USE: Row = ("2", "The command line is wrong.");
    /// Of commands that read a configuration.
    pub const UNREADABLE: Row = ("3", "A file cannot be read.");
    /// Of commands that ask the kernel.
    pub const NO_KERNEL: Row =
        ("3", "The kernel cannot be queried. Most often, the command was not run as root.");
    /// Of commands that ask the kernel and read a configuration.
    pub const NO_KERNEL_OR_FILE: Row = (
        "3",
        "The configuration cannot be read, or the kernel cannot be queried. Most often, the \
         command was not run as root.",
    );
    /// Of commands that change what is loaded.
    pub const NOT_CHANGED: Row = (
        "3",
        "The kernel cannot be queried or changed, or the gate is not loaded. Most often, the \
         command was not run as root.",
    );
    /// Of commands that only read the configuration.
    pub const HAS_ERRORS: Row = ("1", "The configuration has errors.");

    /// The configuration.
    pub const CONFIGURATION: Row = (portcullis_config::DEFAULT_PATH, "The configuration.");
    /// The state directory of rules.
    pub const STATE: Row = (
        crate::apply::DEFAULT_FOLDER,
        "The state directory. `state.json` holds the confirmed configuration and the one on trial, and \
         `confirmed.toml` is a copy of the confirmed one for `portcullis run`.",
    );
}
