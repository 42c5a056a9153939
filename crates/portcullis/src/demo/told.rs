//! What a step of the story comes to.

use std::io;

/// What was observed instead of what should have been; a sentence without a period.
pub type Told = Result<(), String>;

/// For `?` on what the operating system refuses in the middle of a step.
pub fn because(doing: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("cannot {doing}: {error}")
}
