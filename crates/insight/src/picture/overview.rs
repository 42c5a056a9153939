//! The picture of a configuration.

use portcullis_config::duration;
use portcullis_core::policy::{Policy, Stance};

use super::doors::{self, cards_at, recognised, width_of};
use super::gate;
use super::layout::{Look, Picture};
use super::sheet::{MARGIN, SMALL, Sheet, USUAL};
use super::text::{count, list};
use super::tree::Tree;

/// Draws a policy that passed the check. `name` is what it is called, `backend` the word for it.
pub fn overview(name: &str, policy: &Policy, backend: &str) -> Picture {
    let tree = Tree::of(policy);
    let mut sheet = Sheet::new(width_of(tree.columns));
    let wide = sheet.width() - 2.0 * MARGIN;
    let mut y = sheet.wrapped((MARGIN, MARGIN), wide, (20.0, Look::Strong), name);
    let stance = match policy.gate.stance {
        Stance::Guard => "guards its doors",
        Stance::Closed => "closed except for its doors and public ports",
    };
    let summary = format!("{} · {stance} · {backend}", count(policy.doors.len(), "door", "doors"));
    y = sheet.wrapped((MARGIN, y + 2.0), wide, (USUAL, Look::Quiet), &summary) + 16.0;
    y = doors::draw(&mut sheet, policy, &tree, y) + 18.0;
    y = gate::draw(&mut sheet, policy, cards_at(tree.columns), y) + 12.0;
    let secret = "This picture shows the knocks. Keep it as secret as the configuration.";
    y = sheet.wrapped((MARGIN, y), wide, (SMALL, Look::Quiet), secret);
    let title = format!("{name}: {summary}");
    sheet.finish(title, describe(policy), y + MARGIN / 2.0)
}

/// The same in words.
fn describe(policy: &Policy) -> String {
    let mut sentences = Vec::new();
    for door in &policy.doors {
        let guards = match door.guards.as_slice() {
            [] => "no port".to_owned(),
            guards => list(guards.iter(), usize::MAX),
        };
        sentences.push(format!(
            "Door {} guards {guards}; it opens for {} after knocks at {}, each within {} of the one before; it is {}.",
            door.name,
            duration::format(door.open_for),
            list(door.sequence.iter(), usize::MAX),
            duration::format(door.step_timeout),
            recognised(door),
        ));
    }
    for row in gate::rows(policy) {
        let which = if row.which.is_empty() { String::new() } else { format!(" ({})", row.which) };
        sentences.push(format!("A packet {}{which}: {}.", row.what, row.answer));
    }
    sentences.join(" ")
}
