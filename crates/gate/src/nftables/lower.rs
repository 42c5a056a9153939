//! Rules as expressions: what `nft` makes of the same text.
//!
//! Three things are done as `nft` 1.0 does them. What a field implies (`ip saddr` that the packet is
//! IPv4, `tcp dport` that it is TCP) is compared before it is looked at, once in a rule. What a reset
//! implies (that it is TCP) is compared at the very beginning of its rule, and behind that what an
//! extension header implies (that it is IPv6). And of the registers, a key begins at the first, and
//! data at the first register of 16 bytes behind it.
//!
//! One thing is not: for data behind a key of more than 16 bytes, nft 1.0.6 takes the *second*
//! register all the same, and so overwrites the end of the key (or fails an assertion). The text
//! of such a rule is right, and what nft loads from it is not; what is loaded here is right.

use portcullis_core::policy::Protocol;
use portcullis_firewall::ruleset::{
    Data, Destination, Field, Reject, Rule, Statement, Tracking, Type,
};
use portcullis_linux::netlink::message::Writer;

use super::elements::value_bytes;
use super::expression::{self, Address, Ct, Found, Meta, Payload, Slot, Socket, Translate};

const IPPROTO_ICMP: u8 = 1;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const IPPROTO_ICMPV6: u8 = 58;
/// The IPv6 header of hop-by-hop options.
const IPPROTO_HOPOPTS: u8 = 0;
/// The IPv6 fragment header.
const IPPROTO_FRAGMENT: u8 = 44;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
/// `IPS_DST_NAT`: the destination of the connection has been translated.
const CT_STATUS_DNAT: u32 = 0x20;
const PACKET_HOST: u8 = 0;

const TH_DPORT: Payload = Payload::transport(2, 2);
const TCP_FLAGS: Payload = Payload::transport(13, 1);
const ICMP_TYPE: Payload = Payload::transport(0, 1);
const ICMP_TYPE_AND_CODE: Payload = Payload::transport(0, 2);
const UDP_PORTS: Payload = Payload::transport(0, 4);
const UDP_DPORT: Payload = Payload::transport(2, 2);
const UDP_CHECKSUM: Payload = Payload::transport(6, 2);
const TCP_HEADER_LENGTH: Payload = Payload::transport(12, 1);
const TCP_FIRST_OPTION: Payload = Payload::transport(20, 1);
const IP_FIRST_BYTE: Payload = Payload::network(0, 1);
const IP_SADDR: Payload = Payload::network(12, 4);
const IP6_SADDR: Payload = Payload::network(8, 16);
/// The second half of the traffic class, and the flow label.
const IP6_LABEL: Payload = Payload::network(1, 3);
const IP6_NEXT_HEADER: Payload = Payload::network(6, 1);
const HOP_LIMIT: Payload = Payload::network(7, 1);
/// `fe80::/10`, and its mask.
const LINK_LOCAL: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const LINK_LOCAL_MASK: [u8; 16] = [0xff, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// From port 67 to port 68.
const DHCP_REPLY: [u8; 4] = [0, 67, 0, 68];
const DHCPV6_CLIENT: u16 = 546;
/// The first 64 bits of an IPv6 address.
const NETWORK_MASK: [u8; 16] = (u128::MAX << 64).to_be_bytes();

/// What a field can only be looked at in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Ipv4,
    Ipv6,
    Tcp,
    Udp,
    Icmp,
    Icmpv6,
}

const fn needs(field: Field) -> Needs {
    match field {
        Field::IpSaddr => Needs::Ipv4,
        Field::Ip6Saddr | Field::Ip6SaddrNetwork => Needs::Ipv6,
        Field::L4Proto
        | Field::ThDport
        | Field::OriginalDport
        | Field::Priority
        | Field::Iifname => Needs::Nothing,
    }
}

/// How many slots a value of this type takes.
pub const fn slots(kind: Type) -> u32 {
    match kind {
        Type::Ipv4Addr | Type::InetProto | Type::InetService | Type::Classid => 1,
        Type::Ipv6Addr | Type::Ifname | Type::Verdict => 4,
    }
}

/// `RTN_*` of linux/rtnetlink.h.
const fn route_type(kind: Destination) -> u32 {
    match kind {
        Destination::Unicast => 1,
        Destination::Local => 2,
        Destination::Broadcast => 3,
        Destination::Anycast => 4,
        Destination::Multicast => 5,
    }
}

