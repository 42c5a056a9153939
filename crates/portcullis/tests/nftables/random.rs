//! Rulesets made by chance, of statements that nft accepts together.

use std::time::Duration;

use portcullis_core::policy::Protocol;
use portcullis_firewall::ruleset::{
    Chain, Data, Destination, Field, Hook, HookPoint, Limit, Operation, Reject, Ruleset, Statement,
    Type, Unit, Verdict,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::corpus::{DNAT, TRACKED, chain, dynamic, element, fixed, ruleset, value, width};

const FIELDS: [Field; 7] = [
    Field::IpSaddr,
    Field::Ip6Saddr,
    Field::L4Proto,
    Field::ThDport,
    Field::OriginalDport,
    Field::Priority,
    Field::Iifname,
];

/// What a set is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Members,
    Classes,
    Verdicts,
    Ports,
    Seen,
    SeenClasses,
}

/// One statement to be, of which the sets are made afterwards.
#[derive(Debug, Clone)]
enum Step {
    Ready(Statement),
    Keyed(Vec<Field>, Purpose, u8),
}

/// A ruleset.
pub fn any_ruleset() -> impl Strategy<Value = Ruleset> {
    let rules = prop::collection::vec(prop::collection::vec(step(), 1..6), 0..12);
    (rules, 0_u32..50).prop_map(|(rules, elements)| assemble(rules, elements))
}

fn key() -> impl Strategy<Value = Vec<Field>> {
    prop::collection::vec(select(FIELDS.to_vec()), 1..4).prop_map(|mut key| {
        if key.contains(&Field::OriginalDport) {
            key = vec![Field::OriginalDport];
        }
        key
    })
}

const DESTINATIONS: [Destination; 5] = [
    Destination::Local,
    Destination::Unicast,
    Destination::Broadcast,
    Destination::Anycast,
    Destination::Multicast,
];

fn step() -> impl Strategy<Value = Step> {
    let purpose = select(vec![
        Purpose::Members,
        Purpose::Classes,
        Purpose::Verdicts,
        Purpose::Ports,
        Purpose::Seen,
        Purpose::SeenClasses,
    ]);
    let protocol = select(vec![Protocol::Tcp, Protocol::Udp]);
    let reject = select(vec![Reject::TcpReset, Reject::PortUnreachable, Reject::AdminProhibited]);
    let verdict = select(vec![
        Verdict::Accept,
        Verdict::Drop,
        Verdict::Return,
        Verdict::Jump("elsewhere".to_owned()),
        Verdict::Goto("elsewhere".to_owned()),
        Verdict::Goto("chain1".to_owned()),
    ]);
    prop_oneof![
        4 => (key(), purpose, any::<u8>()).prop_map(|(key, purpose, n)| Step::Keyed(key, purpose, n)),
        2 => select(TRACKED.to_vec()).prop_map(|states| Step::Ready(Statement::Tracked(states))),
        1 => Just(Step::Ready(Statement::Translated)),
        1 => any::<bool>().prop_map(|is| Step::Ready(Statement::SocketWildcard(is))),
        1 => any::<bool>().prop_map(|is| Step::Ready(Statement::SocketTransparent(is))),
        1 => (any::<bool>(), select(DESTINATIONS.to_vec()))
            .prop_map(|(is, kind)| Step::Ready(Statement::To { is, kind })),
        1 => Just(Step::Ready(Statement::IcmpTooBig)),
        1 => (any::<bool>(), 0_u8..32, any::<u8>())
            .prop_map(|(is, at, value)| Step::Ready(Statement::TransportByte { is, at, value })),
        1 => Just(Step::Ready(Statement::FromLocalAddress)),
        1 => Just(Step::Ready(Statement::FromLinkLocal)),
        1 => Just(Step::Ready(Statement::ThDportZero)),
        1 => Just(Step::Ready(Statement::NotForHost)),
        1 => Just(Step::Ready(Statement::FragmentHeader)),
        1 => (any::<bool>(), any::<u8>())
            .prop_map(|(is, kind)| Step::Ready(Statement::Ip6NextHeader { is, kind })),
        1 => any::<u8>().prop_map(|kind| Step::Ready(Statement::HopByHopNextHeader(kind))),
        1 => any::<u8>().prop_map(|kind| Step::Ready(Statement::IcmpType(kind))),
        1 => any::<u8>().prop_map(|kind| Step::Ready(Statement::Icmpv6Type(kind))),
        1 => Just(Step::Ready(Statement::HopLimit255)),
        1 => Just(Step::Ready(Statement::DhcpReply)),
        1 => Just(Step::Ready(Statement::Dhcpv6Reply)),
        1 => (1_u32..100_000, 1_u32..1_000, any::<bool>()).prop_map(|(rate, burst, over)| {
            Step::Ready(Statement::Limit(Limit { rate, per: Unit::Second, burst, over }))
        }),
        1 => Just(Step::Ready(Statement::Counter)),
        1 => Just(Step::Ready(Statement::Log("something"))),
        2 => (any::<bool>(), protocol)
            .prop_map(|(is, protocol)| Step::Ready(Statement::Protocol { is, protocol })),
        1 => "[a-z]{1,15}".prop_map(|name| Step::Ready(Statement::Interface(name))),
        2 => (any::<bool>(), 1_u8..=255, any::<u8>()).prop_map(|(equal, mask, value)| {
            Step::Ready(Statement::TcpFlags { equal, mask, value: value & mask })
        }),
        1 => any::<u32>().prop_map(|number| Step::Ready(Statement::SetPriority(number))),
        1 => Just(Step::Ready(Statement::SetDportZero)),
        2 => Just(Step::Ready(DNAT)),
        1 => reject.prop_map(|how| Step::Ready(Statement::Reject(how))),
        2 => verdict.prop_map(|verdict| Step::Ready(Statement::Verdict(verdict))),
    ]
}

