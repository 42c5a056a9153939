//! How those who may not pass are refused.
//!
//! **Like a closed port** is done by the network stack itself: a connection to a guarded port is
//! translated to a port that nothing listens on, and connection tracking gives its answers the port
//! back, also in what an ICMP message quotes. It is done before others translate destinations
//! (`dstnat`, -100). An answer made by the firewall would differ in its type of service, in its flow
//! label, and for every odd packet that the stack drops and the firewall does not, or the reverse; and
//! it would be an answer even where the rest of the firewall is silent.
//!
//! Two connections must not become one by that: from one source port to two guarded ports, or to a
//! guarded port and to the one that it is translated to. Connection tracking would drop the second, and
//! silence would tell the guarded port. So there are several such ports, and the source port is drawn
//! anew (chain `apart`): whoever wants to use up all pairs needs more connections than fit.
//!
//! Whatever nobody answers would leave its translation behind. That would keep its source port out, grant or
//! no grant; and a later answer over it that connection tracking calls invalid would show the translated port.
//! So such segments lose their options, or are dropped before they are confirmed, at closed ports too. Connection tracking
//! forgets what is left after a second (`ct timeout`).
//!
//! The stack makes the flow label of a reset from the ports, before they are translated back. So
//! resets of this host have none (chain `labels`), whatever port they come from.
//!
//! **What is not translated is refused by the filter behind it**: what connection tracking calls invalid
//! or was told not to look at, connections that it knows from before, and datagrams: the translation of
//! a refused one would live on, and a source that then knocks and sends from the same port would still
//! be refused. TCP segments of that kind which begin no connection at all (no SYN, SYN and FIN, and the
//! like) a listener would drop in silence and a closed port would answer with a reset. So all of that is
//! readdressed to port 0 by hand, without its checksum, so that its bytes are the old ones when it gets
//! its port back. That is in the chain `late`, behind the filters of others, where guarded ports and
//! ports that have no socket are answered by the same rules: a filter of others that drops what goes to
//! closed ports drops what goes to guarded ports too.

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
    Chain, Destination, Field, Hook, HookPoint, Reject, Rule, Set, Statement, Timeout, Tracking,
    Type, Value, Verdict,
};

/// In the stance `guard`: how a guarded port answers those who have no grant.
pub(super) const TURNED_AWAY: &str = "turned_away";
/// What goes to a guarded port without a grant, in the chains that translate: its door in the priority.
const ASKED: &str = "asked";
/// A TCP segment without a grant that may belong to a handshake.
const HALF_OPEN: &str = "half_open";
/// Where a segment that was readdressed gets its port back.
pub const PUT_BACK: &str = "put_back";
/// The connection goes to a port that nothing listens on.
const TO_CLOSED_PORT: &str = "to_closed_port";
/// What comes to that port.
const TO_NOBODY: &str = "to_nobody";
/// How soon connection tracking forgets a translation that nobody has answered.
const FORGOTTEN: &str = "forgotten";
/// In the stance `closed`: what is not translated.
const BY_HAND: &str = "by_hand";
/// What belongs to a connection that is older than connection tracking, or goes to a listener of one address.
const OLDER: &str = "older";
/// In the stance `guard`: the same at a guarded port.
const OLDER_GUARDED: &str = "older_guarded";
/// Guarded TCP ports, numbered; and back.
const NUMBER_OF_PORT: &str = "number_of_port";
const PORT_OF_NUMBER: &str = "port_of_number";

/// In the stance `closed`: the guarded ports of TCP.
const GUARDED_TCP: &str = "guarded_tcp";

/// Right before the destinations of others are translated (`NF_IP_PRI_NAT_DST`).
const BEFORE_DSTNAT: i32 = -101;
/// Right behind that.
const AFTER_DSTNAT: i32 = -99;
/// Where sources are translated (`NF_IP_PRI_NAT_SRC`), and behind that.
const SRCNAT: i32 = 100;
const BEHIND_SRCNAT: i32 = 200;
/// Behind the filters of others (0) and behind `security` (50) and `srcnat` (100).
const LATE: i32 = 120;

/// In the stance `guard`: what nobody answers, on its way to a port that may be open.
const UNANSWERED: &str = "unanswered";
/// In the stance `guard`: a TCP segment with options, on its way to a port that may be open.
const OPTIONS: &str = "options";
/// In the stance `guard`: what is answered by nobody if no socket is there.
pub const CLOSED_OR_NOT: &str = "closed_or_not";

/// One of these matches where the network stack has a socket for the packet.
pub(super) const SOCKET: [Statement; 2] =
    [Statement::SocketTransparent(false), Statement::SocketTransparent(true)];

