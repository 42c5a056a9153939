//! What a door runs.

use portcullis_core::limits;
use portcullis_core::policy::{Hook, HookError, Severity};
use toml::de::DeValue;

use super::reader::{self, Value, wrong_type};
use super::report::{Diagnostic, Span, error};

/// Reads a list of arguments; `None` if it is wrong.
pub fn read(value: &Value<'_>, found: &mut Vec<Diagnostic>) -> Option<Hook> {
    let expected = "an array of arguments such as `[\"/usr/bin/logger\", \"{address}\"]`";
    if let DeValue::String(_) = value.get_ref() {
        let hint = "write the program and each argument as its own string; for a shell, write \
                    `[\"/bin/sh\", \"-c\", \"...\", \"sh\", \"{address}\"]`, where `$1` is the \
                    address";
        found.push(wrong_type(value, expected).hint(hint));
        return None;
    }
    let (arguments, places) = reader::list(value, expected, found, argument)?;
    for (argument, place) in arguments.iter().zip(&places) {
        found.extend(never_replaced(argument, place));
    }
    let place = |index: usize| places.get(index).cloned().unwrap_or_else(|| value.span());
    let problem = match Hook::new(arguments) {
        Ok(hook) => return Some(hook),
        Err(problem) => problem,
    };
    let span = match problem {
        HookError::NotAbsolute => place(0),
        HookError::Nul { index } => place(index),
        _ => value.span(),
    };
    found.push(error("bad-hook", span, problem.to_string()).hint(hint(problem)));
    None
}

fn argument(value: &Value<'_>) -> Result<String, Diagnostic> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        _ => Err(wrong_type(value, "an argument such as `\"-v\"`")),
    }
}

fn hint(problem: HookError) -> String {
    match problem {
        HookError::Empty => "write a program and its arguments, or remove the key".into(),
        HookError::NotAbsolute => "write the whole path: `/usr/bin/logger`, not `logger`".into(),
        HookError::TooManyArguments { .. } => {
            format!("use at most {}; move the rest into a script", limits::MAX_HOOK_ARGUMENTS)
        }
        HookError::TooLong { .. } => {
            format!("use at most {} bytes; move the rest into a script", limits::MAX_HOOK_BYTES)
        }
        HookError::Nul { .. } => "remove the NUL byte".into(),
    }
}

/// Who writes `--from={address}` expects that something happens to it.
fn never_replaced(argument: &str, place: &Span) -> Option<Diagnostic> {
    let inside = |name: &&&str| argument.contains(**name) && argument != **name;
    let name = [Hook::DOOR, Hook::ADDRESS].iter().find(inside).copied()?;
    let message = format!("`{name}` is replaced only where it is a whole argument");
    let hint = "make it an argument of its own; a script of `sh -c` gets the arguments after it as \
                `$0`, `$1` and so on";
    let severity = Severity::Warning;
    Some(Diagnostic { severity, ..error("placeholder-inside", place.clone(), message).hint(hint) })
}
