//! The filter as text for `iptables-restore` and `ip6tables-restore`, its sets for `ipset restore`.
//!
//! One text is one transaction. It is for `--noflush`: naming a chain of ours (`:portcullis-…`)
//! makes or empties it, and nothing else is touched, but for one line: the jump from `INPUT`, first
//! of its rules, without which the gate would stand behind whatever accepts. A restore has no
//! condition, so whoever loads the text must know how many jumps there are already ([`Jump`]). Were
//! it loaded twice with [`Jump::Insert`], every packet would only walk through the gate twice: a
//! knock is a repeat the second time, a wrong port wrong again.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write as _};

use portcullis_core::policy::Protocol;

use super::{Family, Filter, INPUT, Match, PREFIX, Rule, Set, SetKind, Target};
use crate::ruleset::Reject;

/// Most ports of one rule (`XT_MULTI_PORTS` of `linux/netfilter/xt_multiport.h`).
pub const MAX_PORTS: usize = 15;

/// What to do about the jump from `INPUT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// There is none: insert it.
    Insert,
    /// It is there, once, as the first rule.
    Keep,
    /// It is there so many times, or not as the first rule: put it where it belongs.
    Renew(usize),
}

/// The text for a host that has no jump from `INPUT` yet.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(Jump::Insert, &[]))
    }
}

impl Filter {
    /// The text that puts the gate in place of one that is there. `stale` are chains of ours that
    /// are there now; those that are no longer needed are deleted.
    pub fn text(&self, jump: Jump, stale: &[String]) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut out, jump, stale);
        out
    }

    fn write(&self, out: &mut String, jump: Jump, stale: &[String]) -> fmt::Result {
        let tool = match self.family {
            Family::V4 => "iptables-restore",
            Family::V6 => "ip6tables-restore",
        };
        writeln!(out, "# made by portcullis: change its configuration, not this")?;
        writeln!(out, "# for {tool} --noflush")?;
        writeln!(out, "*filter")?;
        let stale = || stale.iter().filter(|&name| is_ours(name) && self.chain(name).is_none());
        for name in self.chains.iter().map(|chain| &chain.name).chain(stale()) {
            writeln!(out, ":{name} - [0:0]")?;
        }
        for chain in &self.chains {
            for rule in &chain.rules {
                write!(out, "-A {}", chain.name)?;
                self.rule(out, rule)?;
            }
        }
        out.push_str(&jumps(jump));
        for name in stale() {
            writeln!(out, "-X {name}")?;
        }
        writeln!(out, "COMMIT")
    }

    /// A rule as it stands in the text, without its chain.
    pub fn rule_text(&self, rule: &Rule) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.rule(&mut out, rule);
        out.trim().into()
    }

    fn rule(&self, out: &mut String, rule: &Rule) -> fmt::Result {
        for condition in &rule.matches {
            self.condition(out, condition)?;
        }
        if let Some(comment) = &rule.comment {
            write!(out, " -m comment --comment \"{comment}\"")?;
        }
        match &rule.target {
            None => {}
            Some(Target::Return) => out.push_str(" -j RETURN"),
            Some(Target::Log(prefix)) => write!(out, " -j LOG --log-prefix \"{prefix}\"")?,
            Some(Target::Drop) => out.push_str(" -j DROP"),
            Some(Target::Reject(how)) => {
                write!(out, " -j REJECT --reject-with {}", reject(self.family, *how))?;
            }
            Some(Target::Goto(chain)) => write!(out, " -g {chain}")?,
            Some(Target::Call(chain)) => write!(out, " -j {chain}")?,
            Some(Target::Add { set, seconds }) => {
                write!(out, " -j SET --add-set {set} src --exist --timeout {seconds}")?;
            }
            Some(Target::Delete(set)) => write!(out, " -j SET --del-set {set} src")?,
        }
        writeln!(out)
    }

    fn condition(&self, out: &mut String, condition: &Match) -> fmt::Result {
        match condition {
            Match::Interface(name) => write!(out, " -i {name}"),
            Match::From(network) => write!(out, " -s {network}"),
            Match::Related => write!(out, " -m conntrack --ctstate RELATED"),
            Match::SourcePort(port) => write!(out, " --sport {port}"),
            Match::IcmpType(kind) => match self.family {
                Family::V4 => write!(out, " -p icmp -m icmp --icmp-type {kind}"),
                Family::V6 => write!(out, " -p ipv6-icmp -m icmp6 --icmpv6-type {kind}"),
            },
            Match::HopLimit255 => write!(out, " -m hl --hl-eq 255"),
            Match::Limit { per_second, burst } => {
                write!(out, " -m limit --limit {per_second}/second --limit-burst {burst}")
            }
            Match::Established => write!(out, " -m conntrack --ctstate ESTABLISHED"),
            Match::NotForHost => write!(out, " -m pkttype ! --pkt-type unicast"),
            Match::Plain => {
                write!(out, " -m ipv6header --soft ! --header ipv6-opts,ipv6-route,ipv6-frag")
            }
            Match::Protocol(Protocol::Tcp) => write!(out, " -p tcp -m tcp"),
            Match::Protocol(Protocol::Udp) => write!(out, " -p udp -m udp"),
            Match::NotTcp => write!(out, " ! -p tcp"),
            Match::Ports(ports) => match ports.as_slice() {
                [port] => write!(out, " --dport {port}"),
                ports => {
                    write!(out, " -m multiport --dports ")?;
                    for (index, port) in ports.iter().enumerate() {
                        write!(out, "{}{port}", if index == 0 { "" } else { "," })?;
                    }
                    Ok(())
                }
            },
            Match::TcpFlags { is, mask, value } => {
                let not = if *is { "" } else { " !" };
                write!(out, "{not} --tcp-flags {} {}", Flags(*mask), Flags(*value))
            }
            Match::Recent { list, seconds: 0 } => write!(out, " -m recent --rcheck --name {list}"),
            Match::Recent { list, seconds } => {
                write!(out, " -m recent --rcheck --seconds {seconds} --name {list}")
            }
            Match::RecentSet(list) => write!(out, " -m recent --set --name {list}"),
            Match::RecentRemove(list) => write!(out, " -m recent --remove --name {list}"),
            Match::InSet(set) => write!(out, " -m set --match-set {set} src"),
        }
    }
}

