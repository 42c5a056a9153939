//! Words of a ruleset.

use crate::import::filter::At;

/// A word, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub at: At,
    /// It was in quotes.
    pub quoted: bool,
}

/// The words as one line.
pub fn shown(words: &[Token]) -> String {
    let words: Vec<_> = words
        .iter()
        .filter(|word| word.text != "\n")
        .map(|word| if word.quoted { format!("{:?}", word.text) } else { word.text.clone() })
        .collect();
    words.join(" ")
}
