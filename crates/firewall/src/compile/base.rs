//! The chains that an incoming packet goes through, and in the stance `closed` the base firewall at the end.
//!
//! Both stances check a packet in the same order: part of a connection, of no interest, public, guarded, a
//! knock. They treat all other packets differently, and also knocks after these are counted. `guard` leaves
//! them to the other rules of the host. `closed` sends them to the chain `rest`, which accepts what every
//! network needs, and then to `refuse`.
//!
//! The network stack decides whether a packet belongs to a TCP connection. Connection tracking does not:
//! a sender can make it believe in a connection that the stack forgot long ago. Then a SYN would count as
//! established, without a grant. So a SYN always needs a grant, whatever connection tracking says, and so
//! does an ACK that would complete a handshake.

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;

use portcullis_core::limits;
use portcullis_core::policy::{Port, Protocol, Stance};

use super::ban::{STRIKE, UNLESS_BANNED};
use super::knock::RECALL;
use super::shared::begins_nothing;
use super::{
    ACCEPT, Compiler, GUARDS, INPUT, INPUT_PRIORITY, PORT_FIELDS, REFUSE, REST, RST_OR_ACK, chain,
    goto, is_in, jump, not, rule,
};
use crate::ruleset::{
    Chain, Field, Hook, HookPoint, Limit, Rule, Statement, Tracking, Unit, Verdict,
};

/// Errors of ICMP (RFC 792): destination unreachable, time exceeded, parameter problem. Without the first,
/// no host finds the path MTU.
pub(crate) const ICMP_ERRORS: [u8; 3] = [3, 11, 12];
pub(crate) const ICMP_ECHO_REQUEST: u8 = 8;
/// The same of ICMPv6 (RFC 4443), with packet too big as an error of its own.
pub(crate) const ICMPV6_ERRORS: [u8; 4] = [1, 2, 3, 4];
pub(crate) const ICMPV6_ECHO_REQUEST: u8 = 128;
/// A better way to a destination (RFC 792).
const ICMP_REDIRECT: u8 = 5;
const ICMPV6_TOO_BIG: u8 = 2;
/// The chain for packets without ports.
const WITHOUT_PORTS: &str = "without_ports";

/// The protocol of the packet that an ICMP error quotes after its own header of 8 bytes: the chain that reads
/// it, and the offset of the byte, for IPv4 and IPv6.
const QUOTED: [(&str, u8); 2] = [("quoted4", 8 + 9), ("quoted6", 8 + 6)];

/// Multicast listener discovery (RFC 2710, RFC 3810): without it, switches stop forwarding the
/// multicasts of neighbour discovery.
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