/// What is refused as by a closed port, behind the chains that translate.
const TRANSLATED: [Statement; 2] = [
    Statement::Translated,
    Statement::ThDportAmong { first: *CLOSED_PORTS.start(), last: *CLOSED_PORTS.end() },
];

const NOT_ANYCAST: Statement = Statement::To { is: false, kind: Destination::Anycast };
const DROP: Statement = Statement::Verdict(Verdict::Drop);
const TCP: Statement = is(Protocol::Tcp);
const UDP: Statement = is(Protocol::Udp);

impl Compiler<'_> {
    fn guarded_ports(&self, protocol: Protocol) -> BTreeSet<Port> {
        let ports = self.policy.doors.iter().flat_map(|door| &door.guards).copied();
        ports.filter(|port| port.protocol == protocol).collect()
    }

    /// Whether closed ports with a socket are translated too, so that knock ports must not be.
    pub(super) fn spares_knocks(&self) -> bool {
        self.answers_as_closed() && self.policy.gate.stance == Stance::Closed && self.recognises()
    }

    /// Sends what is translated to a chain of its own.
    pub(super) fn to_translated(&self) -> Option<Rule> {
        let [translated, closed] = TRANSLATED;
        self.answers_as_closed().then(|| rule([translated, closed, goto(TO_NOBODY)]))
    }

    /// What belongs to a connection goes on.
    pub(super) fn connections(&self) -> Rule {
        let known = Statement::Tracked(&[Tracking::Established]);
        let known = self.answers_as_closed().then_some(known);
        let to_socket = [NO_SYN, RST_OR_ACK, Statement::SocketWildcard(false), ACCEPT];
        let statements = known.into_iter().chain(to_socket).collect();
        Rule { statements, comment: Some("connections") }
    }

    /// A listener of one address looks like a connection of which connection tracking does not know. Like a closed port, it must
    /// not judge options. Such a connection does without them until this host has sent something over it.
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

    /// What is translated: it is answered by nobody, and it is no wrong port if it goes to a guarded one.
    fn to_nobody(&self) -> Chain {
        // An answer makes connection tracking forget the translation. Without one it would live on, and
        // keep its source out although it knocks.
        let mut rules = vec![
            rule([Statement::NotForHost, DROP]).because("the network stack answers none of these"),
        ];
        // Should something listen there all the same, it is out of reach.
        rules.extend(SOCKET.map(|socket| rule([socket, DROP])));
        let refused = self.refused_elsewhere();
        match self.policy.gate.stance {
            // Nothing else is translated, and nothing there is a knock.
            Stance::Guard if refused == ACCEPT => {}
            Stance::Guard => {
                rules.extend(not_counted(&ACCEPT));
                rules.push(rule([refused]));
            }
            Stance::Closed => {
                let key = vec![Field::OriginalDport];
                let guarded = Statement::In { key, set: GUARDED_TCP, member: true };
                let guarded = rule([TCP, guarded, refused]).because("a guarded port");
                let first = [not_counted(&self.otherwise()), vec![guarded]].concat();
                rules.extend(self.of_no_interest(first));
            }
        }
        chain(TO_NOBODY, rules)
    }

    /// Whether segments are readdressed by hand.
    fn readdresses(&self) -> bool {
        self.answers_as_closed() && self.policy.gate.stance == Stance::Guard
    }

    /// How long a translation outlives the last segment without an answer.
    pub(super) fn timeouts(&self) -> Vec<Timeout> {
        let forgotten = Timeout { name: FORGOTTEN, seconds: 1 };
        self.answers_as_closed().then_some(forgotten).into_iter().collect()
    }

    pub(super) fn readdressing_sets(&self) -> Vec<Set> {
        if !self.answers_as_closed() {
            return Vec::new();
        }
        if self.policy.gate.stance == Stance::Closed {
            let ports = self.guarded_ports(Protocol::Tcp).into_iter();
            let ports = ports.map(|it| element(vec![Value::Service(it.number.get())], None));
            return vec![fixed(GUARDED_TCP, vec![Type::InetService], None, ports.collect())];
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

    /// The chains that translate what is to be refused as by a closed port.
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
            // Connection tracking takes it for new if it is older than the tracking.
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

    /// In the chain `door`, without a grant: what may belong to a handshake goes its own way.
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
            // The network stack complains of an option to some senders and not to others.
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

    /// A segment that cannot begin a connection, to a guarded port. It belongs to none that the stack
    /// has a whole socket for. A listener answers it as a closed port does. But it could complete a
    /// handshake that was begun while there was a grant, and then a connection would begin now.
    fn half_open_rules(&self) -> Vec<Rule> {
        let refusal = match self.policy.gate.refuse {
            Refuse::Drop => DROP,
            Refuse::Reject => Statement::Reject(Reject::AdminProhibited),
            Refuse::LikeClosed => Statement::Reject(Reject::TcpReset),
        };
        // Others may let the port in for those who have a grant, and drop what goes to closed ones.
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

    /// In the stance `guard`: refuses who has no grant.
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

    /// In the stance `guard`, behind the filters of others: a segment that begins no connection and
    /// belongs to none is answered by one rule, whether its port is guarded or closed; and so is a
    /// datagram.
    fn late(&self) -> Chain {
        let conversation = Statement::Tracked(&[Tracking::Established]);
        // What was not readdressed.
        let asked = Statement::ThDportAmong { first: 1, last: u16::MAX };
        let mut rules = vec![
            rule([conversation.clone(), RST_OR_ACK, asked.clone(), ACCEPT]),
            rule([conversation, UDP, asked, ACCEPT]),
        ];
        rules.extend(self.unconcerned());
        rules.push(rule([not(Protocol::Tcp), not(Protocol::Udp), ACCEPT]));
        // Before sockets are looked for: the stack may have found one when the port was still there.
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
            // Looked up as for closed ports, so that it takes as long.
            rule([SOCKET[0].clone()]),
            rule([SOCKET[1].clone()]),
        ]);
        rules.extend(as_closed());
        chain(PUT_BACK, rules)
    }

    /// In the stance `closed`: refuses whatever comes here, a guarded port or any other, so that no
    /// port can be told from another.
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
            // It belongs to a connection that is older than the gate, or the network stack refuses it,
            // on every port alike: a listening socket does not take it either.
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

/// Takes the flow label off resets of this host.
fn labels() -> Chain {
    let reset = Statement::TcpFlags { equal: false, mask: RST, value: 0 };
    let rules = vec![rule([reset, Statement::FromLocalAddress, Statement::ClearFlowLabel])];
    let hook = Some(Hook { point: HookPoint::Postrouting, priority: BEHIND_SRCNAT });
    Chain { name: "labels".to_owned(), hook, rules }
}

/// What the network stack answers at a closed port or not, depending on its options: TCP behind options of IPv4 or behind
/// IPv6 extension headers. Whatever is translated and not answered would leave its translation behind, and whatever comes later
/// over that could be answered from the wrong port. So it is silenced before connection tracking confirms it, at guarded and at
/// closed ports alike.
fn unanswered(then: &Statement) -> [Rule; 2] {
    let options = rule([TCP, Statement::IpOptions, then.clone()]).because("IPv4 options");
    [options, behind_headers(Protocol::Tcp, then)]
}

/// What comes behind IPv6 extension headers.
fn behind_headers(protocol: Protocol, then: &Statement) -> Rule {
    let not_first = Statement::Ip6NextHeader { is: false, kind: protocol.number() };
    rule([is(protocol), not_first, then.clone()]).because("extension headers")
}

/// Takes the options off a TCP segment that is refused, at guarded and at closed ports alike: a closed port does not answer
/// signed segments, nor those whose options it cannot read (`tcp_parse_auth_options` in `net/ipv4/tcp_input.c`), and resets do
/// not depend on any option. Only where connection tracking has verified the checksum; it translates nothing else.
fn without_options() -> Rule {
    let verified = Statement::Tracked(&[Tracking::New, Tracking::Established, Tracking::Related]);
    rule([verified, Statement::TcpHasOptions, Statement::EndTcpOptions])
}

/// What becomes of a TCP segment in the chain `late`, where options are of no interest any more.
fn late_without_options() -> Vec<Rule> {
    let begins = Statement::Tracked(&[Tracking::New, Tracking::Related]);
    vec![rule([RST_OR_ACK, ACCEPT]), rule([begins, ACCEPT]), rule([goto(CLOSED_OR_NOT)])]
}

/// Answers as a closed port does.
fn as_closed() -> [Rule; 3] {
    [
        // The stack would take it at an open port, and at a closed one answer or not: nobody answers.
        rule([UDP, Statement::Tracked(&[Tracking::Invalid]), DROP]),
        rule([UDP, Statement::Reject(Reject::PortUnreachable)]).because("as a closed port"),
        rule([Statement::Reject(Reject::TcpReset)]).because("as a closed port"),
    ]
}

const _: () = assert!(RST | ACK == 0x14, "the flags that `simulator::Packet` knows");