/// Writes the expressions of a rule.
pub fn rule(w: &mut Writer, rule: &Rule) {
    let mut known = Known::default();
    if reset_is_first_of_tcp(rule) {
        known.need(w, Needs::Tcp);
    }
    if extension_is_first_of_family(rule) {
        known.need(w, Needs::Ipv6);
    }
    for statement in &rule.statements {
        known.statement(w, statement);
    }
}

/// Whether the rule ends in a reset, and nothing before it implies that the packet is TCP.
fn reset_is_first_of_tcp(rule: &Rule) -> bool {
    let says_tcp = |statement: &&Statement| {
        matches!(
            statement,
            Statement::Protocol { is: true, protocol: Protocol::Tcp }
                | Statement::TcpFlags { .. }
                | Statement::TcpHasOptions
                | Statement::Reject(Reject::TcpReset)
        )
    };
    rule.statements.iter().find(says_tcp) == Some(&Statement::Reject(Reject::TcpReset))
}

/// Whether the rule asks for an extension header, and nothing before that implies IPv4 or IPv6.
fn extension_is_first_of_family(rule: &Rule) -> bool {
    let says_family = |statement: &&Statement| match statement {
        Statement::FragmentHeader
        | Statement::HopByHopNextHeader(_)
        | Statement::Ip6NextHeader { .. }
        | Statement::FragmentNextHeader(_)
        | Statement::MoreFragments
        | Statement::IpOptions
        | Statement::ClearFlowLabel
        | Statement::FromLinkLocal
        | Statement::IcmpType(_)
        | Statement::IcmpTooBig
        | Statement::Icmpv6Type(_)
        | Statement::HopLimit255
        | Statement::DhcpReply
        | Statement::Dhcpv6Reply => true,
        Statement::In { key, .. }
        | Statement::SetPriorityFrom { key, .. }
        | Statement::Dispatch { key, .. }
        | Statement::Change { key, .. } => key.iter().any(|&field| needs(field) != Needs::Nothing),
        _ => false,
    };
    matches!(
        rule.statements.iter().find(says_family),
        Some(
            Statement::FragmentHeader
                | Statement::HopByHopNextHeader(_)
                | Statement::FragmentNextHeader(_)
                | Statement::MoreFragments
        )
    )
}

/// What the rule has already found out about the packet.
#[derive(Debug, Default)]
struct Known {
    family: bool,
    protocol: Option<u8>,
}

impl Known {
    fn need(&mut self, w: &mut Writer, needs: Needs) {
        match needs {
            Needs::Nothing => {}
            Needs::Ipv4 => self.need_family(w, NFPROTO_IPV4),
            Needs::Ipv6 => self.need_family(w, NFPROTO_IPV6),
            Needs::Tcp => self.need_protocol(w, IPPROTO_TCP),
            Needs::Udp => self.need_protocol(w, IPPROTO_UDP),
            Needs::Icmp => {
                self.need_family(w, NFPROTO_IPV4);
                self.need_protocol(w, IPPROTO_ICMP);
            }
            Needs::Icmpv6 => {
                self.need_family(w, NFPROTO_IPV6);
                self.need_protocol(w, IPPROTO_ICMPV6);
            }
        }
    }

    fn need_family(&mut self, w: &mut Writer, family: u8) {
        if !self.family {
            self.family = true;
            expression::meta_load(w, Meta::Nfproto, Slot::FIRST);
            expression::compare(w, Slot::FIRST, true, &[family]);
        }
    }

    fn need_protocol(&mut self, w: &mut Writer, protocol: u8) {
        if self.protocol != Some(protocol) {
            self.protocol = Some(protocol);
            expression::meta_load(w, Meta::L4proto, Slot::FIRST);
            expression::compare(w, Slot::FIRST, true, &[protocol]);
        }
    }

    /// Ends the rule unless the packet has these bytes there.
    fn equals(&mut self, w: &mut Writer, needs: Needs, field: Payload, value: &[u8]) {
        self.need(w, needs);
        expression::payload_load(w, field, Slot::FIRST);
        expression::compare(w, Slot::FIRST, true, value);
    }

    /// Ends the rule unless there is an extension header with this kind of header behind it.
    fn behind(&mut self, w: &mut Writer, extension: u8, kind: u8) {
        self.need(w, Needs::Ipv6);
        expression::extension_load(w, extension, 0, 1, Slot::FIRST);
        expression::compare(w, Slot::FIRST, true, &[kind]);
    }

