//! A bounded table of sources, as both recognisers keep one.
//!
//! All memory is taken at the start and touched once, so that a flood changes nothing about it. When
//! the table is full, the oldest entry of the *busiest prefix* (an IPv4 /24, an IPv6 /48) makes room:
//! whoever floods from one neighbourhood, evicts his own. Forged sources from everywhere make all
//! prefixes equally busy, and then it is roughly the oldest entry of all that goes.

use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash};
use core::net::IpAddr;

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use hashbrown::HashTable;

/// No entry: the end of a list.
const NONE: u32 = u32::MAX;

/// What tells entries apart.
pub(crate) trait Key: Copy + Eq + Hash {
    /// The source, as 16 bytes: who shares its prefix is its neighbour.
    fn source(&self) -> &[u8; 16];
}

impl Key for [u8; 16] {
    fn source(&self) -> &[u8; 16] {
        self
    }
}

/// An address as 16 bytes, IPv4 in its mapped form (RFC 4291, section 2.5.5.2).
pub(crate) fn octets(source: IpAddr) -> [u8; 16] {
    match source {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The address that was made these bytes by [`octets`].
pub(crate) fn address(source: [u8; 16]) -> IpAddr {
    IpAddr::from(source).to_canonical()
}

/// The entries of all sources. An entry has a number below the capacity, from when it is inserted
/// until it is removed or evicted.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    hasher: SeedableRandomState,
    index: HashTable<u32>,
    entries: Vec<Entry<K, V>>,
    /// Unused entries, as a list through `newer`.
    free: u32,
    buckets: Vec<Bucket>,
    /// For each count the buckets that have so many entries, as lists through `next`.
    by_count: Vec<u32>,
    /// No bucket has more entries than this, and if it is not 0 one has as many.
    busiest: u32,
}

/// One entry. About 12 more bytes are in the index and the lists of buckets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<K, V> {
    key: K,
    value: V,
    newer: u32,
    older: u32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    newest: u32,
    oldest: u32,
    count: u32,
    next: u32,
    previous: u32,
}

impl Bucket {
    const EMPTY: Self = Self { newest: NONE, oldest: NONE, count: 0, next: NONE, previous: NONE };
}

impl<K: Key, V: Copy> Table<K, V> {
    /// A table for this many entries (at least 1, at most 2^31), its order of eviction secret by
    /// `seed`. Prefixes that have the same hash share one of the buckets. Unused entries are filled
    /// with `key` and `value`.
    pub(crate) fn new(capacity: usize, buckets: usize, seed: u64, key: K, value: V) -> Self {
        let capacity = capacity.clamp(1, 1 << 31);
        let hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        // Filled and emptied, so that its memory is there before the first packet.
        let mut index = HashTable::with_capacity(capacity);
        for number in 0..capacity as u32 {
            index.insert_unique(hasher.hash_one(number), number, |n| hasher.hash_one(n));
        }
        let mut table = Self {
            hasher,
            index,
            entries: alloc::vec![Entry { key, value, newer: NONE, older: NONE }; capacity],
            free: NONE,
            buckets: alloc::vec![Bucket::EMPTY; buckets.max(1)],
            by_count: alloc::vec![NONE; capacity.saturating_add(1)],
            busiest: 0,
        };
        table.clear();
        table
    }

    /// Removes every entry.
    pub(crate) fn clear(&mut self) {
        self.index.clear();
        for (entry, next) in self.entries.iter_mut().zip(1u32..) {
            entry.newer = next;
        }
        if let Some(last) = self.entries.last_mut() {
            last.newer = NONE;
        }
        self.free = 0;
        self.buckets.fill(Bucket::EMPTY);
        self.by_count.fill(NONE);
        self.busiest = 0;
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// How many there can be.
    pub(crate) const fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// The number of the entry with this key.
    pub(crate) fn find(&self, key: &K) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        let same = |&n: &u32| self.entries.get(n as usize).is_some_and(|entry| entry.key == *key);
        self.index.find(hash, same).copied()
    }

    /// The key of an entry; anything for a number that is not in use.
    pub(crate) fn key(&self, number: u32) -> Option<&K> {
        self.entries.get(number as usize).map(|entry| &entry.key)
    }

    /// The value of an entry; anything for a number that is not in use.
    pub(crate) fn value(&self, number: u32) -> Option<&V> {
        self.entries.get(number as usize).map(|entry| &entry.value)
    }

