//! Checks whether the kernel holds exactly a ruleset: writes each object again as it would be sent, and
//! compares it with what the kernel shows.
//!
//! Of a table, a chain or a set, everything sent must come back; what the kernel adds of its own
//! (handles, counters, …) is not looked at. Rules must be equal, with nothing added. What is
//! allowed to be different, and why:
//!
//! - an attribute of which the value is 0 may be missing where the kernel shows it only otherwise
//!   (flags of a set), or where older kernels do not know it ([`OPTIONAL`](super::compare));
//! - timeouts may be up to 10 ms less, since the kernel keeps them in ticks of its clock;
//! - `NFTA_SET_ID` only has a meaning within a transaction, and of a map of verdicts the length of
//!   the data is the kernel's own.
//!
//! Of dynamic sets the elements are not compared, nor those of kept ones: they are what packets and the
//! daemon made them.

use std::collections::HashMap;
use std::time::Duration;

use portcullis_firewall::ruleset::{Kind, Ruleset, Set, TABLE, Type};
use portcullis_linux::netlink::message::{Attributes, Writer};
use portcullis_linux::netlink::socket;

use super::compare::{canonical, same_object, same_rule};
use super::elements::{Listed, write_elements};
use super::error::Object;
use super::{Error, FAMILY_HEADER, Mismatch, Table, absent_is_none, family, kind, object};

/// What the attributes are that a person can change with `nft`.
const TABLE_WORDS: [(u16, &str); 2] = [(2, "set of flags"), (6, "comment")];
const OBJECT_WORDS: [(u16, &str); 2] = [(3, "type"), (4, "set of times")];
const CHAIN_WORDS: [(u16, &str); 3] = [(4, "hook or priority"), (5, "policy"), (7, "type")];
const SET_WORDS: [(u16, &str); 5] = [
    (3, "set of flags"),
    (4, "type of keys"),
    (5, "length of keys"),
    (6, "type of data"),
    (9, "size"),
];

/// How often a list of elements is made before it is believed to differ, and the time between: 300 ms
/// at most, where a few milliseconds have always been enough.
const LIST_TRIES: u32 = 30;
const LIST_PAUSE: Duration = Duration::from_millis(10);

impl Table {
    /// Whether the loaded table is exactly this ruleset, but for the elements of dynamic and kept sets.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] with the first difference, or that the kernel could not be asked.
    pub fn verify(&mut self, ruleset: &Ruleset) -> Result<(), Error> {
        let table = self.socket.get(
            kind::GETTABLE,
            |w| {
                family(w);
                object::table_name(w);
            },
            |message| Some(message.attributes(FAMILY_HEADER).0.to_vec()),
        );
        let Some(table) = absent_is_none(table)?.flatten() else {
            return Err(Mismatch::new(&Object::Table, "is missing").into());
        };
        let sent = written(|w| object::table(w, ruleset))?;
        same_object(&sent, &table, &[], &TABLE_WORDS)
            .map_err(|difference| Mismatch::new(&Object::Table, difference))?;
        self.verify_timeouts(ruleset)?;
        self.verify_chains(ruleset)?;
        self.verify_sets(ruleset)?;
        self.verify_rules(ruleset)?;
        for set in
            ruleset.sets.iter().filter(|set| matches!(set.kind, Kind::Fixed | Kind::Networks))
        {
            self.verify_elements(set)?;
        }
        Ok(())
    }

    /// All objects of our table that a dump lists, each as its attributes.
    pub(super) fn list(&mut self, kind: u16) -> Result<Vec<Vec<u8>>, Error> {
        Ok(self.socket.dump(
            kind,
            |w| {
                family(w);
                // NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE and NFTA_OBJ_TABLE are all 1;
                // a kernel that does not filter by it lists everything.
                w.text(object::CHAIN_TABLE, TABLE);
            },
            |all: &mut Vec<_>, message| {
                let attributes = message.attributes(FAMILY_HEADER);
                if attributes.text(object::CHAIN_TABLE) == Some(TABLE) {
                    all.push(attributes.0.to_vec());
                }
            },
        )?)
    }

    fn verify_timeouts(&mut self, ruleset: &Ruleset) -> Result<(), Error> {
        let found = self.list(kind::GETOBJ)?;
        let mut found = by_name(&found, object::OBJECT_NAME);
        for timeout in &ruleset.timeouts {
            let differs = |how| Mismatch::new(&Object::Stateful(timeout.name.to_owned()), how);
            let found = found.remove(timeout.name);
            let found = found.ok_or_else(|| differs("is missing".to_owned()))?;
            let sent = written(|w| object::timeout(w, timeout))?;
            same_object(&sent, found.0, &[], &OBJECT_WORDS).map_err(differs)?;
        }
        none_left(&found, Object::Stateful)
    }

