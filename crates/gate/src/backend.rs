//! The gate in the kernel, by whichever back end it is loaded: one table of nftables, or chains of
//! iptables with lists of `recent` or with sets of ipset. Everything that reads or changes the firewall side
//! uses [`Backend`], and does not have to know which of the three is loaded.
//!
//! If a back end cannot do something, the result is an [`Error`] with one sentence. iptables and ipset have
//! no bans and no names in the allow-list. `recent` has no separate time for each grant.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::policy::{Network, Policy};
use portcullis_firewall::compile::{HOSTS, Hosts, admit};
use portcullis_firewall::iptables::Matcher;
use portcullis_firewall::ruleset::Ruleset;

use crate::iptables;
use crate::iptables::chains::Chains;
use crate::nftables::{self, Banned, Banning, Gate, Grant, Unbanned, View};
use crate::{Error, Failed, Kind};

/// The rules of a policy, for one back end.
#[derive(Debug)]
pub enum Rules {
    /// A table of nftables.
    Table(Ruleset),
    /// Chains of iptables, compiled when they are loaded: their names depend on what is there.
    Chains(Matcher),
}

impl Rules {
    /// For which back end.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Table(_) => Kind::Nftables,
            Self::Chains(matcher) => Kind::from(*matcher),
        }
    }
}

/// What was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// A table of nftables.
    Table(nftables::Loaded),
    /// Chains of iptables, with what remembers addresses.
    Chains(iptables::Loaded, Matcher),
}

/// What was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// A table of nftables.
    pub table: bool,
    /// Chains of iptables, or sets.
    pub chains: bool,
}

/// The result of a grant by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// For how long from now on.
    pub length: Duration,
    /// Whether there was one before, which counts from now on.
    pub renewed: bool,
}

/// When chains of iptables are looked for, which takes running programs. A host that has nothing to do with
/// them need not have these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Never: there are none.
    Never,
    /// Where there is no table.
    WithoutTable,
    /// Always: there may be some even beside a table.
    Always,
}

/// What of the gate is loaded.
enum Found {
    Table,
    Chains(Chains),
}

/// The gate of one network namespace, that of the thread that opens it.
#[derive(Debug)]
pub struct Backend {
    table: Gate,
    look: Look,
}

impl Backend {
    /// Opens it, whatever is loaded.
    ///
    /// # Errors
    ///
    /// The kernel cannot be spoken to.
    pub fn open() -> Result<Self, Error> {
        Self::looking(Look::WithoutTable)
    }

    /// Opens it. Once it has loaded chains, they are always looked for.
    ///
    /// # Errors
    ///
    /// The kernel cannot be spoken to.
    pub fn looking(look: Look) -> Result<Self, Error> {
        Ok(Self { table: Gate::open()?, look })
    }

    /// The side of nftables.
    pub fn table(&mut self) -> &mut Gate {
        &mut self.table
    }

    /// Whether there is a table of nftables.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub fn has_table(&mut self) -> Result<bool, Error> {
        match self.table.table() {
            Ok(table) => Ok(table.is_some()),
            // A host with iptables may have a kernel without nftables.
            Err(nftables::Error::NoNfTables) if self.look != Look::Never => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What the gate is; `None` if nothing of it is loaded. Where there is a table, it is that.
    fn found(&mut self) -> Result<Option<Found>, Error> {
        if self.has_table()? {
            return Ok(Some(Found::Table));
        }
        let chains = if self.look == Look::Never { None } else { Chains::read()? };
        Ok(chains.map(Found::Chains))
    }

    /// The same, where something must be loaded.
    fn loaded(&mut self) -> Result<Found, Error> {
        self.found()?.ok_or(Error::NotLoaded)
    }

    /// Which back end is loaded; `None` if nothing is.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub fn kind(&mut self) -> Result<Option<Kind>, Error> {
        Ok(self.found()?.map(|found| match found {
            Found::Table => Kind::Nftables,
            Found::Chains(chains) => chains.matcher().into(),
        }))
    }

