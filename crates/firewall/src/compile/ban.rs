//! Strikes and bans, counted by the packets themselves.
//!
//! A *strike* is a bare SYN or a datagram, for this host alone, that is refused: at a guarded port, at a
//! knock port, at any closed port alike. A ban can be seen by its source, so whether it comes must not
//! depend on what only the configuration knows: which ports are guarded, which are knocks, and how far
//! an attempt has come. In the stance `closed` all that is not public is refused. In `guard` a port is
//! closed where the network stack has no socket for it, which anybody can find out by asking it.
//! The strike that makes the number full, counted from the first one on for the time `within`, bans its
//! source: IPv4 by the address, IPv6 by its network of 64 bits.
//!
//! A *ban* refuses bare SYNs and datagrams, to public ports too. It does not touch what is established,
//! who is allowed, and what has no ports; and a right knock passes it, as does a grant: whoever forges
//! strikes of another can keep him from public ports, but not from his doors.
//!
//! The kernel's sets do not evict. So each has a second one, for what finds the first one full, from
//! which elements go so soon that only a flood that lasts can keep it full.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use portcullis_core::limits;
use portcullis_core::policy::{Ban, Protocol, Stance};

use super::refuse::SOCKET;
use super::shared::not_counted;
use super::{ACCEPT, ADDRESS, Compiler, NOT_BARE_SYN, REFUSE, chain, dynamic, goto, not, rule};
use crate::ruleset::{Chain, Field, Limit, Operation, Rule, Set, Statement, Unit, Verdict};

/// The sets of banned addresses (IPv4) and networks (IPv6).
pub const BANS: [&str; 2] = ["ban4", "ban6"];
/// The same for those that found no room there.
pub const LATE_BANS: [&str; 2] = ["ban4_late", "ban6_late"];
/// The sets of those who have strikes.
pub const STRIKES: [&str; 2] = ["strike4", "strike6"];
/// The same for those that found no room there.
pub const LATE_STRIKES: [&str; 2] = ["strike4_late", "strike6_late"];

/// Who is banned: one address, or a network of 64 bits, in which one host can have any.
const WHO: [Field; 2] = [Field::IpSaddr, Field::Ip6SaddrNetwork];

/// The address that stands for a source in the sets of bans and strikes: itself, or in IPv6 the first
/// of its network of 64 bits.
pub fn banned_as(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// Where one goes whose strikes are full.
const BAN: &str = "ban";
/// Where a strike is counted, if the port is closed.
pub(super) const STRIKE: &str = "strike";
/// Where what would be accepted goes: it is, unless its source is banned.
pub(super) const UNLESS_BANNED: &str = "unless_banned";

impl Compiler<'_> {
    pub(super) const fn bans(&self) -> Option<Ban> {
        self.policy.gate.ban
    }

    pub(super) fn ban_sets(&self) -> Vec<Set> {
        let size = |name, address, size| dynamic(name, vec![address], None, size);
        let mut sets = Vec::new();
        if self.bans().is_some() {
            for (names, most) in [
                (STRIKES, limits::MAX_STRIKERS),
                (LATE_STRIKES, limits::MAX_STRIKERS),
                (BANS, limits::MAX_BANS),
                (LATE_BANS, limits::MAX_BANS),
            ] {
                sets.extend(
                    names.into_iter().zip(ADDRESS).map(|(name, kind)| size(name, kind, most)),
                );
            }
        }
        sets
    }

    /// How one who is banned is refused: as all are, or not at all.
    fn refusal(&self) -> Statement {
        match self.policy.gate.stance {
            Stance::Guard => Statement::Verdict(Verdict::Drop),
            Stance::Closed => goto(REFUSE),
        }
    }

    /// Refuses what is banned.
    fn banned(&self) -> Vec<Rule> {
        let both = [BANS, LATE_BANS].into_iter().flat_map(|sets| WHO.into_iter().zip(sets));
        both.map(|(who, set)| {
            let is_in = Statement::In { key: vec![who], set, member: true };
            rule([is_in, self.refusal()]).because("banned")
        })
        .collect()
    }

    /// Counts a strike. In the stance `guard` a banned source meets no answer, as at every other port.
    pub(super) fn strike(&self, ban: Ban) -> Vec<Rule> {
        let mut rules = Vec::new();
        if self.policy.gate.stance == Stance::Guard {
            rules.extend(self.banned());
        }
        rules.extend(strikes(ban));
        rules
    }

    /// The chains that there are only with bans.
    pub(super) fn ban_chains(&self) -> Vec<Chain> {
        let Some(ban) = self.bans() else { return Vec::new() };
        let mut rules = Vec::new();
        let last = match self.policy.gate.stance {
            Stance::Guard => {
                rules.extend(
                    SOCKET
                        .map(|socket| rule([socket, goto(UNLESS_BANNED)]).because("an open port")),
                );
                ACCEPT
            }
            Stance::Closed => {
                rules.extend(not_counted(&goto(REFUSE)));
                goto(REFUSE)
            }
        };
        rules.extend(self.strike(ban));
        rules.push(rule([last]));
        vec![self.unless_banned(), self.ban(ban), chain(STRIKE, rules)]
    }

    fn unless_banned(&self) -> Chain {
        let mut rules = vec![
            rule([NOT_BARE_SYN, ACCEPT]).because("starts no connection"),
            rule([not(Protocol::Tcp), not(Protocol::Udp), ACCEPT]),
        ];
        for reply in [Statement::DhcpReply, Statement::Dhcpv6Reply] {
            rules.push(rule([reply, ACCEPT]).because("this host's own address"));
        }
        rules.extend(self.banned());
        rules.push(rule([ACCEPT]));
        chain(UNLESS_BANNED, rules)
    }

    /// Bans a source. Its time does not begin anew while it lasts.
    fn ban(&self, ban: Ban) -> Chain {
        let late = ban.time.min(limits::LATE_BAN);
        let mut rules = vec![rule([Statement::SetPriority(0)])];
        for ((who, set), second) in WHO.into_iter().zip(BANS).zip(LATE_BANS) {
            rules.push(rule([add(set, who, ban.time, None)]).because("banned"));
            let none = Statement::In { key: vec![who], set, member: false };
            rules.push(rule([none, add(second, who, late, None)]).because("no room for more"));
        }
        rules.push(rule([self.refusal()]));
        chain(BAN, rules)
    }
}

/// Counts a strike of the source, and goes on to ban it if that was one too many.
fn strikes(ban: Ban) -> Vec<Rule> {
    // A bucket that is not filled again while its element lives, which it does from the first strike on.
    let burst = ban.strikes.saturating_sub(1).max(1);
    let limit = Some(Limit { rate: 1, per: Unit::Day, burst, over: true });
    let late = ban.within.min(limits::LATE_STRIKE);
    let mut rules = Vec::new();
    for ((who, set), second) in WHO.into_iter().zip(STRIKES).zip(LATE_STRIKES) {
        rules.push(rule([add(set, who, ban.within, limit), goto(BAN)]).because("strike"));
        let none = Statement::In { key: vec![who], set, member: false };
        rules.push(
            rule([none, add(second, who, late, limit), goto(BAN)]).because("no room for more"),
        );
    }
    rules
}

fn add(set: &'static str, who: Field, time: Duration, limit: Option<Limit>) -> Statement {
    let (operation, key, timeout) = (Operation::Add, vec![who], Some(time));
    Statement::Change { operation, set, key, timeout, limit, data: None }
}
