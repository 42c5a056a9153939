//! How packets without a grant are refused.
//!
//! **Like a closed port**: here the network stack itself answers. The rules translate a connection to a
//! guarded port to a port that nothing listens on. Connection tracking restores the port in the answers,
//! also in the packet that an ICMP message quotes. The translation comes before other programs translate
//! destinations (`dstnat`, -100). An answer of the firewall would differ in its type of service and in its
//! flow label. It would also differ for every odd packet that the stack drops and the firewall does not, or
//! the reverse. And the firewall would answer even where its other rules are silent.
//!
//! The translation must not merge two connections: from one source port to two guarded ports, or to a
//! guarded port and to the port that it is translated to. Connection tracking would drop the second
//! connection, and the silence would reveal the guarded port. So there are several such ports, and the
//! chain `apart` draws a new source port. An attacker who wants to use up all pairs needs more connections
//! than fit.
//!
//! A packet without an answer would leave its translation in place. Then its source port would stay refused,
//! with or without a grant. And if connection tracking called a later answer over it invalid, that answer
//! would show the translated port. So the rules remove the options of such segments, or drop the segments
//! before they are confirmed, also at closed ports. Connection tracking forgets the others after a second
//! (`ct timeout`).
//!
//! The stack makes the flow label of a reset from the ports, before they are translated back. So resets of
//! this host have no flow label (chain `labels`), whatever port they come from.
//!
//! **The filter after the translation refuses what is not translated**: packets that connection tracking
//! calls invalid or was told to ignore, connections that it already knows, and datagrams. The translation of
//! a refused datagram would stay in place: a source that then knocks and sends from the same port would
//! still be refused. Some of these TCP segments begin no connection at all (no SYN, SYN and FIN, and the
//! like): a listener would drop them silently, and a closed port would answer with a reset. So the rules
//! write port 0 into all these packets, and leave the checksum as it is. When the port is written back, the
//! bytes are the old ones. That happens in the chain `late`, after the filters of other programs. There the
//! same rules answer for guarded ports and for ports without a socket. So a filter of another program that
//! drops packets to closed ports drops packets to guarded ports too.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use portcullis_core::limits::CLOSED_PORTS;
use portcullis_core::policy::{Port, Protocol, Refuse, Stance};

use super::shared::{LOG_PREFIX, LOGGED, not_counted};
use super::{
    ACCEPT, ACK, Compiler, NO_SYN, NOT_LOCAL, PORT, PORT_FIELDS, REFUSE, RST, RST_OR_ACK, SYN,
    TO_LOCAL, chain, element, fixed, goto, is, is_in, not, port_key, rule,
};
use crate::ruleset::{
    Chain, Destination, Hook, HookPoint, Reject, Rule, Set, Statement, Timeout, Tracking, Type,
    Value, Verdict,
};

/// In the stance `guard`: how a guarded port answers sources without a grant.
pub(super) const TURNED_AWAY: &str = "turned_away";
/// Packets to a guarded port without a grant, in the chains that translate; the door is in the priority.
const ASKED: &str = "asked";
/// A TCP segment without a grant that may belong to a handshake.
const HALF_OPEN: &str = "half_open";
/// The chain that writes the port of a readdressed segment back.
pub const PUT_BACK: &str = "put_back";
/// The connection goes to a port that nothing listens on.
const TO_CLOSED_PORT: &str = "to_closed_port";
/// Packets that arrive at that port.
const TO_NOBODY: &str = "to_nobody";
/// How soon connection tracking forgets a translation without an answer.
const FORGOTTEN: &str = "forgotten";
/// In the stance `closed`: packets that are not translated.
const BY_HAND: &str = "by_hand";
/// Packets of a connection that is older than connection tracking, or to a listener of one address.
const OLDER: &str = "older";
/// In the stance `guard`: the same at a guarded port.
const OLDER_GUARDED: &str = "older_guarded";
/// From guarded ports to numbers, and back.
const NUMBER_OF_PORT: &str = "number_of_port";
const PORT_OF_NUMBER: &str = "port_of_number";