/// The text that takes the gate away: these chains, and so many jumps from `INPUT`. Chains that are
/// not ours are left alone.
pub fn removal(chains: &[String], jumps: usize) -> String {
    let mut out = String::from("*filter\n");
    let chains = || chains.iter().filter(|name| is_ours(name));
    for name in chains() {
        // Emptied before any is deleted: they go to each other.
        let _ = writeln!(out, ":{name} - [0:0]");
    }
    for _ in 0..jumps {
        let _ = writeln!(out, "-D INPUT -j {INPUT}");
    }
    for name in chains() {
        let _ = writeln!(out, "-X {name}");
    }
    out.push_str("COMMIT\n");
    out
}

/// The text that makes these sets, for `ipset restore`. A set of sources that is there stays as it is;
/// one of networks is filled anew.
pub fn sets<'a>(family: Family, sets: impl Iterator<Item = &'a Set>) -> String {
    let family = match family {
        Family::V4 => "inet",
        Family::V6 => "inet6",
    };
    let mut out = String::new();
    for Set { name, size, kind } in sets {
        let common = format!("family {family} hashsize 64 maxelem {size}");
        match kind {
            SetKind::Sources { default_timeout } => {
                let _ = writeln!(
                    out,
                    "create {name} hash:ip {common} timeout {default_timeout} -exist"
                );
            }
            SetKind::Networks(networks) => {
                let _ = writeln!(out, "create {name} hash:net {common} -exist\nflush {name}");
                for network in networks {
                    let _ = writeln!(out, "add {name} {network}");
                }
            }
        }
    }
    out
}

/// Whether this chain or set can only be one of ours.
pub fn is_ours(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.starts_with(['-', '4', '6']) && rest.chars().all(plain))
}

fn jumps(jump: Jump) -> String {
    let mut out = String::new();
    if let Jump::Renew(count) = jump {
        for _ in 0..count {
            let _ = writeln!(out, "-D INPUT -j {INPUT}");
        }
    }
    if jump != Jump::Keep {
        let _ = writeln!(out, "-I INPUT 1 -j {INPUT}");
    }
    out
}

const fn reject(family: Family, how: Reject) -> &'static str {
    match (how, family) {
        (Reject::TcpReset, _) => "tcp-reset",
        (Reject::PortUnreachable, Family::V4) => "icmp-port-unreachable",
        (Reject::PortUnreachable, Family::V6) => "icmp6-port-unreachable",
        (Reject::AdminProhibited, Family::V4) => "icmp-admin-prohibited",
        (Reject::AdminProhibited, Family::V6) => "icmp6-adm-prohibited",
    }
}

/// TCP flags as iptables writes them.
struct Flags(u8);

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
        let mut first = true;
        let set = names.into_iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0);
        for (_, name) in set {
            write!(f, "{}{name}", if first { "" } else { "," })?;
            first = false;
        }
        if first { f.write_str("NONE") } else { Ok(()) }
    }
}
