//! What the check of the policy will say of the doors, and an order of knocks that it would take.

use std::fmt::Write as _;

use portcullis_core::policy::{
    DoorId, Finding, Gate, Place, Policy, Port, Problem, Severity, check,
};

use super::planned::{Plan, Planned, Remark};
use super::section::start_of_command;

/// Policies of more doors are not checked again for every order that might do.
const MAX_DOORS: usize = 100;

/// Doors that are given an order, and orders that are tried for each: 5 knocks have so many.
const MAX_ADVISED: usize = 20;
const MAX_ORDERS: usize = 120;

/// Adds a remark for everything that the check will not like, and a comment where it is about a
/// sequence.
pub fn add(plan: &mut Plan) {
    let mut policy = Policy {
        gate: Gate { interfaces: plan.interface.iter().cloned().collect(), ..Gate::default() },
        doors: plan.doors.iter().map(|planned| planned.door.clone()).collect(),
    };
    let mut advised = 0usize;
    let mut advice: Vec<Option<Advice>> = vec![None; policy.doors.len()];
    for finding in errors(&policy) {
        let Some(id) = door_of(finding.place) else {
            plan.remarks.push(
                Remark::new(0, finding.problem.to_string()).hint(finding.problem.hint()).by_hand(),
            );
            continue;
        };
        let Some(planned) = plan.doors.get_mut(id.index()) else { continue };
        // That has been said already, of a door whose commands are not carried over.
        if finding.problem == Problem::NoGuards {
            continue;
        }
        let message = format!("door `{}`: {}", planned.door.name, finding.problem);
        let mut remark = Remark::new(place(planned, finding.place), message).by_hand();
        if is_about_sequence(finding.place) {
            let known = advice.get_mut(id.index());
            let advice = known.map(|known| {
                known.get_or_insert_with(|| {
                    let few = policy.doors.len() <= MAX_DOORS && advised < MAX_ADVISED;
                    advised = advised.saturating_add(1);
                    few.then(|| order(&mut policy, id))
                        .map_or(Advice::Unknown, |order| order.map_or(Advice::Anew, Advice::Order))
                })
            });
            let advice = advice.cloned().unwrap_or(Advice::Unknown).text(&finding.problem);
            // The advice is the last comment.
            if planned.comments.last() == Some(&advice) {
                planned.comments.pop();
            }
            let comment = finding.problem.to_string();
            if planned.comments.contains(&comment) {
                planned.comments.push(advice);
                continue;
            }
            planned.comments.extend([comment, advice.clone()]);
            remark = remark.hint(advice);
        } else {
            remark = remark.hint(finding.problem.hint());
        }
        plan.remarks.push(remark);
    }
}

/// What would help a sequence.
#[derive(Debug, Clone)]
enum Advice {
    /// The same knocks in this order.
    Order(Vec<Port>),
    /// No order does.
    Anew,
    /// Nobody has looked.
    Unknown,
}

impl Advice {
    fn text(&self, problem: &Problem) -> String {
        match self {
            Self::Order(knocks) => {
                format!("another order is enough, such as {}", sequence(knocks))
            }
            Self::Unknown => problem.hint(),
            Self::Anew => match problem {
                Problem::TooFewKnocks { .. } => problem.hint(),
                _ => "no other order helps: choose the ports anew".into(),
            },
        }
    }
}

/// A sequence as the native configuration has it.
pub fn sequence(knocks: &[Port]) -> String {
    let mut out = String::from("[");
    for (index, knock) in knocks.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(out, "{comma}\"{knock}\"");
    }
    out.push(']');
    out
}

fn errors(policy: &Policy) -> Vec<Finding> {
    let mut findings = check(policy);
    findings.retain(|finding| {
        // Without a door, everything has been said already.
        finding.problem.severity() == Severity::Error && finding.problem != Problem::NoDoor
    });
    findings
}

/// An order of the knocks of a door that the check takes. It is left in the policy, so that the
/// advice for the next door holds beside it.
pub fn order(policy: &mut Policy, id: DoorId) -> Option<Vec<Port>> {
    let original = policy.door(id)?.sequence.clone();
    let mut sorted = original.clone();
    sorted.sort_unstable_by_key(|knock| (knock.number, knock.protocol));
    let mut next = sorted.clone();
    let rest = std::iter::from_fn(|| next_order(&mut next).then(|| next.clone()));
    for knocks in std::iter::once(up_and_down(&sorted)).chain(rest).take(MAX_ORDERS) {
        policy.doors.get_mut(id.index())?.sequence.clone_from(&knocks);
        let troubles = |finding: &Finding| {
            let of = |place| door_of(place) == Some(id) && is_about_sequence(place);
            of(finding.place) || finding.related.is_some_and(of)
        };
        if !errors(policy).iter().any(troubles) {
            return Some(knocks);
        }
    }
    policy.doors.get_mut(id.index())?.sequence = original;
    None
}

/// The lower and the upper half in turn: an order that no sweep comes near.
fn up_and_down(sorted: &[Port]) -> Vec<Port> {
    let (low, high) = sorted.split_at(sorted.len().div_ceil(2));
    let pairs = low.iter().enumerate().map(|(index, knock)| (knock, high.get(index)));
    pairs.flat_map(|(low, high)| std::iter::once(*low).chain(high.copied())).collect()
}

/// The next order in the dictionary's sense; `false` if this is the last.
fn next_order(knocks: &mut [Port]) -> bool {
    let rising = knocks.windows(2).rposition(|pair| matches!(pair, [a, b] if a < b));
    let Some(at) = rising else { return false };
    let Some(&here) = knocks.get(at) else { return false };
    let Some(larger) = knocks.iter().rposition(|knock| *knock > here) else { return false };
    knocks.swap(at, larger);
    if let Some(rest) = knocks.get_mut(at.saturating_add(1)..) {
        rest.reverse();
    }
    true
}

pub const fn door_of(place: Place) -> Option<DoorId> {
    match place {
        Place::Whole
        | Place::Stance
        | Place::Refuse
        | Place::LogRefused
        | Place::Allow(_)
        | Place::BanStrikes
        | Place::BanWithin
        | Place::BanTime
        | Place::Interface(_)
        | Place::Public(_) => None,
        Place::Door(id)
        | Place::Guards(id)
        | Place::Guard(id, _)
        | Place::Sequence(id)
        | Place::Knock(id, _)
        | Place::StepTimeout(id)
        | Place::OpenFor(id)
        | Place::Recogniser(id)
        | Place::Tolerate(id) => Some(id),
    }
}

pub const fn is_about_sequence(place: Place) -> bool {
    matches!(place, Place::Sequence(_) | Place::Knock(..))
}

/// Where in the `knockd.conf` a thing comes from.
fn place(planned: &Planned, place: Place) -> usize {
    let places = &planned.places;
    let or_name = |span: &Option<_>| span.as_ref().unwrap_or(&places.name).start;
    match place {
        Place::Guards(_) | Place::Guard(..) => start_of_command(places),
        Place::Sequence(_) | Place::Knock(..) => places.knocks.start,
        Place::StepTimeout(_) => or_name(&places.seq_timeout),
        Place::OpenFor(_) => or_name(&places.cmd_timeout),
        _ => places.name.start,
    }
}