/// Right before other programs translate destinations (`NF_IP_PRI_NAT_DST`).
const BEFORE_DSTNAT: i32 = -101;
/// Right behind that.
const AFTER_DSTNAT: i32 = -99;
/// Where sources are translated (`NF_IP_PRI_NAT_SRC`), and behind that.
const SRCNAT: i32 = 100;
const BEHIND_SRCNAT: i32 = 200;
/// Behind the filters of others (0) and behind `security` (50) and `srcnat` (100).
const LATE: i32 = 120;

/// In the stance `guard`: packets that nobody answers, to a port that may be open.
const UNANSWERED: &str = "unanswered";
/// In the stance `guard`: a TCP segment with options, to a port that may be open.
const OPTIONS: &str = "options";
/// In the stance `guard`: packets that nobody answers if there is no socket.
pub const CLOSED_OR_NOT: &str = "closed_or_not";

/// One of these matches where the network stack has a socket for the packet.
pub(super) const SOCKET: [Statement; 2] =
    [Statement::SocketTransparent(false), Statement::SocketTransparent(true)];

/// Packets that are refused like at a closed port, after the chains that translate.
pub(super) const TRANSLATED: [Statement; 2] = [
    Statement::Translated,
    Statement::ThDportAmong { first: *CLOSED_PORTS.start(), last: *CLOSED_PORTS.end() },
];

const NOT_ANYCAST: Statement = Statement::To { is: false, kind: Destination::Anycast };
const DROP: Statement = Statement::Verdict(Verdict::Drop);
const TCP: Statement = is(Protocol::Tcp);
const UDP: Statement = is(Protocol::Udp);

