//! What will be written, and sequences that the check takes.

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis_core::limits::{
    MAX_DOOR_NAME, MAX_OPEN_FOR, MAX_STEP_TIMEOUT, MIN_OPEN_FOR, MIN_STEP_TIMEOUT,
};
use portcullis_core::policy::{
    Allowed, Door, DoorId, DoorName, Finding, Gate, Policy, Port, Protocol, Recogniser, Refuse,
    Severity, Stance, check,
};

use super::{At, Does, Rule};
use crate::duration;
use crate::import::advice;
use crate::import::ports::service_name;

/// What the native configuration will say.
#[derive(Debug, Default)]
pub struct Draft {
    pub stance: Stance,
    /// `None` leaves it to the stance.
    pub refuse: Option<Refuse>,
    pub log_refused: bool,
    /// With the place, and why it is only a comment, if it is.
    pub public: Vec<(Port, At, Option<String>)>,
    pub allow: Vec<(Allowed, At, Option<String>)>,
    pub doors: Vec<Sketch>,
    pub left: Vec<Left>,
    pub said: Vec<Said>,
    /// What was left out already, by another way to it.
    known: BTreeSet<(At, String)>,
}

/// A door.
#[derive(Debug, Clone)]
pub struct Sketch {
    pub door: Door,
    pub at: At,
    pub comments: Vec<String>,
}

/// A rule that is not carried over.
#[derive(Debug)]
pub struct Left {
    pub at: At,
    pub text: String,
    pub why: String,
    /// What does the same beside the gate, if anything does.
    pub command: Option<String>,
}

/// Something to say to whoever imports.
#[derive(Debug)]
pub struct Said {
    pub at: At,
    pub kind: Kind,
    pub message: String,
    pub hint: Option<String>,
}

/// Of what kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Good to know.
    Note,
    /// Somebody has to do something about it.
    Hand,
    /// The original lets somebody in whom it should not; what is made of it does not.
    Hole,
}

impl Said {
    pub fn new(at: At, kind: Kind, message: impl Into<String>) -> Self {
        Self { at, kind, message: message.into(), hint: None }
    }
    pub fn note(at: At, message: impl Into<String>) -> Self {
        Self::new(at, Kind::Note, message)
    }
    pub fn hand(at: At, message: impl Into<String>) -> Self {
        Self::new(at, Kind::Hand, message)
    }
    pub fn hole(at: At, message: impl Into<String>) -> Self {
        Self::new(at, Kind::Hole, message)
    }
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Does {
    /// Whether it changes the list.
    pub const fn changes(self) -> bool {
        matches!(self, Self::Puts(_) | Self::Removes)
    }
}

/// A door as it was meant.
pub struct Wanted {
    pub name: Option<String>,
    pub at: At,
    pub guards: Vec<Port>,
    pub sequence: Vec<Port>,
    pub step_timeout: Option<Duration>,
    pub open_for: Option<Duration>,
}

/// Sequences that are printed where everybody reads them.
const PUBLISHED: [(&[u16], &str); 5] = [
    (&[1000], "an article on knocking with iptables"),
    (&[100, 300, 200], "the article on iplock"),
    (&[123, 234, 345, 456], "the wiki of nftables"),
    (&[8881, 7777, 9991], "the wiki of Arch Linux"),
    (&[1111, 2222, 3333], "a tutorial on knocking with iptables"),
];

/// Where ports that nobody can guess come from.
pub type Dice<'a> = &'a mut dyn FnMut() -> Option<u64>;

impl Draft {
    pub fn say(&mut self, said: Said) {
        self.said.push(said);
    }

    /// A rule that is not carried over, with a command that does the same if it can be kept.
    pub fn leave(&mut self, rule: &Rule, why: &str, by_hand: bool) {
        if !self.known.insert((rule.at, why.to_owned())) {
            return;
        }
        // What the gate refuses, no other rule can accept; but any rule may refuse more.
        let refuses = matches!(
            rule.verdict,
            super::Verdict::Drop | super::Verdict::Reject | super::Verdict::Reset
        );
        let keep = (refuses && !rule.command.is_empty()).then(|| rule.command.clone());
        let kind = if by_hand { Kind::Hand } else { Kind::Note };
        let mut said = Said::new(rule.at, kind, format!("not carried over: {why}"));
        if let Some(command) = &keep {
            said = said.hint(format!("the same beside the gate: {command}"));
        }
        self.say(said);
        let why = why.to_owned();
        self.left.push(Left { at: rule.at, text: rule.text.clone(), why, command: keep });
    }