    /// Doors and grants; `None` if nothing is loaded.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub fn view(&mut self) -> Result<Option<View>, Error> {
        match self.found()? {
            Some(Found::Chains(chains)) => chains.view().map(Some),
            Some(Found::Table) => Ok(self.table.view()?),
            None => Ok(None),
        }
    }

    /// How many sources are in the middle of a knock, as the kernel sees it.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub fn knocking(&mut self) -> Result<usize, Error> {
        match self.found()? {
            Some(Found::Chains(chains)) => chains.knocking(),
            Some(Found::Table) => Ok(self.table.knocking()?),
            None => Ok(0),
        }
    }

    /// For how long the loaded door of this name opens, where its rules say that.
    ///
    /// # Errors
    ///
    /// Nothing is loaded, or no such door.
    pub fn open_for(&mut self, door: &str) -> Result<Option<Duration>, Error> {
        match self.loaded()? {
            Found::Chains(chains) => chains.open_for(door),
            Found::Table => {
                self.table.loaded_door(door)?;
                Ok(None)
            }
        }
    }

    /// Opens the door of this name for an address, for `time` from now on, whether or not it was open for
    /// it.
    ///
    /// # Errors
    ///
    /// Nothing is loaded, no such door, no room, or a back end that cannot give this time.
    pub fn grant(&mut self, door: &str, address: IpAddr, time: Duration) -> Result<Granted, Error> {
        let Found::Chains(chains) = self.loaded()? else {
            let renewed = self.table.open_door(door, address, time)?;
            return Ok(Granted { length: time, renewed });
        };
        let before = chains.view()?;
        let class = before.door(door)?.class;
        let same = |grant: &Grant| grant.class == class && grant.address == address;
        let length = chains.grant(door, address, time)?;
        Ok(Granted { length, renewed: before.grants.iter().any(same) })
    }

    /// Ends the grants of the door of this name, or of every door, for an address, or for everyone. Returns the
    /// grants that ended. Established connections stay.
    ///
    /// # Errors
    ///
    /// Nothing is loaded, or no such door.
    pub fn revoke(&mut self, door: Option<&str>, address: Option<IpAddr>) -> Result<View, Error> {
        match self.loaded()? {
            Found::Chains(chains) => chains.revoke(door, address),
            Found::Table => Ok(self.table.close_doors(door, address)?),
        }
    }

    /// Whether the loaded rules know bans.
    ///
    /// # Errors
    ///
    /// [`Error::NotLoaded`], or that they do not.
    pub fn must_know_bans(&mut self) -> Result<(), Error> {
        match self.loaded()? {
            Found::Chains(chains) => Err(Error::NoBans(chains.matcher().into())),
            Found::Table => Ok(self.table.must_know_bans()?),
        }
    }

    /// All active bans, in the order of their addresses; none if the rules have no bans.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub fn bans(&mut self) -> Result<Vec<Banned>, Error> {
        if self.has_table()? { Ok(self.table.bans()?) } else { Ok(Vec::new()) }
    }

    /// Bans all of `network`, as [`Gate::ban`] does.
    ///
    /// # Errors
    ///
    /// Nothing is loaded, rules that know no bans, or no room.
    pub fn ban(
        &mut self,
        network: Network,
        asked: Network,
        time: Option<Duration>,
    ) -> Result<Banning, Error> {
        self.must_know_bans()?;
        Ok(self.table.ban(network, asked, time)?)
    }

    /// Ends the bans of all addresses of `network`, or of everybody, and forgets their strikes.
    ///
    /// # Errors
    ///
    /// Nothing is loaded, or rules that know no bans.
    pub fn unban(&mut self, network: Option<Network>) -> Result<Unbanned, Error> {
        self.must_know_bans()?;
        Ok(self.table.unban(network)?)
    }

    /// The first difference between the rules of a policy and the rules of ours in the kernel, in words.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub fn difference(&mut self, policy: &Policy, rules: &Rules) -> Result<Option<String>, Error> {
        match rules {
            Rules::Table(ruleset) => {
                if let Some(Found::Chains(chains)) = self.found()? {
                    return Ok(Some(instead(chains.matcher().into(), Kind::Nftables)));
                }
                if self.look == Look::Always && Chains::read()?.is_some() {
                    return Ok(Some("chains of iptables are loaded beside the table".to_owned()));
                }
                let ruleset = self.known(policy, ruleset)?;
                match self.table.verify(&ruleset) {
                    Ok(()) => Ok(None),
                    Err(nftables::Error::Mismatch(difference)) => Ok(Some(difference.to_string())),
                    Err(error) => Err(error.into()),
                }
            }
            Rules::Chains(matcher) => {
                let wanted = Kind::from(*matcher);
                if self.has_table()? {
                    return Ok(Some(instead(Kind::Nftables, wanted)));
                }
                let Some(chains) = Chains::read()? else {
                    return Ok(Some("no chains are loaded".to_owned()));
                };
                let loaded = Kind::from(chains.matcher());
                match chains.difference(policy, *matcher)? {
                    Some(_) if loaded != wanted => Ok(Some(instead(loaded, wanted))),
                    difference => Ok(difference),
                }
            }
        }
    }

    /// Loads rules, and replaces all rules of ours. Active grants stay if the back end is the same. The second
    /// value is the error about the old rules of the other back end.
    ///
    /// # Errors
    ///
    /// Then the kernel holds what it held, unless the message says otherwise.
    pub fn load(
        &mut self,
        policy: &Policy,
        rules: &Rules,
    ) -> Result<(Loaded, Option<Error>), Error> {
        match rules {
            Rules::Table(ruleset) => {
                let loaded = self.table.load(ruleset)?;
                if self.look == Look::Always {
                    iptables::remove()?;
                }
                Ok((Loaded::Table(loaded), None))
            }
            Rules::Chains(matcher) => {
                self.look = Look::Always;
                let loaded = iptables::load(policy, *matcher)?;
                // A second gate would need knocks of its own.
                let left = self.table.remove().err().map(Error::from);
                Ok((Loaded::Chains(loaded, *matcher), left))
            }
        }
    }

    /// Takes all of ours away.
    ///
    /// # Errors
    ///
    /// What could not be taken away. The rest is.
    pub fn remove(&mut self) -> Result<Removed, Error> {
        // Both are tried, whatever the other says.
        let table = self.table.remove();
        let chains = if self.look == Look::Never { Ok(false) } else { iptables::remove() };
        let (table, chains) = match (table, chains.map_err(Error::from)) {
            // A host with iptables may have a kernel without nftables.
            (Err(_), Ok(true)) => (false, true),
            (Ok(true), Err(Error::Failed(Failed { message, hint }))) => {
                let message = format!("{message} (table inet portcullis is removed)");
                return Err(Failed { message, hint }.into());
            }
            (table, chains) => (table?, chains?),
        };
        Ok(Removed { table, chains })
    }

    /// The rules of a table, with the addresses that the kernel has for names of the allow-list: these
    /// change while a configuration stays the same.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub fn known(&mut self, policy: &Policy, ruleset: &Ruleset) -> Result<Ruleset, Error> {
        let mut ruleset = ruleset.clone();
        let hosts = self.table.known_hosts(policy, Hosts::new())?;
        let sets = ruleset.sets.iter_mut().filter(|set| HOSTS.contains(&set.name.as_str()));
        sets.for_each(|set| set.elements.clear());
        admit(&mut ruleset, &hosts);
        Ok(ruleset)
    }
}

fn instead(loaded: Kind, wanted: Kind) -> String {
    let (loaded, wanted) = (loaded.word(), wanted.word());
    format!("backend \"{loaded}\" is loaded instead of \"{wanted}\"")
}
