//! The keeper's view of the firewall: one table, and grants in it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::policy::{DoorId, Policy};
use portcullis_firewall::compile::compile;

use crate::exit::Failure;
use crate::netlink::nftables::{self, Error, Loaded};

/// The table of this network namespace.
#[derive(Debug)]
pub struct Gate {
    table: nftables::Gate,
    /// The names of the policy's doors.
    names: Vec<String>,
    /// The doors of the table, with their numbers there, and when they were read.
    held: Vec<(u32, String)>,
    held_at: Option<u32>,
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
    Loaded(Loaded),
}

impl fmt::Display for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, grants) = match self {
            Self::Kept { grants } => ("the rules are in the kernel already", *grants),
            Self::Loaded(loaded) => ("rules loaded", loaded.grants),
        };
        f.write_str(what)?;
        match grants {
            0 => Ok(()),
            1 => f.write_str(", 1 grant lives on"),
            many => write!(f, ", {many} grants live on"),
        }
    }
}

impl Gate {
    /// Opens a way to the kernel's firewall.
    ///
    /// # Errors
    ///
    /// No permission, or no nf_tables.
    pub fn open() -> Result<Self, Failure> {
        Ok(Self {
            table: nftables::Gate::open()?,
            names: Vec::new(),
            held: Vec::new(),
            held_at: None,
        })
    }

    /// Makes the kernel hold this policy. Where it does, nothing is touched, so that a restart
    /// disturbs neither grants nor attempts; otherwise living grants are carried over.
    ///
    /// # Errors
    ///
    /// The kernel refuses; then it holds what it held before.
    pub fn establish(&mut self, policy: &Policy) -> Result<Established, Failure> {
        // A configuration that was read without errors has none of these conflicts.
        let ruleset =
            compile(policy).map_err(|_| Failure::could_not("doors contradict each other"))?;
        let established = match self.table.verify(&ruleset) {
            Ok(()) => Established::Kept { grants: self.table.grants()?.len() },
            Err(Error::Mismatch(_)) => Established::Loaded(self.table.load(&ruleset)?),
            Err(error) => return Err(error.into()),
        };
        self.names = policy.doors.iter().map(|door| door.name.as_str().to_owned()).collect();
        self.held_at = None;
        Ok(established)
    }

    /// Lets an address start connections to the ports of a door: of the one with the same name, in
    /// case somebody has loaded other rules, with other numbers.
    ///
    /// # Errors
    ///
    /// The kernel refuses: too many grants, no such door, or the table is gone.
    pub fn grant(
        &mut self,
        door: DoorId,
        address: IpAddr,
        open_for: Duration,
    ) -> Result<(), Failure> {
        let before = self.table.generation()?;
        if before.is_none() || before != self.held_at {
            self.held = self.table.door_names()?;
            self.held_at = before;
        }
        let name = usize::try_from(door.0).ok().and_then(|index| self.names.get(index));
        let held = self.held.iter().find(|(_, held)| Some(held) == name);
        let Some((class, _)) = held else {
            return Err(Failure::could_not("the rules in force have no such door"));
        };
        self.table.grant(*class, address, open_for)?;
        // Most likely this was the only change.
        if before.map(|before| before.wrapping_add(1)) == self.table.generation()? {
            self.held_at = before.map(|before| before.wrapping_add(1));
        }
        Ok(())
    }
}
