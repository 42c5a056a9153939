//! How far each source came: a bounded table that keeps those who came furthest.

use std::collections::HashMap;
use std::net::IpAddr;

use portcullis_core::policy::DoorId;

/// Sources that are kept.
pub const MOST: usize = 65_536;

/// What one source has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deeds {
    /// The furthest stage that it reached, of which door, and when (in nanoseconds since 1970).
    pub furthest: Option<(u8, DoorId, u64)>,
    /// How often it opened a door.
    pub opened: u64,
    /// Knocks that counted, the last ones too.
    pub knocks: u64,
    /// Attempts that a wrong port has lost.
    pub lost: u64,
    /// Knocks that came too late.
    pub late: u64,
    /// What would have been strikes.
    pub strikes: u64,
    /// When it would have been banned first.
    pub banned: Option<u64>,
}

impl Deeds {
    /// It has come so far at a door.
    pub fn reach(&mut self, stage: u8, door: DoorId, at: u64) {
        if self.furthest.is_none_or(|(before, ..)| before < stage) {
            self.furthest = Some((stage, door, at));
        }
    }

    /// What makes one worth more than another: what was opened, then how far it came.
    fn level(&self) -> u8 {
        match (self.opened, self.furthest) {
            (0, None) => 0,
            (0, Some((stage, ..))) => stage,
            _ => u8::MAX,
        }
    }
}

/// The table.
#[derive(Debug, Default)]
pub struct Sources {
    deeds: HashMap<IpAddr, Deeds>,
    /// Those who came no further than this are not kept any more.
    floor: Option<u8>,
    /// How often one of them was turned away or left out.
    pub left_out: u64,
}

impl Sources {
    /// Changes what is known of a source, which has come as far as `level` (0: it has made no knock;
    /// `u8::MAX`: it has opened a door).
    pub fn note(&mut self, source: IpAddr, level: u8, change: impl FnOnce(&mut Deeds)) {
        if let Some(deeds) = self.deeds.get_mut(&source) {
            return change(deeds);
        }
        if self.floor.is_some_and(|floor| level <= floor) {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        if self.deeds.len() >= MOST {
            self.raise_floor();
            if self.deeds.len() >= MOST || self.floor.is_some_and(|floor| level <= floor) {
                self.left_out = self.left_out.saturating_add(1);
                return;
            }
        }
        change(self.deeds.entry(source).or_default());
    }

    /// Leaves out those who came least far, until half the table is free or only those remain who have
    /// opened a door. The floor only rises, so this is done a few dozen times at most.
    fn raise_floor(&mut self) {
        while self.deeds.len() > MOST / 2 {
            let lowest = self.deeds.values().map(Deeds::level).min();
            let Some(lowest) = lowest.filter(|level| *level < u8::MAX) else { break };
            let before = self.deeds.len();
            self.deeds.retain(|_, deeds| deeds.level() > lowest);
            let gone = before.saturating_sub(self.deeds.len());
            self.left_out = self.left_out.saturating_add(gone as u64);
            self.floor = Some(lowest);
        }
        if self.deeds.len() >= MOST {
            self.floor = Some(u8::MAX);
        }
    }

    /// Up to which stage sources are not listed, if there were too many; 255 is all.
    pub const fn floor(&self) -> Option<u8> {
        self.floor
    }

    /// All that are kept, those who came furthest first.
    pub fn sorted(&self) -> Vec<(IpAddr, Deeds)> {
        let mut all: Vec<_> = self.deeds.iter().map(|(&source, &deeds)| (source, deeds)).collect();
        all.sort_unstable_by_key(|(source, deeds)| {
            let furthest = std::cmp::Reverse((deeds.level(), deeds.knocks, deeds.strikes));
            (furthest, *source)
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn reach(sources: &mut Sources, number: usize, stage: u8) {
        let source = Ipv4Addr::from_bits(number as u32).into();
        sources.note(source, stage, |deeds| deeds.furthest = Some((stage, DoorId(0), 0)));
    }

    #[test]
    fn who_came_further_makes_others_go() {
        let mut sources = Sources::default();
        for number in 0..MOST {
            reach(&mut sources, number, if number % 4 == 0 { 2 } else { 1 });
        }
        assert_eq!(sources.sorted().len(), MOST);
        reach(&mut sources, MOST, 3);
        assert_eq!((sources.floor(), sources.left_out), (Some(1), MOST as u64 * 3 / 4));
        let sorted = sources.sorted();
        assert_eq!(sorted.len(), MOST / 4 + 1);
        assert_eq!(sorted[0].1.furthest, Some((3, DoorId(0), 0)));
        // One who comes no further than those who went is not taken.
        reach(&mut sources, MOST + 1, 1);
        assert_eq!(sources.sorted().len(), MOST / 4 + 1);
    }

    #[test]
    fn a_table_of_openers_takes_no_more() {
        let mut sources = Sources::default();
        for number in 0..MOST + 10 {
            let source = Ipv4Addr::from_bits(number as u32).into();
            sources.note(source, u8::MAX, |deeds| deeds.opened += 1);
        }
        assert_eq!((sources.sorted().len(), sources.left_out), (MOST, 10));
    }
}