impl Compiler<'_> {
    pub(super) fn guarded_ports(&self, protocol: Protocol) -> BTreeSet<Port> {
        let ports = self.policy.doors.iter().flat_map(|door| &door.guards).copied();
        ports.filter(|port| port.protocol == protocol).collect()
    }

    /// Whether the rules also translate closed ports with a socket. Then they must not translate knock ports.
    pub(super) fn spares_knocks(&self) -> bool {
        self.answers_as_closed() && self.policy.gate.stance == Stance::Closed && self.recognises()
    }

    /// Sends translated packets to a chain of their own.
    pub(super) fn to_translated(&self) -> Option<Rule> {
        let [translated, closed] = TRANSLATED;
        self.answers_as_closed().then(|| rule([translated, closed, goto(TO_NOBODY)]))
    }

    /// Packets of a connection go on.
    pub(super) fn connections(&self) -> Rule {
        let known = Statement::Tracked(&[Tracking::Established]);
        let known = self.answers_as_closed().then_some(known);
        let to_socket = [NO_SYN, RST_OR_ACK, Statement::SocketWildcard(false), ACCEPT];
        let statements = known.into_iter().chain(to_socket).collect();
        Rule { statements, comment: Some("connections") }
    }

    /// A listener of one address looks like a connection that connection tracking does not know. Like a closed
    /// port, it must not judge options. A real connection of this kind has no options until this host has sent
    /// something over it.
    pub(super) fn to_older(&self) -> Option<Rule> {
        let older = [NO_SYN, RST_OR_ACK, Statement::SocketWildcard(false), goto(OLDER)];
        self.answers_as_closed().then(|| rule(older).because("older connections"))
    }

    fn older(&self) -> Vec<Chain> {
        let mut older = self.unconcerned();
        let not_for_host =
            rule([Statement::NotForHost, DROP]).because("the network stack drops it");
        let judged = [&[not_for_host], &unanswered(&DROP)[..], &[without_options()]].concat();
        if self.policy.gate.stance == Stance::Closed {
            older.push(rule([is_in("public"), ACCEPT]));
            older.extend(judged);
            return vec![chain(OLDER, older)];
        }
        older.push(self.guarded(OLDER_GUARDED));
        let guarded = [&[rule([Statement::SetPriority(0)])], &judged[..]].concat();
        vec![chain(OLDER, older), chain(OLDER_GUARDED, guarded)]
    }

    /// Translated packets: no service answers them.
    fn to_nobody(&self) -> Chain {
        // An answer makes connection tracking forget the translation. Without an answer the translation would
        // stay, and refuse the source even after a knock.
        let mut rules = vec![
            rule([Statement::NotForHost, DROP]).because("the network stack answers none of these"),
        ];
        // If something listens there anyway, nobody can reach it.
        rules.extend(SOCKET.map(|socket| rule([socket, DROP])));
        rules.extend(self.related());
        rules.extend(self.of_no_interest(not_counted(&self.otherwise())));
        chain(TO_NOBODY, rules)
    }

    /// Whether the rules write port 0 into segments.
    fn readdresses(&self) -> bool {
        self.answers_as_closed() && self.policy.gate.stance == Stance::Guard
    }

    /// How long a translation outlives the last segment without an answer.
    pub(super) fn timeouts(&self) -> Vec<Timeout> {
        let forgotten = Timeout { name: FORGOTTEN, seconds: 1 };
        self.answers_as_closed().then_some(forgotten).into_iter().collect()
    }

    pub(super) fn readdressing_sets(&self) -> Vec<Set> {
        if !self.readdresses() {
            return Vec::new();
        }
        let ports =
            || [Protocol::Tcp, Protocol::Udp].into_iter().flat_map(|it| self.guarded_ports(it));
        let numbered = || (1..).map(Value::Class).zip(ports());
        let numbers = numbered().map(|(number, port)| element(port_key(port), Some(number)));
        let ports = numbered()
            .map(|(number, port)| element(vec![number], Some(Value::Service(port.number.get()))));
        vec![
            fixed(NUMBER_OF_PORT, PORT.to_vec(), Some(Type::Classid), numbers.collect()),
            fixed(PORT_OF_NUMBER, vec![Type::Classid], Some(Type::InetService), ports.collect()),
        ]
    }

    /// The chains that translate packets to be refused like at a closed port.
    pub(super) fn translation(&self) -> Vec<Chain> {
        if !self.answers_as_closed() {
            return Vec::new();
        }
        let hook = |priority| Some(Hook { point: HookPoint::PreroutingNat, priority });
        let (first, last) = (*CLOSED_PORTS.start(), *CLOSED_PORTS.end());
        let dnat = Statement::DnatToPorts { first, last };
        let to_closed_port = rule([TCP, TO_LOCAL, Statement::SetTimeout(FORGOTTEN), dnat])
            .because("answered as a closed port");
        let elsewhere = [
            // Connection tracking calls a connection new if it is older than the tracking.
            rule([NO_SYN, RST_OR_ACK, Statement::SocketWildcard(false), ACCEPT])
                .because("connections"),
            rule([not(Protocol::Tcp), ACCEPT]).because("datagrams are refused behind this"),
        ];
        let mut rules = Vec::from(elsewhere.clone());
        rules.extend(self.unconcerned());
        rules.push(self.guarded(ASKED));
        let mut chains =
            vec![Chain { name: "before".to_owned(), hook: hook(BEFORE_DSTNAT), rules }];
        if self.policy.gate.stance == Stance::Closed {
            let mut rules = Vec::from(elsewhere);
            rules.extend(self.unconcerned());
            rules.push(rule([is_in("public"), ACCEPT]));
            rules.push(self.guarded(ASKED));
            rules.push(rule([Statement::Tracked(&[Tracking::Related]), ACCEPT]));
            // The chain `input` must see them as they came. They are asked for last, so that knocks take
            // as long as other closed ports.
            let key = PORT_FIELDS.to_vec();
            let no_knock = Statement::In { key, set: "knocks", member: false };
            let no_knock = self.spares_knocks().then_some(no_knock);
            // A port that nothing listens on is closed already.
            rules.extend(SOCKET.into_iter().map(|socket| {
                let statements = [Some(socket), no_knock.clone(), Some(goto(TO_CLOSED_PORT))];
                Rule { statements: statements.into_iter().flatten().collect(), comment: None }
            }));
            chains.push(Chain { name: "after".to_owned(), hook: hook(AFTER_DSTNAT), rules });
        }
        let mut rules = self.granted();
        rules.push(rule([Statement::SetPriority(0), goto(TO_CLOSED_PORT)]));
        chains.push(chain(ASKED, rules));
        chains.extend([apart(), labels()]);
        chains.push(chain(TO_CLOSED_PORT, vec![to_closed_port]));
        chains
    }

    /// In the chain `door`, without a grant: segments that may belong to a handshake go to their own chain.
    pub(super) fn half_open(&self) -> Vec<Rule> {
        match (self.policy.gate.stance, self.policy.gate.refuse) {
            (Stance::Guard, Refuse::Drop | Refuse::Reject) => Vec::new(),
            (Stance::Closed, Refuse::Drop | Refuse::Reject) => {
                vec![rule([NO_SYN, RST_OR_ACK, goto(HALF_OPEN)])]
            }
            (_, Refuse::LikeClosed) => vec![rule([RST_OR_ACK, goto(HALF_OPEN)])],
        }
    }

    /// The chains that refuse at guarded ports.
    pub(super) fn refusal_chains(&self) -> Vec<Chain> {
        let guard = self.policy.gate.stance == Stance::Guard;
        let mut chains = Vec::new();
        if guard {
            chains.push(chain(TURNED_AWAY, self.turned_away()));
        }
        if !self.half_open().is_empty() {
            chains.push(chain(HALF_OPEN, self.half_open_rules()));
        }
        if self.answers_as_closed() {
            chains.push(self.to_nobody());
            chains.extend(self.older());
        }
        if self.readdresses() {
            let open = SOCKET.map(|socket| rule([socket, ACCEPT]).because("an open port"));
            let unanswered = [&open[..], &[rule([DROP])]].concat();
            // The network stack answers datagrams to anycast addresses, and some segments.
            let closed = [
                rule([Statement::NotForHost, ACCEPT]),
                rule([TCP, NOT_LOCAL, ACCEPT]),
                rule([NOT_LOCAL, NOT_ANYCAST, ACCEPT]),
            ];
            // The network stack reports an option to some senders and not to others.
            let extended = [behind_headers(Protocol::Udp, &DROP)];
            let closed_or_not = [&open[..], &extended, &closed, &as_closed()].concat();
            let options = [&open[..], &[without_options()], &late_without_options()].concat();
            chains.extend([
                self.late(),
                chain(UNANSWERED, unanswered),
                chain(OPTIONS, options),
                chain(CLOSED_OR_NOT, closed_or_not),
                self.put_back(),
            ]);
        }
        if self.answers_as_closed() && !guard {
            let mut rules = vec![rule([UDP, NOT_LOCAL, DROP])];
            rules.extend(as_closed());
            rules.push(rule([DROP]));
            chains.push(chain(BY_HAND, rules));
        }
        chains
    }

    /// A segment to a guarded port that cannot begin a connection, and belongs to none that the stack has a
    /// whole socket for. A listener answers it like a closed port. But it could complete a handshake that
    /// began while there was a grant, and so start a connection now.
    fn half_open_rules(&self) -> Vec<Rule> {
        let refusal = match self.policy.gate.refuse {
            Refuse::Drop => DROP,
            Refuse::Reject => Statement::Reject(Reject::AdminProhibited),
            Refuse::LikeClosed => Statement::Reject(Reject::TcpReset),
        };
        // Other programs may accept the port for sources with a grant, and drop packets to closed ports.
        let refused_by_stack = if self.readdresses() { goto(TURNED_AWAY) } else { ACCEPT };
        let mut rules = Vec::new();
        if self.answers_as_closed() {
            rules.extend(unanswered(&DROP));
            rules.push(without_options());
        }
        rules.extend([
            // A listener would answer it, and a closed port does not.
            rule([NOT_LOCAL, DROP]),
            rule([Statement::NotForHost, DROP]),
            // It completes nothing, and a listener refuses it.
            rule([
                Statement::TcpFlags { equal: false, mask: SYN, value: 0 },
                refused_by_stack.clone(),
            ]),
            rule([
                Statement::Tracked(&[Tracking::Established]),
                Statement::SocketWildcard(true),
                refusal.clone(),
            ])
            .because("a SYN cookie would be accepted"),
            rule([Statement::SocketWildcard(true), refused_by_stack.clone()])
                .because("a listener refuses it"),
        ]);
        rules.extend(
            SOCKET.map(|socket| {
                rule([socket, refusal.clone()]).because("a handshake without a grant")
            }),
        );
        rules.push(rule([refused_by_stack]));
        rules
    }

    /// In the stance `guard`: refuses sources without a grant.
    fn turned_away(&self) -> Vec<Rule> {
        match self.policy.gate.refuse {
            Refuse::Drop => vec![rule([DROP])],
            Refuse::Reject => vec![rule([Statement::Reject(Reject::AdminProhibited)])],
            Refuse::LikeClosed => {
                let (key, map) = (PORT_FIELDS.to_vec(), NUMBER_OF_PORT);
                let number = Statement::SetPriorityFrom { key, map };
                vec![rule([number, Statement::SetDportZero, ACCEPT]), rule([DROP])]
            }
        }
    }

    /// In the stance `guard`, after the filters of other programs: one rule answers a segment that begins no
    /// connection and belongs to none, whether its port is guarded or closed. The same holds for a datagram.
    fn late(&self) -> Chain {
        let conversation = Statement::Tracked(&[Tracking::Established]);
        // Packets that were not readdressed.
        let asked = Statement::ThDportAmong { first: 1, last: u16::MAX };
        let mut rules = vec![
            rule([conversation.clone(), RST_OR_ACK, asked.clone(), ACCEPT]),
            rule([conversation, UDP, asked, ACCEPT]),
        ];
        rules.extend(self.unconcerned());
        rules.push(rule([not(Protocol::Tcp), not(Protocol::Udp), ACCEPT]));
        // Before the rules look for sockets: the stack may have found one when the packet still had its port.
        let put_back = Statement::SetDportFrom { map: PORT_OF_NUMBER };
        rules.push(rule([Statement::ThDportZero, put_back, goto(PUT_BACK)]));
        rules.push(rule([UDP, goto(CLOSED_OR_NOT)]));
        rules.push(rule([Statement::NotForHost, DROP]).because("the network stack drops it"));
        rules.extend(unanswered(&goto(UNANSWERED)));
        rules.push(rule([Statement::TcpHasOptions, goto(OPTIONS)]));
        rules.extend(late_without_options());
        let hook = Some(Hook { point: HookPoint::Input, priority: LATE });
        Chain { name: "late".to_owned(), hook, rules }
    }

    fn put_back(&self) -> Chain {
        let mut rules = vec![rule([Statement::SetPriority(0)])];
        rules.extend(unanswered(&DROP));
        rules.extend([
            behind_headers(Protocol::Udp, &DROP),
            without_options(),
            rule([Statement::NotForHost, DROP]),
            rule([RST_OR_ACK, ACCEPT]).because("the network stack refuses it"),
            rule([TCP, NOT_LOCAL, DROP]),
            // The same lookup as for closed ports, so that it takes as long.
            rule([SOCKET[0].clone()]),
            rule([SOCKET[1].clone()]),
        ]);
        rules.extend(as_closed());
        chain(PUT_BACK, rules)
    }

    /// In the stance `closed`: refuses all packets that come here, to guarded and to other ports, so that all
    /// these ports look the same.
    pub(super) fn refuse(&self) -> Chain {
        let mut rules = vec![
            // A listener would answer it, and a closed port does not.
            rule([TCP, NOT_LOCAL, DROP]),
            // Connection tracking must not remember it at some ports only.
            rule([TCP, Statement::NotForHost, DROP]),
        ];
        if self.answers_as_closed() {
            rules.extend(unanswered(&DROP));
            rules.push(without_options());
        }
        rules.extend([
            // Such a segment belongs to a connection that is older than the gate, or the network stack refuses it
            // on every port: a listening socket does not accept it either.
            rule([NO_SYN, RST_OR_ACK, ACCEPT]).because("starts no connection"),
            rule([Statement::Counter]).because("refused"),
        ]);
        if self.policy.gate.log_refused {
            rules.push(rule([Statement::Limit(LOGGED), Statement::Log(LOG_PREFIX)]));
        }
        match self.policy.gate.refuse {
            Refuse::Drop => rules.push(rule([DROP])),
            Refuse::Reject => {
                rules.push(rule([Statement::NotForHost, DROP]));
                rules.push(rule([Statement::Reject(Reject::AdminProhibited)]));
            }
            Refuse::LikeClosed => {
                rules.push(rule([Statement::NotForHost, DROP]));
                rules.push(rule([RST_OR_ACK, ACCEPT]));
                rules.push(
                    rule([TRANSLATED[0].clone(), TRANSLATED[1].clone(), ACCEPT])
                        .because("answered as a closed port"),
                );
                rules.push(rule([UDP, goto(BY_HAND)]));
                rules.extend(SOCKET.map(|socket| rule([socket, goto(BY_HAND)])));
                let begins = Statement::Tracked(&[Tracking::New, Tracking::Related]);
                rules.push(rule([TCP, begins, ACCEPT]).because("a closed port"));
                rules.push(rule([goto(BY_HAND)]));
            }
        }
        chain(REFUSE, rules)
    }
}

