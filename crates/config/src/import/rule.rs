//! Commands that are known: those that let an address in at a port, and those that take that back.
//!
//! Known are the forms that people write into a `knockd.conf`: one rule of `iptables`, `ip6tables`,
//! `nft` or `ufw`, for one address, with the ports that it opens. Everything else is somebody's own
//! program, and is kept as it is.

use portcullis_core::limits::MAX_GUARDS;
use portcullis_core::policy::Port;

/// What stands for the address of the knocker.
pub const ADDRESS: &str = "%IP%";

/// A command that is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Known {
    /// Lets the address in; with the number that the rule has then, where it is given one.
    Add(Rule, Option<u32>),
    /// Takes that back.
    Delete(Rule),
    /// Takes back whatever rule has this number then.
    DeleteNumber(Program, String, u32),
}

impl Known {
    /// Whether this takes back what a rule does that was added with this number.
    pub fn takes_back(&self, rule: &Rule, number: Option<u32>) -> bool {
        match self {
            Self::Add(..) => false,
            Self::Delete(deleted) => deleted == rule,
            Self::DeleteNumber(program, chain, deleted) => {
                (*program, chain) == (rule.program, &rule.chain) && number == Some(*deleted)
            }
        }
    }
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    Iptables,
    Ip6tables,
    Nft,
    Ufw,
}

/// A rule that accepts packets from the knocker to some ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Who holds it.
    pub program: Program,
    /// Where: a chain, with its table. Empty for `ufw`, which has a place of its own.
    pub chain: String,
    /// What it opens, at least one, sorted.
    pub ports: Vec<Port>,
    /// The only address of this host that it opens them at.
    pub destination: Option<String>,
    /// The only interface that it opens them at.
    pub interface: Option<String>,
    /// What else it asks of a packet, sorted: nothing that the start of a connection would not have.
    pub details: Vec<String>,
}

/// Whether packets for this host itself go through this chain, as far as its name tells.
pub fn is_for_this_host(chain: &str) -> bool {
    !["forward", "output", "prerouting", "postrouting"].contains(&&*chain.to_ascii_lowercase())
}

impl Rule {
    /// A rule that opens nothing yet.
    pub const fn new(program: Program, chain: String) -> Self {
        let (destination, interface) = (None, None);
        Self { program, chain, ports: Vec::new(), destination, interface, details: Vec::new() }
    }

    /// With these ports; `None` if there are none, or more than a door can guard.
    pub fn opening(mut self, mut ports: Vec<Port>) -> Option<Self> {
        ports.sort_unstable();
        ports.dedup();
        self.details.sort_unstable();
        (!ports.is_empty() && ports.len() <= MAX_GUARDS).then_some(Self { ports, ..self })
    }
}
