//! The doors: their sequences as one tree from left to right, with a card for each door at its end.

use portcullis_config::duration;
use portcullis_core::automaton::{Automaton, Transition};
use portcullis_core::policy::{Door, Policy, Recogniser};

use super::layout::{Area, Look};
use super::sheet::{HEADING, MARGIN, PADDING, SMALL, Sheet, USUAL, leading};
use super::text::{count, list, width};
use super::tree::{COLUMNS, End, Link, Place, Tree};

/// From one stage to the next.
const PITCH: f64 = 104.0;
/// The middle of the first column.
const START: f64 = MARGIN + PADDING + 18.0;
/// The circle of a stage.
const RADIUS: f64 = 13.0;
/// From the last column to the cards.
const TO_CARD: f64 = RADIUS + 45.0;
/// How wide a card is, and what is in it.
const CARD: f64 = 296.0;
const CARD_PADDING: f64 = 12.0;
/// From the top of a row to its stages.
const MIDDLE: f64 = 28.0;
/// How high a row is at least, and what is between two.
const ROW: f64 = 50.0;
const GAP: f64 = 18.0;
/// What overlaps so is named at most so often.
const OVERLAPS: usize = 8;

/// Where the cards of a picture with so many columns begin. What the gate does stands below them.
pub(super) fn cards_at(columns: usize) -> f64 {
    column_at(columns.saturating_sub(1)) + TO_CARD
}

/// How wide a picture with so many columns is.
pub(super) fn width_of(columns: usize) -> f64 {
    cards_at(columns) + CARD + PADDING + MARGIN
}

/// How wide a picture of packets is: as one of a usual configuration.
pub(super) fn usual() -> f64 {
    width_of(COLUMNS)
}

/// Draws the doors below `top`; returns where that ends.
pub(super) fn draw(sheet: &mut Sheet, policy: &Policy, tree: &Tree, top: f64) -> f64 {
    sheet.panel(top, |sheet, top| {
        let x = MARGIN + PADDING;
        let wide = sheet.width() - 2.0 * x;
        let mut y = sheet.wrapped((x, top), wide, (HEADING, Look::Strong), "How to open a door");
        let how = "Knock at these ports, in this order and in time. The door opens only for the \
                   address that knocked.";
        y = sheet.wrapped((x, y + 2.0), wide, (USUAL, Look::Quiet), how) + 14.0;
        y = Drawing { sheet, policy, tree, rows: Vec::new() }.draw(y);
        legend(sheet, y + 18.0, policy)
    })
}

fn column_at(column: usize) -> f64 {
    START + column as f64 * PITCH
}

/// How large the circle there is. The start is no stage.
fn radius_at(at: Place) -> f64 {
    if at.column == 0 { RADIUS - 4.0 } else { RADIUS }
}

struct Drawing<'a> {
    sheet: &'a mut Sheet,
    policy: &'a Policy,
    tree: &'a Tree,
    /// Where each row begins, and where the last one ends.
    rows: Vec<f64>,
}

