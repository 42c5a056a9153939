//! All doors as one automaton over `(protocol, port)`: the single definition of "has knocked".
//!
//! It is the Aho-Corasick automaton of the doors' sequences (CACM 18(6), 1975): a state stands for
//! the longest tail of what a source has knocked that is the beginning of some sequence. The daemon
//! walks it in memory, the kernel walks it as maps, the simulator walks those maps; whoever wants to
//! know what a knock means asks here.
//!
//! It differs from that automaton in what changes nothing: the knocks made already, unless one of them
//! is the next knock. TCP sends a SYN again after a second, while later knocks are on their way.
//!
//! A guarded port without a grant is a wrong port like every other. Otherwise a source that knows the
//! sequence of one door could find the ports of all doors: it sends a packet to a port between two
//! knocks, and sees whether its door still opens. The exception are the guarded ports of the doors
//! that the source may be knocking at, because people connect while they knock.
//!
//! The tables hold only what differs from the root: a port that is no transition of a state means
//! what it means to a source that has not knocked yet. So their size is in proportion to the doors.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use crate::limits;
use crate::policy::{Door, DoorId, Port};

/// How far a source has come: a state of the automaton. 0 is the root: no knock counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StateId(pub u32);

impl StateId {
    /// Nothing has been knocked.
    pub const ROOT: Self = Self(0);
}

/// What a state means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The knock that led here.
    pub entered_by: Port,
    /// A door of which this is a stage. Where doors share a beginning it is the first of them; they
    /// agree in everything that a stage needs to know.
    pub door: DoorId,
    /// Knocks made, from 1.
    pub stage: u8,
    /// Wrong ports forgiven so far in this attempt.
    pub forgiven: u8,
    /// The door that opens on arrival here.
    pub opens: Option<DoorId>,
    /// The next knock must come less than this after the one that led here.
    pub step_timeout: Duration,
    /// Where a wrong port leads, if it is forgiven.
    pub forgive: Option<StateId>,
}

/// What a new-connection packet to a port means to a source in some state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// A knock made already, or a port that all doors guard that this state is a stage of: nothing changes, not even
    /// the time left. Where a door has opened, only its last knock.
    Repeat,
    /// A knock: the source is now in this state, and its time starts anew.
    Advance(StateId),
    /// A wrong port, forgiven: the source is now in this state, with the time that it had left.
    Forgive(StateId),
    /// A wrong port: the attempt is lost.
    Reset,
}

/// The automaton of a set of doors.
#[derive(Debug, Clone)]
pub struct Automaton {
    states: Vec<State>,
    first: Table<Port>,
    step: Table<(StateId, Port)>,
    repeat: HashSet<(StateId, Port), FixedState>,
}

type Table<K> = HashMap<K, StateId, FixedState>;

/// Why doors cannot be told apart, or not by one state per source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The door that is at fault: the later one in the file where either could be.
    pub door: DoorId,
    /// The door that it conflicts with.
    pub other: DoorId,
    /// In which way.
    pub kind: ConflictKind,
}

/// The ways in which two doors conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictKind {
    /// Both have the same sequence.
    Same,
    /// The sequence of `door` is the beginning of that of `other`.
    Prefix,
    /// The sequence of `door` is contained in that of `other`.
    Contained,
    /// Their sequences overlap, but their `step_timeout` differs.
    StepTimeout,
    /// Their sequences overlap, but their `tolerate` differs.
    Tolerate,
    /// The doors overlap in so many ways that the automaton exceeds [`limits::MAX_TRANSITIONS`].
    TooManyTransitions,
}

