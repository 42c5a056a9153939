//! Who is allowed, and the base firewall of the stance `closed`: the same as in the nftables
//! compiler's `allow` and `base`, where it says why each of it is there.
//!
//! What is accepted goes on to the other rules of `INPUT`, as it goes on to other tables there.

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use portcullis_core::limits;
use portcullis_core::policy::{Network, Protocol, Refuse, Stance};

use super::compile::{
    ACK, COUNT, Compiler, REFUSE, REST, RST, SYN, allow_list, chain, goto, link_local, rule,
};
use super::{AddressStore, Chain, Family, Match, Rule, Set, SetKind, Target};
use crate::compile::{allow, base, shared};
use crate::ruleset::{Limit, Reject};

/// Where it is refused when it may start a connection.
const REFUSED: &str = "portcullis-refused";

impl Compiler<'_> {
    fn allowed_networks(&self) -> Vec<Network> {
        let of_family = |network: &Network| match network.first() {
            IpAddr::V4(_) => self.family == Family::V4,
            IpAddr::V6(_) => self.family == Family::V6,
        };
        allow::networks(self.policy).into_iter().filter(of_family).collect()
    }

    /// Who needs no knock, and whose packets never count as one.
    pub(super) fn allow(&self) -> Vec<Rule> {
        let interfaces = allow::interfaces(self.policy).into_iter();
        let mut matches: Vec<Match> =
            interfaces.map(|name| Match::Interface(name.to_owned())).collect();
        let networks = self.allowed_networks();
        match self.store {
            AddressStore::Recent => matches.extend(networks.into_iter().map(Match::From)),
            AddressStore::Ipset if networks.is_empty() => {}
            AddressStore::Ipset => {
                matches.push(Match::InSet(allow_list(self.family, self.generation)))
            }
        }
        matches.into_iter().map(|it| rule([it], Target::Return).because("allowed")).collect()
    }

    /// The set of the networks that are allowed, if there are any.
    pub(super) fn allow_set(&self) -> Option<Set> {
        let networks: Vec<_> = self.allowed_networks().into_iter().flat_map(halves).collect();
        // A network with a prefix of 0 is two.
        let size = u32::try_from(limits::MAX_ALLOWED.saturating_mul(2)).unwrap_or(u32::MAX);
        let name = allow_list(self.family, self.generation);
        (!networks.is_empty()).then_some(Set { name, size, kind: SetKind::Networks(networks) })
    }

    /// What becomes of a packet that is nobody's business: nothing, or it is refused.
    pub(super) fn otherwise(&self) -> Target {
        match self.policy.gate.stance {
            Stance::Guard => Target::Return,
            Stance::Closed => goto(REST),
        }
    }

    /// What becomes of a packet that may be another one to the network stack than it is to rules. No
    /// port that it shows can be believed, so all are refused alike.
    pub(super) fn disguised(&self) -> Target {
        match (self.policy.gate.stance, self.policy.gate.refuse) {
            (Stance::Guard, _) | (Stance::Closed, Refuse::LikeClosed) => Target::Drop,
            (Stance::Closed, Refuse::Drop | Refuse::Reject) => goto(REFUSED),
        }
    }

    /// The chains that the stance `closed` has besides.
    pub(super) fn base(&self) -> Vec<Chain> {
        let mut chains = Vec::new();
        if self.recognises() {
            chains.push(chain(COUNT, self.count()));
        }
        chains.extend([self.rest(), self.starts_none(), self.refused()]);
        chains
    }

    /// What a network needs to live. The rest is refused.
    fn rest(&self) -> Chain {
        let ping = at_most(base::PINGS);
        let (errors, echo) = match self.family {
            Family::V4 => (base::ICMP_ERRORS.to_vec(), base::ICMP_ECHO_REQUEST),
            Family::V6 => {
                let listeners = base::MULTICAST_LISTENERS.into_iter();
                (
                    base::ICMPV6_ERRORS.into_iter().chain(listeners).collect(),
                    base::ICMPV6_ECHO_REQUEST,
                )
            }
        };
        let accept = |kind| rule([Match::IcmpType(kind)], Target::Return);
        let mut rules: Vec<Rule> = errors.into_iter().map(accept).collect();
        let udp = Match::Protocol(Protocol::Udp);
        let address =
            match self.family {
                Family::V4 => {
                    Some(rule([udp, Match::SourcePort(67), Match::Ports(vec![68])], Target::Return))
                }
                Family::V6 => {
                    rules.extend(base::NEIGHBOURS.map(|kind| {
                        rule([Match::IcmpType(kind), Match::HopLimit255], Target::Return)
                    }));
                    link_local().map(|network| {
                        rule([Match::From(network), udp, Match::Ports(vec![546])], Target::Return)
                    })
                }
            };
        rules.push(rule([Match::IcmpType(echo), ping], Target::Return));
        rules.extend(address.map(|rule| rule.because("this host's own address")));
        rules.push(rule([], goto(REFUSE)));
        chain(REST, rules)
    }

    /// Refuses whatever comes here, a guarded port or any other, so that no port can be told from
    /// another.
    fn starts_none(&self) -> Chain {
        let none = |part: u8| {
            let flags = Match::TcpFlags { is: true, mask: SYN | part, value: part };
            rule([Match::Protocol(Protocol::Tcp), flags], Target::Return)
                .because("starts no connection")
        };
        chain(REFUSE, vec![none(ACK), none(RST), rule([], goto(REFUSED))])
    }

    fn refused(&self) -> Chain {
        let mut rules = Vec::new();
        if self.policy.gate.log_refused {
            rules.push(rule([at_most(shared::LOGGED)], Target::Log(shared::LOG_PREFIX)));
        }
        let refuse = self.policy.gate.refuse;
        if refuse != Refuse::Drop {
            rules.push(rule([Match::NotForHost], Target::Drop));
        }
        match refuse {
            Refuse::Drop => rules.push(rule([], Target::Drop)),
            Refuse::Reject => rules.push(rule([], Target::Reject(Reject::AdminProhibited))),
            Refuse::LikeClosed => {
                let tcp = || Match::Protocol(Protocol::Tcp);
                let udp = Match::Protocol(Protocol::Udp);
                let ongoing = Match::TcpFlags { is: false, mask: RST | ACK, value: 0 };
                rules.extend([
                    // A listening socket answers these as a closed port does.
                    rule([tcp(), ongoing], Target::Return).because("starts no connection"),
                    rule([tcp()], Target::Reject(Reject::TcpReset)),
                    rule([udp], Target::Reject(Reject::PortUnreachable)),
                    rule([], Target::Drop),
                ]);
            }
        }
        chain(REFUSED, rules)
    }
}

/// No more packets a second than that.
fn at_most(limit: Limit) -> Match {
    Match::Limit { per_second: limit.rate, burst: limit.burst }
}

/// The networks of one bit more that a network is made of, if its prefix is 0.
fn halves(network: Network) -> Vec<Network> {
    if network.prefix() > 0 {
        return vec![network];
    }
    let upper: IpAddr = match network.first() {
        IpAddr::V4(_) => core::net::Ipv4Addr::new(128, 0, 0, 0).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x8000, 0, 0, 0, 0, 0, 0, 0).into(),
    };
    [network.first(), upper].into_iter().filter_map(|first| Network::new(first, 1).ok()).collect()
}
