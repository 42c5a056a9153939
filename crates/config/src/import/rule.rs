//! Commands that are known: those that let an address in at a port, and those that take that back.
//!
//! Known are the forms that people write into a `knockd.conf`: one rule of `iptables`, `ip6tables`,
//! `nft` or `ufw`, for one address, with the ports that it opens. Everything else is somebody's own
//! program, and is kept as it is.

use std::num::NonZeroU16;

use portcullis_core::limits::MAX_GUARDS;
use portcullis_core::policy::{Port, Protocol};

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

/// Adds `22`, `6000:6007` or `ssh`, of each protocol; `None` if it is none of these, or too many.
pub fn add_ports(
    text: &str,
    between: char,
    protocols: &[Protocol],
    ports: &mut Vec<Port>,
) -> Option<()> {
    let (first, last) = match text.split_once(between) {
        Some((first, last)) => (number(first)?, number(last)?),
        None => {
            let one = number(text).or_else(|| service(text))?;
            (one, one)
        }
    };
    for number in first.get()..=last.get() {
        for &protocol in protocols {
            ports.push(Port { protocol, number: NonZeroU16::new(number)? });
        }
        if ports.len() > MAX_GUARDS.saturating_mul(2) {
            return None;
        }
    }
    (first <= last).then_some(())
}

/// Sorted, each once; `None` if there are none, or more than a door can guard.
pub fn tidy(mut ports: Vec<Port>) -> Option<Vec<Port>> {
    ports.sort_unstable();
    ports.dedup();
    (!ports.is_empty() && ports.len() <= MAX_GUARDS).then_some(ports)
}

fn number(text: &str) -> Option<NonZeroU16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The services that people knock for, by their names in services(5).
fn service(name: &str) -> Option<NonZeroU16> {
    NonZeroU16::new(match name {
        "ftp" => 21,
        "ssh" => 22,
        "telnet" => 23,
        "smtp" => 25,
        "domain" => 53,
        "http" | "www" => 80,
        "pop3" => 110,
        "imap2" | "imap" => 143,
        "https" => 443,
        "submission" => 587,
        "imaps" => 993,
        "pop3s" => 995,
        "openvpn" => 1194,
        "ms-wbt-server" => 3389,
        _ => return None,
    })
}

/// The protocol of this name.
pub fn protocol(name: &str) -> Option<Protocol> {
    match name.to_ascii_lowercase().as_str() {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    }
}
