//! The place of our chain in the input hook among the chains of other programs, and why it moves.
//!
//! While a transaction takes effect, a packet goes through both the old and the new chain, one after the
//! other. Each chain uses the rules of that moment: the new chain has none before the change, and the old
//! chain has none after it. So a packet that goes through the new chain before the change, and through the
//! old one after it, would meet no rules. Therefore the new chain always comes after the old one: a packet
//! that meets the old chain after the change then meets the new chain even later.
//!
//! So each load moves the chain one place back, within the places where it works the same. Once in 99 loads
//! it moves back to the first place, and a packet may slip through.

use portcullis_firewall::compile::{INPUT, INPUT_PRIORITIES};
use portcullis_linux::netlink::message::Attributes;

use super::{Error, Table, kind, object};

/// The place of a table that takes nobody's.
pub const FIRST_PLACE: i32 = *INPUT_PRIORITIES.start();

/// The place after this one, or the first place if there is none.
pub fn place_after(place: i32) -> i32 {
    let next = place.saturating_add(1);
    if INPUT_PRIORITIES.contains(&next) { next } else { FIRST_PLACE }
}

impl Table {
    /// The place of the loaded chain `input`, if it has one of those that it may have.
    ///
    /// # Errors
    ///
    /// That the kernel could not be asked.
    pub(super) fn place(&mut self) -> Result<Option<i32>, Error> {
        let chains = self.list(kind::GETCHAIN)?;
        let place = chains.iter().map(|chain| Attributes(chain)).find_map(|chain| {
            let ours = chain.text(object::CHAIN_NAME) == Some(INPUT);
            let hook = chain.within(object::CHAIN_HOOK);
            ours.then(|| hook.be32(object::HOOK_PRIORITY))?
        });
        let place = place.map(u32::cast_signed);
        Ok(place.filter(|place| INPUT_PRIORITIES.contains(place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_behind_the_one_before() {
        let mut place = FIRST_PLACE;
        for _ in 1..99 {
            let next = place_after(place);
            assert!(next > place && next < 0);
            place = next;
        }
        assert_eq!(place_after(place), FIRST_PLACE);
    }
}
