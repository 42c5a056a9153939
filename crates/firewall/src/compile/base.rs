//! The way of a packet that comes in, and in the stance `closed` the base firewall at its end.
//!
//! Both stances judge a packet in the same order: part of a connection, of no interest, public,
//! guarded, a knock. They differ in what becomes of all others, and of knocks when they have been
//! counted: `guard` leaves them to whatever firewall is there, `closed` sends them to the chain
//! `rest`, where what a network needs to live is accepted, and from there to `refuse`.

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;

use portcullis_core::limits;
use portcullis_core::policy::{Protocol, Refuse, Stance};

use super::ban::UNLESS_BANNED;
use super::knock::RECALL;
use super::{
    ACCEPT, ACK, Compiler, FIN, GUARDS, INPUT, INPUT_PRIORITY, PORT_FIELDS, REFUSE, REST, RST, SYN,
    chain, goto, is_in, not, rule,
};
use crate::ruleset::{
    Chain, Field, Hook, HookPoint, Limit, Reject, Rule, Statement, Unit, Verdict,
};

/// What says that something cannot be reached (RFC 792): destination unreachable, time exceeded,
/// parameter problem. Without the first, no path MTU is ever found.
pub(crate) const ICMP_ERRORS: [u8; 3] = [3, 11, 12];
pub(crate) const ICMP_ECHO_REQUEST: u8 = 8;
/// The same of ICMPv6 (RFC 4443), with packet too big as an error of its own.
pub(crate) const ICMPV6_ERRORS: [u8; 4] = [1, 2, 3, 4];
pub(crate) const ICMPV6_ECHO_REQUEST: u8 = 128;
/// Multicast listener discovery (RFC 2710, RFC 3810): without it switches stop passing on the
/// multicasts that neighbour discovery is made of.
pub(crate) const MULTICAST_LISTENERS: [u8; 4] = [130, 131, 132, 143];
/// Neighbour discovery (RFC 4861), which is only valid with a hop limit of 255.
pub(crate) const NEIGHBOURS: [u8; 5] = [133, 134, 135, 136, 137];

/// Echo requests that are answered.
pub(crate) const PINGS: Limit = Limit {
    rate: limits::PINGS_PER_SECOND,
    per: Unit::Second,
    burst: limits::PING_BURST,
    over: false,
};
/// Refused packets that are logged.
pub(crate) const LOGGED: Limit = Limit {
    rate: limits::LOGGED_PER_SECOND,
    per: Unit::Second,
    burst: limits::LOG_BURST,
    over: false,
};
/// What a line of the log begins with.
pub(crate) const LOG_PREFIX: &str = "portcullis refused: ";

