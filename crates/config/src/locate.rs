//! What the check of the policy finds, put where it stands in the file.

use portcullis_core::policy::{DoorId, Finding, Place, Problem, check as check_policy};

use super::door::DoorSpans;
use super::meaning::Meaning;
use super::reader::List;
use super::report::{Diagnostic, Span};

/// Checks the policy, and adds what is found.
pub fn check(meaning: &Meaning, found: &mut Vec<Diagnostic>) {
    for finding in check_policy(&meaning.policy) {
        if is_worth_saying(meaning, &finding) {
            found.push(locate(meaning, &finding));
        }
    }
}

/// Whether a finding is about what the file says, and not about what could not be read of it.
fn is_worth_saying(meaning: &Meaning, finding: &Finding) -> bool {
    let flawed = |place| {
        let door = |id: DoorId| meaning.doors.get(id.index()).is_some_and(|door| door.flawed);
        matches!(place, Place::StepTimeout(id) | Place::Tolerate(id) if door(id))
    };
    match &finding.problem {
        Problem::NoDoor | Problem::NobodyGetsIn => !meaning.has_door,
        Problem::NoGuards => match finding.place {
            Place::Guards(id) => meaning.doors.get(id.index()).is_none_or(|door| !door.has_hooks),
            _ => true,
        },
        _ => match finding.related {
            Some(related) => !flawed(finding.place) && !flawed(related),
            None => true,
        },
    }
}

fn locate(meaning: &Meaning, finding: &Finding) -> Diagnostic {
    let span = match finding.problem {
        Problem::TooManyPublic { .. } => meaning.public.key.clone(),
        Problem::TooManyAllowed { .. } | Problem::TooManyHosts { .. } => meaning.allow.key.clone(),
        Problem::TooManyInterfaces { .. } => meaning.interfaces.key.clone(),
        _ => span(meaning, finding.place),
    };
    // What is about the whole is said where the whole begins.
    let span = span.unwrap_or(0..0);
    let related = finding
        .related
        .and_then(|place| span_of_other(meaning, place, &span))
        .map(|span| Box::new((span, label(&finding.problem))));
    Diagnostic {
        severity: finding.problem.severity(),
        code: finding.problem.code(),
        message: finding.problem.to_string(),
        span: Some(span),
        related,
        hint: Some(finding.problem.hint()),
    }
}

/// The same place twice would only be noise.
fn span_of_other(meaning: &Meaning, place: Place, first: &Span) -> Option<Span> {
    span(meaning, place).filter(|span| span != first)
}

/// Where the file says it.
pub fn span(meaning: &Meaning, place: Place) -> Option<Span> {
    let door = |id: DoorId| meaning.doors.get(id.index());
    let or_name = |id, part: fn(&DoorSpans) -> Option<&Span>| {
        door(id).map(|door| part(door).unwrap_or(&door.name).clone())
    };
    let element =
        |list: &List, index: usize| list.elements.get(index).or(list.key.as_ref()).cloned();
    match place {
        Place::Whole => None,
        Place::Stance => meaning.stance.clone(),
        Place::Refuse => meaning.refuse_span.clone(),
        Place::LogRefused => meaning.log_refused.clone(),
        Place::Interface(index) => element(&meaning.interfaces, index),
        Place::Public(index) => element(&meaning.public, index),
        Place::BanStrikes => meaning.ban_strikes.clone(),
        Place::BanWithin => meaning.ban_within.clone(),
        Place::BanTime => meaning.ban_time.clone(),
        Place::Allow(index) => element(&meaning.allow, index),
        Place::Door(id) => door(id).map(|door| door.name.clone()),
        Place::Guards(id) => or_name(id, |door| door.guards.key.as_ref()),
        Place::Guard(id, index) => door(id).and_then(|door| element(&door.guards, index)),
        Place::Sequence(id) => or_name(id, |door| door.sequence.key.as_ref()),
        Place::Knock(id, index) => door(id).and_then(|door| element(&door.sequence, index)),
        Place::StepTimeout(id) => or_name(id, |door| door.step_timeout.as_ref()),
        Place::OpenFor(id) => or_name(id, |door| door.open_for.as_ref()),
        Place::Recogniser(id) => or_name(id, |door| door.recogniser.as_ref()),
        Place::Tolerate(id) => or_name(id, |door| door.tolerate.as_ref()),
    }
}

/// What the other place has to do with it.
const fn label(problem: &Problem) -> &'static str {
    match problem {
        Problem::GuardedKnock { .. } | Problem::GuardedTwice { .. } => "guarded here",
        Problem::PublicKnock { .. } | Problem::PublicGuard { .. } => "public here",
        Problem::DuplicateGuard { .. }
        | Problem::DuplicatePublic { .. }
        | Problem::DuplicateInterface
        | Problem::DuplicateAllowed
        | Problem::DuplicateDoor { .. } => "first here",
        Problem::SameSequence { .. }
        | Problem::PrefixSequence { .. }
        | Problem::ContainedSequence { .. }
        | Problem::TooManyOverlaps { .. } => "the other sequence",
        Problem::MixedStepTimeout { .. } | Problem::MixedTolerate { .. } => "the other door",
        _ => "also here",
    }
}