    /// Ends the rule unless the source is a link-local address of IPv6.
    fn link_local(&mut self, w: &mut Writer) {
        self.need(w, Needs::Ipv6);
        expression::payload_load(w, IP6_SADDR, Slot::FIRST);
        expression::mask(w, Slot::FIRST, &LINK_LOCAL_MASK);
        expression::compare(w, Slot::FIRST, true, &LINK_LOCAL);
    }

    fn need_all(&mut self, w: &mut Writer, fields: &[Field]) {
        for &field in fields {
            self.need(w, needs(field));
        }
    }

    /// All that the key needs, then the key, into the first slots.
    fn key(&mut self, w: &mut Writer, key: &[Field]) {
        self.need_all(w, key);
        load_all(w, key);
    }

    fn statement(&mut self, w: &mut Writer, statement: &Statement) {
        match statement {
            Statement::Tracked(states) => {
                expression::ct_load(w, Ct::State, Slot::FIRST);
                any_of(w, states.iter().fold(0, |all, state| all | ct_bit(*state)));
            }
            Statement::Translated => {
                expression::ct_load(w, Ct::Status, Slot::FIRST);
                any_of(w, CT_STATUS_DNAT);
            }
            Statement::SocketTransparent(is) => socket(w, Socket::Transparent, *is),
            Statement::SocketWildcard(is) => socket(w, Socket::Wildcard, *is),
            Statement::To { is, kind } => {
                expression::address_type(w, Address::Destination, Slot::FIRST);
                expression::compare(w, Slot::FIRST, *is, &route_type(*kind).to_ne_bytes());
            }
            Statement::IpOptions => {
                self.need(w, Needs::Ipv4);
                expression::payload_load(w, IP_FIRST_BYTE, Slot::FIRST);
                expression::mask(w, Slot::FIRST, &[0x0f]);
                expression::compare(w, Slot::FIRST, false, &[5]);
            }
            Statement::UdpChecksumZero => {
                self.equals(w, Needs::Udp, UDP_CHECKSUM, &[0, 0]);
            }
            Statement::FromLinkLocal => self.link_local(w),
            Statement::FromLocalAddress => {
                expression::address_type(w, Address::Source, Slot::FIRST);
                let local = route_type(Destination::Local).to_ne_bytes();
                expression::compare(w, Slot::FIRST, true, &local);
            }
            Statement::MoreFragments => {
                self.need(w, Needs::Ipv6);
                expression::extension_load(w, IPPROTO_FRAGMENT, 3, 1, Slot::FIRST);
                expression::mask(w, Slot::FIRST, &[1]);
                expression::compare(w, Slot::FIRST, true, &[1]);
            }
            Statement::ThDportAmong { first, last } => {
                expression::payload_load(w, TH_DPORT, Slot::FIRST);
                expression::at_least(w, Slot::FIRST, &first.to_be_bytes());
                expression::at_most(w, Slot::FIRST, &last.to_be_bytes());
            }
            Statement::ThDportZero => {
                expression::payload_load(w, TH_DPORT, Slot::FIRST);
                expression::compare(w, Slot::FIRST, true, &[0, 0]);
            }
            Statement::NotForHost => {
                expression::meta_load(w, Meta::Pkttype, Slot::FIRST);
                expression::compare(w, Slot::FIRST, false, &[PACKET_HOST]);
            }
            Statement::FragmentHeader => {
                self.need(w, Needs::Ipv6);
                expression::extension_present(w, IPPROTO_FRAGMENT, Slot::FIRST);
                expression::compare(w, Slot::FIRST, true, &[1]);
            }
            Statement::Ip6NextHeader { is, kind } => {
                self.need(w, Needs::Ipv6);
                expression::payload_load(w, IP6_NEXT_HEADER, Slot::FIRST);
                expression::compare(w, Slot::FIRST, *is, &[*kind]);
                if *is {
                    self.protocol = Some(*kind);
                }
            }
            Statement::HopByHopNextHeader(kind) => self.behind(w, IPPROTO_HOPOPTS, *kind),
            Statement::FragmentNextHeader(kind) => self.behind(w, IPPROTO_FRAGMENT, *kind),
            Statement::Protocol { is, protocol } => {
                expression::meta_load(w, Meta::L4proto, Slot::FIRST);
                expression::compare(w, Slot::FIRST, *is, &[protocol.number()]);
                if *is {
                    self.protocol = Some(protocol.number());
                }
            }
            Statement::IcmpType(kind) => self.equals(w, Needs::Icmp, ICMP_TYPE, &[*kind]),
            Statement::Icmpv6Type(kind) => self.equals(w, Needs::Icmpv6, ICMP_TYPE, &[*kind]),
            Statement::IcmpTooBig => self.equals(w, Needs::Icmp, ICMP_TYPE_AND_CODE, &[3, 4]),
            Statement::TransportByte { is, at, value } => {
                expression::payload_load(w, Payload::transport((*at).into(), 1), Slot::FIRST);
                expression::compare(w, Slot::FIRST, *is, &[*value]);
            }
            Statement::HopLimit255 => self.equals(w, Needs::Ipv6, HOP_LIMIT, &[u8::MAX]),
            Statement::TcpHasOptions => {
                self.need(w, Needs::Tcp);
                expression::payload_load(w, TCP_HEADER_LENGTH, Slot::FIRST);
                expression::mask(w, Slot::FIRST, &[0xf0]);
                expression::more_than(w, Slot::FIRST, &[0x50]);
            }
            Statement::EndTcpOptions => {
                expression::constant(w, Slot::FIRST, &[0]);
                expression::payload_store(w, TCP_FIRST_OPTION, Slot::FIRST);
            }
            Statement::DhcpReply => {
                // Written out in the text, and so compared whatever is known.
                self.family = false;
                self.need_family(w, NFPROTO_IPV4);
                self.equals(w, Needs::Udp, UDP_PORTS, &DHCP_REPLY);
            }
            Statement::Dhcpv6Reply => {
                self.link_local(w);
                self.equals(w, Needs::Udp, UDP_DPORT, &DHCPV6_CLIENT.to_be_bytes());
            }
            Statement::Limit(limit) => expression::limit(w, *limit),
            Statement::Counter => expression::counter(w),
            Statement::Log(prefix) => expression::log(w, prefix),
            Statement::Interface(name) => {
                expression::meta_load(w, Meta::Iifname, Slot::FIRST);
                expression::compare(w, Slot::FIRST, true, &super::elements::interface_bytes(name));
            }
            Statement::TcpFlags { equal, mask, value } => {
                self.need(w, Needs::Tcp);
                expression::payload_load(w, TCP_FLAGS, Slot::FIRST);
                expression::mask(w, Slot::FIRST, &[*mask]);
                expression::compare(w, Slot::FIRST, *equal, &[*value]);
            }
            Statement::In { key, set, member } => {
                self.key(w, key);
                let found = if *member { Found::Present } else { Found::Absent };
                expression::lookup(w, set, found);
            }
            Statement::SetPriority(number) => {
                expression::constant(w, Slot::FIRST, &number.to_ne_bytes());
                expression::meta_store(w, Meta::Priority, Slot::FIRST);
            }
            Statement::SetPriorityFrom { key, map } => {
                self.key(w, key);
                expression::lookup(w, map, Found::Into(Slot::FIRST));
                expression::meta_store(w, Meta::Priority, Slot::FIRST);
            }
            Statement::Dispatch { key, map } => {
                self.key(w, key);
                expression::lookup(w, map, Found::Verdict);
            }
            Statement::Change { operation, set, key, timeout, limit, data } => {
                self.need_all(w, key);
                if let Some(Data::Field(field)) = data {
                    self.need(w, needs(*field));
                }
                let end = load_all(w, key);
                let behind = Slot(end.0.next_multiple_of(4));
                match data {
                    Some(Data::Field(field)) => load(w, *field, behind),
                    Some(Data::Value(value)) => {
                        expression::constant(w, behind, &value_bytes(value));
                    }
                    None => {}
                }
                let timeout = timeout.map(super::milliseconds);
                let data = data.as_ref().map(|_| behind);
                expression::change(w, *operation, set, data, timeout, *limit);
            }
            Statement::SetDportZero => {
                expression::constant(w, Slot::FIRST, &[0, 0]);
                expression::payload_store(w, TH_DPORT, Slot::FIRST);
            }
            Statement::SetDportFrom { map } => {
                self.key(w, &[Field::Priority]);
                expression::lookup(w, map, Found::Into(Slot::FIRST));
                expression::payload_store(w, TH_DPORT, Slot::FIRST);
            }
            Statement::SetTimeout(name) => expression::timeout_object(w, name),
            Statement::DnatToPorts { first, last } => {
                translate(w, Translate::Destination, *first, *last);
            }
            Statement::SnatToPorts { first, last } => {
                translate(w, Translate::Source, *first, *last);
            }
            Statement::ClearFlowLabel => {
                self.need(w, Needs::Ipv6);
                expression::payload_load(w, IP6_LABEL, Slot::FIRST);
                // Half of the first byte belongs to the traffic class.
                expression::mask(w, Slot::FIRST, &[0xf0, 0, 0]);
                expression::payload_store(w, IP6_LABEL, Slot::FIRST);
            }
            Statement::Reject(how) => {
                expression::reject(w, *how);
            }
            Statement::Verdict(verdict) => expression::decide(w, verdict),
        }
    }
}

