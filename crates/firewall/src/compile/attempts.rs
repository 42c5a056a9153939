//! The maps in which the kernel keeps attempts: from the address of a source to its state.
//!
//! The kernel's maps do not evict, so forged sources can fill one. Therefore each map has a second one,
//! for attempts that find the first one full. Attempts leave the second map so soon that no flood keeps
//! it full. While a flood lasts, a knock must follow the one before within
//! [`LATE_ATTEMPT`](limits::LATE_ATTEMPT). `docs/flood.md` has the measurements.
//!
//! Sources share nothing, and the maps are keyed by whole addresses, not by a hash of ours. So an attempt
//! belongs to the address that has made all of its knocks.

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use portcullis_core::limits;
use portcullis_core::time::Instant;

use super::{ADDRESS, Compiler, SADDR, delete, dynamic, rule, update};
use crate::ruleset::{Data, Field, Operation, Rule, Set, Statement, Type, Value};
use crate::simulator::Simulator;

/// The maps from sources to the states of their attempts, for IPv4 and IPv6.
pub const ATTEMPTS: [&str; 2] = ["attempt4", "attempt6"];
/// The same for those that found no room there.
pub const LATE_ATTEMPTS: [&str; 2] = ["attempt4_late", "attempt6_late"];
/// The addresses that are in time for their next knock. This set exists only if some door forgives wrong
/// ports: forgiving one renews the attempt, so this set keeps the time.
pub const IN_TIME: [&str; 2] = ["in_time4", "in_time6"];
/// The same for those that found no room there.
pub const LATE_IN_TIME: [&str; 2] = ["in_time4_late", "in_time6_late"];

/// First and second maps, with the most attempts in each.
const MAPS: [([&str; 2], u32); 2] =
    [(ATTEMPTS, limits::MAX_KERNEL_ATTEMPTS), (LATE_ATTEMPTS, limits::MAX_LATE_ATTEMPTS)];
const SETS: [([&str; 2], u32); 2] =
    [(IN_TIME, limits::MAX_KERNEL_ATTEMPTS), (LATE_IN_TIME, limits::MAX_LATE_ATTEMPTS)];

/// A set for each family, with its field.
fn families(names: [&'static str; 2]) -> impl Iterator<Item = (Field, &'static str)> {
    SADDR.into_iter().zip(names)
}

impl Compiler<'_> {
    pub(super) fn attempt_sets(&self) -> Vec<Set> {
        let all = |pairs: [([&'static str; 2], u32); 2], data: Option<Type>| {
            pairs.into_iter().flat_map(move |(names, size)| {
                let sets = names.into_iter().zip(ADDRESS);
                sets.map(move |(name, address)| dynamic(name, vec![address], data, size))
            })
        };
        let mut sets: Vec<Set> = all(MAPS, Some(Type::Classid)).collect();
        if self.automaton.forgives() {
            sets.extend(all(SETS, None));
        }
        sets
    }

    /// Goes on with `statements` if the source has an attempt, its state in the priority.
    pub(super) fn with_attempt(&self, statements: &[Statement]) -> Vec<Rule> {
        let maps = MAPS.into_iter().flat_map(|(maps, _)| families(maps));
        maps.map(|(source, map)| {
            let mut all = vec![Statement::SetPriorityFrom { key: vec![source], map }];
            all.extend_from_slice(statements);
            Rule { statements: all, comment: None }
        })
        .collect()
    }

    /// Goes on with `statements` if the source is too late for its next knock.
    pub(super) fn when_late(&self, statements: &[Statement]) -> Vec<Rule> {
        let [(first, _), (second, _)] = SETS;
        families(first)
            .zip(second)
            .map(|((source, first), second)| {
                let none = |set| Statement::In { key: vec![source], set, member: false };
                let mut all = vec![none(first), none(second)];
                all.extend_from_slice(statements);
                Rule { statements: all, comment: Some("too late") }
            })
            .collect()
    }

    /// Ends the attempt of the source.
    pub(super) fn forget(&self) -> Vec<Rule> {
        let maps = MAPS.into_iter().flat_map(|(maps, _)| families(maps));
        maps.map(|(source, map)| rule([delete(map, source, Some(Value::Class(0)))])).collect()
    }

    /// Remembers the state that is in the priority, and goes on with a verdict.
    pub(super) fn remember(&self, timeout: Duration, then: &Statement) -> Vec<Rule> {
        let late = timeout.min(limits::LATE_ATTEMPT);
        let mut rules = Vec::new();
        // Where there is no room, adding does not match.
        for (maps, timeout) in [(ATTEMPTS, timeout), (LATE_ATTEMPTS, late)] {
            rules.extend(families(maps).map(|(source, set)| {
                let add = Statement::Change {
                    operation: Operation::Add,
                    set,
                    key: vec![source],
                    timeout: Some(timeout),
                    limit: None,
                    data: Some(Data::Field(Field::Priority)),
                };
                rule([add, then.clone()])
            }));
        }
        rules.push(rule([then.clone()]).because("no room for more"));
        rules
    }

    /// Remembers for this time that the source is in time.
    pub(super) fn in_time(&self, timeout: Duration) -> Vec<Rule> {
        let mut rules = Vec::new();
        for ((source, first), second) in families(IN_TIME).zip(LATE_IN_TIME) {
            rules.push(rule([update(first, vec![source], timeout)]));
            let none = Statement::In { key: vec![source], set: first, member: false };
            let late = timeout.min(limits::LATE_ATTEMPT);
            rules
                .push(rule([none, update(second, vec![source], late)]).because("no room for more"));
        }
        rules
    }
}

/// The attempt of a source: the number of its state, and the time left for its next knock. `None` if it
/// has no attempt.
pub fn attempt_of(
    simulator: &Simulator<'_>,
    source: IpAddr,
    now: Instant,
) -> Option<(u32, Duration)> {
    let (family, key) = match source {
        IpAddr::V4(address) => (0, [Value::Ipv4(address)]),
        IpAddr::V6(address) => (1, [Value::Ipv6(address)]),
    };
    let left = |sets: [[&str; 2]; 2]| {
        let names = sets.iter().filter_map(|names| names.get(family));
        names.filter_map(|name| simulator.left(name, &key, now)).next()
    };
    let (name, left_of_state) = [ATTEMPTS, LATE_ATTEMPTS]
        .iter()
        .filter_map(|names| names.get(family))
        .find_map(|name| Some((name, simulator.left(name, &key, now)?)))?;
    let Some(Some(Value::Class(state))) = simulator.get(name, &key, now) else { return None };
    // Forgiving a port renews the state, so that another set keeps the time.
    let keeps_time = simulator.has(IN_TIME[0]);
    let left = if keeps_time { left([IN_TIME, LATE_IN_TIME])? } else { left_of_state };
    Some((*state, left))
}
