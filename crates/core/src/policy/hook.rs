//! What a door runs when it opens and when it closes.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use super::DoorName;
use crate::limits;

/// The commands of a door. The daemon runs them, and nobody while it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// Run when the door opens for somebody.
    pub on_open: Hook,
    /// Run when its time is up. Knocking again before that puts it off.
    pub on_close: Option<Hook>,
}

/// A program with its arguments. No shell reads them, unless the program is one.
///
/// The first item is the absolute path of the program. There are at most
/// [`MAX_HOOK_ARGUMENTS`](limits::MAX_HOOK_ARGUMENTS) of them, of
/// [`MAX_HOOK_BYTES`](limits::MAX_HOOK_BYTES) together, and none holds a NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook(Vec<String>);

impl Hook {
    /// What stands for the name of the door, where it is a whole argument.
    pub const DOOR: &str = "{door}";
    /// What stands for the address of who knocked, where it is a whole argument.
    pub const ADDRESS: &str = "{address}";

    /// Checks and keeps a list of arguments.
    ///
    /// # Errors
    /// It cannot be run as it is.
    pub fn new(arguments: Vec<String>) -> Result<Self, HookError> {
        let Some(program) = arguments.first() else { return Err(HookError::Empty) };
        if !program.starts_with('/') {
            return Err(HookError::NotAbsolute);
        }
        if arguments.len() > limits::MAX_HOOK_ARGUMENTS {
            return Err(HookError::TooManyArguments { count: arguments.len() });
        }
        let bytes = arguments.iter().fold(0usize, |sum, item| sum.saturating_add(item.len()));
        if bytes > limits::MAX_HOOK_BYTES {
            return Err(HookError::TooLong { bytes });
        }
        match arguments.iter().position(|argument| argument.contains('\0')) {
            Some(index) => Err(HookError::Nul { index }),
            None => Ok(Self(arguments)),
        }
    }

    /// The arguments as they were written.
    pub fn arguments(&self) -> &[String] {
        &self.0
    }

    /// The arguments for somebody. An argument is replaced as a whole or not at all, so that neither
    /// value can become a part of anything that a program reads as more than a value.
    pub fn fill(&self, door: &DoorName, address: IpAddr) -> Vec<String> {
        let fill = |argument: &String| match argument.as_str() {
            Self::DOOR => door.as_str().to_string(),
            Self::ADDRESS => address.to_string(),
            _ => argument.clone(),
        };
        self.0.iter().map(fill).collect()
    }
}

/// Why a list of arguments cannot be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookError {
    /// There is nothing in it.
    Empty,
    /// The program is not named by its absolute path.
    NotAbsolute,
    /// There are too many arguments.
    TooManyArguments {
        /// So many.
        count: usize,
    },
    /// They are too long.
    TooLong {
        /// So long together.
        bytes: usize,
    },
    /// An argument holds a NUL, which ends it for every program.
    Nul {
        /// Which one.
        index: usize,
    },
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the command is empty"),
            Self::NotAbsolute => f.write_str("the path of the program is not absolute"),
            Self::TooManyArguments { count } => write!(f, "the command has {count} arguments"),
            Self::TooLong { bytes } => write!(f, "the arguments are {bytes} bytes long"),
            Self::Nul { .. } => f.write_str("an argument contains a NUL byte"),
        }
    }
}

impl core::error::Error for HookError {}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn hook(arguments: &[&str]) -> Result<Hook, HookError> {
        Hook::new(arguments.iter().map(|argument| String::from(*argument)).collect())
    }

    #[test]
    fn what_cannot_be_run_is_none() {
        assert!(hook(&["/bin/true"]).is_ok());
        assert_eq!(hook(&[]), Err(HookError::Empty));
        for relative in ["", "true", "./true", "{address}"] {
            assert_eq!(hook(&[relative]), Err(HookError::NotAbsolute), "{relative}");
        }
        assert_eq!(hook(&["/bin/echo", "a", "b\0"]), Err(HookError::Nul { index: 2 }));
        let many = limits::MAX_HOOK_ARGUMENTS;
        assert!(Hook::new(vec!["/".into(); many]).is_ok());
        let count = many + 1;
        assert_eq!(Hook::new(vec!["/".into(); count]), Err(HookError::TooManyArguments { count }));
        let long = |bytes: usize| Hook::new(vec!["/".into(), "x".repeat(bytes - 1)]);
        assert!(long(limits::MAX_HOOK_BYTES).is_ok());
        let bytes = limits::MAX_HOOK_BYTES + 1;
        assert_eq!(long(bytes), Err(HookError::TooLong { bytes }));
    }

    #[test]
    fn only_whole_arguments_are_replaced() {
        let hook =
            hook(&["/bin/x", "{door}", "{address}", "a{address}", "{address} ", "{{door}}", "$1"]);
        let filled =
            hook.unwrap().fill(&DoorName::new("ssh").unwrap(), "2001:db8::7".parse().unwrap());
        let expected =
            ["/bin/x", "ssh", "2001:db8::7", "a{address}", "{address} ", "{{door}}", "$1"];
        assert_eq!(filled, expected);
    }
}