impl Automaton {
    /// Builds the automaton of these doors.
    ///
    /// # Errors
    /// All conflicts between doors, in the order of the doors at fault.
    pub fn build<'a>(
        doors: impl Iterator<Item = (DoorId, &'a Door)>,
    ) -> Result<Self, Vec<Conflict>> {
        let mut trie = Trie::default();
        for (id, door) in doors {
            trie.insert(id, door);
        }
        trie.link();
        if trie.conflicts.is_empty() {
            trie.into_automaton()
        } else {
            trie.conflicts.sort_by_key(|conflict| (conflict.door, conflict.other));
            trie.conflicts.dedup();
            Err(trie.conflicts)
        }
    }

    /// What a packet to `port` means to a source in `state`.
    pub fn next(&self, state: StateId, port: Port) -> Transition {
        if self.repeat.contains(&(state, port)) {
            return Transition::Repeat;
        }
        if let Some(&to) = self.step.get(&(state, port)).or_else(|| self.first.get(&port)) {
            return Transition::Advance(to);
        }
        self.wrong(state)
    }

    /// What a packet to a port that no sequence holds means to a source in `state`.
    pub fn wrong(&self, state: StateId) -> Transition {
        match self.state(state).and_then(|here| here.forgive) {
            Some(to) => Transition::Forgive(to),
            None => Transition::Reset,
        }
    }

    /// What this state means; `None` for the root and for states of another automaton.
    pub fn state(&self, id: StateId) -> Option<&State> {
        self.states.get((id.0 as usize).checked_sub(1)?)
    }

    /// All states but the root, with their numbers, in ascending order.
    pub fn states(&self) -> impl Iterator<Item = (StateId, &State)> {
        (1u32..).map(StateId).zip(&self.states)
    }

    /// The transitions from the root, in ascending order. They hold in every state that has none of
    /// its own for that port.
    pub fn first(&self) -> Vec<(Port, StateId)> {
        let mut all: Vec<_> = self.first.iter().map(|(&port, &to)| (port, to)).collect();
        all.sort_unstable();
        all
    }

    /// The transitions of all other states that differ from the root's, in ascending order.
    pub fn step(&self) -> Vec<(StateId, Port, StateId)> {
        let mut all: Vec<_> = self.step.iter().map(|(&(at, port), &to)| (at, port, to)).collect();
        all.sort_unstable();
        all
    }

    /// The ports that change nothing in a state, in ascending order.
    pub fn repeat(&self) -> Vec<(StateId, Port)> {
        let mut all: Vec<_> = self.repeat.iter().copied().collect();
        all.sort_unstable();
        all
    }

    /// Whether any state forgives a wrong port.
    pub fn forgives(&self) -> bool {
        self.states.iter().any(|state| state.forgive.is_some())
    }
}

/// The sequences as a tree. Node 0 is the root; children are numbered after their parents.
#[derive(Debug, Default)]
struct Trie {
    nodes: Vec<Node>,
    children: BTreeMap<(u32, Port), u32>,
    /// For each node the ports that all doors guard whose sequences lead through it.
    guards: Vec<BTreeSet<Port>>,
    conflicts: Vec<Conflict>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    parent: u32,
    entered_by: Port,
    door: DoorId,
    stage: u8,
    step_timeout: Duration,
    tolerate: u8,
    opens: Option<DoorId>,
    leaf: bool,
    /// The node of the longest proper tail that is in the tree; 0 if there is none.
    fail: u32,
}

impl Trie {
    fn node(&self, id: u32) -> Option<&Node> {
        self.nodes.get((id as usize).checked_sub(1)?)
    }

    fn node_mut(&mut self, id: u32) -> Option<&mut Node> {
        self.nodes.get_mut((id as usize).checked_sub(1)?)
    }

    fn conflict(&mut self, door: DoorId, other: DoorId, kind: ConflictKind) {
        self.conflicts.push(Conflict { door, other, kind });
    }

