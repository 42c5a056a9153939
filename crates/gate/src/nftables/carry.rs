//! Elements of a table move to the table that replaces it.

use std::collections::{HashMap, HashSet};

use portcullis_core::limits::MAX_CARRIED_ATTEMPTS;
use portcullis_firewall::compile::{ATTEMPTS, AUTOMATON, BANS, FIRST, GUARDS, IN_TIME};
use portcullis_firewall::ruleset::{Ruleset, Value};

use super::elements::{Carried, Listed, number};
use super::{Error, SHORTEST, Table};

impl Table {
    /// Which of the living grants go into the new table, under which numbers.
    pub(super) fn grants_to_carry(&mut self, ruleset: &Ruleset) -> Result<Vec<Carried>, Error> {
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
            left.is_none_or(|left| left >= super::SHORTEST).then_some(Carried {
                set,
                key,
                data: None,
                left,
            })
        });
        Ok(carried.filter(|grant| ruleset.set(grant.set).is_some()).collect())
    }

    /// Who is in the middle of a knock, if the new table understands it as the old one did: with the
    /// same states, entered by the same knocks.
    pub(super) fn attempts_to_carry(&mut self, ruleset: &Ruleset) -> Result<Vec<Carried>, Error> {
        let mut carried = Vec::new();
        for name in AUTOMATON {
            let same = match ruleset.set(name) {
                Some(set) => self.holds_elements(set)?,
                None => self.elements(name, |_| Some(()))?.is_empty(),
            };
            if !same {
                return Ok(carried);
            }
        }
        if ATTEMPTS.iter().any(|set| ruleset.set(set).is_none()) {
            return Ok(carried);
        }
        let first: HashSet<u32> = ruleset
            .set(FIRST)
            .into_iter()
            .flat_map(|set| &set.elements)
            .filter_map(|element| match element.data {
                Some(Value::Class(state)) => Some(state),
                _ => None,
            })
            .collect();
        let farther = |element: &Carried| {
            let state = element.data.as_deref().and_then(number);
            state.is_some_and(|state| !first.contains(&state))
        };
        for (attempts, in_time) in ATTEMPTS.into_iter().zip(IN_TIME) {
            let mut states = self.living(attempts)?;
            states.sort_by_key(|element| !farther(element));
            states.truncate(MAX_CARRIED_ATTEMPTS);
            if ruleset.set(in_time).is_some() {
                let kept: HashSet<&[u8]> = states.iter().map(|it| it.key.as_slice()).collect();
                let live = self.living(in_time)?.into_iter();
                carried.extend(live.filter(|element| kept.contains(element.key.as_slice())));
            }
            carried.extend(states);
        }
        Ok(carried)
    }

    /// The living bans, where the new table has bans too.
    pub(super) fn bans_to_carry(&mut self, ruleset: &Ruleset) -> Result<Vec<Carried>, Error> {
        let mut carried = Vec::new();
        for set in BANS.into_iter().filter(|set| ruleset.set(set).is_some()) {
            carried.extend(self.living(set)?);
        }
        Ok(carried)
    }

    /// The elements of a set that do not end this very moment, each once: a set that grows while it
    /// is listed may list one twice.
    fn living(&mut self, set: &'static str) -> Result<Vec<Carried>, Error> {
        let mut all = self.elements(set, |element: Listed<'_>| {
            let left = element.expires();
            let (key, data) = (element.key()?.to_vec(), element.data().map(<[u8]>::to_vec));
            let lives = left.is_none_or(|left| left >= SHORTEST);
            lives.then_some(Carried { set, key, data, left })
        })?;
        all.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        all.dedup_by(|a, b| a.key == b.key);
        Ok(all)
    }
}
