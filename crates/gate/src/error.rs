//! Why the gate could not be changed.

use std::fmt;

/// Why something could not be done, as a person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// One sentence without a period.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Error {
    /// Without advice.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// With advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