    fn insert(&mut self, id: DoorId, door: &Door) {
        let mut at = 0;
        let guards: BTreeSet<Port> = door.guards.iter().copied().collect();
        // Longer ones than this have been refused by `check`; here they only must not overflow.
        for (&port, stage) in door.sequence.iter().zip(1..=u8::MAX) {
            let next = match self.children.get(&(at, port)) {
                Some(&next) => {
                    if let Some(common) = self.guards.get_mut((next as usize).wrapping_sub(1)) {
                        common.retain(|port| guards.contains(port));
                    }
                    next
                }
                None => {
                    self.guards.push(guards.clone());
                    self.nodes.push(Node {
                        parent: at,
                        entered_by: port,
                        door: id,
                        stage,
                        step_timeout: door.step_timeout,
                        tolerate: door.tolerate,
                        opens: None,
                        leaf: true,
                        fail: 0,
                    });
                    let next = self.nodes.len() as u32;
                    self.children.insert((at, port), next);
                    if let Some(parent) = self.node_mut(at) {
                        parent.leaf = false;
                    }
                    next
                }
            };
            if let Some(&node) = self.node(next) {
                self.require_agreement(id, door.step_timeout, door.tolerate, &node);
                if usize::from(stage) < door.sequence.len()
                    && let Some(shorter) = node.opens
                {
                    self.conflict(shorter, id, ConflictKind::Prefix);
                }
            }
            at = next;
        }
        let Some(&end) = self.node(at) else { return };
        match end.opens {
            Some(other) => self.conflict(id, other, ConflictKind::Same),
            None if !end.leaf => self.conflict(id, end.door, ConflictKind::Prefix),
            None => {}
        }
        if let Some(end) = self.node_mut(at)
            && end.opens.is_none()
        {
            end.opens = Some(id);
        }
    }

    /// One source has one state, and so one time left and one count of wrong ports: doors whose
    /// sequences overlap must agree in both.
    fn require_agreement(&mut self, id: DoorId, timeout: Duration, tolerate: u8, node: &Node) {
        if node.step_timeout != timeout {
            self.conflict(id.max(node.door), id.min(node.door), ConflictKind::StepTimeout);
        }
        if node.tolerate != tolerate {
            self.conflict(id.max(node.door), id.min(node.door), ConflictKind::Tolerate);
        }
    }

    /// Finds for each node its longest proper tail, in order of depth, and what that reveals.
    fn link(&mut self) {
        let mut by_depth: Vec<(u8, u32, u32, Port)> = self
            .children
            .iter()
            .filter_map(|(&(parent, port), &id)| Some((self.node(id)?.stage, id, parent, port)))
            .collect();
        by_depth.sort_unstable();
        for (stage, id, parent, port) in by_depth {
            let mut tail = self.node(parent).map_or(0, |parent| parent.fail);
            let fail = loop {
                match self.children.get(&(tail, port)) {
                    Some(&found) if found != id => break found,
                    _ if tail == 0 => break 0,
                    _ => tail = self.node(tail).map_or(0, |node| node.fail),
                }
            };
            let Some(node) = self.node_mut(id) else { continue };
            node.fail = fail;
            let node = *node;
            let Some(&overlap) = self.node(fail) else { continue };
            debug_assert!(overlap.stage < stage);
            self.require_agreement(node.door, node.step_timeout, node.tolerate, &overlap);
            // A whole sequence that is a tail of this node lies inside another one.
            let mut tail = fail;
            while let Some(&inner) = self.node(tail) {
                if let Some(inner) = inner.opens {
                    self.conflict(inner, node.door, ConflictKind::Contained);
                }
                tail = inner.fail;
            }
        }
    }

