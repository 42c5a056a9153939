//! What is wrong with a policy, and where.
//!
//! `docs/problems.md` and `docs/strength.md` give the reasons: a sequence is worth its bits only if nothing
//! but knowing it opens the door.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::problem::TRIES_OF_TCP;
use super::{Allowed, Door, DoorId, DoorName, Policy, Port, Problem, Recogniser, Refuse, Stance};
use crate::automaton::{Automaton, ConflictKind, StateId, Transition};
use crate::limits;
use crate::strength::{self, Usable};

#[cfg(test)]
mod tests;

/// Where in a policy something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The policy as a whole.
    Whole,
    /// The gate's stance.
    Stance,
    /// How the gate refuses.
    Refuse,
    /// The gate's `log_refused`.
    LogRefused,
    /// An entry of the gate's interfaces.
    Interface(usize),
    /// An entry of the gate's public ports.
    Public(usize),
    /// An entry of the allow-list.
    Allow(usize),
    /// The strikes that ban.
    BanStrikes,
    /// The time for which they are counted.
    BanWithin,
    /// How long a ban lasts.
    BanTime,
    /// A door as a whole.
    Door(DoorId),
    /// A door's list of guarded ports.
    Guards(DoorId),
    /// One guarded port.
    Guard(DoorId, usize),
    /// A door's sequence.
    Sequence(DoorId),
    /// One knock of it.
    Knock(DoorId, usize),
    /// A door's `step_timeout`.
    StepTimeout(DoorId),
    /// A door's `open_for`.
    OpenFor(DoorId),
    /// A door's `recogniser`.
    Recogniser(DoorId),
    /// A door's `tolerate`.
    Tolerate(DoorId),
}

/// Something found in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub problem: Problem,
    /// Where.
    pub place: Place,
    /// The other place that it has to do with.
    pub related: Option<Place>,
}

/// From above this on, few forged packets a second keep all memory for attempts in use.
const LONG_STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// Above this a grant is for more than starting a connection.
const LONG_OPEN_FOR: Duration = Duration::from_secs(60 * 60);

/// Everything that is wrong with a policy, in the order of the file. A policy may be used when none
/// of the findings is an [error](super::Severity::Error).
pub fn check(policy: &Policy) -> Vec<Finding> {
    let mut check = Check {
        policy,
        findings: Vec::new(),
        guarded: BTreeMap::new(),
        public: BTreeMap::new(),
        usable: Usable::of(policy),
    };
    check.whole();
    check.gate();
    check.allowed();
    check.ban();
    for (id, door) in policy.doors() {
        check.guards(id, door);
    }
    for (id, door) in policy.doors() {
        check.sequence(id, door);
        check.durations(id, door);
        check.hooks(id, door);
    }
    check.overlaps();
    check.findings.sort_by_key(|finding| finding.place);
    check.findings
}

struct Check<'a> {
    policy: &'a Policy,
    findings: Vec<Finding>,
    /// The first door that guards a port, and where it says so.
    guarded: BTreeMap<Port, (DoorId, usize)>,
    /// The first entry of the public ports that names a port.
    public: BTreeMap<Port, usize>,
    usable: Usable,
}