impl Drawing<'_> {
    fn draw(mut self, top: f64) -> f64 {
        let cards: Vec<_> = self.tree.cards.iter().map(|card| (card.row, card.door)).collect();
        let mut heights = vec![ROW; self.tree.rows];
        let lines_of = |door: usize| self.policy.doors.get(door).map(card).unwrap_or_default();
        for &(row, door) in &cards {
            if let Some(height) = heights.get_mut(row) {
                *height = height.max(height_of(&lines_of(door)));
            }
        }
        let mut y = top;
        for height in heights {
            self.rows.push(y);
            y += height + GAP;
        }
        for link in &self.tree.links {
            self.link(*link);
        }
        for cell in &self.tree.cells {
            self.stage(cell.node, cell.at);
        }
        let (x, start) = (column_at(0), self.middle(0));
        self.sheet.dot(x, start, RADIUS - 4.0, Look::Strong);
        self.sheet.centred(x, start - RADIUS - 8.0, SMALL, Look::Quiet, "start");
        for (row, door) in cards {
            let area = Area {
                x: cards_at(self.tree.columns),
                y: self.top(row),
                width: CARD,
                height: height_of(&lines_of(door)),
            };
            self.sheet.area(area, Look::Good);
            let mut y = area.y + CARD_PADDING - 2.0;
            for (size, look, text) in lines_of(door) {
                let at = (area.x + CARD_PADDING, y);
                y = self.sheet.wrapped(at, CARD - 2.0 * CARD_PADDING, (size, look), &text);
            }
        }
        y - GAP
    }

    fn top(&self, row: usize) -> f64 {
        self.rows.get(row).copied().unwrap_or_default()
    }

    fn middle(&self, row: usize) -> f64 {
        self.top(row) + MIDDLE
    }

    /// The lower edge of a circle.
    fn below(&self, at: Place) -> f64 {
        self.middle(at.row) + radius_at(at)
    }

    /// Between this row and the next one.
    fn gutter(&self, row: usize) -> f64 {
        self.top(row.saturating_add(1)) - GAP / 2.0
    }

    /// Where a line to this ends.
    fn end(&self, end: End) -> (f64, f64, Look) {
        match end {
            End::Stage(at) => (column_at(at.column) - RADIUS, self.middle(at.row), Look::Knock),
            End::Card(row) => (cards_at(self.tree.columns), self.middle(row), Look::Good),
        }
    }

    fn link(&mut self, link: Link) {
        let (points, look) = match link {
            Link::Along(from, end) => {
                let (x, y, look) = self.end(end);
                (vec![(column_at(from.column) + radius_at(from), y), (x, y)], look)
            }
            Link::Down(from, end) => {
                let (x, y, look) = self.end(end);
                let trunk = column_at(from.column);
                (vec![(trunk, self.below(from)), (trunk, y), (x, y)], look)
            }
            Link::Drop(from, trunk, end) => {
                let (x, y, look) = self.end(end);
                let (out, trunk) = (column_at(from.column), column_at(trunk));
                let gutter = self.gutter(from.row);
                let start = (out, self.below(from));
                (vec![start, (out, gutter), (trunk, gutter), (trunk, y), (x, y)], look)
            }
            Link::Wrap(from, to) => {
                let (x, y, look) = self.end(End::Stage(to));
                let edge = column_at(from.column) + RADIUS;
                let out = edge + 16.0;
                // Beside the trunk that may stand in the column before.
                let down = column_at(to.column) - PITCH + 8.0;
                let gutter = self.gutter(from.row);
                let middle = self.middle(from.row);
                let start = (edge, middle);
                (vec![start, (out, middle), (out, gutter), (down, gutter), (down, y), (x, y)], look)
            }
        };
        self.sheet.line(&points, look, true);
    }

    fn stage(&mut self, node: usize, at: Place) {
        let Some(node) = self.tree.nodes.get(node) else { return };
        let (x, y) = (column_at(at.column), self.middle(at.row));
        self.sheet.dot(x, y, RADIUS, Look::Knock);
        self.sheet.centred(x, y + 4.5, USUAL, Look::OnKnock, &node.stage.to_string());
        // On the arrow that leads here, which begins a little behind the stage before.
        let arrow = x - PITCH / 2.0;
        self.sheet.centred(arrow, y - 7.0, 12.0, Look::Strong, &node.knock.to_string());
        if node.stage > 1 {
            let time = duration::format(node.step_timeout);
            let within = format!("within {time}");
            let room = PITCH - 2.0 * RADIUS;
            let text = if width(&within, 10.0) <= room { within } else { format!("≤{time}") };
            self.sheet.centred(arrow, y + 14.0, 10.0, Look::Quiet, &text);
        }
    }
}

/// What the card of a door says, line by line.
fn card(door: &Door) -> Vec<(f64, Look, String)> {
    let time = duration::format(door.open_for);
    let mut lines = vec![(HEADING, Look::OnGood, door.name.to_string())];
    let mut plain = |text: String| lines.push((USUAL, Look::Plain, text));
    match door.guards.as_slice() {
        [] => plain(format!("guards no port; grants last {time}")),
        guards => plain(format!("{} open for {time}", list(guards.iter(), usize::MAX))),
    }
    let mut quiet = |text: String| lines.push((SMALL, Look::Quiet, text));
    if let Some(hooks) = &door.hooks {
        let program = hooks.on_open.arguments().first().map_or("", String::as_str);
        quiet(format!("runs {program}"));
        if let Some(close) = &hooks.on_close {
            let program = close.arguments().first().map_or("", String::as_str);
            quiet(format!("then {program}"));
        }
    }
    quiet(recognised(door).to_owned());
    if door.tolerate > 0 {
        let ports = count(door.tolerate.into(), "wrong port", "wrong ports");
        quiet(format!("forgives {ports} in one attempt"));
    }
    lines
}

