//! How far each source has come: a bounded table.
//!
//! An attempt is one source at one state, with a deadline. All memory is taken at the start and
//! touched once, so that a flood changes nothing about it. When the table is full, the oldest attempt
//! of the *busiest prefix* (an IPv4 /24, an IPv6 /48) makes room: whoever floods from one
//! neighbourhood, evicts his own. Forged sources from everywhere make all prefixes equally busy, and
//! then it is roughly the oldest attempt of all that goes.

use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::IpAddr;

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use hashbrown::HashTable;

use crate::automaton::StateId;
use crate::time::Instant;

/// No entry: the end of a list.
const NONE: u32 = u32::MAX;

/// Prefixes that have the same hash share a bucket. A small table has as many as it has entries.
const MAX_BUCKETS: usize = 65_536;

/// The attempts of all sources.
#[derive(Debug)]
pub struct Attempts {
    hasher: SeedableRandomState,
    index: HashTable<u32>,
    entries: Vec<Entry>,
    /// Unused entries, as a list through `newer`.
    free: u32,
    buckets: Vec<Bucket>,
    /// For each count the buckets that have so many entries, as lists through `next`.
    by_count: Vec<u32>,
    /// No bucket has more entries than this, and if it is not 0 one has as many.
    busiest: u32,
}

/// One attempt: 40 bytes, and about 12 more in the index and the lists of buckets.
#[derive(Debug, Clone, Copy)]
struct Entry {
    source: [u8; 16],
    until: Instant,
    state: StateId,
    newer: u32,
    older: u32,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    newest: u32,
    oldest: u32,
    count: u32,
    next: u32,
    previous: u32,
}

impl Attempts {
    /// A table for this many sources (at least 1, at most 2^31), its order of eviction secret by
    /// `seed`.
    pub fn new(capacity: usize, seed: u64) -> Self {
        let capacity = capacity.clamp(1, 1 << 31);
        let hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        let empty = Entry {
            source: [0; 16],
            until: Instant::ORIGIN,
            state: StateId::ROOT,
            newer: NONE,
            older: NONE,
        };
        let mut entries = alloc::vec![empty; capacity];
        for (entry, next) in entries.iter_mut().zip(1u32..) {
            entry.newer = next;
        }
        if let Some(last) = entries.last_mut() {
            last.newer = NONE;
        }
        // Filled and emptied, so that its memory is there before the first packet.
        let mut index = HashTable::with_capacity(capacity);
        for number in 0..capacity as u32 {
            index.insert_unique(hasher.hash_one(number), number, |n| hasher.hash_one(n));
        }
        index.clear();
        let bucket = Bucket { newest: NONE, oldest: NONE, count: 0, next: NONE, previous: NONE };
        Self {
            hasher,
            index,
            entries,
            free: 0,
            buckets: alloc::vec![bucket; capacity.min(MAX_BUCKETS)],
            by_count: alloc::vec![NONE; capacity.saturating_add(1)],
            busiest: 0,
        }
    }

    /// How many attempts there are, late ones included.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The state of this source: the root if it has none, or if its time is up.
    pub fn state(&self, source: IpAddr, now: Instant) -> StateId {
        match self.find(key(source)).and_then(|number| self.entry(number)) {
            Some(entry) if now < entry.until => entry.state,
            _ => StateId::ROOT,
        }
    }

    /// Puts the source into `state` until a new deadline, and makes it the newest of its prefix.
    pub fn advance(&mut self, source: IpAddr, state: StateId, until: Instant) {
        let source = key(source);
        if let Some(number) = self.find(source) {
            self.unlink(number);
            self.link(number, Entry { source, until, state, newer: NONE, older: NONE });
            return;
        }
        if self.free == NONE {
            self.evict();
        }
        let number = self.free;
        let Some(entry) = self.entry(number) else { return };
        self.free = entry.newer;
        let hash = self.hasher.hash_one(source);
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.index.insert_unique(hash, number, |&n| {
            entries.get(n as usize).map_or(0, |entry| hasher.hash_one(entry.source))
        });
        self.link(number, Entry { source, until, state, newer: NONE, older: NONE });
    }

    /// Changes the state of a source that has one, but not its deadline.
    pub fn keep_deadline(&mut self, source: IpAddr, state: StateId) {
        if let Some(number) = self.find(key(source))
            && let Some(entry) = self.entries.get_mut(number as usize)
        {
            entry.state = state;
        }
    }

    /// Forgets a source; says whether it had an attempt.
    pub fn forget(&mut self, source: IpAddr) -> bool {
        self.remove(key(source))
    }