    fn into_automaton(self) -> Result<Automaton, Vec<Conflict>> {
        let mut numbers = Vec::with_capacity(self.nodes.len());
        let mut states = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let layers = if node.leaf { 0 } else { node.tolerate };
            if states.len() > limits::MAX_TRANSITIONS {
                let kind = ConflictKind::TooManyTransitions;
                return Err([Conflict { door: node.door, other: node.door, kind }].into());
            }
            numbers.push((states.len() as u32).saturating_add(1));
            for forgiven in 0..=layers {
                let own = (states.len() as u32).saturating_add(1);
                states.push(State {
                    entered_by: node.entered_by,
                    door: node.door,
                    stage: node.stage,
                    forgiven,
                    opens: node.opens,
                    step_timeout: node.step_timeout,
                    forgive: (forgiven < layers).then(|| StateId(own.saturating_add(1))),
                });
            }
        }
        // The state of a node in a layer; a leaf has one only.
        let numbered = |id: u32, forgiven: u8| {
            let node = self.node(id)?;
            let layer = if node.leaf { 0 } else { forgiven.min(node.tolerate) };
            let base = numbers.get((id as usize).checked_sub(1)?)?;
            Some(StateId(base.saturating_add(u32::from(layer))))
        };

        let mut first = Table::default();
        let mut step = Table::default();
        for (&(_, port), &id) in self.children.range(from(0)).take_while(|((at, _), _)| *at == 0) {
            first.extend(numbered(id, 0).map(|state| (port, state)));
        }
        for (at, node) in (1u32..).zip(&self.nodes) {
            let layers = if node.leaf { 0 } else { node.tolerate };
            // Nearest first: what a longer tail says hides what a shorter one would.
            let mut tail = at;
            while tail != 0 {
                let children =
                    self.children.range(from(tail)).take_while(|((at, _), _)| *at == tail);
                for (&(_, port), &to) in children {
                    for forgiven in 0..=layers {
                        let kept = if tail == at { forgiven } else { 0 };
                        if let (Some(at), Some(to)) = (numbered(at, forgiven), numbered(to, kept)) {
                            step.entry((at, port)).or_insert(to);
                        }
                    }
                }
                if step.len() > limits::MAX_TRANSITIONS {
                    let kind = ConflictKind::TooManyTransitions;
                    let other = self.node(tail).map_or(node.door, |tail| tail.door);
                    return Err([Conflict { door: node.door, other, kind }].into());
                }
                tail = self.node(tail).map_or(0, |tail| tail.fail);
            }
        }
        let mut repeat = HashSet::default();
        for (number, (node, guards)) in (1u32..).zip(self.nodes.iter().zip(&self.guards)) {
            let layers = if node.leaf { 0 } else { node.tolerate };
            let unchanged: Vec<Port> = match node.leaf {
                // Behind the last knock there is nothing to lose.
                true => [node.entered_by].into(),
                false => {
                    let is_next = |port: &Port| self.children.contains_key(&(number, *port));
                    let made = self.made(number).chain(guards.iter().copied());
                    made.filter(|port| !is_next(port)).collect()
                }
            };
            for at in (0..=layers).filter_map(|forgiven| numbered(number, forgiven)) {
                repeat.extend(unchanged.iter().map(|&port| (at, port)));
            }
            if repeat.len() > limits::MAX_TRANSITIONS {
                let kind = ConflictKind::TooManyTransitions;
                return Err([Conflict { door: node.door, other: node.door, kind }].into());
            }
        }
        Ok(Automaton { states, first, step, repeat })
    }

    /// The knocks that lead to a node, the last one first.
    fn made(&self, at: u32) -> impl Iterator<Item = Port> {
        core::iter::successors(self.node(at), |node| self.node(node.parent))
            .map(|node| node.entered_by)
    }
}