/// Keeps what can stand together in one rule, and makes the sets that it names.
fn assemble(rules: Vec<Vec<Step>>, elements: u32) -> Ruleset {
    let mut sets = Vec::new();
    let mut chains = vec![chain("elsewhere", vec![]), chain("chain1", vec![])];
    let mut lowered = Vec::new();
    let mut translating = Vec::new();
    for steps in rules {
        let mut rule: Vec<Statement> = Vec::new();
        let mut facts = Facts::default();
        for step in steps {
            let statement = match step {
                Step::Ready(statement) => statement,
                Step::Keyed(key, purpose, n) => {
                    let name = format!("set{}", sets.len()).leak();
                    let Some((set, statement)) = keyed(key, purpose, n, name, elements) else {
                        continue;
                    };
                    if facts.clone().allow(&statement) {
                        sets.push(set);
                    }
                    statement
                }
            };
            // What is left out has said nothing.
            let mut with = facts.clone();
            if !with.allow(&statement) {
                continue;
            }
            facts = with;
            let last = matches!(
                statement,
                Statement::Verdict(_)
                    | Statement::Reject(_)
                    | Statement::Dispatch { .. }
                    | Statement::DnatToPorts { .. }
            );
            rule.push(statement);
            if last {
                break;
            }
        }
        if rule.last() == Some(&DNAT) {
            translating.push(rule);
        } else if !rule.is_empty() {
            lowered.push(rule);
        }
    }
    chains.push(chain("rules", lowered));
    let hook = Some(Hook { point: HookPoint::PreroutingNat, priority: -99 });
    chains.push(Chain { hook, ..chain("translating", translating) });
    ruleset(sets, chains)
}

/// What a rule has said about the packet, since nft refuses contradictions.
#[derive(Debug, Clone, Default)]
struct Facts {
    family: Option<u8>,
    protocol: Option<Protocol>,
    /// It is ICMP, or one field has been compared that nft could compare together with the next.
    special: bool,
}

