//! What the kernel is told, whichever back end a configuration is for: one table of nftables, or
//! chains of iptables.
//!
//! Chains are read back through the programs that made them, which print rules in words of their own. So
//! what they print is kept when rules have been loaded, and compared with what they print later.

use portcullis_firewall::compile::{HOSTS, Hosts, admit};
use portcullis_firewall::iptables::Matcher;
use portcullis_firewall::ruleset::Ruleset;
use portcullis_gate::iptables;
use portcullis_gate::nftables::{self, Error, Gate};

use super::chains::Chains;
use super::configured::{Configured, Rules};
use crate::exit::Failure;
use crate::out::say;

/// What was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// A table of nftables.
    Table(nftables::Loaded),
    /// Chains of iptables, with what remembers addresses.
    Chains(iptables::Loaded, Matcher),
}

/// The kernel, by way of nftables and of iptables.
#[derive(Debug)]
pub struct Kernel {
    gate: Gate,
    /// Whether chains of iptables may be there: a host that has nothing to do with them need not have
    /// the programs, and never runs them.
    has_chains: bool,
}

impl Kernel {
    /// Chains are looked at and removed from the moment on that `has_chains` says so, or chains are loaded.
    ///
    /// # Errors
    ///
    /// The kernel cannot be spoken to.
    pub fn open(has_chains: bool) -> Result<Self, Failure> {
        Ok(Self { gate: Gate::open()?, has_chains })
    }

    /// The side of nftables.
    pub fn gate(&mut self) -> &mut Gate {
        &mut self.gate
    }

    /// Whether there is a table of nftables.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub fn has_table(&mut self) -> Result<bool, Failure> {
        match self.gate.table() {
            Ok(table) => Ok(table.is_some()),
            // A host that lives on iptables may have a kernel without nftables.
            Err(_) if self.has_chains => Ok(false),
            Err(error) => Err(error.into()),
        }
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
        let found = self.chains()?;
        match &configured.rules {
            Rules::Table(_) => {
                let ruleset = self.known(configured)?;
                match self.gate.verify(&ruleset) {
                    Ok(()) => {}
                    Err(Error::Mismatch(difference)) => return Ok(Some(difference.to_string())),
                    Err(error) => return Err(error.into()),
                }
                Ok(found.map(|_| "there are chains of iptables beside the table".to_owned()))
            }
            Rules::Chains(_) => {
                if self.has_table()? {
                    return Ok(Some("there is a table of nftables beside the chains".to_owned()));
                }
                let same = chains.is_some() && found.as_ref() == chains;
                Ok((!same).then(|| "the chains of iptables are others".to_owned()))
            }
        }
    }

    /// Loads rules in the place of whatever is there of ours. Living grants stay, where the back end is
    /// the same.
    ///
    /// # Errors
    ///
    /// Then the kernel holds what it held, unless the message says otherwise.
    pub fn load(&mut self, configured: &Configured) -> Result<Loaded, Failure> {
        match &configured.rules {
            Rules::Table(ruleset) => {
                let loaded = self.gate.load(ruleset)?;
                if self.has_chains {
                    iptables::remove()?;
                }
                Ok(Loaded::Table(loaded))
            }
            Rules::Chains(matcher) => {
                self.has_chains = true;
                let loaded = iptables::load(&configured.policy, *matcher)?;
                // Nobody wants a second gate, which would want to be knocked at too.
                if let Err(error) = self.gate.remove() {
                    say(&format!("warning: rules of nftables: {error}"));
                }
                Ok(Loaded::Chains(loaded, *matcher))
            }
        }
    }

    /// Takes all of ours away; whether there was anything.
    ///
    /// # Errors
    ///
    /// What could not be taken away. The rest is.
    pub fn remove(&mut self) -> Result<bool, Failure> {
        let chains = if self.has_chains { iptables::remove() } else { Ok(false) };
        let table = match self.gate.remove() {
            Err(_) if self.has_chains => false,
            other => other?,
        };
        Ok(chains? || table)
    }

    /// The rules of a table, with the addresses that the kernel has for names of the allow-list: these
    /// change while a configuration stays the same.
    pub(super) fn known(&mut self, configured: &Configured) -> Result<Ruleset, Failure> {
        let mut ruleset = configured.ruleset()?;
        let hosts = self.gate.known_hosts(&configured.policy, Hosts::new())?;
        let sets = ruleset.sets.iter_mut().filter(|set| HOSTS.contains(&set.name.as_str()));
        sets.for_each(|set| set.elements.clear());
        admit(&mut ruleset, &hosts);
        Ok(ruleset)
    }
}
