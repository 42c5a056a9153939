//! The keeper's view of the firewall: one table, and grants in it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::policy::{DoorName, Policy};
use portcullis_firewall::compile::{Hosts, admit, compile};
use portcullis_gate::nftables::{self, Numbers};
use portcullis_gate::{Gate, Loaded, Look, Rules};

use crate::exit::Failure;

/// The gate of this network namespace, as the keeper uses it. `run` is for nftables alone, so no program is
/// ever run for it.
#[derive(Debug)]
pub struct KeeperGate {
    gate: Gate,
    numbers: Numbers,
}

/// What was done to make the kernel hold a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Established {
    /// Nothing: it held exactly these rules. Grants and attempts are untouched.
    Kept {
        /// How many grants are alive.
        grants: usize,
    },
    /// The table was replaced in one transaction.
    Loaded(nftables::Loaded),
}

impl fmt::Display for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, grants) = match self {
            Self::Kept { grants } => ("rules unchanged", *grants),
            Self::Loaded(loaded) => ("rules loaded", loaded.grants),
        };
        f.write_str(what)?;
        match grants {
            0 => Ok(()),
            1 => f.write_str(", 1 grant kept"),
            many => write!(f, ", {many} grants kept"),
        }
    }
}

impl KeeperGate {
    /// Opens a way to the kernel's firewall.
    ///
    /// # Errors
    ///
    /// No permission, or no nf_tables.
    pub fn open() -> Result<Self, Failure> {
        Ok(Self { gate: Gate::looking(Look::Never)?, numbers: Numbers::default() })
    }

    /// Makes the kernel hold this policy. Where it does, nothing is touched, so that a restart
    /// disturbs neither grants nor attempts; otherwise living grants are carried over. `found` is what
    /// has been found about names that are allowed.
    ///
    /// # Errors
    ///
    /// The kernel refuses; then it holds what it held before.
    pub fn establish(&mut self, policy: &Policy, found: Hosts) -> Result<Established, Failure> {
        // A configuration that was read without errors has none of these conflicts.
        let mut ruleset = compile(policy).map_err(|_| {
            Failure::could_not("the doors of this configuration contradict each other")
        })?;
        if self.gate.difference(policy, &Rules::Table(ruleset.clone()))?.is_none() {
            self.allow(policy, found)?;
            let view = self.gate.view()?.unwrap_or_default();
            return Ok(Established::Kept { grants: view.grants.len() });
        }
        admit(&mut ruleset, &self.gate.table().known_hosts(policy, found)?);
        match self.gate.load(policy, &Rules::Table(ruleset))? {
            (Loaded::Table(loaded), _) => Ok(Established::Loaded(loaded)),
            (Loaded::Chains(..), _) => Err(Failure::could_not(
                "the iptables chains of Portcullis were loaded, not its nftables table",
            )),
        }
    }

    /// Makes the kernel allow the addresses that have been found for names of this policy, which is
    /// loaded. Those of which nothing has been found keep what they have.
    ///
    /// # Errors
    ///
    /// The kernel refuses; then it holds what it held before.
    pub fn allow(&mut self, policy: &Policy, found: Hosts) -> Result<(), Failure> {
        if policy.allowed_hosts().is_empty() {
            return Ok(());
        }
        let known = self.gate.table().known_hosts(policy, found)?;
        let ruleset = compile(policy).map_err(|_| {
            Failure::could_not("the doors of this configuration contradict each other")
        })?;
        Ok(self.gate.table().replace_hosts(&ruleset, &known)?)
    }

    /// Lets an address start connections to the ports of the door of this name in the table that is
    /// loaded now, whoever has loaded it.
    ///
    /// # Errors
    ///
    /// The kernel refuses: too many grants; or there is no such door, or no table.
    pub fn grant(
        &mut self,
        door: &DoorName,
        address: IpAddr,
        open_for: Duration,
    ) -> Result<(), Failure> {
        let table = self.gate.table();
        Ok(table.grant_by_name(&mut self.numbers, door.as_str(), address, open_for)?)
    }
}