impl Facts {
    fn allow(&mut self, statement: &Statement) -> bool {
        let mut fields = Vec::new();
        let mut tcp = false;
        match statement {
            Statement::IcmpType(_)
            | Statement::IcmpTooBig
            | Statement::Icmpv6Type(_)
            | Statement::HopLimit255
            | Statement::Ip6NextHeader { .. }
            | Statement::DhcpReply
            | Statement::Dhcpv6Reply => {
                let four = matches!(
                    statement,
                    Statement::IcmpType(_) | Statement::IcmpTooBig | Statement::DhcpReply
                );
                let family = if four { 4 } else { 6 };
                if self.special || self.protocol.is_some() {
                    return false;
                }
                self.special = true;
                if matches!(statement, Statement::DhcpReply | Statement::Dhcpv6Reply) {
                    self.protocol = Some(Protocol::Udp);
                }
                return *self.family.get_or_insert(family) == family;
            }
            Statement::TransportByte { .. } => {
                let allowed = self.protocol.is_none() && !self.special;
                self.special = true;
                return allowed;
            }
            Statement::Protocol { is: true, protocol } => {
                let allowed = self.protocol.is_none() && !self.special;
                self.protocol = Some(*protocol);
                return allowed;
            }
            Statement::TcpFlags { .. } | Statement::Reject(Reject::TcpReset) => tcp = true,
            // nft wants to know of which protocol the port is.
            Statement::DnatToPorts { .. } => return self.protocol.is_some(),
            // With a protocol before it, nft would set that one's port, and its checksum.
            Statement::SetDportZero | Statement::SetDportFrom { .. } => {
                return self.protocol.is_none();
            }
            Statement::ThDportZero => {
                // Compared together with what is beside it in the header, or a contradiction.
                let allowed = !self.special;
                self.special = true;
                return allowed;
            }
            Statement::FromLinkLocal
            | Statement::FragmentHeader
            | Statement::HopByHopNextHeader(_) => {
                return *self.family.get_or_insert(6) == 6;
            }
            Statement::In { key, .. }
            | Statement::SetPriorityFrom { key, .. }
            | Statement::Dispatch { key, .. }
            | Statement::Change { key, .. } => fields.extend(key),
            _ => {}
        }
        for field in fields {
            let family = match field {
                Field::IpSaddr => 4,
                Field::Ip6Saddr => 6,
                // As for `DnatToPorts`.
                Field::OriginalDport if self.protocol.is_none() => return false,
                // nft takes it for the port of the protocol that it already knows of, and then
                // lists it so; the same for both.
                _ => continue,
            };
            if *self.family.get_or_insert(family) != family {
                return false;
            }
        }
        !tcp || !self.special && *self.protocol.get_or_insert(Protocol::Tcp) == Protocol::Tcp
    }
}

fn keyed(
    key: Vec<Field>,
    purpose: Purpose,
    n: u8,
    name: &'static str,
    elements: u32,
) -> Option<(portcullis_firewall::ruleset::Set, Statement)> {
    let types: Vec<Type> = key.iter().map(|field| field.kind()).collect();
    let registers: u32 = types.iter().map(|&kind| width(kind)).sum();
    // 16 registers there are; and with data behind a key of more than four nft 1.0.6 goes wrong.
    if registers > 12 || purpose == Purpose::SeenClasses && registers > 4 {
        return None;
    }
    let entries = |data: Option<Type>| {
        let mut seen = std::collections::HashSet::new();
        (0..elements)
            .map(|seed| {
                let key = types.iter().map(|&kind| value(kind, seed)).collect::<Vec<_>>();
                element(key, data.map(|data| value(data, seed)))
            })
            .filter(|element| seen.insert(format!("{:?}", element.key)))
            .collect::<Vec<_>>()
    };
    let fixed = |data| fixed(name, &types, data, entries(data));
    let operation = [Operation::Add, Operation::Update, Operation::Delete][usize::from(n % 3)];
    let timeout =
        (operation != Operation::Delete).then(|| Duration::from_millis(1000 * (1 + u64::from(n))));
    Some(match purpose {
        Purpose::Members => {
            (fixed(None), Statement::In { key, set: name, member: n.is_multiple_of(2) })
        }
        Purpose::Classes => {
            (fixed(Some(Type::Classid)), Statement::SetPriorityFrom { key, map: name })
        }
        Purpose::Verdicts => (fixed(Some(Type::Verdict)), Statement::Dispatch { key, map: name }),
        Purpose::Ports => {
            let ports = (0..elements).map(|seed| {
                let [number, port] = [Type::Classid, Type::InetService].map(|it| value(it, seed));
                element(vec![number], Some(port))
            });
            let (number, port) = (Type::Classid, Some(Type::InetService));
            let set = crate::corpus::fixed(name, &[number], port, ports.collect());
            (set, Statement::SetDportFrom { map: name })
        }
        Purpose::Seen => {
            let over = n.is_multiple_of(2);
            let limit = Limit { rate: 1, per: Unit::Day, burst: u32::from(n) + 1, over };
            let limit = (operation != Operation::Delete && n.is_multiple_of(5)).then_some(limit);
            let change =
                Statement::Change { operation, set: name, key, timeout, limit, data: None };
            (dynamic(name, &types, None), change)
        }
        Purpose::SeenClasses => {
            let data = Some(Data::Field(Field::Priority));
            let limit = None;
            let change = Statement::Change { operation, set: name, key, timeout, limit, data };
            (dynamic(name, &types, Some(Type::Classid)), change)
        }
    })
}
