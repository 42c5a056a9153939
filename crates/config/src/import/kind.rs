//! What a file is: known by what is in it.

use portcullis_core::policy::Severity;

use super::draft::Draft;
use crate::report::{Diagnostic, Report, error, text_of};

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A `knockd.conf`
    Knockd,
    /// Files of iplock's `ipload`
    Iplock,
    /// What `iptables-save` and `ip6tables-save` print, or a script of such commands
    Iptables,
    /// What `nft list ruleset` prints, or a script for `nft -f`
    Nft,
}

impl Kind {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Knockd => "knockd",
            Self::Iplock => "iplock",
            Self::Iptables => "iptables",
            Self::Nft => "nftables",
        }
    }

    /// What a text is, by its first line that only one of them has. A text without any is left to the reader
    /// of `knockd.conf`, which says best what is wrong with it.
    pub fn of(bytes: &[u8]) -> Self {
        let text = text_of(bytes);
        // What stands in comments is looked at last: an article shows its commands behind a `#`.
        let said = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let kind = said.chain(text.lines()).find_map(of_line);
        kind.unwrap_or(Self::Knockd)
    }
}

fn of_line(line: &str) -> Option<Kind> {
    let line = line.trim_start_matches('\u{feff}').trim();
    let key = line.split_once('=').map(|(key, _)| key.trim_end_matches(['?', '+', ':']).trim());
    let mut words = line.trim_start_matches(['#', '$', ' ']).split_whitespace();
    let first = words.next().map(|word| word.trim_start_matches("sudo")).unwrap_or_default();
    let second = words.next().unwrap_or_default();
    let iptables = |word: &str| matches!(word.rsplit('/').next(), Some("iptables" | "ip6tables"));
    let option = |word: &str| word.starts_with(['-', '\u{2013}']);
    if line.starts_with("[rule::")
        || line.starts_with("[chain::")
        || line.starts_with("[section::")
        || line.starts_with("[table::")
        || ["[variables]", "[verify]"].contains(&line)
        || matches!(key, Some("chains" | "knocks" | "knock_ports" | "section" | "destination_port"))
    {
        return Some(Kind::Iplock);
    }
    if matches!(key, Some("sequence" | "one_time_sequences" | "start_command" | "command"))
        || line.eq_ignore_ascii_case("[options]")
    {
        return Some(Kind::Knockd);
    }
    if matches!(line, "*filter" | "*nat" | "*mangle" | "*raw")
        || line.starts_with(":INPUT")
        || (["-A", "-I", "-P"].contains(&first) && !line.starts_with(['#', '$']))
        || (line.starts_with('#') && line.contains("tables-save"))
        || (iptables(first) && option(second))
        || (first.is_empty() && iptables(second))
    {
        return Some(Kind::Iptables);
    }
    let family = ["ip", "ip6", "inet"].contains(&second);
    let command = ["table", "add", "flush"].contains(&first) && !line.starts_with('#');
    (command && (family || ["rule", "table", "chain", "ruleset"].contains(&second)))
        .then_some(Kind::Nft)
}

/// That there is nothing to import.
pub fn nothing(kind: Kind, files: &[(String, String)], draft: &Draft) -> Report {
    let (path, text) = files.first().cloned().unwrap_or_default();
    let message = format!("this configuration of {} has no door", kind.name());
    let hint = "`import` looks for ports that open after knocks, and for rules that refuse all other packets";
    let none = error("nothing-to-import", 0..0, message).hint(hint);
    let mut found = vec![Diagnostic { span: None, ..none }];
    found.extend(draft.said.iter().filter(|said| said.at.file == 0).map(|said| {
        let span = said.at.byte..said.at.byte.saturating_add(1);
        let found = error("not-imported", span, &*said.message);
        Diagnostic { severity: Severity::Warning, hint: said.hint.clone(), ..found }
    }));
    Report::new(&path, &text, found)
}