    /// Adds a door, within the limits; `false` if it is there already.
    pub fn add(&mut self, wanted: Wanted) -> bool {
        let Wanted { name, at, mut guards, sequence, step_timeout, open_for } = wanted;
        let mut seen = BTreeSet::new();
        guards.retain(|port| seen.insert(*port));
        if let Some(door) = self
            .doors
            .iter()
            .find(|sketch| sketch.door.guards == guards && sketch.door.sequence == sequence)
        {
            let message =
                format!("this is door `{}` once more, for the other family", door.door.name);
            self.say(Said::note(at, message));
            return false;
        }
        let name = self.name(name, &guards);
        let Ok(name) = DoorName::new(&name) else { return false };
        let mut clamp = |what: &str, given: Option<Duration>, default, least, most| {
            let wanted = given.unwrap_or(default);
            let kept = wanted.clamp(least, most);
            if kept != wanted {
                let message = format!(
                    "{what} of door `{name}` is {} instead of {}",
                    duration::format(kept),
                    duration::format(wanted)
                );
                self.said.push(Said::note(at, message));
            }
            kept
        };
        let step_timeout = clamp(
            "`step_timeout`",
            step_timeout,
            Door::DEFAULT_STEP_TIMEOUT,
            MIN_STEP_TIMEOUT,
            MAX_STEP_TIMEOUT,
        );
        let open_for =
            clamp("`open_for`", open_for, Door::DEFAULT_OPEN_FOR, MIN_OPEN_FOR, MAX_OPEN_FOR);
        let door = Door {
            name,
            guards,
            sequence,
            step_timeout,
            open_for,
            recogniser: Recogniser::default(),
            tolerate: 0,
            hooks: None,
        };
        self.doors.push(Sketch { door, at, comments: Vec::new() });
        true
    }

    fn name(&self, wanted: Option<String>, guards: &[Port]) -> String {
        let by_port = || match guards.first() {
            Some(port) => match service_name(port.number.get()) {
                Some(service) => service.to_owned(),
                None => format!("{}-{}", port.protocol, port.number),
            },
            None => "door".into(),
        };
        let fits = |name: &String| name.len() < MAX_DOOR_NAME - 6 && DoorName::new(name).is_ok();
        let wanted = wanted.filter(fits).unwrap_or_else(by_port);
        let taken = |name: &str| self.doors.iter().any(|sketch| sketch.door.name.as_str() == name);
        let mut name = wanted.clone();
        let mut number = 1u32;
        while taken(&name) {
            number = number.saturating_add(1);
            name = format!("{wanted}-{number}");
        }
        name
    }

    /// The policy that it comes to.
    pub fn policy(&self) -> Policy {
        let public = self.public.iter().filter(|(.., why)| why.is_none()).map(|(port, ..)| *port);
        let allow = self.allow.iter().filter(|(.., why)| why.is_none());
        let gate = Gate {
            stance: self.stance,
            refuse: self.refuse.unwrap_or_else(|| Refuse::default_of(self.stance)),
            public: public.collect(),
            allow: allow.map(|(allowed, ..)| allowed.clone()).collect(),
            log_refused: self.log_refused,
            ..Gate::default()
        };
        Policy { gate, doors: self.doors.iter().map(|sketch| sketch.door.clone()).collect() }
    }

    /// Settles what contradicts itself, then gives every door a sequence that the check takes: its own, or
    /// its own in another order, or a new one. What changes is said.
    pub fn settle(&mut self, dice: Dice<'_>) {
        self.contradictions();
        let partly = |why: &Option<String>| {
            why.as_deref().is_some_and(|why| why.starts_with("over ") || why.starts_with("in one "))
        };
        if let Some((.., at, _)) = self.public.iter().find(|(.., why)| partly(why)) {
            let message = "some ports were open over one family or in one chain alone, and are not public yet";
            let hint = "they stand in `public` as comments: take the `#` away if that is right";
            self.said.push(Said::hand(*at, message).hint(hint));
        }
        for index in 0..self.doors.len() {
            self.strengthen(index, dice);
        }
        self.published();
        // What is left is of a kind that no sequence helps.
        for finding in errors(&self.policy()) {
            let message = finding.problem.to_string();
            let said = Said::hand(At::default(), format!("the check will refuse this: {message}"));
            self.say(said.hint(finding.problem.hint()));
        }
    }