impl Check<'_> {
    fn report(&mut self, place: Place, problem: Problem) {
        self.findings.push(Finding { problem, place, related: None });
    }

    fn report_with(&mut self, place: Place, related: Place, problem: Problem) {
        self.findings.push(Finding { problem, place, related: Some(related) });
    }

    fn name(&self, id: DoorId) -> Option<DoorName> {
        Some(self.policy.door(id)?.name.clone())
    }

    fn whole(&mut self) {
        let count = self.policy.doors.len();
        match self.policy.gate.stance {
            Stance::Guard if count == 0 => self.report(Place::Whole, Problem::NoDoor),
            Stance::Closed
                if count == 0
                    && self.policy.gate.public.is_empty()
                    && self.policy.gate.allow.is_empty() =>
            {
                self.report(Place::Stance, Problem::NobodyGetsIn);
            }
            Stance::Guard | Stance::Closed => {}
        }
        if count > limits::MAX_DOORS {
            self.report(Place::Whole, Problem::TooManyDoors { count });
        }
        let mut names = BTreeMap::new();
        let mut durations = BTreeSet::new();
        for (id, door) in self.policy.doors() {
            durations.insert((door.step_timeout, door.open_for));
            let first = *names.entry(&door.name).or_insert(id);
            if first != id {
                let name = door.name.clone();
                self.report_with(
                    Place::Door(id),
                    Place::Door(first),
                    Problem::DuplicateDoor { name },
                );
            }
        }
        if durations.len() > limits::MAX_DISTINCT_DURATIONS {
            self.report(Place::Whole, Problem::TooManyDurations { count: durations.len() });
        }
    }

    fn gate(&mut self) {
        let gate = &self.policy.gate;
        if gate.log_refused && gate.stance == Stance::Guard {
            self.report(Place::LogRefused, Problem::LogInGuard);
        }
        if gate.stance == Stance::Guard && gate.refuse != Refuse::LikeClosed {
            self.report(Place::Refuse, Problem::RefusalStandsOut { refuse: gate.refuse });
        }
        let count = gate.public.len();
        if count > limits::MAX_PUBLIC {
            self.report(Place::Whole, Problem::TooManyPublic { count });
        }
        for (index, &port) in gate.public.iter().enumerate().take(limits::MAX_PUBLIC) {
            match self.public.get(&port) {
                Some(&first) => {
                    let problem = Problem::DuplicatePublic { port };
                    self.report_with(Place::Public(index), Place::Public(first), problem);
                }
                None => {
                    self.public.insert(port, index);
                }
            }
        }
        let count = gate.interfaces.len();
        if count > limits::MAX_INTERFACES {
            self.report(Place::Whole, Problem::TooManyInterfaces { count });
        }
        let mut seen = BTreeMap::new();
        for (index, interface) in gate.interfaces.iter().enumerate().take(limits::MAX_INTERFACES) {
            let first = *seen.entry(interface).or_insert(index);
            if first != index {
                let problem = Problem::DuplicateInterface;
                self.report_with(Place::Interface(index), Place::Interface(first), problem);
            }
        }
    }

    fn allowed(&mut self) {
        let gate = &self.policy.gate;
        let count = gate.allow.len();
        if count > limits::MAX_ALLOWED {
            self.report(Place::Whole, Problem::TooManyAllowed { count });
        }
        let count = self.policy.allowed_hosts().len();
        if count > limits::MAX_ALLOWED_HOSTS {
            self.report(Place::Whole, Problem::TooManyHosts { count });
        }
        let mut seen = BTreeMap::new();
        for (index, allowed) in gate.allow.iter().enumerate().take(limits::MAX_ALLOWED) {
            let place = Place::Allow(index);
            let first = *seen.entry(allowed).or_insert(index);
            if first != index {
                self.report_with(place, Place::Allow(first), Problem::DuplicateAllowed);
            }
            match allowed {
                Allowed::Network(network) if network.prefix() == 0 => {
                    self.report(place, Problem::AllowsEveryone);
                }
                Allowed::Interface(name)
                    if !gate.interfaces.is_empty() && !gate.interfaces.contains(name) =>
                {
                    self.report(place, Problem::AllowedElsewhere);
                }
                Allowed::Network(_) | Allowed::Interface(_) | Allowed::Host(_) => {}
            }
        }
    }

    fn ban(&mut self) {
        let Some(ban) = self.policy.gate.ban else { return };
        let strikes = ban.strikes;
        if !(limits::MIN_STRIKES..=limits::MAX_STRIKES).contains(&strikes) {
            self.report(Place::BanStrikes, Problem::StrikesOutOfRange { strikes });
        } else if strikes <= TRIES_OF_TCP && self.policy.gate.refuse == Refuse::Drop {
            self.report(Place::BanStrikes, Problem::OneTryBans { strikes });
        }
        let knocks = self.policy.doors.iter().map(|door| door.sequence.len()).max().unwrap_or(0);
        let twice = knocks.saturating_mul(2);
        let in_range = (limits::MIN_STRIKES..=limits::MAX_STRIKES).contains(&strikes);
        if in_range && usize::try_from(strikes).is_ok_and(|strikes| strikes <= twice) {
            self.report(Place::BanStrikes, Problem::KnocksBan { strikes, knocks });
        }
        if !limits::STRIKES_WITHIN.contains(&ban.within) {
            self.report(Place::BanWithin, Problem::WithinOutOfRange);
        }
        if !limits::BAN_TIME.contains(&ban.time) {
            self.report(Place::BanTime, Problem::BanTimeOutOfRange);
        }
    }

    fn guards(&mut self, id: DoorId, door: &Door) {
        if door.guards.is_empty() && door.hooks.is_none() {
            self.report(Place::Guards(id), Problem::NoGuards);
        }
        if door.guards.len() > limits::MAX_GUARDS {
            let count = door.guards.len();
            self.report(Place::Guards(id), Problem::TooManyGuards { count });
        }
        for (index, &port) in door.guards.iter().enumerate().take(limits::MAX_GUARDS) {
            let place = Place::Guard(id, index);
            match self.guarded.get(&port) {
                Some(&(other, first)) if other == id => {
                    let problem = Problem::DuplicateGuard { port };
                    self.report_with(place, Place::Guard(id, first), problem);
                }
                Some(&(other, first)) => {
                    if let Some(name) = self.name(other) {
                        let problem = Problem::GuardedTwice { port, other: name };
                        self.report_with(place, Place::Guard(other, first), problem);
                    }
                }
                None => {
                    self.guarded.insert(port, (id, index));
                }
            }
            if let Some(&public) = self.public.get(&port) {
                self.report_with(place, Place::Public(public), Problem::PublicGuard { port });
            }
        }
    }

    fn sequence(&mut self, id: DoorId, door: &Door) {
        let knocks = &door.sequence;
        let count = knocks.len();
        if count > limits::MAX_KNOCKS {
            self.report(Place::Sequence(id), Problem::TooManyKnocks { count });
        }
        for (index, (&port, before)) in
            knocks.iter().zip(core::iter::once(None).chain(knocks.iter().map(Some))).enumerate()
        {
            let place = Place::Knock(id, index);
            if before == Some(&port) {
                self.report(place, Problem::RepeatedKnock { port });
            }
            if let Some(&(other, guard)) = self.guarded.get(&port)
                && let Some(door) = self.name(other)
            {
                let problem = Problem::GuardedKnock { port, door };
                self.report_with(place, Place::Guard(other, guard), problem);
            }
            if let Some(&public) = self.public.get(&port) {
                self.report_with(place, Place::Public(public), Problem::PublicKnock { port });
            }
        }

        if count < limits::MIN_KNOCKS {
            self.report(Place::Sequence(id), Problem::TooFewKnocks { count });
        } else if let Some(ascending) = strength::monotone(knocks) {
            self.report(Place::Sequence(id), Problem::Monotone { ascending });
        } else if let Some((sweep, wrong)) = strength::easiest_sweep(knocks, &self.usable)
            && wrong <= u64::from(door.tolerate.min(limits::MAX_TOLERATE))
        {
            let place = if wrong == 0 { Place::Sequence(id) } else { Place::Tolerate(id) };
            self.report(place, Problem::SweepOpens { sweep, wrong });
        }
    }

    fn durations(&mut self, id: DoorId, door: &Door) {
        if door.step_timeout < limits::MIN_STEP_TIMEOUT {
            self.report(Place::StepTimeout(id), Problem::StepTimeoutTooShort);
        }
        if door.step_timeout > limits::MAX_STEP_TIMEOUT {
            self.report(Place::StepTimeout(id), Problem::StepTimeoutTooLong);
        } else if door.step_timeout > LONG_STEP_TIMEOUT && door.is_seen_by(Recogniser::Kernel) {
            let step_timeout = door.step_timeout;
            self.report(Place::StepTimeout(id), Problem::StepTimeoutLong { step_timeout });
        }
        if door.open_for < limits::MIN_OPEN_FOR {
            self.report(Place::OpenFor(id), Problem::OpenForTooShort);
        }
        if door.open_for > limits::MAX_OPEN_FOR {
            self.report(Place::OpenFor(id), Problem::OpenForTooLong);
        } else if door.open_for > LONG_OPEN_FOR && !door.guards.is_empty() {
            self.report(Place::OpenFor(id), Problem::OpenForLong);
        }
        if door.tolerate > limits::MAX_TOLERATE {
            let tolerate = door.tolerate;
            self.report(Place::Tolerate(id), Problem::TolerateTooLarge { tolerate });
        }
    }

    fn hooks(&mut self, id: DoorId, door: &Door) {
        if door.hooks.is_some() && door.recogniser == Recogniser::Kernel {
            self.report(Place::Recogniser(id), Problem::HooksNeedDaemon);
        }
    }

    /// Doors that cannot be told apart, by building the automaton of them all. Doors beyond the
    /// limits are refused already, and the automaton is not made for them.
    fn overlaps(&mut self) {
        let policy = self.policy;
        let sane = || {
            policy.doors().take(limits::MAX_DOORS).filter(|(_, door)| {
                door.sequence.len() <= limits::MAX_KNOCKS && door.tolerate <= limits::MAX_TOLERATE
            })
        };
        match Automaton::build(sane()) {
            Ok(automaton) => {
                // A repeated knock is never a step, and has been reported as what it is.
                let repeats = |door: &Door| {
                    door.sequence.iter().zip(door.sequence.iter().skip(1)).any(|(a, b)| a == b)
                };
                for (id, door) in sane().filter(|(_, door)| !repeats(door)) {
                    self.reachable(&automaton, id, door);
                }
            }
            Err(conflicts) => {
                for conflict in conflicts {
                    let Some(other) = self.name(conflict.other) else { continue };
                    let place = match conflict.kind {
                        ConflictKind::StepTimeout => Place::StepTimeout,
                        ConflictKind::Tolerate => Place::Tolerate,
                        _ => Place::Sequence,
                    };
                    let problem = match conflict.kind {
                        ConflictKind::Same => Problem::SameSequence { other },
                        ConflictKind::Prefix => Problem::PrefixSequence { other },
                        ConflictKind::Contained => Problem::ContainedSequence { other },
                        ConflictKind::StepTimeout => Problem::MixedStepTimeout { other },
                        ConflictKind::Tolerate => Problem::MixedTolerate { other },
                        ConflictKind::TooManyTransitions => Problem::TooManyOverlaps { other },
                    };
                    self.report_with(place(conflict.door), place(conflict.other), problem);
                }
            }
        }
    }

    /// Walks the door's own sequence: the last line of defence against a door that cannot open.
    fn reachable(&mut self, automaton: &Automaton, id: DoorId, door: &Door) {
        let mut at = StateId::ROOT;
        for (index, &port) in door.sequence.iter().enumerate() {
            let stage = index.saturating_add(1);
            match automaton.next(at, port) {
                Transition::Advance(to)
                    if automaton.state(to).is_some_and(|s| usize::from(s.stage) == stage) =>
                {
                    at = to;
                }
                _ => {
                    self.report(Place::Knock(id, index), Problem::UnreachableStage { stage, port });
                    return;
                }
            }
        }
    }
}
