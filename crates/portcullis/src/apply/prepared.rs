//! A configuration with its rules, and what comes back.

use std::fmt;

use portcullis_core::policy::Policy;
use portcullis_firewall::compile::compile;
use portcullis_firewall::ruleset::Ruleset;

use super::kernel::{Chains, Kernel};
use super::state::State;
use crate::config;
use crate::exit::Failure;
pub use crate::gate::Rules;

/// A configuration and the rules that it means.
#[derive(Debug)]
pub struct Configured {
    /// What was read.
    pub text: String,
    /// What it says.
    pub policy: Policy,
    /// As rules.
    pub rules: Rules,
}

impl Configured {
    /// From a configuration that has been read.
    ///
    /// # Errors
    ///
    /// None, for one that was read without errors.
    pub fn new(loaded: config::Loaded) -> Result<Self, Failure> {
        let config::Loaded { policy, backend, text, .. } = loaded;
        let rules = match backend.matcher() {
            Some(matcher) => Rules::Chains(matcher),
            None => Rules::Table(table(&policy)?),
        };
        Ok(Self { text, policy, rules })
    }

    /// From a text that was a good configuration once. `name` says which.
    pub(super) fn again(name: &str, text: &str) -> Result<Self, Failure> {
        let loaded = config::parse_str(name, text).map_err(|report| {
            report.show();
            Failure::could_not(format!("{name} is none that this version understands"))
                .hint("apply one that it does")
        })?;
        Self::new(loaded)
    }

    /// Whether it is for chains of iptables.
    pub const fn is_chains(&self) -> bool {
        matches!(self.rules, Rules::Chains(_))
    }

    /// As a table of nftables, whichever back end it is for: both mean the same.
    ///
    /// # Errors
    ///
    /// None, for a configuration that was read without errors.
    pub fn ruleset(&self) -> Result<Ruleset, Failure> {
        match &self.rules {
            Rules::Table(ruleset) => Ok(ruleset.clone()),
            Rules::Chains(_) => table(&self.policy),
        }
    }
}

fn table(policy: &Policy) -> Result<Ruleset, Failure> {
    compile(policy).map_err(|_| Failure::could_not("doors contradict each other"))
}

/// What the kernel held before, ready to be loaded.
#[derive(Debug)]
pub struct Prepared {
    before: Option<Configured>,
    /// If it was chains: as they were read back when they had been loaded.
    chains: Option<Chains>,
}

impl Prepared {
    /// Of a text; nothing stands for no gate.
    ///
    /// # Errors
    ///
    /// The text is no good configuration, or the kernel could not be asked.
    pub(super) fn new(
        text: Option<&str>,
        chains: Option<&Chains>,
        kernel: &mut Kernel,
    ) -> Result<Self, Failure> {
        let again = |text| {
            let mut before = Configured::again("the configuration that was in force before", text)?;
            if matches!(before.rules, Rules::Table(_)) {
                before.rules = Rules::Table(kernel.known(&before)?);
            }
            Ok::<_, Failure>(before)
        };
        let before = text.map(again).transpose()?;
        let chains = chains.filter(|_| before.as_ref().is_some_and(Configured::is_chains)).cloned();
        Ok(Self { before, chains })
    }

    /// Makes the kernel hold it. Where it does, nothing is touched; living grants are carried over.
    ///
    /// # Errors
    ///
    /// The kernel refuses; then it holds what it held.
    pub(super) fn restore(&mut self, kernel: &mut Kernel) -> Result<(), Failure> {
        let Some(before) = &self.before else { return kernel.remove().map(|_| ()) };
        if kernel.difference(before, self.chains.as_ref())?.is_some() {
            kernel.load(before)?;
            self.chains = kernel.chains_of(before)?;
        }
        Ok(())
    }

    /// The state once this is in force again.
    pub(super) fn state(&self, state: &State) -> State {
        let mut state = state.with_pending(None);
        if self.chains.is_some() {
            state.chains.clone_from(&self.chains);
        }
        state
    }
}

impl fmt::Display for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.before {
            None => "rolled back, and as before there is no gate: guarded ports are open",
            Some(_) => "rolled back, the rules before are in force again",
        })
    }
}
