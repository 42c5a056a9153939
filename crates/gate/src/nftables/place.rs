//! Where our chain of the input hook stands among those of others, and why it moves.
//!
//! While a transaction takes effect, old and new chains are both asked, one after the other. A chain
//! decides by the rules of the moment at which it is asked: the new one by none before the change, the
//! old one by none after it. So a packet that met the new chain first, before the change, and then the
//! old one, after it, would be judged by neither. Therefore the new chain always stands behind the old
//! one: whoever passes the old one after the change meets the new one later still.
//!
//! Each load so moves the chain one place back, within the places in which it does the same, and once
//! in 99 loads back to the first place, where a packet may slip through.

use portcullis_firewall::compile::{INPUT, INPUT_PRIORITIES};
use portcullis_linux::netlink::message::Attributes;

use super::{Error, Table, kind, object};

/// The place of a table that takes nobody's.
pub const FIRST_PLACE: i32 = *INPUT_PRIORITIES.start();

/// Behind this place; the first one where there is none.
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
