//! A whole ruleset in one transaction: before it the kernel holds the old table, after it the new
//! one, and at no moment neither.

use std::collections::HashMap;

use nix::errno::Errno;
use portcullis_firewall::compile::{BANS, GUARDS};
use portcullis_firewall::ruleset::{Ruleset, Value};

use super::batch::{Batch, NLM_F_APPEND, NLM_F_CREATE, Object};
use super::elements::{parts, write_list, write_timed};
use super::{Error, Gate, TABLE, kind, object};
use crate::netlink::message::Writer;

/// How often a transaction begins anew because another came in between.
const ATTEMPTS: usize = 50;

/// What was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// How many rules.
    pub rules: usize,
    /// How many elements of sets, without the grants.
    pub elements: usize,
    /// How many living grants of the table before were taken over.
    pub grants: usize,
}

/// A grant, or a ban, on its way from the old table to the new one.
#[derive(Debug, Clone)]
struct Carried {
    set: &'static str,
    /// As the new table has it.
    key: Vec<u8>,
    /// What is left of its time in milliseconds; `None` for ever.
    left: Option<u64>,
}

impl Gate {
    /// Replaces the table by this ruleset, or creates it, in one transaction; then reads it back and
    /// compares ([`Gate::verify`]).
    ///
    /// Living grants of the old table are carried over for what is left of their time, each to the
    /// door of the same name; those of doors that no longer exist are not. So are living bans. Attempts and
    /// strikes are not carried
    /// over: who was in the middle of a knock has to begin anew. (A grant that the old rules give in
    /// the few microseconds between the reading of the old grants and the change is lost too.)
    ///
    /// # Errors
    ///
    /// Nothing has changed with any of them but [`Error::Mismatch`], where something else must have
    /// changed the table right after.
    pub fn load(&mut self, ruleset: &Ruleset) -> Result<Loaded, Error> {
        for _ in 0..ATTEMPTS {
            // What is read from here on is what the transaction replaces, or it is refused.
            let generation = self.generation()?;
            self.must_not_be_held()?;
            let (carried, grants) = self.elements_to_carry(ruleset)?;
            let batch = self.whole(ruleset, &carried, generation);
            match batch.commit(&mut self.socket) {
                Err(Error::Refused { errno: Errno::ERESTART, .. }) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    self.verify(ruleset)?;
                    return Ok(Loaded {
                        rules: ruleset.rule_count(),
                        elements: ruleset.sets.iter().map(|set| set.elements.len()).sum(),
                        grants,
                    });
                }
            }
        }
        let object = Object::Transaction.to_string();
        Err(Error::Refused { object, errno: Errno::ERESTART, text: None })
    }

    /// Deletes the table; whether there was one.
    ///
    /// # Errors
    ///
    /// That it may not be deleted, or belongs to another process.
    pub fn remove(&mut self) -> Result<bool, Error> {
        if !self.must_not_be_held()? {
            return Ok(false);
        }
        let mut batch = Batch::new(&mut self.socket, None);
        batch.push(Object::Table, kind::DELTABLE, 0, object::table_name);
        match batch.commit(&mut self.socket) {
            // Somebody else was faster.
            Err(Error::Refused { errno: Errno::ENOENT, .. }) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Whether there is a table.
    fn must_not_be_held(&mut self) -> Result<bool, Error> {
        match self.table()? {
            None => Ok(false),
            Some(table) => table.owner.map_or(Ok(true), |owner| Err(Error::Held(owner))),
        }
    }

    /// Which of the living grants go into the new table, under which numbers, and the bans; and how
    /// many of them are grants.
    fn elements_to_carry(&mut self, ruleset: &Ruleset) -> Result<(Vec<Carried>, usize), Error> {
        let guards = ruleset.set(GUARDS).map(|set| set.elements.as_slice()).unwrap_or_default();
        let new: HashMap<&str, u32> = guards
            .iter()
            .filter_map(|guard| match (&guard.comment, &guard.data) {
                (Some(name), Some(Value::Class(class))) => Some((name.as_str(), *class)),
                _ => None,
            })
            .collect();
        let renumbered: HashMap<u32, u32> = self
            .door_names()?
            .into_iter()
            .filter_map(|(old, name)| Some((old, *new.get(name.as_str())?)))
            .collect();
        let carried = self.grants()?.into_iter().filter_map(|grant| {
            let class = *renumbered.get(&grant.class)?;
            let (set, key) = super::grants::place(grant.address, class);
            // One that ends this very moment would come back for longer than it had.
            let left =
                grant.expires.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            left.is_none_or(|left| left >= super::SHORTEST).then_some(Carried { set, key, left })
        });
        let mut carried: Vec<Carried> = carried.collect();
        let grants = carried.len();
        carried.extend(self.bans_to_carry()?);
        carried.retain(|element| ruleset.set(element.set).is_some());
        Ok((carried, grants))
    }

    /// The living bans. They go to a set of the same name, so they can be told apart.
    fn bans_to_carry(&mut self) -> Result<Vec<Carried>, Error> {
        let mut all = Vec::new();
        for set in BANS {
            all.extend(self.elements(set, |element| {
                let left = element.expires();
                let lives = left.is_none_or(|left| left >= super::SHORTEST);
                lives.then_some(Carried { set, key: element.key()?.to_vec(), left })
            })?);
        }
        // A set that grows while it is listed may list an element twice.
        all.sort_unstable_by(|a: &Carried, b| (a.set, &a.key).cmp(&(b.set, &b.key)));
        all.dedup_by(|a, b| (a.set, &a.key) == (b.set, &b.key));
        Ok(all)
    }

    fn whole(&mut self, ruleset: &Ruleset, carried: &[Carried], generation: Option<u32>) -> Batch {
        let mut batch = Batch::new(&mut self.socket, generation);
        // What does not exist cannot be deleted, so it is created first.
        batch.push(Object::Table, kind::NEWTABLE, NLM_F_CREATE, object::table_name);
        batch.push(Object::Table, kind::DELTABLE, 0, object::table_name);
        batch.push(Object::Table, kind::NEWTABLE, NLM_F_CREATE, |w| object::table(w, ruleset));
        for chain in &ruleset.chains {
            let name = Object::Chain(chain.name.clone());
            batch.push(name, kind::NEWCHAIN, NLM_F_CREATE, |w| object::chain(w, chain));
        }
        for (set, id) in ruleset.sets.iter().zip(1..) {
            let name = Object::Set(set.name.clone());
            batch.push(name, kind::NEWSET, NLM_F_CREATE, |w| object::set(w, set, id));
            let mut elements = parts(set).into_iter().peekable();
            while elements.peek().is_some() {
                let name = Object::Elements(set.name.clone());
                let fill = |w: &mut Writer| write_list(w, TABLE, &set.name, &mut elements);
                batch.push(name, kind::NEWSETELEM, NLM_F_CREATE, fill);
            }
        }
        for grant in carried {
            let name = Object::Elements(grant.set.to_owned());
            let fill = |w: &mut Writer| write_timed(w, TABLE, grant.set, &grant.key, grant.left);
            batch.push(name, kind::NEWSETELEM, NLM_F_CREATE, fill);
        }
        for chain in &ruleset.chains {
            for (index, rule) in chain.rules.iter().enumerate() {
                let name = Object::Rule(chain.name.clone(), index);
                let flags = NLM_F_CREATE | NLM_F_APPEND;
                batch.push(name, kind::NEWRULE, flags, |w| object::rule(w, &chain.name, rule));
            }
        }
        batch
    }
}
