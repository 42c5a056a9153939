//! Strikes and bans, counted by the packets themselves.
//!
//! A *strike* is a refused bare SYN or datagram that is for this host alone. Guarded ports, knock ports and
//! other closed ports all count the same. A source can see its own ban. So a ban must not depend on what
//! only the configuration knows: the guarded ports, the knocks, and the stage of an attempt. In the stance
//! `closed`, every port that is not public is refused. In `guard`, a port is closed if the network stack has
//! no socket for it, and anybody can find that out with one packet.
//! Strikes are counted from the first one on, for the time `within`. The strike that reaches the number
//! bans its source: an IPv4 address, or an IPv6 network of 64 bits.
//!
//! A *ban* refuses bare SYNs and datagrams, also to public ports. It does not affect established
//! connections, allowed sources, and packets without ports. A complete sequence and a grant pass a ban. So
//! an attacker who forges strikes of a source can keep it from public ports, but not from its doors.
//!
//! The kernel's sets do not evict. So each set has a second one, for sources that find the first one full.
//! Elements leave the second set so soon that only a lasting flood can keep it full.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use portcullis_core::limits;
use portcullis_core::policy::{Ban, Protocol, Stance};

use super::refuse::{SOCKET, TURNED_AWAY};
use super::shared::not_counted;
use super::{ACCEPT, ADDRESS, Compiler, NOT_BARE_SYN, REFUSE, chain, dynamic, goto, not, rule};
use crate::ruleset::{Chain, Field, Limit, Operation, Rule, Set, Statement, Unit, Verdict};

/// The sets of banned addresses (IPv4) and networks (IPv6).
pub const BANS: [&str; 2] = ["ban4", "ban6"];
/// The same for those that found no room there.
pub const LATE_BANS: [&str; 2] = ["ban4_late", "ban6_late"];
/// The sets of sources with strikes.
pub const STRIKES: [&str; 2] = ["strike4", "strike6"];
/// The same for those that found no room there.
pub const LATE_STRIKES: [&str; 2] = ["strike4_late", "strike6_late"];

/// What a ban covers: one IPv4 address, or an IPv6 network of 64 bits, since one host can use any address
/// in it.
const WHO: [Field; 2] = [Field::IpSaddr, Field::Ip6SaddrNetwork];

/// The address for a source in the sets of bans and strikes: the source itself, or for IPv6 the first
/// address of its network of 64 bits.
pub fn banned_as(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// The chain for a source that has reached the number of strikes.
const BAN: &str = "ban";
/// The chain that counts a strike, if the port is closed.
pub(super) const STRIKE: &str = "strike";
/// In the stance `guard`: the same for packets that would be refused at a guarded port.
pub(super) const REFUSED_UNLESS_BANNED: &str = "refused_unless_banned";
/// The chain for packets that would be accepted: it accepts them unless their source is banned.
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

    /// How a banned source is refused: like every source, or without an answer.
    fn refusal(&self) -> Statement {
        match self.policy.gate.stance {
            Stance::Guard => Statement::Verdict(Verdict::Drop),
            Stance::Closed => goto(REFUSE),
        }
    }

    /// Refuses packets of banned sources.
    fn banned(&self) -> Vec<Rule> {
        let both = [BANS, LATE_BANS].into_iter().flat_map(|sets| WHO.into_iter().zip(sets));
        both.map(|(who, set)| {
            let is_in = Statement::In { key: vec![who], set, member: true };
            rule([is_in, self.refusal()]).because("banned")
        })
        .collect()
    }

    /// Counts a strike. In the stance `guard` a banned source gets no answer, as at every other port.
    pub(super) fn strike(&self, ban: Ban) -> Vec<Rule> {
        let mut rules = Vec::new();
        if self.policy.gate.stance == Stance::Guard {
            rules.extend(self.banned());
        }
        rules.extend(strikes(ban));
        rules
    }

    /// The chains that exist only with bans.
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
        let mut chains = vec![self.unless_banned(), self.ban(ban), chain(STRIKE, rules)];
        chains.extend(self.not_even_refused());
        chains
    }

    /// In the stance `guard`, at a guarded port: packets that are no strikes. At other ports the chain `unless_banned` drops
    /// those of banned sources, so these do not get an answer here either.
    fn not_even_refused(&self) -> Option<Chain> {
        let refused = goto(TURNED_AWAY);
        let mut rules = vec![rule([NOT_BARE_SYN, refused.clone()])];
        rules.extend(self.banned());
        rules.push(rule([refused]));
        let guard = self.policy.gate.stance == Stance::Guard;
        guard.then(|| chain(REFUSED_UNLESS_BANNED, rules))
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

    /// Bans a source. The time of a ban does not start again while the ban lasts.
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

/// Counts a strike of the source, and bans the source if this strike reaches the number.
fn strikes(ban: Ban) -> Vec<Rule> {
    // This bucket is not filled again while its element exists. The element exists from the first strike on.
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
