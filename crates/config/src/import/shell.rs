//! A shell command that takes the address as an argument, instead of having it written into it.

use portcullis_core::policy::Hook;

/// What stands for the address.
const ADDRESS: &str = "%IP%";

/// A shell command whose first argument is the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// For `sh -c`.
    pub text: String,
    /// Whether it certainly does what the original did. Shells have corners that this does not read.
    pub certain: bool,
}

impl Script {
    /// A shell that is given the address as an argument, so that it never reads it as a command.
    pub fn arguments(&self) -> Vec<String> {
        ["/bin/sh", "-c", &self.text, "knockd", Hook::ADDRESS].map(String::from).into()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    /// Words, also within `( )` and `$( )`.
    Words,
    Single,
    Double,
    Backquotes,
}

/// Puts `$1` in the place of each `%IP%`, quoted so that it is one word where the address was part of
/// one.
pub fn with_argument(command: &str) -> Script {
    let mut scan = Scan {
        rest: command,
        out: String::new(),
        open: vec![Context::Words],
        begins: true,
        certain: true,
    };
    while !scan.rest.is_empty() {
        scan.step();
    }
    let words = ["case ", "$("];
    let certain = scan.certain
        && scan.open == [Context::Words]
        // Patterns of `case` end with a parenthesis that nothing has opened.
        && !words.iter().all(|word| command.contains(word))
        && !["<<", "$'", "{address}", "{door}"].iter().any(|odd| command.contains(odd));
    Script { text: scan.out, certain }
}

struct Scan<'a> {
    rest: &'a str,
    out: String,
    open: Vec<Context>,
    /// Whether a word would begin here.
    begins: bool,
    certain: bool,
}

impl Scan<'_> {
    fn step(&mut self) {
        let context = self.open.last().copied().unwrap_or(Context::Words);
        let begins = std::mem::take(&mut self.begins);
        if let Some(rest) = self.rest.strip_prefix(ADDRESS) {
            self.rest = rest;
            self.certain &= !self.open.contains(&Context::Backquotes);
            // The digits would have gone on with the name of a variable.
            let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            self.certain &=
                context == Context::Single || !self.out.trim_end_matches(name).ends_with('$');
            self.out.push_str(match context {
                Context::Words | Context::Backquotes => "\"$1\"",
                Context::Double => "$1",
                Context::Single => "'\"$1\"'",
            });
            return;
        }
        let Some(c) = self.rest.chars().next() else { return };
        if context == Context::Single && c != '\'' {
            return self.copy(c.len_utf8());
        }
        match c {
            '\\' => self.backslash(context),
            '"' => self.quote(Context::Double),
            '`' => self.quote(Context::Backquotes),
            '\'' if context != Context::Double => self.quote(Context::Single),
            '$' => self.dollar(),
            '(' if context == Context::Words => {
                self.begins = true;
                self.open.push(Context::Words);
                self.copy(1);
            }
            ')' if context == Context::Words => {
                if self.open.len() > 1 {
                    self.open.pop();
                }
                self.copy(1);
            }
            '#' if context == Context::Words && begins => {
                // A comment up to the end.
                self.copy(self.rest.len());
            }
            _ => {
                self.begins = matches!(c, ' ' | '\t' | ';' | '&' | '|');
                self.copy(c.len_utf8());
            }
        }
    }

    /// A quotation mark, which ends what it has begun.
    fn quote(&mut self, context: Context) {
        if self.open.last() == Some(&context) {
            self.open.pop();
        } else {
            self.open.push(context);
        }
        self.copy(1);
    }

    /// The original had a digit or a letter of an address behind it, which it did not change.
    fn backslash(&mut self, context: Context) {
        let after = self.rest.get(1..).unwrap_or("");
        if after.starts_with(ADDRESS) {
            self.rest = after;
            if context == Context::Double {
                // There it stays, before anything but a few.
                self.out.push_str("\\\\");
            }
            return;
        }
        self.copy(1usize.saturating_add(after.chars().next().map_or(0, char::len_utf8)));
    }

    fn dollar(&mut self) {
        let after = self.rest.get(1..).unwrap_or("");
        if after.starts_with('(') {
            self.begins = true;
            self.open.push(Context::Words);
            return self.copy(2);
        }
        if let Some(inside) = after.strip_prefix('{') {
            let inside = inside.split('}').next().unwrap_or(inside);
            self.certain &= !inside.contains(ADDRESS)
                && !inside.starts_with(|c: char| c.is_ascii_digit() || "@*#".contains(c));
        }
        // What had no value has one now.
        self.certain &= !after.starts_with(|c: char| c.is_ascii_digit() || "@*#".contains(c));
        self.copy(1);
    }

    fn copy(&mut self, bytes: usize) {
        let (now, later) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.out.push_str(now);
        self.rest = later;
    }
}