/// Gives each connection that is translated a source port of its own.
fn apart() -> Chain {
    let snat = Statement::SnatToPorts { first: 1024, last: u16::MAX };
    let [translated, closed] = TRANSLATED;
    let rules = vec![rule([translated, TCP, closed, snat])];
    let hook = Some(Hook { point: HookPoint::InputNat, priority: SRCNAT });
    Chain { name: "apart".to_owned(), hook, rules }
}

/// Removes the flow label of resets of this host.
fn labels() -> Chain {
    let reset = Statement::TcpFlags { equal: false, mask: RST, value: 0 };
    let rules = vec![rule([reset, Statement::FromLocalAddress, Statement::ClearFlowLabel])];
    let hook = Some(Hook { point: HookPoint::Postrouting, priority: BEHIND_SRCNAT });
    Chain { name: "labels".to_owned(), hook, rules }
}

/// TCP behind options of IPv4 or behind IPv6 extension headers: at a closed port, the network stack answers it or not,
/// depending on the options. A translated packet without an answer would leave its translation in place, and a later packet
/// over it could be answered from the wrong port. So these packets are dropped before connection tracking confirms them, at
/// guarded and at closed ports.
fn unanswered(then: &Statement) -> [Rule; 2] {
    let options = rule([TCP, Statement::IpOptions, then.clone()]).because("IPv4 options");
    [options, behind_headers(Protocol::Tcp, then)]
}

