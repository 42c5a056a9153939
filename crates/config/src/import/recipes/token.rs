//! Words of rules.

use crate::import::draft::At;

/// A word, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub at: At,
    /// It was in quotes.
    pub quoted: bool,
}

impl Token {
    pub fn new(text: impl Into<String>, at: At, quoted: bool) -> Self {
        Self { text: text.into(), at, quoted }
    }
}

/// The words as one line, those in quotes in quotes again.
pub fn shown(words: &[Token]) -> String {
    let words: Vec<_> = words
        .iter()
        .filter(|word| word.text != "\n")
        .map(|word| if word.quoted { format!("{:?}", word.text) } else { word.text.clone() })
        .collect();
    words.join(" ")
}

/// Why a rule with this port is left out.
pub fn unknown_port(word: &str) -> String {
    format!("unknown port `{word}`")
}
