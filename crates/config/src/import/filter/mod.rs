//! The rules of a packet filter for what comes in to this host, as far as the gate has words for them;
//! and what doors, public ports and addresses they come to.
//!
//! | module | what it holds |
//! |---|---|
//! | `flatten` | the chains that a packet for this host goes through, as one list |
//! | `knocks` | doors that are made of lists of addresses, and their holes |
//! | `beside_doors` | everything else: what is open, for whom, and what is closed |
//! | `strengthen` | doors whose sequences the check takes |

pub mod beside_doors;
pub mod flatten;
pub mod knocks;
pub mod strengthen;

use std::collections::HashMap;
use std::time::Duration;

use portcullis_core::policy::{Port, Protocol};

use super::draft::{At, Draft, Entry, Left, NoteKind, add_entry};
use crate::duration;
pub use knocks::Families;

/// Rules that are followed in all, counting each as often as a packet can come to it by another way.
pub const MAX_RULES: usize = 50_000;

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    pub at: At,
    /// As it was written, or in the words of iptables.
    pub text: String,
    /// A command that does the same beside the gate.
    pub command: String,
    pub asks: Asks,
    pub verdict: Verdict,
    /// It says so in the log as well.
    pub logs: bool,
}

/// What a rule asks of a packet. Everything must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asks {
    /// Of one family only; `true` is IPv4.
    pub four: Option<bool>,
    /// One of these interfaces; any if there is none.
    pub interfaces: Vec<String>,
    /// One of these sources; any if there is none.
    pub sources: Vec<String>,
    pub protocol: Option<Transport>,
    /// One of these ports. `None` asks for no port.
    pub ports: Option<Vec<Port>>,
    /// Connection states, in small letters; any if there is none.
    pub states: Vec<String>,
    /// Only the packet that begins a connection.
    pub syn: bool,
    /// Lists of addresses that are asked or changed, in the order in which this is done.
    pub lists: Vec<List>,
    /// Everything else, as it was written.
    pub others: Vec<String>,
}

/// What is carried by IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Port(Protocol),
    /// ICMP of either family.
    Icmp,
    Other,
}

/// A list of addresses, and what is done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    pub name: String,
    pub does: Does,
    /// Whether the port of the packet has been looked at before.
    pub after_port: bool,
    /// Whether it is of `recent`, which remembers 100 addresses.
    pub recent: bool,
}

/// What is done with a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// The source must be on it, and have been put there less than so long ago.
    Asks(Option<Duration>),
    /// The source must not be on it, or must have been seen more than once.
    AsksOther,
    /// The source is put on it, for so long.
    Puts(Option<Duration>),
    /// The source is taken off it.
    Removes,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Drop,
    /// With a reset, as a closed port does it.
    Reset,
    Reject,
    Log,
    /// Nothing: the next rule is asked.
    None,
    Return,
    /// Another chain; `true` if it does not come back.
    Jump(String, bool),
    Other(String),
}

impl Transport {
    /// The one of this name or number.
    pub fn named(name: &str) -> Self {
        match &*name.to_ascii_lowercase() {
            "tcp" | "6" => Self::Port(Protocol::Tcp),
            "udp" | "17" => Self::Port(Protocol::Udp),
            "icmp" | "icmpv6" | "ipv6-icmp" | "1" | "58" => Self::Icmp,
            _ => Self::Other,
        }
    }

    /// Which protocol it is, if it has ports.
    pub const fn with_ports(self) -> Option<Protocol> {
        if let Self::Port(protocol) = self { Some(protocol) } else { None }
    }
}

impl Rule {
    /// A rule that asks for nothing yet, and decides nothing.
    pub fn new(at: At, text: String, command: String) -> Self {
        Self { at, text, command, asks: Asks::default(), verdict: Verdict::None, logs: false }
    }
}

/// What the rules come to from this chain on, where packets for this host come in: adds the doors, and what is
/// open beside them, but returns the public ports. `closed` is where it says that all else is refused.
pub fn input(
    chains: &HashMap<String, Vec<Rule>>,
    start: &str,
    families: Families,
    closed: Option<At>,
    draft: &mut Draft,
) -> Vec<Entry<Port>> {
    let rules = flatten::flatten(chains, start, draft);
    let of_door = knocks::find(&rules, families, draft);
    beside_doors::read(&rules, &of_door, closed, draft);
    std::mem::take(&mut draft.public)
}

/// The public ports by one list of rules among several.
pub struct Opened {
    pub ports: Vec<Entry<Port>>,
    /// Whether no port is public that this one does not open.
    pub needed: bool,
    /// Why a port that only some open is a comment.
    pub alone: &'static str,
}

/// What is public by all of these together.
pub fn together(all: &[Opened]) -> Vec<Entry<Port>> {
    let open = |port| {
        let opens =
            |one: &Opened| one.ports.iter().any(|(known, _, why)| *known == port && why.is_none());
        all.iter().filter(|one| one.needed).all(opens)
    };
    let mut kept: Vec<Entry<Port>> = Vec::new();
    for one in all {
        for (port, at, why) in &one.ports {
            let why = why.clone().or_else(|| (!open(*port)).then(|| one.alone.into()));
            add_entry(&mut kept, (*port, *at, why));
        }
    }
    kept
}

impl Draft {
    /// A rule that is not carried over, with a command that does the same if it can be kept.
    pub fn leave(&mut self, rule: &Rule, why: &str, by_hand: bool) {
        // What the gate refuses, no other rule can accept; but any rule may refuse more.
        let refuses = rule.verdict.decides() && rule.verdict != Verdict::Accept;
        let keep = (refuses && !rule.command.is_empty()).then(|| rule.command.clone());
        let hint = keep.as_ref().map(|command| format!("to keep it next to the gate: {command}"));
        let (text, why) = (rule.text.clone(), why.to_owned());
        let kind = if by_hand { NoteKind::Hand } else { NoteKind::Note };
        self.leave_out(Left { at: rule.at, text, why, command: keep }, kind, hint);
    }
}

impl Does {
    /// Whether it changes the list.
    pub const fn changes(self) -> bool {
        matches!(self, Self::Puts(_) | Self::Removes)
    }
}

impl Asks {
    /// Whether it asks for nothing at all.
    pub fn nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it lets only such packets through as belong to connections that are there already.
    pub fn only_known(&self) -> bool {
        !self.states.is_empty()
            && self.states.iter().all(|state| matches!(&**state, "established" | "related"))
    }

    /// Whether a packet that begins no connection can be meant.
    pub fn not_only_new(&self) -> bool {
        !self.syn && self.states.iter().all(|state| state != "new")
    }
}

/// Seconds, or a time such as `1d2h3m4s`.
pub fn time(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let Some((days, rest)) = text.split_once('d') else { return duration::parse(text).ok() };
    let days = Duration::from_secs(days.trim().parse::<u64>().ok()?.checked_mul(86_400)?);
    if rest.is_empty() { Some(days) } else { days.checked_add(duration::parse(rest).ok()?) }
}