    /// The value of an entry, to be changed.
    pub(crate) fn value_mut(&mut self, number: u32) -> Option<&mut V> {
        self.entries.get_mut(number as usize).map(|entry| &mut entry.value)
    }

    /// Adds an entry for a key that has none, as the newest of its prefix. A full table evicts one
    /// first.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<u32> {
        if self.free == NONE {
            self.evict();
        }
        let number = self.free;
        let place = self.entries.get_mut(number as usize)?;
        self.free = place.newer;
        *place = Entry { key, value, newer: NONE, older: NONE };
        let hash = self.hasher.hash_one(key);
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.index.insert_unique(hash, number, |&n| {
            entries.get(n as usize).map_or(0, |entry| hasher.hash_one(entry.key))
        });
        self.link(number);
        Some(number)
    }

    /// Makes an entry the newest of its prefix.
    pub(crate) fn renew(&mut self, number: u32) {
        self.unlink(number);
        self.link(number);
    }

    /// Removes the entry with this key; says whether there was one.
    pub(crate) fn remove(&mut self, key: &K) -> bool {
        let hash = self.hasher.hash_one(key);
        let entries = &self.entries;
        let same = |&n: &u32| entries.get(n as usize).is_some_and(|entry| entry.key == *key);
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

    /// The numbers of all entries, such that inserting them again in this order gives each prefix
    /// its order back.
    pub(crate) fn oldest_first(&self) -> impl Iterator<Item = u32> {
        self.buckets.iter().flat_map(|bucket| {
            let next = |&number: &u32| Some(self.entries.get(number as usize)?.newer);
            core::iter::successors(Some(bucket.oldest), next).take_while(|&number| number != NONE)
        })
    }

    fn evict(&mut self) {
        let bucket = self.by_count.get(self.busiest as usize).copied().unwrap_or(NONE);
        let oldest = self.buckets.get(bucket as usize).map_or(NONE, |bucket| bucket.oldest);
        if let Some(&key) = self.key(oldest) {
            self.remove(&key);
        }
    }

    fn bucket_of(&self, key: &K) -> usize {
        // The /24 of an IPv4 address stands in bytes 12 to 14 of its mapped form.
        const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        let source = key.source();
        let prefix = if source.starts_with(&MAPPED) { source.get(..15) } else { source.get(..6) };
        (self.hasher.hash_one(prefix) % self.buckets.len().max(1) as u64) as usize
    }

    /// Makes the entry the newest of its bucket.
    fn link(&mut self, number: u32) {
        let Some(at) = self.key(number).map(|key| self.bucket_of(key)) else { return };
        let Some(bucket) = self.buckets.get_mut(at) else { return };
        let newest = core::mem::replace(&mut bucket.newest, number);
        if newest == NONE {
            bucket.oldest = number;
        } else if let Some(before) = self.entries.get_mut(newest as usize) {
            before.newer = number;
        }
        if let Some(entry) = self.entries.get_mut(number as usize) {
            entry.older = newest;
            entry.newer = NONE;
        }
        self.recount(at, 1);
    }

    /// Takes the entry out of its bucket.
    fn unlink(&mut self, number: u32) {
        let Some(&Entry { key, newer, older, .. }) = self.entries.get(number as usize) else {
            return;
        };
        let at = self.bucket_of(&key);
        let Some(bucket) = self.buckets.get_mut(at) else { return };
        match self.entries.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => bucket.newest = older,
        }
        match self.entries.get_mut(older as usize) {
            Some(older) => older.newer = newer,
            None => bucket.oldest = newer,
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

#[cfg(test)]
impl<K: Key, V: Copy> Table<K, V> {
    /// Panics unless the lists of buckets hold exactly the entries of the index.
    pub(crate) fn assert_consistent(&self) {
        let counts: u32 = self.buckets.iter().map(|bucket| bucket.count).sum();
        assert_eq!(counts as usize, self.len());
        let most = self.buckets.iter().map(|bucket| bucket.count).max();
        assert_eq!(most, Some(self.busiest));
        let listed: Vec<u32> = self.oldest_first().collect();
        assert_eq!(listed.len(), self.len());
        for number in listed {
            assert_eq!(self.key(number).and_then(|key| self.find(key)), Some(number));
        }
    }
}
