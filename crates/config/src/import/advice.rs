//! What the check of the policy will say of the doors, and an order of knocks that it would take.

use std::collections::BTreeMap;

use portcullis_core::policy::{DoorId, Finding, Place, Policy, Port, Problem, Severity, check};

use super::draft::{At, Draft, Places, Said};
use super::write::array;

/// Policies of more doors are not checked again for every order that might do.
const MAX_DOORS: usize = 100;

/// Doors that are given an order, and orders that are tried for each: 5 knocks have so many.
const MAX_ADVISED: usize = 20;
const MAX_ORDERS: usize = 120;

/// Says everything that the check will not like, with a comment where it is about a sequence.
pub fn add(draft: &mut Draft) {
    let mut policy = draft.policy();
    let mut advised: BTreeMap<DoorId, Advice> = BTreeMap::new();
    for finding in errors(&policy) {
        let Finding { place, problem, .. } = &finding;
        let door = door_of(*place).and_then(|id| Some((id, draft.doors.get_mut(id.index())?)));
        let Some((id, sketch)) = door else {
            let message = format!("`portcullis check` will refuse this: {problem}");
            draft.say(Said::hand(At::default(), message).hint(problem.hint()));
            continue;
        };
        // That has been said already, of a door whose commands are not carried over.
        if *problem == Problem::NoGuards {
            continue;
        }
        let message =
            format!("`portcullis check` will refuse door `{}`: {problem}", sketch.door.name);
        let said = Said::hand(place_of(&sketch.places, *place), message);
        if !is_about_sequence(*place) {
            draft.say(said.hint(problem.hint()));
            continue;
        }
        let few = policy.doors.len() <= MAX_DOORS && advised.len() < MAX_ADVISED;
        let helps = advised.entry(id).or_insert_with(|| match few {
            true => order(&mut policy, id).map_or(Advice::New, Advice::Order),
            false => Advice::Unknown,
        });
        let advice = helps.text(problem);
        // The advice is the last comment.
        if sketch.comments.last() == Some(&advice) {
            sketch.comments.pop();
        }
        let comment = problem.to_string();
        let is_new = !sketch.comments.contains(&comment);
        sketch.comments.extend(is_new.then_some(comment));
        sketch.comments.push(advice.clone());
        if is_new {
            draft.say(said.hint(advice));
        }
    }
}

/// What would help a sequence.
enum Advice {
    /// The same knocks in this order.
    Order(Vec<Port>),
    /// No order does.
    New,
    /// Nobody has looked.
    Unknown,
}

impl Advice {
    fn text(&self, problem: &Problem) -> String {
        match self {
            Self::Order(knocks) => {
                format!("reorder the knocks, for example: {}", array(knocks))
            }
            Self::Unknown => problem.hint(),
            Self::New => match problem {
                Problem::TooFewKnocks { .. } => problem.hint(),
                _ => "no other order helps; choose other ports".into(),
            },
        }
    }
}

/// What the check refuses.
pub fn errors(policy: &Policy) -> Vec<Finding> {
    let mut findings = check(policy);
    findings.retain(|finding| finding.problem.severity() == Severity::Error);
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

/// Where in the original a thing comes from.
const fn place_of(places: &Places, place: Place) -> At {
    match place {
        Place::Guards(_) | Place::Guard(..) => places.guards,
        Place::Sequence(_) | Place::Knock(..) => places.sequence,
        Place::StepTimeout(_) => places.step_timeout,
        Place::OpenFor(_) => places.open_for,
        _ => places.door,
    }
}
