//! Who is knocking: a bounded table with the stages and a timer.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::attempts::table::{self, Table};
use crate::limits::{MAX_FINGERPRINTS, MAX_STAGE_BYTES, MAX_STRAYS};
use crate::policy::Protocol;
use crate::time::Instant;

/// A source, and the doors that it knocks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The source, as [`octets`](table::octets) writes it.
    pub source: [u8; 16],
    /// The group of the doors, as the [book](super::book::Book) numbers it.
    pub group: u32,
}

impl table::Key for Key {
    fn source(&self) -> &[u8; 16] {
        &self.source
    }
}

/// What is remembered of a knocker beside the stages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Knocker {
    /// When the first knock came.
    pub since: Instant,
    /// The number of the first knock among all: the same for the two knockers that a packet makes
    /// if it belongs to two groups, but for the lowest bit.
    birth: u32,
    /// The class of the doors, as the book numbers it.
    pub class: u32,
    /// The knocks that can be recognised when they come again; 0 for none.
    fingerprints: [u32; MAX_FINGERPRINTS],
    /// Ports of no door.
    strays: [(Protocol, u16); MAX_STRAYS],
    stray_count: u8,
    next_fingerprint: u8,
}

/// What a stray is to a knocker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stray {
    /// It is borne.
    Borne,
    /// It is one too many.
    TooMany,
}

impl Knocker {
    /// What [`Knockers::insert`] was told.
    pub(super) const fn birth(&self) -> u32 {
        self.birth & !1
    }

    /// A knocker since this moment.
    pub(super) const fn new(since: Instant, class: u32) -> Self {
        Self {
            since,
            birth: NOBODY,
            class,
            fingerprints: [0; MAX_FINGERPRINTS],
            strays: [(Protocol::Tcp, 0); MAX_STRAYS],
            stray_count: 0,
            next_fingerprint: 0,
        }
    }

    /// The same knocker with a new number for its class.
    pub(super) const fn in_class(self, class: u32) -> Self {
        Self { class, ..self }
    }

    /// Remembers a knock that counted, in the place of the oldest one.
    pub(super) fn remember(&mut self, fingerprint: Option<u32>) {
        let Some(fingerprint) = fingerprint else { return };
        let next = usize::from(self.next_fingerprint) % MAX_FINGERPRINTS;
        if let Some(place) = self.fingerprints.get_mut(next) {
            *place = fingerprint;
        }
        self.next_fingerprint = self.next_fingerprint.wrapping_add(1);
    }

    /// Whether this is a remembered knock once more.
    pub(super) fn remembers(&self, fingerprint: Option<u32>) -> bool {
        fingerprint.is_some_and(|fingerprint| self.fingerprints.contains(&fingerprint))
    }

    /// Takes note of a packet to a port of no door.
    pub(super) fn stray(&mut self, protocol: Protocol, number: u16) -> Stray {
        let count = usize::from(self.stray_count);
        if self.strays.iter().take(count).any(|&known| known == (protocol, number)) {
            return Stray::Borne;
        }
        let Some(place) = self.strays.get_mut(count) else { return Stray::TooMany };
        *place = (protocol, number);
        self.stray_count = self.stray_count.saturating_add(1);
        Stray::Borne
    }
}

/// The birth of a knocker that is not there any more.
const NOBODY: u32 = u32::MAX;

/// Knockers in a bucket of the table when all prefixes are equally busy. A bucket that is hit loses
/// its oldest one, so with only a few in each, one that has just come would go by bad luck. With 16,
/// of a thousand knockers one is gone after forged first knocks from everywhere, 0.4 times as many as
/// there is room for; with 4 it would be 79 of them (the tail of a Poisson distribution).
const PER_BUCKET: usize = 16;

/// When to look at a knocker again. Of each there is one that counts; it comes when the next door is
/// late, or earlier if that door was lost or opened meanwhile. The births order what is due at the
/// same moment, and tell the knocker from another one that had or has its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    /// The moment.
    pub at: Instant,
    birth: u32,
    /// The knocker.
    pub number: u32,
}

impl Due {
    /// Whether the same packet began both, and both come at the same moment.
    pub(super) fn is_with(&self, other: &Self) -> bool {
        self.at == other.at && self.birth >> 1 == other.birth >> 1
    }
}

