//! Names that are safe wherever they are shown or sent.

use alloc::string::String;
use core::fmt;

use crate::limits;

/// The name of a door: 1 to 48 of `a-z A-Z 0-9 _ - .`, beginning with a letter or a digit.
///
/// It stands in log lines, kernel comments and on command lines; no character in it means anything
/// to any of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DoorName(String);

impl DoorName {
    /// Checks and keeps a name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > limits::MAX_DOOR_NAME {
            return Err(NameError::TooLong(limits::MAX_DOOR_NAME));
        }
        if let Some(bad) =
            text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
        {
            return Err(NameError::BadCharacter(bad));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(NameError::BadStart);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DoorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a network interface: 1 to 15 bytes, without `/`, white space, quotes or control
/// characters, and neither `.` nor `..` (`dev_valid_name` of net/core/dev.c, made stricter so that
/// no name needs quoting, and without `*`, which the firewall would read as a wildcard).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// Checks and keeps a name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > limits::MAX_INTERFACE_NAME {
            return Err(NameError::TooLong(limits::MAX_INTERFACE_NAME));
        }
        if let Some(bad) = text
            .chars()
            .find(|c| !c.is_ascii_graphic() || matches!(c, '/' | '"' | '\'' | '*' | '\\' | ':'))
        {
            return Err(NameError::BadCharacter(bad));
        }
        if matches!(text, "." | "..") {
            return Err(NameError::BadStart);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// There is nothing.
    Empty,
    /// It is longer than this many bytes.
    TooLong(usize),
    /// It holds a character that is not allowed.
    BadCharacter(char),
    /// It begins with a character that may only stand inside.
    BadStart,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name is empty"),
            Self::TooLong(most) => write!(f, "a name has at most {most} bytes"),
            Self::BadCharacter(c) => write!(f, "a name cannot contain {c:?}"),
            Self::BadStart => f.write_str("a name must begin with a letter or a digit"),
        }
    }
}

impl core::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn door_names_hold_nothing_that_means_something_elsewhere() {
        for good in ["ssh", "Web-1", "a.b_c", "9"] {
            assert!(DoorName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-x", "a b", "a\"b", "a\nb", "ä", "a/b", "a;b"] {
            assert!(DoorName::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(DoorName::new(&"a".repeat(49)), Err(NameError::TooLong(48)));
    }

    #[test]
    fn interface_names_are_those_of_linux() {
        for good in ["eth0", "enp0s31f6", "wg-home", "br0.100", "eth0@if2"] {
            assert!(InterfaceName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "..", "eth*", "sixteen-bytes-xx", "a b"] {
            assert!(InterfaceName::new(bad).is_err(), "{bad:?}");
        }
    }
}
