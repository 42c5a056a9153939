//! How far each source has come: a bounded table.
//!
//! An attempt is one source at one state, with a deadline. The `table` below holds them: it is full
//! at a known size, and then the oldest attempt of the busiest neighbourhood makes room.

use core::net::IpAddr;

use crate::automaton::StateId;
use crate::time::Instant;
use table::{Table, octets};

pub(crate) mod table;

/// A small table has as many buckets as it has entries.
const MAX_BUCKETS: usize = 65_536;

/// The attempts of all sources.
#[derive(Debug)]
pub struct Attempts(Table<[u8; 16], Attempt>);

/// How far one source has come. Its entry in the table takes 40 bytes, and about 12 more in the
/// index and the lists of buckets.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    until: Instant,
    state: StateId,
}

impl Attempts {
    /// A table for this many sources (at least 1, at most 2^31), its order of eviction secret by
    /// `seed`.
    pub fn new(capacity: usize, seed: u64) -> Self {
        let nothing = Attempt { until: Instant::ORIGIN, state: StateId::ROOT };
        Self(Table::new(capacity, capacity.min(MAX_BUCKETS), seed, [0; 16], nothing))
    }

    /// How many attempts there are, late ones included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The state of this source: the root if it has none, or if its time is up.
    pub fn state(&self, source: IpAddr, now: Instant) -> StateId {
        match self.0.find(&octets(source)).and_then(|number| self.0.value(number)) {
            Some(attempt) if now < attempt.until => attempt.state,
            _ => StateId::ROOT,
        }
    }

    /// Puts the source into `state` until a new deadline, and makes it the newest of its prefix.
    pub fn advance(&mut self, source: IpAddr, state: StateId, until: Instant) {
        let (key, attempt) = (octets(source), Attempt { until, state });
        let Some(number) = self.0.find(&key) else {
            self.0.insert(key, attempt);
            return;
        };
        self.0.renew(number);
        if let Some(place) = self.0.value_mut(number) {
            *place = attempt;
        }
    }

    /// Changes the state of a source that has one, but not its deadline.
    pub fn keep_deadline(&mut self, source: IpAddr, state: StateId) {
        if let Some(number) = self.0.find(&octets(source))
            && let Some(attempt) = self.0.value_mut(number)
        {
            attempt.state = state;
        }
    }

    /// Forgets a source; says whether it had an attempt.
    pub fn forget(&mut self, source: IpAddr) -> bool {
        self.0.remove(&octets(source))
    }
}

#[cfg(test)]
mod tests {
    use super::table::{Bucket, Entry};
    use super::*;
    use alloc::collections::BTreeMap;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    fn v4(bits: u32) -> IpAddr {
        Ipv4Addr::from_bits(bits).into()
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    #[test]
    fn an_attempt_takes_at_most_64_bytes() {
        let index_and_counts = 4.0 * 8.0 / 7.0 * 2.0 + 2.0 + 4.0;
        let buckets =
            (MAX_BUCKETS * size_of::<Bucket>()) as f64 / crate::limits::MAX_ATTEMPTS as f64;
        let entry = size_of::<Entry<[u8; 16], Attempt>>() as f64;
        assert!(entry + index_and_counts + buckets <= 64.0);
    }

    #[test]
    fn time_is_up_at_the_deadline_and_not_before() {
        let mut attempts = Attempts::new(4, 1);
        attempts.advance(v4(1), StateId(7), at(5));
        assert_eq!(attempts.state(v4(1), Instant::from_nanos(at(5).as_nanos() - 1)), StateId(7));
        assert_eq!(attempts.state(v4(1), at(5)), StateId::ROOT);
    }

    #[test]
    fn a_flood_evicts_its_own_neighbourhood_first() {
        let mut attempts = Attempts::new(1_000, 7);
        let honest = v4(0xc633_6401);
        attempts.advance(honest, StateId(1), at(1_000));
        for host in 0..100_000u32 {
            // One /16 after another, 256 prefixes: each busier than the honest one.
            attempts.advance(v4(0x0a00_0000 | (host % 65_536)), StateId(1), at(1_000));
        }
        assert_eq!(attempts.len(), 1_000);
        assert_eq!(attempts.state(honest, at(1)), StateId(1));
    }

    proptest! {
        /// Below its capacity the table is a map; at capacity it holds as much as it may.
        #[test]
        fn is_a_bounded_map(
            operations in prop::collection::vec((0u8..4, 0u32..40, 1u32..9), 1..400),
            capacity in 1usize..60,
        ) {
            let mut attempts = Attempts::new(capacity, 3);
            let mut model = BTreeMap::new();
            for (operation, source, state) in operations {
                // Spread over prefixes of several sizes.
                let source = v4(source * source * 17);
                match operation {
                    0 | 1 => {
                        attempts.advance(source, StateId(state), at(9));
                        model.insert(source, StateId(state));
                    }
                    2 => {
                        let had = attempts.forget(source);
                        prop_assert!(!had || model.remove(&source).is_some());
                    }
                    _ => {
                        attempts.keep_deadline(source, StateId(state));
                        if let Some(known) = model.get_mut(&source)
                            && attempts.state(source, at(0)) != StateId::ROOT
                        {
                            *known = StateId(state);
                        }
                    }
                }
                prop_assert!(attempts.len() <= capacity);
                if model.len() <= capacity && capacity >= 40 {
                    prop_assert_eq!(attempts.len(), model.len());
                }
                let mut found = 0;
                for (&source, &state) in &model {
                    let known = attempts.state(source, at(0));
                    prop_assert!(known == state || known == StateId::ROOT);
                    found += usize::from(known != StateId::ROOT);
                }
                prop_assert_eq!(found, attempts.len());
                attempts.0.assert_consistent();
            }
        }
    }
}
