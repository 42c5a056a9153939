//! The rules of a packet filter for what comes in to this host, as far as the gate has words for them;
//! and what doors, public ports and addresses they come to.
//!
//! | module | what it holds |
//! |---|---|
//! | `flatten` | the chains that a packet for this host goes through, as one list |
//! | `knocks` | doors that are made of lists of addresses, and their holes |
//! | `host` | everything else: what is open, for whom, and what is closed |
//! | `draft` | what will be written, and the sequences that the check takes |
//! | `write` | the native configuration as text |

pub mod draft;
pub mod flatten;
pub mod host;
pub mod knocks;
pub mod write;

use std::time::Duration;

use portcullis_core::policy::{Port, Protocol};

/// Rules that are followed in all, counting each as often as a packet can come to it by another way.
pub const MAX_RULES: usize = 50_000;

/// A place: the number of the file, and the byte in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct At {
    pub file: usize,
    pub byte: usize,
}

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
#[derive(Debug, Clone, Default)]
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
#[derive(Debug, Clone)]
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

impl Asks {
    /// Whether it asks for nothing at all.
    pub fn nothing(&self) -> bool {
        self.four.is_none()
            && self.interfaces.is_empty()
            && self.sources.is_empty()
            && self.protocol.is_none()
            && self.ports.is_none()
            && self.states.is_empty()
            && !self.syn
            && self.lists.is_empty()
            && self.others.is_empty()
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

/// `22`, `6000:6007` or `ssh`, of each protocol; `None` if it is none of these. A range may be all.
pub fn ports(text: &str, between: char, protocols: &[Protocol]) -> Option<Vec<Port>> {
    let number = |text: &str| text.trim().parse::<u16>().ok().or_else(|| service(text.trim()));
    let (first, last) = match text.split_once(between) {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return None;
    }
    let each = |protocol: &Protocol| {
        (first..=last).filter_map(|number| Port::new(*protocol, number)).collect::<Vec<_>>()
    };
    let ports: Vec<_> = protocols.iter().flat_map(each).collect();
    (!ports.is_empty()).then_some(ports)
}

/// Services by the names that rules call them (services(5), and RFC 6335).
const SERVICES: [(&str, u16); 20] = [
    ("ssh", 22),
    ("http", 80),
    ("https", 443),
    ("ftp", 21),
    ("ftp-data", 20),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("pop3", 110),
    ("ntp", 123),
    ("imap2", 143),
    ("imap", 143),
    ("submission", 587),
    ("imaps", 993),
    ("pop3s", 995),
    ("openvpn", 1194),
    ("mysql", 3306),
    ("ms-wbt-server", 3389),
    ("postgresql", 5432),
    ("http-alt", 8080),
];

fn service(name: &str) -> Option<u16> {
    SERVICES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// What a door to this port may be called.
pub fn service_name(number: u16) -> Option<&'static str> {
    SERVICES.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}
