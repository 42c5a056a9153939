//! A configuration with its rules, and what comes back.

use std::fmt;

use portcullis_core::policy::Policy;
use portcullis_firewall::compile::{HOSTS, Hosts, admit, compile};
use portcullis_firewall::ruleset::Ruleset;

use crate::config;
use crate::exit::Failure;
use crate::netlink::nftables::{Error, Gate};

/// A configuration and the rules that it means.
#[derive(Debug)]
pub struct Configured {
    /// What was read.
    pub text: String,
    /// What it says.
    pub policy: Policy,
    /// As rules.
    pub ruleset: Ruleset,
}

impl Configured {
    /// From a configuration that has been read.
    ///
    /// # Errors
    ///
    /// None, for one that was read without errors.
    pub fn new(loaded: config::Loaded) -> Result<Self, Failure> {
        let config::Loaded { policy, text, .. } = loaded;
        let ruleset =
            compile(&policy).map_err(|_| Failure::could_not("doors contradict each other"))?;
        Ok(Self { text, policy, ruleset })
    }

    /// The rules, with the addresses that the kernel has for names of the allow-list: these change
    /// while a configuration stays the same.
    pub(super) fn as_known(&self, gate: &mut Gate) -> Result<Ruleset, Error> {
        let hosts = gate.known_hosts(&self.policy, Hosts::new())?;
        let mut ruleset = self.ruleset.clone();
        let sets = ruleset.sets.iter_mut().filter(|set| HOSTS.contains(&set.name.as_str()));
        sets.for_each(|set| set.elements.clear());
        admit(&mut ruleset, &hosts);
        Ok(ruleset)
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
}

/// What the kernel held before, ready to be loaded.
#[derive(Debug)]
pub struct Prepared(Option<Configured>);

impl Prepared {
    /// Of a text; nothing stands for no gate.
    ///
    /// # Errors
    ///
    /// The text is no good configuration, or the kernel could not be asked.
    pub fn new(text: Option<&str>, gate: &mut Gate) -> Result<Self, Failure> {
        let again = |text| {
            let mut before = Configured::again("the configuration that was in force before", text)?;
            before.ruleset = before.as_known(gate)?;
            Ok::<_, Failure>(before)
        };
        Ok(Self(text.map(again).transpose()?))
    }

    /// Makes the kernel hold it. Where it does, nothing is touched; living grants are carried over.
    ///
    /// # Errors
    ///
    /// The kernel refuses; then it holds what it held.
    pub fn restore(&self, gate: &mut Gate) -> Result<(), Failure> {
        match &self.0 {
            None => gate.remove().map(|_| ())?,
            Some(before) => match gate.verify(&before.ruleset) {
                Ok(()) => {}
                Err(Error::Mismatch(_)) => gate.load(&before.ruleset).map(|_| ())?,
                Err(error) => return Err(error.into()),
            },
        }
        Ok(())
    }
}

impl fmt::Display for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            None => "rolled back, and as before there is no gate: guarded ports are open",
            Some(_) => "rolled back, the rules before are in force again",
        })
    }
}