/// Packets behind IPv6 extension headers.
fn behind_headers(protocol: Protocol, then: &Statement) -> Rule {
    let not_first = Statement::Ip6NextHeader { is: false, kind: protocol.number() };
    rule([is(protocol), not_first, then.clone()]).because("extension headers")
}

/// Removes the options of a refused TCP segment, at guarded and at closed ports. A closed port does not answer signed
/// segments, nor segments whose options it cannot read (`tcp_parse_auth_options` in `net/ipv4/tcp_input.c`). Resets depend
/// on no option. This is only done where connection tracking has verified the checksum; it translates nothing else.
fn without_options() -> Rule {
    let verified = Statement::Tracked(&[Tracking::New, Tracking::Established, Tracking::Related]);
    rule([verified, Statement::TcpHasOptions, Statement::EndTcpOptions])
}

/// How the chain `late` treats a TCP segment after its options no longer matter.
fn late_without_options() -> Vec<Rule> {
    let begins = Statement::Tracked(&[Tracking::New, Tracking::Related]);
    vec![rule([RST_OR_ACK, ACCEPT]), rule([begins, ACCEPT]), rule([goto(CLOSED_OR_NOT)])]
}

/// Answers like a closed port.
fn as_closed() -> [Rule; 3] {
    [
        // At an open port the stack would accept it, and at a closed port it may answer or not. So nobody answers.
        rule([UDP, Statement::Tracked(&[Tracking::Invalid]), DROP]),
        rule([UDP, Statement::Reject(Reject::PortUnreachable)]).because("as a closed port"),
        rule([Statement::Reject(Reject::TcpReset)]).because("as a closed port"),
    ]
}

const _: () = assert!(RST | ACK == 0x14, "the flags that `simulator::Packet` knows");