/// Who recognises the knocks of a door.
pub(super) fn recognised(door: &Door) -> &'static str {
    match door.recogniser {
        _ if door.guards.is_empty() => "recognised by the daemon",
        Recogniser::Kernel => "recognised by the kernel",
        Recogniser::Daemon => "recognised by the daemon",
        Recogniser::Both => "recognised by the kernel and the daemon",
    }
}

fn height_of(lines: &[(f64, Look, String)]) -> f64 {
    let mut height = 2.0 * CARD_PADDING - 4.0;
    for (size, _, text) in lines {
        let room = super::text::room(CARD - 2.0 * CARD_PADDING, *size);
        let lines = super::text::wrap(&super::text::plain(text), room);
        height += lines.len() as f64 * leading(*size);
    }
    height
}

/// What holds at every stage.
fn legend(sheet: &mut Sheet, top: f64, policy: &Policy) -> f64 {
    let forgives = policy.doors.iter().any(|door| door.tolerate > 0);
    let (x, indent) = (START, START + PITCH + 24.0);
    let wide = sheet.width() - indent - MARGIN - PADDING;
    let middle = top + 9.0;
    sheet.dot(x, middle, RADIUS - 4.0, Look::Strong);
    let way = [(x + PITCH - RADIUS, middle), (x + RADIUS, middle)];
    sheet.line(&way, Look::Bad, true);
    sheet.dot(x + PITCH - RADIUS, middle, RADIUS - 4.0, Look::Knock);
    let wrong = match forgives {
        false => "A wrong port or a late knock ends the attempt: back to the start.",
        true => {
            "A wrong port that the door does not forgive, or a late knock, ends the attempt: back \
             to the start."
        }
    };
    let mut y = sheet.wrapped((indent, top), wide, (USUAL, Look::Plain), wrong);
    let same = "A knock made already changes nothing. Otherwise, the first knock of a door always \
                starts an attempt.";
    y = sheet.wrapped((indent, y), wide, (USUAL, Look::Quiet), same);
    if policy.doors.iter().filter(|door| !door.guards.is_empty()).nth(1).is_some() {
        let others = "A port that only other doors guard is a wrong port, unless the address has a \
                      grant for it.";
        y = sheet.wrapped((indent, y), wide, (USUAL, Look::Quiet), others);
    }
    for line in overlaps(policy) {
        y = sheet.wrapped((indent, y), wide, (USUAL, Look::Quiet), &line);
    }
    y
}

/// The knocks that lead from the attempt at one door into that at another: where the end of what has
/// been knocked is more than the first knock of some other sequence.
fn overlaps(policy: &Policy) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for who in [Recogniser::Kernel, Recogniser::Daemon] {
        // A policy that was checked has no conflicts.
        let Ok(automaton) = Automaton::build(policy.doors_seen_by(who)) else { continue };
        for (at, port, to) in automaton.step() {
            let (Some(from), Some(target)) = (automaton.state(at), automaton.state(to)) else {
                continue;
            };
            // A knock made already changes nothing, even if it would be one of another sequence.
            let leads = automaton.next(at, port) == Transition::Advance(to);
            if !leads || from.forgiven > 0 || target.stage > from.stage {
                continue;
            }
            let name =
                |door| policy.door(door).map(|door| door.name.to_string()).unwrap_or_default();
            let line = format!(
                "After knock {} of {}, a knock at {port} is knock {} of {}.",
                from.stage,
                name(from.door),
                target.stage,
                name(target.door)
            );
            if !lines.contains(&line) {
                lines.push(line);
            }
            if lines.len() > OVERLAPS {
                lines.truncate(OVERLAPS);
                lines.push("There are more such steps from one door to another.".to_owned());
                return lines;
            }
        }
    }
    lines
}