    fn verify_chains(&mut self, ruleset: &Ruleset) -> Result<(), Error> {
        let place = self.place()?;
        let found = self.list(kind::GETCHAIN)?;
        let mut found = by_name(&found, object::CHAIN_NAME);
        for chain in &ruleset.chains {
            let differs = |how: String| Mismatch::new(&Object::Chain(chain.name.clone()), how);
            let found = found.remove(chain.name.as_str());
            let found = found.ok_or_else(|| differs("is missing".to_owned()))?;
            let sent = written(|w| object::chain(w, chain, place))?;
            same_object(&sent, found.0, &[], &CHAIN_WORDS).map_err(differs)?;
            if chain.hook.is_none() && found.get(object::CHAIN_HOOK).is_some() {
                return Err(differs("has a hook, but should have none".to_owned()).into());
            }
        }
        none_left(&found, Object::Chain)
    }

    fn verify_sets(&mut self, ruleset: &Ruleset) -> Result<(), Error> {
        let found = self.list(kind::GETSET)?;
        let mut found = by_name(&found, object::SET_NAME);
        for set in &ruleset.sets {
            let differs = |how: String| Mismatch::new(&Object::Set(set.name.clone()), how);
            let found = found.remove(set.name.as_str());
            let found = found.ok_or_else(|| differs("is missing".to_owned()))?;
            let sent = written(|w| object::set(w, set, 1))?;
            let skip: &[u16] = match set.data {
                Some(Type::Verdict) => &[object::SET_ID, object::SET_DATA_LEN],
                _ => &[object::SET_ID],
            };
            same_object(&sent, found.0, skip, &SET_WORDS).map_err(differs)?;
            let size = found.within(object::SET_DESC).be32(object::DESC_SIZE);
            let added = object::SET_ADDITIONS.into_iter().any(|kind| found.get(kind).is_some());
            if added || set.size.is_none() && size.is_some() {
                return Err(differs("has a limit, but should have none".to_owned()).into());
            }
        }
        none_left(&found, Object::Set)
    }

    fn verify_rules(&mut self, ruleset: &Ruleset) -> Result<(), Error> {
        let found = self.list(kind::GETRULE)?;
        let mut by_chain: HashMap<&str, Vec<Attributes<'_>>> = HashMap::new();
        for rule in found.iter().map(|rule| Attributes(rule)) {
            let chain = rule.text(object::RULE_CHAIN).unwrap_or_default();
            by_chain.entry(chain).or_default().push(rule);
        }
        for chain in &ruleset.chains {
            let found = by_chain.remove(chain.name.as_str()).unwrap_or_default();
            if found.len() != chain.rules.len() {
                let count = format!("has {} rules instead of {}", found.len(), chain.rules.len());
                return Err(Mismatch::new(&Object::Chain(chain.name.clone()), count).into());
            }
            for (index, (rule, found)) in chain.rules.iter().zip(found).enumerate() {
                let sent = written(|w| object::rule(w, &chain.name, rule))?;
                same_rule(Attributes(&sent), found).map_err(|difference| {
                    Mismatch::new(&Object::Rule(chain.name.clone(), index), difference)
                })?;
            }
        }
        Ok(())
    }

    /// Whether the set of this name has exactly these elements.
    pub(super) fn holds_elements(&mut self, set: &Set) -> Result<bool, Error> {
        match self.compare_elements(set) {
            Ok(()) => Ok(true),
            Err(Error::Mismatch(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn verify_elements(&mut self, set: &Set) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            match self.compare_elements(set) {
                // A large set is still being given its final size by the kernel when the transaction
                // has ended; a list made meanwhile has some elements twice and others not at all.
                Err(Error::Mismatch(_)) if tries < LIST_TRIES => {
                    tries += 1;
                    std::thread::sleep(LIST_PAUSE);
                }
                other => return other,
            }
        }
    }

    fn compare_elements(&mut self, set: &Set) -> Result<(), Error> {
        let mut found = self.elements(&set.name, canonical)?;
        let sent = written(|w| write_elements(w, set))?;
        let mut sent: Vec<_> = Listed::read(Attributes(&sent)).filter_map(canonical).collect();
        found.sort_unstable();
        sent.sort_unstable();
        if found == sent {
            return Ok(());
        }
        let difference = if found.len() == sent.len() {
            "has other elements".to_owned()
        } else {
            format!("has {} elements instead of {}", found.len(), sent.len())
        };
        Err(Mismatch::new(&Object::Set(set.name.clone()), difference).into())
    }
}

/// The attributes that `fill` writes.
fn written(fill: impl FnOnce(&mut Writer)) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::new();
    fill(&mut writer);
    Ok(writer.finish().ok_or(socket::Error::TooLong)?)
}

fn by_name(objects: &[Vec<u8>], name: u16) -> HashMap<&str, Attributes<'_>> {
    let objects = objects.iter().map(|object| Attributes(object));
    objects.filter_map(|object| Some((object.text(name)?, object))).collect()
}

/// That nothing is there but what should be, which has been taken out.
fn none_left(
    found: &HashMap<&str, Attributes<'_>>,
    object: fn(String) -> Object,
) -> Result<(), Error> {
    match found.keys().min() {
        Some(&name) => Err(Mismatch::new(&object(name.to_owned()), "should not exist").into()),
        None => Ok(()),
    }
}
