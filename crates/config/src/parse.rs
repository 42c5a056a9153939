//! The native configuration: TOML to policy, with located errors.

use portcullis_core::policy::Policy;

use super::backend::Backend;
use super::host::{self, Host};
use super::report::{Diagnostic, Report, Span, error};
use super::settle::{Places, settle};
use super::{locate, meaning, syntax};

/// A configuration that may be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says. It has passed the check.
    pub policy: Policy,
    /// Which back end it is for.
    pub backend: Backend,
    /// Where it says so.
    backend_span: Span,
    /// What could be better. Holds no errors.
    pub warnings: Report,
    /// What was read.
    pub text: String,
}

/// Which back end it is to be for, given the one that the configuration names.
pub type Choose<'a> = &'a dyn Fn(Backend) -> Backend;

/// What a back end cannot do with a policy, or does otherwise than it says.
pub type Limits<'a> = &'a dyn Fn(&Policy, Backend, Places<'_>) -> Vec<Diagnostic>;

/// What a configuration is read for.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// For which back end.
    pub choose: Choose<'a>,
    /// Asks whoever knows that back end.
    pub limits: Limits<'a>,
    /// For which host, if for one.
    pub host: Option<&'a Host>,
}

impl Default for Context<'_> {
    /// For the back end that it names, of which nothing is known, and for no host.
    fn default() -> Self {
        Self { choose: &|named| named, limits: &|_, _, _| Vec::new(), host: None }
    }
}

impl Loaded {
    /// For a command that works with nftables alone.
    ///
    /// # Errors
    /// The configuration is for another back end.
    pub fn only_nftables(self, command: &str, hint: &str) -> Result<Self, Box<Report>> {
        if self.backend == Backend::Nftables {
            return Ok(self);
        }
        let message = format!("`portcullis {command}` works only with nftables");
        let found = error("backend-not-here", self.backend_span, message).hint(hint);
        Err(Box::new(self.warnings.with_only(found)))
    }
}

/// Reads a configuration for no host in particular, and without asking what its back end cannot do.
/// `path` is what messages call it.
///
/// # Errors
/// Everything that is wrong with it, of syntax, of meaning, and what the check of the policy found.
pub fn parse_str(path: &str, text: &str) -> Result<Loaded, Report> {
    parse(path, text, Context::default())
}

/// Reads a configuration. `path` is what messages call it.
///
/// # Errors
/// As [`parse_str`], and what its back end cannot do, and what is wrong with it on this host.
pub fn parse(path: &str, text: &str, context: Context<'_>) -> Result<Loaded, Report> {
    // Some editors begin a file with a byte order mark. TOML does not count it, nor do columns.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    let tree = syntax::parse(text, &mut found);
    let mut meaning = meaning::Meaning::default();
    if let Some(tree) = tree {
        meaning = meaning::read(&tree, &mut found);
        meaning.backend = (context.choose)(meaning.backend);
        locate::check(&meaning, &mut found);
        settle(&mut meaning, &mut found);
        found.extend((context.limits)(&meaning.policy, meaning.backend, Places::of(&meaning)));
        if let Some(host) = context.host {
            host::check(&meaning, host, &mut found);
        }
    }
    let warnings = Report::new(path, text, found);
    if warnings.errors() > 0 {
        return Err(warnings);
    }
    let backend_span = meaning.backend_span.unwrap_or(0..0);
    let text = text.to_owned();
    Ok(Loaded { policy: meaning.policy, backend: meaning.backend, backend_span, warnings, text })
}

#[cfg(test)]
mod tests;
