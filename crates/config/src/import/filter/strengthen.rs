//! Doors of rules, so that the check takes them: each port belongs to one door, and each door has a sequence that
//! no scan finds.

use std::collections::BTreeSet;

use portcullis_core::limits::{MAX_GUARDS, MIN_KNOCKS};
use portcullis_core::policy::{DoorId, Finding, Policy, Port, Protocol};

use crate::import::advice;
use crate::import::draft::{Draft, Said};
use crate::import::write::array;

/// Sequences that are printed where everybody reads them.
const PUBLISHED: [(&[u16], &str); 5] = [
    (&[1000], "an article on knocking with iptables"),
    (&[100, 300, 200], "the article on iplock"),
    (&[123, 234, 345, 456], "the nftables wiki"),
    (&[8881, 7777, 9991], "the Arch Linux wiki"),
    (&[1111, 2222, 3333], "a tutorial on knocking with iptables"),
];

/// Where ports that nobody can guess come from.
pub type Dice<'a> = &'a mut dyn FnMut() -> Option<u64>;

/// Settles what contradicts itself, then gives every door a sequence that the check takes: its own, or
/// its own in another order, or a new one. What changes is said.
pub fn settle(draft: &mut Draft, dice: Dice<'_>) {
    contradictions(draft);
    let partly = |why: &Option<String>| {
        why.as_deref().is_some_and(|why| {
            why.starts_with("was open only over ") || why.starts_with("was open only in one ")
        })
    };
    if let Some((.., at, _)) = draft.public.iter().find(|(.., why)| partly(why)) {
        let message = "some ports are not public yet: they were open only over one address family, or only in \
             one chain";
        let hint = "if that is right, remove the `#` before them in `public`";
        draft.said.push(Said::hand(*at, message).hint(hint));
    }
    for index in 0..draft.doors.len() {
        strengthen(draft, index, dice);
    }
    published(draft);
}

/// Ports that everybody has read of, in whatever order.
fn published(draft: &mut Draft) {
    for sketch in &draft.doors {
        let numbers: BTreeSet<u16> =
            sketch.door.sequence.iter().map(|port| port.number.get()).collect();
        let known = PUBLISHED
            .iter()
            .find(|(ports, _)| ports.iter().copied().collect::<BTreeSet<_>>() == numbers);
        if let Some((_, place)) = known {
            let name = &sketch.door.name;
            let message = format!("the knocks of door `{name}` are published in {place}");
            let hint = "attackers try published knocks first; choose your own";
            draft.said.push(Said::hand(sketch.places.sequence, message).hint(hint));
        }
    }
}

/// A port belongs to one door, and is not public then.
fn contradictions(draft: &mut Draft) {
    let mut guarded = BTreeSet::new();
    let mut kept = Vec::new();
    for mut sketch in std::mem::take(&mut draft.doors) {
        let (name, at) = (sketch.door.name.clone(), sketch.places.door);
        let all = sketch.door.guards.len();
        sketch.door.guards.retain(|port| !guarded.contains(port));
        let (left, elsewhere) =
            (sketch.door.guards.len(), all.saturating_sub(sketch.door.guards.len()));
        if elsewhere > 0 {
            let message = format!(
                "another door already guards a port of door `{name}`, so this \
                                   second way to it is left out"
            );
            let hint = "a port belongs to one door, and a door has one sequence";
            draft.say(Said::hand(at, message).hint(hint));
        }
        if left > MAX_GUARDS {
            let message = format!("door `{name}` guards only its first {MAX_GUARDS} ports");
            let hint = "guard the others with a second door, which needs its own knocks";
            draft.say(Said::hand(at, message).hint(hint));
            sketch.door.guards.truncate(MAX_GUARDS);
        }
        if !sketch.door.guards.is_empty() {
            guarded.extend(sketch.door.guards.iter().copied());
            kept.push(sketch);
        }
    }
    draft.doors = kept;
    let mut clashes = Vec::new();
    draft.public.retain(|(port, at, why)| {
        let clash = guarded.contains(port) && why.is_none();
        clashes.extend(clash.then_some((*port, *at)));
        !clash
    });
    for (port, at) in clashes {
        let message = format!("`{port}` was also open to everyone; now only its door opens it");
        draft.say(Said::hole(at, message));
    }
}

/// Gives a door a sequence that the check takes.
fn strengthen(draft: &mut Draft, index: usize, dice: Dice<'_>) {
    let mut policy = draft.policy();
    let Ok(number) = u32::try_from(index) else { return };
    let id = DoorId(number);
    let troubles = |policy: &Policy| -> Vec<Finding> {
        let mut found = advice::errors(policy);
        // Doors that come later have their own turn.
        found.retain(|finding| {
            advice::door_of(finding.place) == Some(id)
                && advice::is_about_sequence(finding.place)
                && finding.related.and_then(advice::door_of).is_none_or(|other| other <= id)
        });
        found
    };
    let found = troubles(&policy);
    let Some(first) = found.first() else { return };
    let Some(old) = policy.door(id).map(|door| door.sequence.clone()) else { return };
    let why = first.problem.to_string();
    let enough = old.len() >= MIN_KNOCKS;
    let reordered = enough.then(|| advice::order(&mut policy, id)).flatten();
    let (new, how) = match reordered {
        Some(order) => (Some(order), "the same knocks in another order"),
        None => (fresh(&mut policy, id, &old, dice, &troubles), "new random knocks"),
    };
    // Without one, the check says what is wrong with the old one.
    let (Some(new), Some(sketch)) = (new, draft.doors.get_mut(index)) else { return };
    let (name, at) = (sketch.door.name.clone(), sketch.places.sequence);
    let was = array(&old);
    sketch.comments.push(format!("Was {was}: {why}."));
    sketch.comments.push(format!("This door has {how}. Tell its clients."));
    sketch.door.sequence = new;
    let message = format!("door `{name}` has {how}, instead of {was}: {why}");
    draft.say(Said::hand(at, message).hint("tell the people who knock at this door"));
}

/// Knocks that are drawn, of ports where no ordinary service is: about 60 bits.
const FRESH_KNOCKS: usize = 4;
const FRESH_PORTS: std::ops::Range<u16> = 1_024..32_768;

/// A sequence that the check takes, drawn by lot.
fn fresh(
    policy: &mut Policy,
    id: DoorId,
    old: &[Port],
    dice: Dice<'_>,
    troubles: &dyn Fn(&Policy) -> Vec<Finding>,
) -> Option<Vec<Port>> {
    let all_udp = !old.is_empty() && old.iter().all(|port| port.protocol == Protocol::Udp);
    let protocol = if all_udp { Protocol::Udp } else { Protocol::Tcp };
    for _ in 0..64 {
        let mut knocks = Vec::new();
        // Dice that always fall the same way end this too.
        for _ in 0..256 {
            if knocks.len() == FRESH_KNOCKS {
                break;
            }
            let number = dice()? % u64::from(FRESH_PORTS.end);
            let number = u16::try_from(number).ok().filter(|number| FRESH_PORTS.contains(number));
            let Some(port) = number.and_then(|number| Port::new(protocol, number)) else {
                continue;
            };
            if !knocks.contains(&port) && !old.contains(&port) {
                knocks.push(port);
            }
        }
        policy.doors.get_mut(id.index())?.sequence.clone_from(&knocks);
        if troubles(policy).is_empty() {
            return Some(knocks);
        }
    }
    None
}
