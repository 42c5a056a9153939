//! How the rules treat packets, as values.

use std::time::Duration;

/// How the rules treat the packets of one sender.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Explanation {
    /// What the configuration is called.
    pub name: String,
    /// Who sends them.
    pub from: String,
    /// Each packet, in order.
    pub events: Vec<Event>,
}

/// How the rules treat one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it comes, from the first one on.
    pub time: Duration,
    /// The packet as it is written.
    pub sent: String,
    /// How much time was left for it, if its sender had made a knock before.
    pub spare: Option<Duration>,
    /// Whether its sender had made knocks, which are lost now.
    pub lost: bool,
    /// The rules that it meets, in order.
    pub met: Vec<Met>,
    /// What it means, in sentences.
    pub means: Vec<String>,
    /// How it ends, in a sentence.
    pub fate: String,
    /// Whether it passes.
    pub passes: bool,
    /// The stage of its sender then.
    pub attempts: Vec<Attempt>,
    /// The doors that are open to its sender then.
    pub open: Vec<Open>,
}

/// A rule that a packet meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// The chain.
    pub chain: String,
    /// The number of the rule in its chain, from 1.
    pub number: usize,
    /// The rule.
    pub text: String,
    /// Whether the packet matches it.
    pub matched: bool,
    /// Whether the rule is to be shown in full.
    pub shown: bool,
}

/// The stage of a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The recogniser that sees it so, if the other does not.
    pub who: Option<&'static str>,
    /// The door.
    pub door: String,
    /// Knocks made.
    pub stage: usize,
    /// Knocks needed.
    pub knocks: usize,
    /// The next one must come within this time.
    pub left: Duration,
    /// How long that was at first.
    pub whole: Duration,
}

impl Attempt {
    /// Whether its last knock has been made just now.
    pub fn is_fresh(&self) -> bool {
        self.left >= self.whole
    }
}

impl Event {
    /// Whether it is a knock that counts.
    pub fn counts(&self) -> bool {
        self.attempts.iter().any(Attempt::is_fresh)
    }
}

/// A door that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The door.
    pub door: String,
    /// Remaining time.
    pub left: Duration,
    /// How long that was at first.
    pub whole: Duration,
}

/// When something happens: seconds with one digit behind the point, so that times stand in a column.
pub fn moment(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}
