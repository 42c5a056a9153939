//! The kernel, as a trial sees it: after a while, a trial must recognise the loaded rules again.
//!
//! Chains are read back through the programs that made them, and these print rules in their own words. So the
//! printed text is stored when rules are loaded. If the programs later print the same text, the rules are
//! certainly the same, whatever the version of the programs. Otherwise the gate compares rule by rule.

use portcullis_firewall::ruleset::Ruleset;
pub use portcullis_gate::Loaded;
use portcullis_gate::{Gate, Look, Removed};

use super::chains::Chains;
use super::configured::Configured;
use crate::exit::Failure;
use crate::out::say;

/// The kernel, by way of whichever back end.
#[derive(Debug)]
pub struct Kernel {
    gate: Gate,
    /// Whether chains of iptables may be there.
    has_chains: bool,
}

impl Kernel {
    /// Chains are looked at and removed from the moment on that `has_chains` says so, or chains are loaded.
    ///
    /// # Errors
    ///
    /// The kernel cannot be spoken to.
    pub fn open(has_chains: bool) -> Result<Self, Failure> {
        let look = if has_chains { Look::Always } else { Look::Never };
        Ok(Self { gate: Gate::looking(look)?, has_chains })
    }

    /// The gate, whichever back end it has.
    pub fn gate(&mut self) -> &mut Gate {
        &mut self.gate
    }

    /// Whether there is a table of nftables.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub fn has_table(&mut self) -> Result<bool, Failure> {
        Ok(self.gate.has_table()?)
    }

    /// Our chains, if there may be some.
    ///
    /// # Errors
    ///
    /// As [`Chains::now`].
    pub fn chains(&self) -> Result<Option<Chains>, Failure> {
        if self.has_chains { Chains::now() } else { Ok(None) }
    }

    /// The chains of rules that have just been loaded; `None` if they are a table.
    ///
    /// # Errors
    ///
    /// As [`Chains::now`].
    pub fn chains_of(&self, loaded: &Configured) -> Result<Option<Chains>, Failure> {
        if loaded.is_chains() { Chains::now() } else { Ok(None) }
    }

    /// In what the kernel does not hold exactly these rules and no others of ours, in words; `chains`
    /// are those that were read back when they had been loaded.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub fn difference(
        &mut self,
        configured: &Configured,
        chains: Option<&Chains>,
    ) -> Result<Option<String>, Failure> {
        let is_known = configured.is_chains() && chains.is_some() && !self.has_table()?;
        if is_known && self.chains()?.as_ref() == chains {
            return Ok(None);
        }
        Ok(self.gate.difference(&configured.policy, &configured.rules)?)
    }

    /// Loads rules in the place of whatever is there of ours. Living grants stay, where the back end is
    /// the same.
    ///
    /// # Errors
    ///
    /// Then the kernel holds what it held, unless the message says otherwise.
    pub fn load(&mut self, configured: &Configured) -> Result<Loaded, Failure> {
        self.has_chains |= configured.is_chains();
        let (loaded, left) = self.gate.load(&configured.policy, &configured.rules)?;
        if let Some(error) = left {
            say(&format!("warning: cannot remove the old nftables rules: {error}"));
        }
        Ok(loaded)
    }

    /// Takes all of ours away.
    ///
    /// # Errors
    ///
    /// What could not be taken away. The rest is.
    pub fn remove(&mut self) -> Result<Removed, Failure> {
        Ok(self.gate.remove()?)
    }

    /// The rules of a table, with the addresses that the kernel has for names of the allow-list: these
    /// change while a configuration stays the same.
    pub(super) fn known(&mut self, configured: &Configured) -> Result<Ruleset, Failure> {
        Ok(self.gate.known(&configured.policy, &configured.ruleset()?)?)
    }
}