/// The knockers, by number: below the capacity, and theirs until they are removed or evicted.
#[derive(Debug)]
pub(super) struct Knockers {
    table: Table<Key, Knocker>,
    /// `width` bytes for each number: how many knocks were made at each door of the class; 0 where no
    /// attempt is in progress.
    stages: Vec<u8>,
    width: usize,
    timer: BinaryHeap<Reverse<Due>>,
    births: u32,
}

impl Knockers {
    /// Room for as many knockers as asked for, if their stages, `width` bytes for each, fit into
    /// [`MAX_STAGE_BYTES`].
    pub(super) fn new(max: usize, width: usize, seed: u64) -> Self {
        let capacity = Self::capacity_for(max, width);
        let nobody = Key { source: [0; 16], group: 0 };
        let buckets = capacity / PER_BUCKET;
        let unused = Knocker::new(Instant::ORIGIN, 0);
        let table = Table::new(capacity, buckets, seed, nobody, unused);
        let mut knockers =
            Self { table, stages: Vec::new(), width, timer: BinaryHeap::new(), births: 0 };
        knockers.set_width(width);
        // Filled and emptied, so that its memory is there before the first packet.
        let due = Due { at: Instant::ORIGIN, birth: NOBODY, number: NOBODY };
        knockers.timer = alloc::vec![Reverse(due); knockers.most_due()].into();
        knockers.timer.clear();
        knockers
    }

    fn capacity_for(max: usize, width: usize) -> usize {
        max.min(MAX_STAGE_BYTES.checked_div(width).unwrap_or(max)).clamp(1, 1 << 31)
    }

    fn set_width(&mut self, width: usize) {
        self.width = width;
        // Not zeros, which would be memory that is taken only when it is written to.
        self.stages = alloc::vec![u8::MAX; self.table.capacity().saturating_mul(width)];
    }

