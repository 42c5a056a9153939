//! What the commands of a door come to, and which doors take back what others do.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portcullis_core::policy::Port;

use super::recognise::recognise;
use super::rule::{Known, Rule};
use crate::knockd::{CommandLine, Door, DoorPlaces, Knocks};

/// What the commands of a door come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing is run.
    Nothing,
    /// It lets the address in, and perhaps takes that back after a while.
    Opens { rule: Rule, number: Option<u32>, closes: bool },
    /// It takes back what another door does.
    Closes(Known),
    /// Somebody's own.
    Unknown,
}

/// A section of the `knockd.conf`.
pub struct Section<'a> {
    pub door: &'a Door,
    pub places: &'a DoorPlaces,
    pub purpose: Purpose,
    /// Those that take back what this one does, by knocks of their own.
    pub closers: Vec<usize>,
    /// It is among the closers of another.
    pub is_closer: bool,
}

/// What the commands of a door come to, for addresses of both families.
pub fn purpose(door: &Door) -> Purpose {
    let [four, six] = FAMILIES.map(|address| {
        let start = door.start_command(address);
        // Without a start command knockd does not run a stop command either.
        (start, start.and(door.stop_command(address)))
    });
    let (of_four, of_six) = (purpose_of(four), purpose_of(six));
    match (of_four, of_six) {
        (one, other) if four == six || one == other => one,
        // That only one family was let in was hardly meant; both are guarded now.
        (Purpose::Nothing, one) | (one, Purpose::Nothing) if one != Purpose::Unknown => one,
        (
            Purpose::Opens { rule, number, closes },
            Purpose::Opens { rule: other, closes: other_closes, .. },
        ) if rule.ports == other.ports && closes == other_closes => {
            Purpose::Opens { rule, number, closes }
        }
        (Purpose::Closes(known), Purpose::Closes(_)) => Purpose::Closes(known),
        _ => Purpose::Unknown,
    }
}

/// Any address of each family.
pub const FAMILIES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

fn purpose_of((start, stop): (Option<&CommandLine>, Option<&CommandLine>)) -> Purpose {
    let Some(start) = start else { return Purpose::Nothing };
    match (recognise(start), stop.map(recognise)) {
        (Some(Known::Add(rule, number)), None) => Purpose::Opens { rule, number, closes: false },
        (Some(Known::Add(rule, number)), Some(Some(stop))) if stop.takes_back(&rule, number) => {
            Purpose::Opens { rule, number, closes: true }
        }
        (Some(known @ (Known::Delete(_) | Known::DeleteNumber(..))), None) => {
            Purpose::Closes(known)
        }
        _ => Purpose::Unknown,
    }
}

/// Finds the door that each closer closes: the one with the reverse sequence, or else the first with
/// this rule.
pub fn join(sections: &mut [Section<'_>]) {
    let mut by_sequence: HashMap<&[Port], Vec<usize>> = HashMap::new();
    let mut by_rule: HashMap<&Rule, usize> = HashMap::new();
    for (index, section) in sections.iter().enumerate() {
        // One-time sequences are not carried over, so neither is the door.
        if let (Purpose::Opens { rule, .. }, Knocks::Sequence(sequence)) =
            (&section.purpose, &section.door.knocks)
        {
            by_sequence.entry(sequence).or_default().push(index);
            by_rule.entry(rule).or_insert(index);
        }
    }
    let takes_back = |closer: &Known, opener: usize| match sections.get(opener).map(|o| &o.purpose)
    {
        Some(Purpose::Opens { rule, number, .. }) => closer.takes_back(rule, *number),
        _ => false,
    };
    let mut pairs = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let Purpose::Closes(known) = &section.purpose else { continue };
        let reversed = match &section.door.knocks {
            Knocks::Sequence(sequence) => sequence.iter().rev().copied().collect(),
            Knocks::OneTime(_) => Vec::new(),
        };
        let mut candidates = by_sequence.get(reversed.as_slice()).into_iter().flatten().copied();
        let opener = candidates.find(|opener| takes_back(known, *opener));
        let same_rule = || match known {
            Known::Delete(rule) => by_rule.get(rule).copied(),
            _ => None,
        };
        pairs.extend(opener.or_else(same_rule).map(|opener| (index, opener)));
    }
    for (closer, opener) in pairs {
        if let Some(section) = sections.get_mut(closer) {
            section.is_closer = true;
        }
        if let Some(section) = sections.get_mut(opener) {
            section.closers.push(closer);
        }
    }
}
