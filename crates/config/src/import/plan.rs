//! Which doors there will be.

use super::planned::Plan;
use super::purpose::{Section, join, purpose};
use super::section::Planner;
use crate::knockd::Located;

/// Plans the native configuration of this one.
pub fn plan(located: &Located) -> Plan {
    let mut planner = Planner::default();
    planner.options(located);
    let doors = located.configuration.doors.iter().zip(&located.doors);
    let mut sections: Vec<_> = doors
        .map(|(door, places)| Section {
            door,
            places,
            purpose: purpose(door),
            closers: Vec::new(),
            is_closer: false,
        })
        .collect();
    join(&mut sections);
    for section in sections.iter().filter(|section| !section.is_closer) {
        let closers: Vec<_> =
            section.closers.iter().filter_map(|index| sections.get(*index)).collect();
        planner.section(section, &closers);
    }
    planner.plan
}
