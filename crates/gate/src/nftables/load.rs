//! A whole ruleset in one transaction: before it the kernel holds the old table, after it the new
//! one, and at no moment neither.

use nix::errno::Errno;
use portcullis_firewall::ruleset::Ruleset;
use portcullis_linux::netlink::message::Writer;

use super::batch::{Batch, NLM_F_APPEND, NLM_F_CREATE};
use super::elements::Carried;
use super::elements::{parts, write_carried, write_list};
use super::error::Object;
use super::place::{FIRST_PLACE, place_after};
use super::{Error, TABLE, Table, kind, object};

/// How often a transaction starts again because another one came between.
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

impl Table {
    /// Replaces the table by this ruleset, or creates it, in one transaction; then reads it back and
    /// compares ([`Table::verify`]).
    ///
    /// Living grants of the old table are carried over for what is left of their time, each to the
    /// door of the same name; those of doors that no longer exist are not. Bans
    /// live on too, strikes do not. Who is in the middle of a
    /// knock goes on where the doors are opened as before, and has to begin anew otherwise. (What
    /// packets change in the few milliseconds between the reading of the old table and the
    /// transaction is lost: a grant or a step of that moment.)
    ///
    /// No packet slips through between the two tables: see the module `place`.
    ///
    /// # Errors
    ///
    /// Nothing has changed with any of them but [`Error::Mismatch`], where something else must have
    /// changed the table right after.
    pub fn load(&mut self, ruleset: &Ruleset) -> Result<Loaded, Error> {
        let grants = self.transact(|gate, generation| {
            gate.must_not_be_held()?;
            let grants = gate.grants_to_carry(ruleset)?;
            let attempts = gate.attempts_to_carry(ruleset)?;
            let bans = gate.bans_to_carry(ruleset)?;
            let carried = grants.iter().chain(&attempts).chain(&bans);
            let place = gate.place()?.map_or(FIRST_PLACE, place_after);
            let batch = gate.whole(ruleset, carried, place, generation);
            Ok((batch, grants.len()))
        })?;
        self.verify(ruleset)?;
        Ok(Loaded {
            rules: ruleset.rule_count(),
            elements: ruleset.sets.iter().map(|set| set.elements.len()).sum(),
            grants,
        })
    }

    /// One transaction, made again whenever another one came between: what `make` reads is what the
    /// transaction changes, or it is refused.
    pub(super) fn transact<T>(
        &mut self,
        mut make: impl FnMut(&mut Self, Option<u32>) -> Result<(Batch, T), Error>,
    ) -> Result<T, Error> {
        for _ in 0..ATTEMPTS {
            let generation = self.generation()?;
            let (batch, result) = make(self, generation)?;
            if batch.is_empty() {
                return Ok(result);
            }
            match batch.commit(&mut self.socket) {
                Err(Error::Refused { errno: Errno::ERESTART, .. }) => {}
                other => return other.map(|()| result),
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
    pub(super) fn must_not_be_held(&mut self) -> Result<bool, Error> {
        match self.state()? {
            None => Ok(false),
            Some(table) => table.owner.map_or(Ok(true), |owner| Err(Error::Held(owner))),
        }
    }

    fn whole<'a>(
        &mut self,
        ruleset: &Ruleset,
        carried: impl Iterator<Item = &'a Carried>,
        place: i32,
        generation: Option<u32>,
    ) -> Batch {
        let mut batch = Batch::new(&mut self.socket, generation);
        // What does not exist cannot be deleted, so it is created first.
        batch.push(Object::Table, kind::NEWTABLE, NLM_F_CREATE, object::table_name);
        batch.push(Object::Table, kind::DELTABLE, 0, object::table_name);
        batch.push(Object::Table, kind::NEWTABLE, NLM_F_CREATE, |w| object::table(w, ruleset));
        for timeout in &ruleset.timeouts {
            let name = Object::Stateful(timeout.name.to_owned());
            batch.push(name, kind::NEWOBJ, NLM_F_CREATE, |w| object::timeout(w, timeout));
        }
        for chain in &ruleset.chains {
            let name = Object::Chain(chain.name.clone());
            batch.push(name, kind::NEWCHAIN, NLM_F_CREATE, |w| {
                object::chain(w, chain, Some(place));
            });
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
        let mut carried = carried.peekable();
        while let Some(first) = carried.peek() {
            let set = first.set;
            let fill = |w: &mut Writer| write_carried(w, TABLE, set, &mut carried);
            batch.push(Object::Elements(set.to_owned()), kind::NEWSETELEM, NLM_F_CREATE, fill);
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
