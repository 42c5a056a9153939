//! A configuration with its rules.

use portcullis_core::policy::Policy;
use portcullis_firewall::compile::compile;
use portcullis_firewall::ruleset::Ruleset;
use portcullis_gate::Rules;

use crate::config;
use crate::exit::Failure;

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
    pub fn new(loaded: portcullis_config::Loaded) -> Result<Self, Failure> {
        let portcullis_config::Loaded { policy, backend, text, .. } = loaded;
        let rules = match config::store(backend) {
            Some(store) => Rules::Chains(store),
            None => Rules::Table(table(&policy)?),
        };
        Ok(Self { text, policy, rules })
    }

    /// From a text that was a good configuration once. `name` says which.
    pub(super) fn again(name: &str, text: &str) -> Result<Self, Failure> {
        let loaded = config::parse_str(name, text).map_err(|report| {
            config::show(&report);
            Failure::could_not(format!("this version cannot read {name}"))
                .hint("run `portcullis apply` with a configuration that `portcullis check` accepts")
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
    compile(policy)
        .map_err(|_| Failure::could_not("the doors of this configuration contradict each other"))
}