impl Compiler<'_> {
    /// How the rules treat a packet that concerns no door: they leave it alone, or refuse it.
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

    /// How the rules treat a bare SYN or a datagram to a port that is neither public nor open to its source,
    /// whether it was a knock or not. With bans it is a strike, if the port is closed.
    pub(super) fn refused_elsewhere(&self) -> Statement {
        match (self.policy.gate.stance, self.bans()) {
            (Stance::Guard, None) => ACCEPT,
            (Stance::Guard, Some(_)) => goto(STRIKE),
            (Stance::Closed, _) => goto(REST),
        }
    }

    /// Counts a packet as a knock or a wrong port, with 0 in the priority behind it.
    pub(super) fn counted(&self) -> Vec<Rule> {
        match self.recognises() {
            true => vec![rule([jump(RECALL)]), rule([Statement::SetPriority(0)])],
            false => Vec::new(),
        }
    }

    /// The first rules of every chain that the kernel calls: packets that do not concern the gate go on.
    pub(super) fn unconcerned(&self) -> Vec<Rule> {
        let interface = if self.policy.gate.interfaces.is_empty() {
            rule([Statement::Interface("lo".to_owned()), ACCEPT])
        } else {
            let key = vec![Field::Iifname];
            rule([Statement::In { key, set: "interfaces", member: false }, ACCEPT])
        };
        let mut rules = vec![interface];
        rules.extend(self.allow());
        rules
    }

    pub(super) fn input(&self) -> Chain {
        let mut rules = vec![
            self.connections(),
            rule([Statement::Tracked(&[Tracking::Established]), not(Protocol::Tcp), ACCEPT])
                .because("conversations"),
        ];
        rules.extend(self.to_older());
        rules.push(
            // A listener of one address would answer it, and a closed port may be silent.
            rule([
                Statement::Tracked(&[Tracking::Established]),
                RST_OR_ACK,
                Statement::SocketWildcard(false),
                ACCEPT,
            ])
            .because("an answer to a SYN of this host"),
        );
        rules.extend(self.unconcerned());
        // From here on the priority is ours, whatever it was before.
        rules.push(rule([Statement::SetPriority(0)]));
        rules.push(
            rule([Statement::MoreFragments, Statement::Verdict(Verdict::Drop)])
                .because("a fragment that could not be put together"),
        );
        // Before the rules look for public and guarded ports: a translated packet no longer has the port that its
        // sender wrote.
        rules.extend(self.to_translated());
        rules.push(rule([is_in("public"), self.accept()]));
        rules.push(self.guarded("door"));
        if self.policy.gate.stance == Stance::Closed {
            let related = Statement::Tracked(&[Tracking::Related]);
            rules.push(rule([related, ACCEPT]).because("expected by a connection"));
        }
        rules.push(rule([not(Protocol::Tcp), not(Protocol::Udp), goto(WITHOUT_PORTS)]));
        rules.extend(self.of_no_interest(begins_nothing(&self.otherwise())));
        let hook = Some(Hook { point: HookPoint::Input, priority: INPUT_PRIORITY });
        Chain { name: INPUT.to_owned(), hook, rules }
    }

    /// Packets without ports. If connection tracking does not know the packet that an ICMP error quotes, this
    /// host did not cause the error, and only the network stack looks for a socket that fits. The socket of a
    /// datagram then remembers a smaller path MTU or another router. The sender can see that, and a closed
    /// port does not do it (`__udp4_lib_err` of net/ipv4/udp.c). For a segment, the error must name bytes that
    /// a connection has not acknowledged.
    pub(super) fn without_ports(&self) -> Vec<Chain> {
        let unknown = Statement::Tracked(&[Tracking::Invalid, Tracking::Untracked]);
        let [(quoted4, _), (quoted6, _)] = QUOTED;
        let mut rules = vec![
            rule([unknown.clone(), Statement::IcmpTooBig, goto(quoted4)]),
            rule([unknown.clone(), Statement::IcmpType(ICMP_REDIRECT), goto(quoted4)]),
            rule([unknown, Statement::Icmpv6Type(ICMPV6_TOO_BIG), goto(quoted6)]),
        ];
        rules.push(rule([self.otherwise()]));
        let mut chains = vec![chain(WITHOUT_PORTS, rules)];
        chains.extend(QUOTED.map(|(name, at)| {
            let value = Protocol::Tcp.number();
            let no_segment = Statement::TransportByte { is: false, at, value };
            let drop = rule([no_segment, Statement::Verdict(Verdict::Drop)]);
            chain(name, vec![drop.because("no packet of this host"), rule([self.otherwise()])])
        }));
        chains
    }

    /// How the rules treat packets that a door neither lets in nor refuses. `first` comes before the rules look
    /// for a knock.
    pub(super) fn of_no_interest(&self, first: Vec<Rule>) -> Vec<Rule> {
        let mut rules = Vec::new();
        if self.recognises() || self.refused_elsewhere() != self.otherwise() {
            rules.extend(first);
            rules.extend(self.counted());
            if self.refused_elsewhere() != ACCEPT {
                rules.push(rule([self.refused_elsewhere()]));
            }
        } else if self.otherwise() != ACCEPT {
            rules.push(rule([self.otherwise()]));
        }
        rules
    }

    /// Sends packets to a guarded port to a chain, with the door in the priority.
    pub(super) fn guarded(&self, to: &str) -> Rule {
        rule([Statement::SetPriorityFrom { key: PORT_FIELDS.to_vec(), map: GUARDS }, goto(to)])
    }

    /// In the stance `closed`: accepts what every network needs, and refuses the rest.
    pub(super) fn rest(&self) -> Chain {
        let ping = Statement::Limit(PINGS);
        let guarded = self.guarded_ports(Protocol::Udp);
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
        // A client of these protocols has its port. A guarded port needs a grant.
        for (reply, port) in [(Statement::DhcpReply, 68), (Statement::Dhcpv6Reply, 546)] {
            if Port::udp(port).is_none_or(|port| !guarded.contains(&port)) {
                rules.push(rule([reply, ACCEPT]).because("this host's own address"));
            }
        }
        rules.push(rule([goto(if self.bans().is_some() { STRIKE } else { REFUSE })]));
        chain(REST, rules)
    }
}
