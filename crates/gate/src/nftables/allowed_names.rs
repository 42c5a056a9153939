//! The names of the allow-list: which addresses the kernel has for them, and putting others there.

use std::net::IpAddr;

use portcullis_core::policy::{HostName, Policy};
use portcullis_firewall::compile::{HOSTS, Hosts, admit};
use portcullis_firewall::ruleset::Ruleset;
use portcullis_linux::netlink::message::Writer;

use super::batch::{Batch, NLM_F_CREATE};
use super::elements::{address_and_rest, parts, write_list, write_set};
use super::error::Object;
use super::{Error, TABLE, Table, kind};

impl Table {
    /// The addresses that the loaded table has for names; none if there is no table, or no names in it.
    ///
    /// # Errors
    ///
    /// That the kernel could not be asked.
    pub fn hosts(&mut self) -> Result<Hosts, Error> {
        let mut hosts = Hosts::new();
        for (version, set) in HOSTS.into_iter().enumerate() {
            let found = self.elements(set, |element| {
                let (address, _) = address_and_rest(element.key()?, version)?;
                Some((HostName::new(element.comment()?).ok()?, address))
            })?;
            for (name, address) in found {
                let addresses: &mut Vec<IpAddr> = hosts.entry(name).or_default();
                addresses.push(address);
            }
        }
        Ok(hosts)
    }

    /// What is known about the names of a policy: what has just been found, and of others what the
    /// loaded table has.
    ///
    /// # Errors
    ///
    /// That the kernel could not be asked.
    pub fn known_hosts(&mut self, policy: &Policy, found: Hosts) -> Result<Hosts, Error> {
        let names = policy.allowed_hosts();
        if names.is_empty() {
            return Ok(Hosts::new());
        }
        let mut known = self.hosts()?;
        known.extend(found);
        known.retain(|name, _| names.contains(name));
        Ok(known)
    }

    /// Puts these addresses in place of all that the table has for names, in one transaction: no
    /// packet sees the sets without them. `ruleset` is what is loaded.
    ///
    /// # Errors
    ///
    /// That the kernel refuses, or the table has no names. Nothing has changed then.
    pub fn replace_hosts(&mut self, ruleset: &Ruleset, hosts: &Hosts) -> Result<(), Error> {
        let mut ruleset = ruleset.clone();
        ruleset.sets.retain_mut(|set| {
            set.elements.clear();
            HOSTS.contains(&set.name.as_str())
        });
        admit(&mut ruleset, hosts);
        let mut batch = Batch::new(&mut self.socket, None);
        for set in &ruleset.sets {
            let about = || Object::Elements(set.name.clone());
            batch.push(about(), kind::DELSETELEM, 0, |w| write_set(w, TABLE, &set.name));
            let mut elements = parts(set).into_iter().peekable();
            while elements.peek().is_some() {
                let fill = |w: &mut Writer| write_list(w, TABLE, &set.name, &mut elements);
                batch.push(about(), kind::NEWSETELEM, NLM_F_CREATE, fill);
            }
        }
        batch.commit(&mut self.socket)
    }
}