impl Compiler<'_> {
    /// What becomes of a packet that is nobody's business: nothing, or it is refused.
    pub(super) fn otherwise(&self) -> Statement {
        match self.policy.gate.stance {
            Stance::Guard => self.accept(),
            Stance::Closed => goto(REST),
        }
    }

    /// Lets a packet go on; with bans, unless its source is banned.
    fn accept(&self) -> Statement {
        match self.bans() {
            None => ACCEPT,
            Some(_) => goto(UNLESS_BANNED),
        }
    }

    /// The end of a chain that has counted a knock.
    pub(super) fn counted(&self) -> Rule {
        match self.otherwise() {
            // The end of a chain is the policy of the base chain, which accepts.
            ACCEPT => rule([Statement::SetPriority(0)]),
            otherwise => rule([Statement::SetPriority(0), otherwise]),
        }
    }

    pub(super) fn input(&self) -> Chain {
        let part = match self.policy.gate.stance {
            Stance::Guard => Statement::CtEstablished,
            Stance::Closed => Statement::CtEstablishedOrRelated,
        };
        let mut rules = vec![
            rule([part, ACCEPT]).because("connections already made"),
            if self.policy.gate.interfaces.is_empty() {
                rule([Statement::Interface("lo".to_owned()), ACCEPT])
            } else {
                let key = vec![Field::Iifname];
                rule([Statement::In { key, set: "interfaces", member: false }, ACCEPT])
            },
        ];
        rules.extend(self.allow());
        rules.push(rule([is_in("public"), self.accept()]));
        rules.push(rule([
            Statement::SetPriorityFrom { key: PORT_FIELDS.to_vec(), map: GUARDS },
            goto("door"),
        ]));
        if self.recognises() {
            rules.extend(self.may_be_a_knock());
        }
        let end = self.otherwise();
        if end != ACCEPT && !(self.recognises() && self.automaton.forgives()) {
            rules.push(rule([end]));
        }
        let hook = Some(Hook { point: HookPoint::Input, priority: INPUT_PRIORITY });
        Chain { name: INPUT.to_owned(), hook, rules }
    }

    /// Sends what may be a knock to the automaton.
    fn may_be_a_knock(&self) -> Vec<Rule> {
        let bare_syn =
            Statement::TcpFlags { equal: false, mask: FIN | SYN | RST | ACK, value: SYN };
        let mut rules = vec![
            rule([Statement::NotForHost, self.otherwise()]),
            // Whole datagrams have been put together by now. What is left is a first fragment that
            // breaks off inside its TCP header (RFC 8200, section 4.5), and yet shows a port.
            rule([Statement::FragmentHeader, self.otherwise()]),
            rule([bare_syn, self.otherwise()]).because("only a bare SYN is a knock"),
        ];
        let other = rule([not(Protocol::Tcp), not(Protocol::Udp), self.otherwise()]);
        if self.automaton.forgives() {
            rules.push(other);
            rules.push(rule([goto(RECALL)]));
        } else {
            rules.push(rule([is_in("knocks"), goto(RECALL)]));
            rules.push(other);
            rules.extend(match self.bans() {
                None => {
                    self.forget().map(|rule| rule.because("a wrong port ends the attempt")).into()
                }
                Some(_) => self.lose(),
            });
        }
        rules
    }

    /// In the stance `closed`: what a network needs to live. The rest is refused.
    pub(super) fn rest(&self) -> Chain {
        let ping = Statement::Limit(PINGS);
        let mut rules = Vec::new();
        rules.extend(ICMP_ERRORS.map(|kind| rule([Statement::IcmpType(kind), ACCEPT])));
        rules.push(rule([Statement::IcmpType(ICMP_ECHO_REQUEST), ping.clone(), ACCEPT]));
        let v6 = ICMPV6_ERRORS.into_iter().chain(MULTICAST_LISTENERS);
        rules.extend(v6.map(|kind| rule([Statement::Icmpv6Type(kind), ACCEPT])));
        rules.extend(
            NEIGHBOURS
                .map(|kind| rule([Statement::Icmpv6Type(kind), Statement::HopLimit255, ACCEPT])),
        );
        rules.push(rule([Statement::Icmpv6Type(ICMPV6_ECHO_REQUEST), ping, ACCEPT]));
        for reply in [Statement::DhcpReply, Statement::Dhcpv6Reply] {
            rules.push(rule([reply, ACCEPT]).because("this host's own address"));
        }
        rules.push(rule([goto(REFUSE)]));
        chain(REST, rules)
    }

    /// In the stance `closed`: refuses whatever comes here, a guarded port or any other, so that no
    /// port can be told from another.
    pub(super) fn refuse(&self) -> Chain {
        let starts_none = [
            Statement::TcpFlags { equal: true, mask: SYN, value: 0 },
            Statement::TcpFlags { equal: false, mask: RST | ACK, value: 0 },
            ACCEPT,
        ];
        let mut rules = vec![
            // It belongs to a connection that is older than the connection tracking, or the network
            // stack refuses it, on every port alike: a listening socket does not take it either.
            rule(starts_none).because("starts no connection"),
            rule([Statement::Counter]).because("refused"),
        ];
        if self.policy.gate.log_refused {
            rules.push(rule([Statement::Limit(LOGGED), Statement::Log(LOG_PREFIX)]));
        }
        let drop = || Statement::Verdict(Verdict::Drop);
        match self.policy.gate.refuse {
            Refuse::Drop => {}
            Refuse::Reject => {
                rules.push(rule([Statement::NotForHost, drop()]));
                rules.push(rule([Statement::Reject(Reject::AdminProhibited)]));
            }
            Refuse::LikeClosed => {
                rules.push(rule([Statement::NotForHost, drop()]));
                rules.push(rule([Statement::FragmentHeader, drop()]));
                rules.extend(self.answer_as_closed());
            }
        }
        if self.policy.gate.refuse != Refuse::Reject {
            rules.push(rule([drop()]));
        }
        chain(REFUSE, rules)
    }
}
