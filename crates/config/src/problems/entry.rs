//! One code, explained.

/// One code.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The short name, which stays the same for ever.
    pub code: &'static str,
    /// What is found, as one line.
    pub title: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// What it is found in.
    pub example: Example,
}

/// What a problem is found in.
#[derive(Debug, Clone, Copy)]
pub enum Example {
    /// A configuration.
    Text(&'static str),
    /// A configuration that is too long to be shown: what it is like, and how it is made.
    Made(&'static str, fn() -> String),
    /// It takes more than a configuration: what.
    Words(&'static str),
}