    fn remove(&mut self, source: [u8; 16]) -> bool {
        let hash = self.hasher.hash_one(source);
        let entries = &self.entries;
        let same = |&n: &u32| entries.get(n as usize).is_some_and(|entry| entry.source == source);
        let Ok(found) = self.index.find_entry(hash, same) else { return false };
        let (number, _) = found.remove();
        self.unlink(number);
        let free = self.free;
        if let Some(entry) = self.entries.get_mut(number as usize) {
            entry.newer = free;
        }
        self.free = number;
        true
    }

    fn evict(&mut self) {
        let bucket = self.by_count.get(self.busiest as usize).copied().unwrap_or(NONE);
        let oldest = self.buckets.get(bucket as usize).map_or(NONE, |bucket| bucket.oldest);
        if let Some(entry) = self.entry(oldest) {
            self.remove(entry.source);
        }
    }

    fn find(&self, source: [u8; 16]) -> Option<u32> {
        let hash = self.hasher.hash_one(source);
        let same = |&n: &u32| self.entries.get(n as usize).is_some_and(|e| e.source == source);
        self.index.find(hash, same).copied()
    }

    fn entry(&self, number: u32) -> Option<Entry> {
        self.entries.get(number as usize).copied()
    }

    fn bucket_of(&self, source: [u8; 16]) -> usize {
        // The /24 of an IPv4 address stands in bytes 12 to 14 of its mapped form.
        const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        let prefix = if source.starts_with(&MAPPED) { source.get(..15) } else { source.get(..6) };
        (self.hasher.hash_one(prefix) % self.buckets.len().max(1) as u64) as usize
    }

    /// Makes the entry the newest of its bucket.
    fn link(&mut self, number: u32, mut entry: Entry) {
        let at = self.bucket_of(entry.source);
        let Some(bucket) = self.buckets.get_mut(at) else { return };
        let newest = core::mem::replace(&mut bucket.newest, number);
        if newest == NONE {
            bucket.oldest = number;
        } else if let Some(before) = self.entries.get_mut(newest as usize) {
            before.newer = number;
        }
        entry.older = newest;
        entry.newer = NONE;
        if let Some(place) = self.entries.get_mut(number as usize) {
            *place = entry;
        }
        self.recount(at, 1);
    }

    /// Takes the entry out of its bucket.
    fn unlink(&mut self, number: u32) {
        let Some(entry) = self.entry(number) else { return };
        let at = self.bucket_of(entry.source);
        let Some(bucket) = self.buckets.get_mut(at) else { return };
        match self.entries.get_mut(entry.newer as usize) {
            Some(newer) => newer.older = entry.older,
            None => bucket.newest = entry.older,
        }
        match self.entries.get_mut(entry.older as usize) {
            Some(older) => older.newer = entry.newer,
            None => bucket.oldest = entry.newer,
        }
        self.recount(at, -1);
    }

    /// Moves a bucket to the list of its new count.
    fn recount(&mut self, at: usize, change: i32) {
        let Some(bucket) = self.buckets.get(at).copied() else { return };
        if bucket.count > 0 {
            match self.buckets.get_mut(bucket.previous as usize) {
                Some(previous) => previous.next = bucket.next,
                None => {
                    if let Some(head) = self.by_count.get_mut(bucket.count as usize) {
                        *head = bucket.next;
                    }
                }
            }
            if let Some(next) = self.buckets.get_mut(bucket.next as usize) {
                next.previous = bucket.previous;
            }
        }
        let count = bucket.count.saturating_add_signed(change);
        let mut next = NONE;
        if count > 0
            && let Some(head) = self.by_count.get_mut(count as usize)
        {
            next = core::mem::replace(head, at as u32);
            if let Some(next) = self.buckets.get_mut(next as usize) {
                next.previous = at as u32;
            }
        }
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket = Bucket { count, next, previous: NONE, ..*bucket };
        }
        self.busiest = self.busiest.max(count);
        while self.busiest > 0 && self.by_count.get(self.busiest as usize) == Some(&NONE) {
            self.busiest = self.busiest.saturating_sub(1);
        }
    }
}

/// An address as 16 bytes, IPv4 in its mapped form (RFC 4291, section 2.5.5.2).
fn key(source: IpAddr) -> [u8; 16] {
    match source {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
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
        assert!(size_of::<Entry>() as f64 + index_and_counts + buckets <= 64.0);
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
                let counts: u32 = attempts.buckets.iter().map(|bucket| bucket.count).sum();
                prop_assert_eq!(counts as usize, attempts.len());
                let most = attempts.buckets.iter().map(|bucket| bucket.count).max();
                prop_assert_eq!(most, Some(attempts.busiest));
            }
        }
    }
}
