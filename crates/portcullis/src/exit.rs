//! Exit codes and failures, decided in one place; README lists the codes.

use std::fmt;
use std::process::ExitCode;

use portcullis_gate::nftables;

/// How a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked.
    Done = 0,
    /// The answer is no: a check failed, a door did not open.
    No = 1,
    /// It was called in a wrong way.
    WrongUse = 2,
    /// It could not: no permission, no kernel support, something in the way.
    CouldNot = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked, as a person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One sentence without a period. Empty when everything has been said on stderr already.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// It could not be done.
    pub fn could_not(message: impl Into<String>) -> Self {
        Self { exit: Exit::CouldNot, message: message.into(), hint: None }
    }

    /// It was asked in a wrong way.
    pub fn wrong_use(message: impl Into<String>) -> Self {
        Self { exit: Exit::WrongUse, message: message.into(), hint: None }
    }

    /// The answer is no, and has been given.
    pub const fn no() -> Self {
        Self { exit: Exit::No, message: String::new(), hint: None }
    }

    /// The answer is no, for this reason.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { exit: Exit::No, message: message.into(), hint: None }
    }

    /// With advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return Ok(());
        }
        write!(f, "error: {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<portcullis_gate::Failed> for Failure {
    fn from(failed: portcullis_gate::Failed) -> Self {
        Self { exit: Exit::CouldNot, message: failed.message, hint: failed.hint }
    }
}

impl From<portcullis_gate::Error> for Failure {
    fn from(error: portcullis_gate::Error) -> Self {
        match error {
            portcullis_gate::Error::Nftables(error) => error.into(),
            error => Self { exit: Exit::CouldNot, message: error.to_string(), hint: error.hint() },
        }
    }
}

impl From<portcullis_lab::Error> for Failure {
    fn from(error: portcullis_lab::Error) -> Self {
        Self { exit: Exit::CouldNot, message: error.message, hint: error.hint }
    }
}

impl From<nftables::Error> for Failure {
    fn from(error: nftables::Error) -> Self {
        Self { exit: Exit::CouldNot, message: error.to_string(), hint: error.hint() }
    }
}

/// What a command returns.
pub type Outcome = Result<Exit, Failure>;