/// The range of `children` that begins with those of node `at`.
fn from(at: u32) -> core::ops::RangeFrom<(u32, Port)> {
    const LEAST: Port =
        Port { protocol: crate::policy::Protocol::Tcp, number: core::num::NonZeroU16::MIN };
    (at, LEAST)..
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{DoorName, Recogniser};
    use alloc::format;

    fn port(number: u16) -> Port {
        Port::tcp(number).unwrap()
    }

    fn doors(sequences: &[&[u16]], tolerate: u8) -> Vec<Door> {
        let doors = sequences.iter().enumerate().map(|(index, sequence)| Door {
            name: DoorName::new(&format!("d{index}")).unwrap(),
            guards: Vec::new(),
            sequence: sequence.iter().map(|&number| port(number)).collect(),
            step_timeout: Door::DEFAULT_STEP_TIMEOUT,
            open_for: Door::DEFAULT_OPEN_FOR,
            recogniser: Recogniser::Both,
            tolerate,
            hooks: None,
        });
        doors.collect()
    }

    fn build(doors: &[Door]) -> Result<Automaton, Vec<Conflict>> {
        Automaton::build((0..).map(DoorId).zip(doors))
    }

    /// The state after these ports, and what the last of them meant.
    fn walk(automaton: &Automaton, ports: &[u16]) -> (Option<State>, Transition) {
        let mut at = StateId::ROOT;
        let mut last = Transition::Reset;
        for &number in ports {
            last = automaton.next(at, port(number));
            at = match last {
                Transition::Advance(to) | Transition::Forgive(to) => to,
                Transition::Repeat => at,
                Transition::Reset => StateId::ROOT,
            };
        }
        (automaton.state(at).copied(), last)
    }

    #[test]
    fn each_knock_leads_to_the_longest_tail_that_begins_a_sequence() {
        let automaton = build(&doors(&[&[1, 2, 3, 4], &[3, 5, 6], &[2, 3, 7]], 0)).unwrap();
        let stage =
            |ports: &[u16]| walk(&automaton, ports).0.map(|state| (state.door.0, state.stage));
        assert_eq!(stage(&[1, 2, 3]), Some((0, 3)));
        assert_eq!(stage(&[1, 2, 3, 4]), Some((0, 4)));
        assert_eq!(stage(&[1, 2, 3, 7]), Some((2, 3)), "2, 3, 7 is a whole sequence");
        assert_eq!(stage(&[1, 2, 3, 5]), Some((1, 2)), "3, 5 begins one");
        assert_eq!(stage(&[1, 2, 3, 1]), Some((0, 3)), "made already");
        assert_eq!(stage(&[1, 2, 3, 9]), None);
        assert_eq!(walk(&automaton, &[1, 2, 2]).1, Transition::Repeat);
        assert_eq!(walk(&automaton, &[1, 2, 9]).1, Transition::Reset);
        assert_eq!(walk(&automaton, &[1, 2, 3, 4]).0.unwrap().opens, Some(DoorId(0)));
        assert_eq!(walk(&automaton, &[1, 2, 3]).0.unwrap().opens, None);
    }

    #[test]
    fn wrong_ports_are_counted_in_one_attempt_and_anew_in_the_next() {
        let automaton = build(&doors(&[&[1, 2, 3, 4], &[3, 5, 6]], 2)).unwrap();
        let forgiven =
            |ports: &[u16]| walk(&automaton, ports).0.map(|state| (state.stage, state.forgiven));
        assert_eq!(forgiven(&[1, 9, 2]), Some((2, 1)), "a step keeps the count");
        assert_eq!(forgiven(&[1, 9, 2, 9, 3]), Some((3, 2)));
        assert_eq!(forgiven(&[1, 9, 9, 9]), None, "the third is one too many");
        assert_eq!(forgiven(&[1, 9, 2, 1]), Some((2, 1)), "made already");
        assert_eq!(forgiven(&[1, 9, 2, 9, 9, 1]), Some((1, 0)), "from the beginning");
        assert_eq!(forgiven(&[1, 9, 2, 9, 3, 5]), Some((2, 0)), "inside another sequence");
        assert_eq!(forgiven(&[1, 2, 3, 4, 9]), None, "nothing is left to forgive after the last");
        assert!(automaton.forgives());
    }

    #[test]
    fn knocks_made_already_change_nothing_unless_they_are_next() {
        let automaton = build(&doors(&[&[1, 2, 1, 3], &[2, 5, 2, 6], &[4, 1, 7]], 0)).unwrap();
        let stage =
            |ports: &[u16]| walk(&automaton, ports).0.map(|state| (state.door.0, state.stage));
        assert_eq!(stage(&[1, 2, 1]), Some((0, 3)), "1 comes twice");
        assert_eq!(stage(&[1, 2, 1, 2, 1, 2]), Some((0, 3)));
        assert_eq!(stage(&[1, 2, 1, 2, 3]), Some((0, 4)));
        assert_eq!(walk(&automaton, &[1, 2, 1, 3, 2]).1, Transition::Advance(StateId(5)));
        assert_eq!(stage(&[1, 2, 1, 3, 1]), Some((0, 1)), "behind the last it begins anew");
        assert_eq!(walk(&automaton, &[4, 1, 7, 7]).1, Transition::Repeat);
        assert_eq!(stage(&[1, 2, 5, 2, 1]), Some((0, 1)), "1 was no knock of this attempt");
        assert_eq!(stage(&[4, 1, 4, 7]), Some((2, 3)));
    }

    #[test]
    fn guards_of_all_doors_that_a_state_is_a_stage_of_change_nothing() {
        let guards: [&[u16]; 3] = [&[22, 80], &[80], &[90]];
        let mut doors = doors(&[&[1, 2, 3], &[1, 2, 4], &[2, 5, 6]], 1);
        for (door, guards) in doors.iter_mut().zip(guards) {
            door.guards = guards.iter().map(|&number| port(number)).collect();
        }
        let automaton = build(&doors).unwrap();
        let unchanged = |ports: &[u16]| {
            let repeated = |&guard: &u16| {
                let path = [ports, &[guard]].concat();
                walk(&automaton, &path).1 == Transition::Repeat
            };
            Vec::from_iter([22, 80, 90].into_iter().filter(repeated))
        };
        assert_eq!(unchanged(&[]), []);
        assert_eq!(unchanged(&[1]), [80], "of the first and the second door");
        assert_eq!(unchanged(&[1, 9]), [80], "a forgiven port changes nothing");
        assert_eq!(unchanged(&[1, 2]), [80], "2 alone would begin the third");
        assert_eq!(unchanged(&[1, 2, 3]), [], "nothing is left to lose");
        assert_eq!(unchanged(&[2]), [90]);
    }

    #[test]
    fn doors_that_cannot_be_told_apart_are_conflicts() {
        let kinds = |sequences: &[&[u16]]| match build(&doors(sequences, 0)) {
            Ok(_) => Vec::new(),
            Err(found) => found.iter().map(|c| (c.door.0, c.other.0, c.kind)).collect(),
        };
        assert_eq!(kinds(&[&[1, 2, 3], &[1, 2, 4], &[5, 1, 2]]), []);
        assert_eq!(kinds(&[&[1, 2, 3], &[1, 2, 3]]), [(1, 0, ConflictKind::Same)]);
        assert_eq!(kinds(&[&[1, 2, 3], &[1, 2, 3, 4]]), [(0, 1, ConflictKind::Prefix)]);
        assert_eq!(kinds(&[&[1, 2, 3, 4], &[1, 2, 3]]), [(1, 0, ConflictKind::Prefix)]);
        assert_eq!(kinds(&[&[5, 1, 2, 3], &[1, 2, 3]]), [(1, 0, ConflictKind::Contained)]);
        assert_eq!(kinds(&[&[5, 1, 2, 3, 6], &[1, 2, 3]]), [(1, 0, ConflictKind::Contained)]);
        let mut mixed = doors(&[&[1, 2, 3], &[3, 4, 5]], 0);
        mixed[1].step_timeout *= 2;
        mixed[1].tolerate = 1;
        let found = build(&mixed).unwrap_err();
        let found: Vec<_> = found.iter().map(|conflict| conflict.kind).collect();
        assert_eq!(found, [ConflictKind::StepTimeout, ConflictKind::Tolerate]);
    }
}
