//! What stays when the doors change.

use alloc::vec::Vec;
use core::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::Door;
use super::book::{Book, Class};
use super::knockers::{Key, Knocker, Knockers};
use crate::policy::Port;

/// For each new door the old one that it was: among those that are equal, the first new one was the
/// first old one, and so on.
pub(super) fn same(old: &[Door], new: &[Door]) -> Vec<Option<usize>> {
    let mut places: HashMap<&Door, Vec<usize>, FixedState> = HashMap::default();
    for (index, door) in old.iter().enumerate().rev() {
        places.entry(door).or_default().push(index);
    }
    new.iter().map(|door| places.get_mut(door)?.pop()).collect()
}

/// Which of the new doors are shut: those that were, and those that have the used sequence of one
/// that was, although something else about them has changed.
pub(super) fn shut(old: &[Door], shut: &[bool], new: &[Door], was: &[Option<usize>]) -> Vec<bool> {
    type Used<'a> = HashSet<(Option<IpAddr>, &'a [Port]), FixedState>;
    let used = old.iter().zip(shut).filter(|&(_, &shut)| shut);
    let used: Used<'_> = used.map(|(door, _)| (door.target, door.sequence.as_slice())).collect();
    let state = |(door, was): (&Door, &Option<usize>)| match was {
        Some(was) => shut.get(*was).copied().unwrap_or(false),
        None => door.once && used.contains(&(door.target, door.sequence.as_slice())),
    };
    new.iter().zip(was).map(state).collect()
}

/// Takes the attempts from one book to another, at the doors that `was` knows. `room` is what
/// [`Knockers::reset`] asks for, but for the width.
pub(super) fn carry(
    knockers: &mut Knockers,
    old: &Book,
    new: &Book,
    was: &[Option<usize>],
    room: (usize, u64),
) {
    let width = new.widest();
    let moves: Vec<Option<Move<'_>>> =
        old.classes().iter().map(|class| Move::of(class, old, new, was)).collect();
    let mut kept: Vec<(Key, Knocker)> = Vec::new();
    let mut stages: Vec<u8> = Vec::new();
    for number in knockers.oldest_first() {
        let (Some(key), Some(knocker)) = (knockers.key(number), knockers.get(number)) else {
            continue;
        };
        let Some(Some(to)) = moves.get(knocker.class as usize) else { continue };
        let before = knockers.stages(number);
        let stage = |from: &Option<usize>| from.and_then(|from| before.get(from).copied());
        let from = stages.len();
        stages.extend(to.from.iter().map(|from| stage(from).unwrap_or(0)));
        if stages.iter().skip(from).all(|&stage| stage == 0) {
            stages.truncate(from);
            continue;
        }
        stages.resize(from.saturating_add(width), 0);
        let group = to.class.group;
        kept.push((Key { group, ..key }, knocker.in_class(to.number)));
    }
    let (max, seed) = room;
    knockers.reset(max, width, seed);
    for ((key, knocker), stages) in kept.iter().zip(stages.chunks(width)) {
        let Some(class) = new.class(knocker.class) else { continue };
        let Some(number) = knockers.insert(*key, *knocker, knocker.birth()) else { continue };
        for (place, &stage) in knockers.stages_mut(number).iter_mut().zip(stages) {
            *place = stage;
        }
        if let Some(at) = class.next_deadline(knocker.since, stages) {
            knockers.schedule(number, at);
        }
    }
}

/// What becomes of the knockers of a class.
struct Move<'a> {
    number: u32,
    class: &'a Class,
    /// For each door of the new class its place in the old one.
    from: Vec<Option<usize>>,
}

impl<'a> Move<'a> {
    fn of(class: &Class, old: &Book, new: &'a Book, was: &[Option<usize>]) -> Option<Self> {
        let group = match old.address(class.group) {
            Some(address) => new.target(address)?,
            None => class.group,
        };
        let (number, to) = new.class_of(group, class.first)?;
        let place = |index: usize| {
            let was = was.get(index).copied().flatten()?;
            class.doors.binary_search_by_key(&was, |line| line.index).ok()
        };
        let from = to.doors.iter().map(|line| place(line.index)).collect();
        Some(Self { number, class: to, from })
    }
}