    /// Ports that everybody has read of, in whatever order.
    fn published(&mut self) {
        for sketch in &self.doors {
            let numbers: BTreeSet<u16> =
                sketch.door.sequence.iter().map(|port| port.number.get()).collect();
            let known = PUBLISHED
                .iter()
                .find(|(ports, _)| ports.iter().copied().collect::<BTreeSet<_>>() == numbers);
            if let Some((_, place)) = known {
                let name = &sketch.door.name;
                let message = format!("the knocks of door `{name}` are printed in {place}");
                let hint = "whoever looks for doors tries these first: choose your own";
                self.said.push(Said::hand(sketch.at, message).hint(hint));
            }
        }
    }

    /// A port belongs to one door, and is not public then.
    fn contradictions(&mut self) {
        let mut guarded = BTreeSet::new();
        let mut kept = Vec::new();
        for mut sketch in std::mem::take(&mut self.doors) {
            let (name, at) = (sketch.door.name.clone(), sketch.at);
            let all = sketch.door.guards.len();
            let most = portcullis_core::limits::MAX_GUARDS;
            sketch.door.guards.retain(|port| !guarded.contains(port));
            let (left, elsewhere) =
                (sketch.door.guards.len(), all.saturating_sub(sketch.door.guards.len()));
            if elsewhere > 0 {
                let message = format!("another way to a port of door `{name}` is left out");
                let hint = "here a port belongs to one door, with one sequence of knocks";
                self.say(Said::hand(at, message).hint(hint));
            }
            if left > most {
                let message = format!("door `{name}` guards its first {most} ports only");
                let hint = "the others need a second door, with knocks of its own";
                self.say(Said::hand(at, message).hint(hint));
                sketch.door.guards.truncate(most);
            }
            if !sketch.door.guards.is_empty() {
                guarded.extend(sketch.door.guards.iter().copied());
                kept.push(sketch);
            }
        }
        self.doors = kept;
        let mut clashes = Vec::new();
        self.public.retain(|(port, at, why)| {
            let clash = guarded.contains(port) && why.is_none();
            clashes.extend(clash.then_some((*port, *at)));
            !clash
        });
        for (port, at) in clashes {
            let message =
                format!("`{port}` was open to everyone too, and is guarded by its door alone now");
            self.say(Said::hole(at, message));
        }
    }

    fn strengthen(&mut self, index: usize, dice: Dice<'_>) {
        let mut policy = self.policy();
        let Ok(number) = u32::try_from(index) else { return };
        let id = DoorId(number);
        let troubles = |policy: &Policy| -> Vec<Finding> {
            let mut found = errors(policy);
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
        let reordered = if old.len() >= portcullis_core::limits::MIN_KNOCKS {
            advice::order(&mut policy, id)
        } else {
            None
        };
        let (new, how) = match reordered {
            Some(order) => (Some(order), "the same knocks in another order"),
            None => (fresh(&mut policy, id, &old, dice, &troubles), "new knocks, drawn by lot"),
        };
        let Some(sketch) = self.doors.get_mut(index) else { return };
        let (name, at) = (sketch.door.name.clone(), sketch.at);
        let Some(new) = new else {
            let message = format!("door `{name}` has no sequence that the check takes: {why}");
            let hint = "choose one by hand, of ports with nothing behind them";
            self.say(Said::hand(at, message).hint(hint));
            return;
        };
        let was = advice::sequence(&old);
        sketch.comments.push(format!("Was {was}: {why}."));
        sketch.comments.push(format!("Here are {how}; clients have to be told."));
        sketch.door.sequence = new;
        let message = format!("door `{name}` has {how}, instead of {was}: {why}");
        self.say(Said::hand(at, message).hint("tell those who knock"));
    }
}

fn errors(policy: &Policy) -> Vec<Finding> {
    let mut findings = check(policy);
    findings.retain(|finding| finding.problem.severity() == Severity::Error);
    findings
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
