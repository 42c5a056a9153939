//! The sequences of all doors as one tree, and where on a grid its stages stand.
//!
//! A row holds stages from left to right; a card for the door that opens stands at the right of its
//! row. Where sequences part, the first goes on in its row, and a trunk leads down to the others. What
//! is too long for its row goes on below, never left of where its part of the tree began, so no line
//! crosses another.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_core::policy::{Policy, Port};

/// Columns of a usual picture: the start, and so many stages less one.
pub(super) const COLUMNS: usize = 6;

/// The tree, on its grid.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// Where each stage stands.
    pub(super) cells: Vec<Cell>,
    pub(super) cards: Vec<Card>,
    pub(super) links: Vec<Link>,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// A stage.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) knock: Port,
    pub(super) step_timeout: Duration,
    /// Knocks made, from 1.
    pub(super) stage: usize,
    next: Vec<Next>,
}

/// What follows a stage.
#[derive(Debug, Clone, Copy)]
enum Next {
    Stage(usize),
    Open(usize),
}

/// A place on the grid. The start is in column 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) column: usize,
}

/// A stage at its place.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) node: usize,
    pub(super) at: Place,
}

/// The card of a door, at the right of a row.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) door: usize,
    pub(super) row: usize,
}

/// Where a line leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Stage(Place),
    Card(usize),
}

/// A line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Link {
    /// Straight on in its row.
    Along(Place, End),
    /// Down from a stage, then right.
    Down(Place, End),
    /// Below the row to the column of a trunk, down, then right.
    Drop(Place, usize, End),
    /// From the end of a row to the beginning of another.
    Wrap(Place, Place),
}

impl Tree {
    /// The tree of all doors. Doors share a stage that they both go through, in the same time and with
    /// the same number of wrong ports forgiven.
    pub(super) fn of(policy: &Policy) -> Self {
        let mut tree = Self { columns: COLUMNS, ..Self::default() };
        let mut first: Vec<Next> = Vec::new();
        let mut known: BTreeMap<(Option<usize>, Port, Duration, u8), usize> = BTreeMap::new();
        for (index, door) in policy.doors.iter().enumerate() {
            let mut at = None;
            for (knock, stage) in door.sequence.iter().zip(1..) {
                let key = (at, *knock, door.step_timeout, door.tolerate);
                let node = *known.entry(key).or_insert_with(|| {
                    let node = tree.nodes.len();
                    let step_timeout = door.step_timeout;
                    tree.nodes.push(Node { knock: *knock, step_timeout, stage, next: Vec::new() });
                    tree.next_of(at, &mut first).push(Next::Stage(node));
                    node
                });
                at = Some(node);
            }
            tree.next_of(at, &mut first).push(Next::Open(index));
        }
        let start = Place { row: 0, column: 0 };
        tree.rows = 1;
        tree.go_on(&first, start, 1);
        tree
    }

    fn next_of<'a>(&'a mut self, at: Option<usize>, first: &'a mut Vec<Next>) -> &'a mut Vec<Next> {
        match at.and_then(|at| self.nodes.get_mut(at)) {
            Some(node) => &mut node.next,
            None => first,
        }
    }

    fn new_row(&mut self) -> usize {
        let row = self.rows;
        self.rows = row.saturating_add(1);
        row
    }

    /// Places what follows the stage at `from`. `indent` is the first column that may be used.
    fn go_on(&mut self, next: &[Next], from: Place, indent: usize) {
        let [first, others @ ..] = next else { return };
        if others.is_empty() {
            return self.along(*first, from, indent);
        }
        let after = from.column.saturating_add(1);
        let cards = next.iter().all(|next| matches!(next, Next::Open(_)));
        if cards || after.saturating_add(2) <= self.columns {
            self.along(*first, from, after);
            for next in others {
                let row = self.new_row();
                let column = after;
                let end = self.place(*next, Place { row, column });
                self.links.push(Link::Down(from, end));
                self.follow(*next, Place { row, column }, column);
            }
            return;
        }
        // No room at the right: all of it goes below.
        let column = indent.saturating_add(1);
        self.columns = self.columns.max(column.saturating_add(1));
        for next in next {
            let row = self.new_row();
            let end = self.place(*next, Place { row, column });
            self.links.push(Link::Drop(from, indent, end));
            self.follow(*next, Place { row, column }, column);
        }
    }

    fn along(&mut self, next: Next, from: Place, indent: usize) {
        let column = from.column.saturating_add(1);
        let here = Place { row: from.row, column };
        if matches!(next, Next::Open(_)) || column < self.columns {
            let end = self.place(next, here);
            self.links.push(Link::Along(from, end));
            return self.follow(next, here, indent);
        }
        let here = Place { row: self.new_row(), column: indent };
        self.place(next, here);
        self.links.push(Link::Wrap(from, here));
        self.follow(next, here, indent);
    }

    fn place(&mut self, next: Next, at: Place) -> End {
        match next {
            Next::Stage(node) => {
                self.cells.push(Cell { node, at });
                End::Stage(at)
            }
            Next::Open(door) => {
                self.cards.push(Card { door, row: at.row });
                End::Card(at.row)
            }
        }
    }

    fn follow(&mut self, next: Next, at: Place, indent: usize) {
        if let Next::Stage(node) = next
            && let Some(node) = self.nodes.get_mut(node)
        {
            // Each stage is placed once, so nobody needs to know later what follows it.
            let next = std::mem::take(&mut node.next);
            self.go_on(&next, at, indent);
        }
    }
}