/// `NF_CT_STATE_BIT` of `enum ip_conntrack_info`, and the two states beside it.
const fn ct_bit(state: Tracking) -> u32 {
    match state {
        Tracking::Invalid => 1,
        Tracking::Established => 2,
        Tracking::Related => 4,
        Tracking::New => 8,
        Tracking::Untracked => 64,
    }
}

/// Translates to one of these ports.
fn translate(w: &mut Writer, what: Translate, first: u16, last: u16) {
    // nft takes the next of the registers of 16 bytes.
    let next = Slot(4);
    expression::constant(w, Slot::FIRST, &first.to_be_bytes());
    expression::constant(w, next, &last.to_be_bytes());
    expression::translate_port(w, what, Slot::FIRST, next);
}

/// Ends the rule unless the first slot has one of these bits.
fn any_of(w: &mut Writer, bits: u32) {
    expression::mask(w, Slot::FIRST, &bits.to_ne_bytes());
    expression::compare(w, Slot::FIRST, false, &0_u32.to_ne_bytes());
}

/// Ends the rule unless there is a socket of which this is so, or is not.
fn socket(w: &mut Writer, what: Socket, is: bool) {
    expression::socket_load(w, what, Slot::FIRST);
    expression::compare(w, Slot::FIRST, true, &[u8::from(is)]);
}

