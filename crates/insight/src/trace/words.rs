//! A meaning as a sentence, and as a word for programs.

use portcullis_config::duration;
use portcullis_core::engine::Verdict;
use portcullis_core::policy::{Door, DoorId, Policy};

use super::Arrival;
use crate::replay::judge::Meaning;

/// What a packet means, without period.
pub fn sentence(policy: &Policy, hit: &Arrival) -> String {
    let name = |id| door(policy, id).map(|door| door.name.to_string()).unwrap_or_default();
    let of = |id| door(policy, id).map_or(0, |door| door.sequence.len());
    match hit.meaning {
        Meaning::Knock { door, stage, anew } => {
            let knock = format!("knock {stage} of {} of door {}", of(door), name(door));
            if anew { knock + "; the attempt before it ended" } else { knock }
        }
        Meaning::Opened { door: id } => {
            let open_for = door(policy, id).map(|door| door.open_for).unwrap_or_default();
            let (name, open_for) = (name(id), duration::format(open_for));
            format!("the last knock; door {name} opens for {open_for}")
        }
        Meaning::Repeated { door, stage } => {
            format!("knock {stage} of door {} again; nothing changes", name(door))
        }
        Meaning::Forgiven { door } => match guarded(policy, hit) {
            Some(port) => format!("{port}; door {} forgives it", name(door)),
            None => format!("a wrong port, which door {} forgives", name(door)),
        },
        Meaning::Late { door: id, knock, by } => {
            let step = door(policy, id).map(|door| door.step_timeout).unwrap_or_default();
            let (name, by, step) = (name(id), duration::to_the_tenth(by), duration::format(step));
            format!("knock {knock} of door {name}, late by {by}; it must come within {step}")
        }
        Meaning::Disordered { door, knock, expected } => format!(
            "knock {knock} of door {} before knock {expected}; the attempt ends",
            name(door)
        ),
        Meaning::Lost { door, expected } => {
            let port = guarded(policy, hit).map(|port| port + ",");
            let port = port.as_deref().unwrap_or("a wrong port");
            format!("{port} instead of knock {expected} of door {}; the attempt ends", name(door))
        }
        Meaning::Wrong => match policy.doors().find_map(|(id, d)| place(d, hit).map(|n| (id, n))) {
            Some((id, number)) => {
                format!("knock {number} of door {}, without the knocks before it", name(id))
            }
            None => "not a knock of any door".into(),
        },
        Meaning::Guarded(door) if hit.passes => format!("door {} lets it pass", name(door)),
        Meaning::Guarded(door) => format!("refused; no grant at door {}", name(door)),
        Meaning::Nothing(Verdict::Public) => "a public port; ignored".into(),
        Meaning::Nothing(_) => "ignored".into(),
    }
}

/// A wrong port that another door guards.
fn guarded(policy: &Policy, hit: &Arrival) -> Option<String> {
    let name = &door(policy, hit.guarded?)?.name;
    // By a grant that the recogniser of the attempt does not know, or by the allow-list.
    let passes = if hit.passes { " (it passes)" } else { "" };
    Some(format!("a port that door {name} guards{passes}"))
}

/// The word for a meaning, and its door.
pub const fn word(meaning: &Meaning) -> (&'static str, Option<DoorId>) {
    match meaning {
        Meaning::Knock { door, .. } => ("knock", Some(*door)),
        Meaning::Opened { door } => ("opened", Some(*door)),
        Meaning::Repeated { door, .. } => ("repeated", Some(*door)),
        Meaning::Forgiven { door } => ("forgiven", Some(*door)),
        Meaning::Late { door, .. } => ("late", Some(*door)),
        Meaning::Disordered { door, .. } => ("out-of-order", Some(*door)),
        Meaning::Lost { door, .. } => ("lost", Some(*door)),
        Meaning::Guarded(door) => ("guarded", Some(*door)),
        Meaning::Wrong => ("wrong", None),
        Meaning::Nothing(_) => ("nothing", None),
    }
}

fn door(policy: &Policy, id: DoorId) -> Option<&Door> {
    policy.door(id)
}

/// Which knock of this door a packet is, from 1.
fn place(door: &Door, hit: &Arrival) -> Option<usize> {
    door.sequence.iter().zip(1..).find_map(|(&port, number)| (port == hit.port).then_some(number))
}