    /// Forgets everybody, and makes room as [`new`](Self::new) would.
    pub(super) fn reset(&mut self, max: usize, width: usize, seed: u64) {
        if Self::capacity_for(max, width) != self.table.capacity() {
            let births = self.births;
            *self = Self { births, ..Self::new(max, width, seed) };
            return;
        }
        self.table.clear();
        self.timer.clear();
        if width != self.width {
            self.set_width(width);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// The number of a knocker.
    pub(super) fn find(&self, key: &Key) -> Option<u32> {
        if self.table.len() == 0 { None } else { self.table.find(key) }
    }

    /// The numbers of all, such that inserting them again in this order changes nothing about who is
    /// evicted first.
    pub(super) fn oldest_first(&self) -> impl Iterator<Item = u32> {
        self.table.oldest_first()
    }

    /// Who it is.
    pub(super) fn key(&self, number: u32) -> Option<Key> {
        self.table.key(number).copied()
    }

    /// A knocker.
    pub(super) fn get(&self, number: u32) -> Option<&Knocker> {
        self.table.value(number)
    }

    /// A knocker, to be changed.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Knocker> {
        self.table.value_mut(number)
    }

    /// The stages of a knocker.
    pub(super) fn stages(&self, number: u32) -> &[u8] {
        let from = (number as usize).saturating_mul(self.width);
        self.stages.get(from..from.saturating_add(self.width)).unwrap_or_default()
    }

    /// The stages of a knocker, to be changed.
    pub(super) fn stages_mut(&mut self, number: u32) -> &mut [u8] {
        let from = (number as usize).saturating_mul(self.width);
        self.stages.get_mut(from..from.saturating_add(self.width)).unwrap_or_default()
    }

    /// A birth for the knockers that the next packet makes.
    pub(super) fn next_birth(&mut self) -> u32 {
        // Without the highest bit, so that none is that of nobody.
        self.births = self.births.wrapping_add(2) & (NOBODY >> 1);
        self.births
    }

    /// Adds a knocker that is not there yet, with its stages. It is to be [scheduled](Self::schedule).
    pub(super) fn insert(&mut self, key: Key, mut knocker: Knocker, birth: u32) -> Option<u32> {
        knocker.birth = birth | u32::from(key.group != super::book::OWN);
        self.table.insert(key, knocker)
    }

    /// Makes a knocker the last one of its prefix to be evicted.
    pub(super) fn renew(&mut self, number: u32) {
        self.table.renew(number);
    }

    /// Forgets a knocker.
    pub(super) fn remove(&mut self, number: u32) {
        if let Some(knocker) = self.table.value_mut(number) {
            knocker.birth = NOBODY;
        }
        if let Some(key) = self.key(number) {
            self.table.remove(&key);
        }
        self.tidy();
    }

    /// Says when to look at a knocker again. It must not be scheduled already.
    pub(super) fn schedule(&mut self, number: u32, at: Instant) {
        let Some(birth) = self.get(number).map(|knocker| knocker.birth) else { return };
        if self.timer.len() >= self.most_due() {
            // Half of these at least are of knockers that are not there any more.
            let table = &self.table;
            self.timer.retain(|Reverse(due)| counts(table, due));
        }
        self.timer.push(Reverse(Due { at, birth, number }));
    }

    /// The next moment at which somebody is to be looked at.
    pub(super) fn next_due(&self) -> Option<Due> {
        self.timer.peek().map(|Reverse(due)| *due)
    }

    /// Takes the next one that is due at `until` or before.
    pub(super) fn take_due(&mut self, until: Instant) -> Option<Due> {
        while let Some(due) = self.next_due().filter(|due| due.at <= until) {
            self.timer.pop();
            if counts(&self.table, &due) {
                return Some(due);
            }
        }
        None
    }

    /// Drops from the front of the timer what is for nobody.
    pub(super) fn tidy(&mut self) {
        while self.next_due().is_some_and(|due| !counts(&self.table, &due)) {
            self.timer.pop();
        }
    }

    fn most_due(&self) -> usize {
        self.table.capacity().saturating_mul(2)
    }
}

fn counts(table: &Table<Key, Knocker>, due: &Due) -> bool {
    table.value(due.number).is_some_and(|knocker| knocker.birth == due.birth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_is_bounded_and_knows_who_is_gone() {
        let mut knockers = Knockers::new(8, 1, 3);
        let key = |n: u8| Key { source: [n; 16], group: u32::from(n % 2) };
        for round in 0..1_000u64 {
            // Always the same moment, so that only births tell them apart.
            let knocker = Knocker::new(Instant::ORIGIN, 0);
            let birth = knockers.next_birth();
            let number = knockers.insert(key(round as u8), knocker, birth).unwrap();
            knockers.schedule(number, Instant::from_millis(round % 3));
            if round % 5 == 0 {
                knockers.remove(number);
            }
            assert!(knockers.len() <= 8);
            assert!(knockers.timer.len() <= 16);
            let counting = knockers.timer.iter().filter(|due| counts(&knockers.table, &due.0));
            assert_eq!(counting.count(), knockers.len());
        }
        let mut taken = 0;
        while let Some(due) = knockers.take_due(Instant::from_millis(1)) {
            assert!(due.at <= Instant::from_millis(1));
            knockers.remove(due.number);
            taken += 1;
        }
        assert!(taken > 0);
        knockers.tidy();
        assert_eq!(knockers.next_due().map(|due| due.at), Some(Instant::from_millis(2)));
    }

    #[test]
    fn births_are_even_and_nobody_has_none() {
        let mut knockers = Knockers::new(1, 1, 3);
        knockers.births = NOBODY / 2 - 3;
        for _ in 0..5 {
            let birth = knockers.next_birth();
            assert_eq!(birth % 2, 0);
            assert_ne!(birth | 1, NOBODY);
        }
    }

    #[test]
    fn a_knocker_is_not_larger_than_documented() {
        let entry = size_of::<table::Entry<Key, Knocker>>();
        assert_eq!((entry, size_of::<Due>()), (104, 16));
    }

    #[test]
    fn long_stages_leave_room_for_fewer() {
        let mut knockers = Knockers::new(100_000, 1, 3);
        for (width, room) in [(1_000, MAX_STAGE_BYTES / 1_000), (2, 100_000), (600, 100_000)] {
            knockers.reset(100_000, width, 3);
            assert_eq!(knockers.table.capacity(), room);
            assert_eq!(knockers.stages(room as u32 - 1).len(), width);
            assert_eq!(knockers.stages_mut(room as u32).len(), 0);
        }
        assert_eq!(Knockers::new(0, MAX_STAGE_BYTES + 1, 3).table.capacity(), 1);
    }
}