/// Loads fields one behind the other; where the next would begin.
fn load_all(w: &mut Writer, fields: &[Field]) -> Slot {
    let mut slot = Slot::FIRST;
    for &field in fields {
        load(w, field, slot);
        slot = Slot(slot.0.saturating_add(slots(field.kind())));
    }
    slot
}

fn load(w: &mut Writer, field: Field, slot: Slot) {
    match field {
        Field::IpSaddr => expression::payload_load(w, IP_SADDR, slot),
        Field::Ip6Saddr => expression::payload_load(w, IP6_SADDR, slot),
        Field::Ip6SaddrNetwork => {
            expression::payload_load(w, IP6_SADDR, slot);
            expression::mask(w, slot, &NETWORK_MASK);
        }
        Field::ThDport => expression::payload_load(w, TH_DPORT, slot),
        Field::OriginalDport => expression::ct_original_dport_load(w, slot),
        Field::L4Proto => expression::meta_load(w, Meta::L4proto, slot),
        Field::Priority => expression::meta_load(w, Meta::Priority, slot),
        Field::Iifname => expression::meta_load(w, Meta::Iifname, slot),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portcullis_firewall::ruleset::Operation;
    use portcullis_linux::netlink::message::Attributes;

    use super::*;

    /// Which registers of 4 bytes an expression that loads something writes to.
    fn written(expression: Attributes<'_>) -> Option<std::ops::Range<u32>> {
        let data = expression.within(2);
        let (register, length) = match expression.text(1)? {
            "payload" => (data.be32(1)?, data.be32(4)?),
            "meta" => (data.be32(1)?, 4),
            _ => return None,
        };
        let start = if register < 8 { (register - 1) * 4 } else { register - 8 };
        Some(start..start + length.div_ceil(4))
    }

    #[test]
    fn data_does_not_overwrite_a_long_key() {
        let change = Statement::Change {
            operation: Operation::Add,
            set: "asked",
            key: vec![Field::ThDport, Field::Ip6Saddr],
            timeout: Some(Duration::from_secs(1)),
            limit: None,
            data: Some(Data::Field(Field::Priority)),
        };
        let mut writer = Writer::new();
        rule(&mut writer, &Rule { statements: vec![change], comment: None });
        let bytes = writer.finish().unwrap();
        let registers: Vec<_> =
            Attributes(&bytes).filter_map(|it| written(Attributes(it.value))).collect();
        // The first is for the comparison with IPv6.
        assert_eq!(registers, [0..1, 0..1, 1..5, 8..9]);
    }
}
