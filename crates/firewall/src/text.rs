//! The ruleset as nftables text, for `nft -f`.

use core::fmt;

use portcullis_core::policy::Protocol;

use crate::ruleset::{
    Chain, Data, Element, Field, HookPoint, Kind, Limit, Operation, Reject, Rule, Ruleset, Set,
    Statement, TABLE, Timeout, Type, Unit, Value, Verdict,
};

/// A script for `nft -f` that puts the table in place in one transaction, whether or not there is
/// one of its name.
impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table inet {TABLE}")?;
        writeln!(f, "delete table inet {TABLE}")?;
        writeln!(f, "table inet {TABLE} {{")?;
        writeln!(f, "\tcomment \"{}\"", self.comment)?;
        for timeout in &self.timeouts {
            writeln!(f)?;
            timeout.fmt(f)?;
        }
        for set in &self.sets {
            writeln!(f)?;
            set.fmt(f)?;
        }
        for chain in &self.chains {
            writeln!(f)?;
            chain.fmt(f)?;
        }
        writeln!(f, "}}")
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\tct timeout {} {{", self.name)?;
        writeln!(f, "\t\tprotocol tcp")?;
        writeln!(f, "\t\tl3proto inet")?;
        write!(f, "\t\tpolicy = {{ ")?;
        let mut separator = "";
        for state in Self::STATES {
            write!(f, "{separator}{state} : {}", self.seconds)?;
            separator = ", ";
        }
        writeln!(f, " }}")?;
        writeln!(f, "\t}}")
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.data.is_some() { "map" } else { "set" };
        writeln!(f, "\t{kind} {} {{", self.name)?;
        write!(f, "\t\ttype {}", List(&self.key, " . "))?;
        if let Some(data) = self.data {
            write!(f, " : {data}")?;
        }
        writeln!(f)?;
        if let Some(size) = self.size {
            writeln!(f, "\t\tsize {size}")?;
        }
        match self.kind {
            Kind::Fixed | Kind::Kept => {}
            Kind::Networks => writeln!(f, "\t\tflags interval")?,
            Kind::Dynamic => writeln!(f, "\t\tflags dynamic,timeout")?,
        }
        if !self.elements.is_empty() {
            writeln!(f, "\t\telements = {{ {} }}", List(&self.elements, ",\n\t\t\t     "))?;
        }
        writeln!(f, "\t}}")
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        List(&self.key, " . ").fmt(f)?;
        if let Some(comment) = &self.comment {
            write!(f, " comment \"{comment}\"")?;
        }
        if let Some(data) = &self.data {
            write!(f, " : {data}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\tchain {} {{", self.name)?;
        if let Some(hook) = self.hook {
            let (kind, point) = match hook.point {
                HookPoint::Prerouting => ("filter", "prerouting"),
                HookPoint::PreroutingNat => ("nat", "prerouting"),
                HookPoint::Input => ("filter", "input"),
                HookPoint::InputNat => ("nat", "input"),
                HookPoint::Postrouting => ("filter", "postrouting"),
            };
            writeln!(f, "\t\ttype {kind} hook {point} priority {}; policy accept;", hook.priority)?;
        }
        for rule in &self.rules {
            writeln!(f, "\t\t{rule}")?;
        }
        writeln!(f, "\t}}")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        List(&self.statements, " ").fmt(f)?;
        match self.comment {
            Some(comment) => write!(f, " comment \"{comment}\""),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tracked(states) => {
                f.write_str("ct state ")?;
                for (index, state) in states.iter().enumerate() {
                    write!(f, "{}{}", if index == 0 { "" } else { "," }, state.name())?;
                }
                Ok(())
            }
            Self::Translated => f.write_str("ct status dnat"),
            Self::SocketWildcard(is) => write!(f, "socket wildcard {}", u8::from(*is)),
            Self::SocketTransparent(is) => write!(f, "socket transparent {}", u8::from(*is)),
            Self::To { is, kind } => {
                write!(f, "fib daddr type {}{}", unless(*is), kind.name())
            }
            Self::IpOptions => f.write_str("ip hdrlength != 5"),
            Self::UdpChecksumZero => f.write_str("udp checksum 0"),
            Self::FromLinkLocal => f.write_str("ip6 saddr fe80::/10"),
            Self::FromLocalAddress => f.write_str("fib saddr type local"),
            Self::MoreFragments => f.write_str("frag more-fragments 1"),
            Self::ThDportAmong { first, last } => write!(f, "th dport {first}-{last}"),
            Self::ThDportZero => f.write_str("th dport 0"),
            Self::NotForHost => f.write_str("meta pkttype != host"),
            Self::FragmentHeader => f.write_str("exthdr frag exists"),
            Self::Ip6NextHeader { is, kind } => write!(f, "ip6 nexthdr {}{kind}", unless(*is)),
            Self::FragmentNextHeader(kind) => write!(f, "frag nexthdr {kind}"),
            Self::HopByHopNextHeader(kind) => write!(f, "hbh nexthdr {kind}"),
            Self::Protocol { is, protocol } => {
                write!(f, "meta l4proto {}{protocol}", unless(*is))
            }
            Self::Interface(name) => write!(f, "iifname \"{name}\""),
            Self::IcmpType(kind) => write!(f, "icmp type {kind}"),
            Self::Icmpv6Type(kind) => write!(f, "icmpv6 type {kind}"),
            Self::IcmpTooBig => f.write_str("icmp type 3 icmp code 4"),
            Self::TransportByte { is, at, value } => {
                write!(f, "@th,{},8 {}{value}", u16::from(*at) * 8, unless(*is))
            }
            Self::HopLimit255 => f.write_str("ip6 hoplimit 255"),
            Self::TcpHasOptions => f.write_str("tcp doff > 5"),
            Self::EndTcpOptions => f.write_str("@th,160,8 set 0"),
            Self::DhcpReply => f.write_str("meta nfproto ipv4 udp sport 67 udp dport 68"),
            Self::Dhcpv6Reply => f.write_str("ip6 saddr fe80::/10 udp dport 546"),
            Self::Limit(limit) => limit.fmt(f),
            Self::Counter => f.write_str("counter"),
            Self::Log(prefix) => write!(f, "log prefix \"{prefix}\""),
            Self::TcpFlags { equal, mask, value } => {
                let operator = if *equal { "==" } else { "!=" };
                write!(f, "tcp flags & ({}) {operator} {}", Flags(*mask), Flags(*value))
            }
            Self::In { key, set, member } => {
                let operator = if *member { "" } else { "!= " };
                write!(f, "{} {operator}@{set}", List(key, " . "))
            }
            Self::SetPriority(number) => write!(f, "meta priority set {}", Class(*number)),
            Self::SetPriorityFrom { key, map } => {
                write!(f, "meta priority set {} map @{map}", List(key, " . "))
            }
            Self::Dispatch { key, map } => write!(f, "{} vmap @{map}", List(key, " . ")),
            Self::Change { operation, set, key, timeout, limit, data } => {
                let operation = match operation {
                    Operation::Add => "add",
                    Operation::Update => "update",
                    Operation::Delete => "delete",
                };
                write!(f, "{operation} @{set} {{ {}", List(key, " . "))?;
                if let Some(timeout) = timeout {
                    write!(f, " timeout {}ms", timeout.as_millis())?;
                }
                if let Some(limit) = limit {
                    write!(f, " {limit}")?;
                }
                match data {
                    Some(Data::Field(field)) => write!(f, " : {field}")?,
                    Some(Data::Value(value)) => write!(f, " : {value}")?,
                    None => {}
                }
                f.write_str(" }")
            }
            Self::SetDportZero => f.write_str("th dport set 0"),
            Self::SetDportFrom { map } => {
                write!(f, "th dport set meta priority map @{map}")
            }
            Self::SetTimeout(name) => write!(f, "ct timeout set \"{name}\""),
            Self::DnatToPorts { first, last } => {
                write!(f, "dnat to :{first}-{last} fully-random")
            }
            Self::SnatToPorts { first, last } => {
                write!(f, "snat to :{first}-{last} fully-random")
            }
            Self::ClearFlowLabel => f.write_str("ip6 flowlabel set 0"),
            Self::Reject(Reject::TcpReset) => f.write_str("reject with tcp reset"),
            Self::Reject(Reject::PortUnreachable) => {
                f.write_str("reject with icmpx port-unreachable")
            }
            Self::Reject(Reject::AdminProhibited) => {
                f.write_str("reject with icmpx admin-prohibited")
            }
            Self::Verdict(verdict) => verdict.fmt(f),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = if self.over { "over " } else { "" };
        let unit = match self.per {
            Unit::Second => "second",
            Unit::Day => "day",
        };
        write!(f, "limit rate {over}{}/{unit} burst {} packets", self.rate, self.burst)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Return => f.write_str("return"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IpSaddr => "ip saddr",
            Self::Ip6Saddr => "ip6 saddr",
            Self::Ip6SaddrNetwork => "ip6 saddr & ffff:ffff:ffff:ffff::",
            Self::L4Proto => "meta l4proto",
            Self::ThDport => "th dport",
            Self::OriginalDport => "ct original proto-dst",
            Self::Priority => "meta priority",
            Self::Iifname => "iifname",
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4Addr => "ipv4_addr",
            Self::Ipv6Addr => "ipv6_addr",
            Self::InetProto => "inet_proto",
            Self::InetService => "inet_service",
            Self::Classid => "classid",
            Self::Ifname => "ifname",
            Self::Verdict => "verdict",
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(address) => address.fmt(f),
            Self::Network(network) => network.fmt(f),
            Self::Proto(Protocol::Tcp) => f.write_str("tcp"),
            Self::Proto(Protocol::Udp) => f.write_str("udp"),
            Self::Service(number) => number.fmt(f),
            Self::Class(number) => Class(*number).fmt(f),
            Self::Interface(name) => write!(f, "\"{name}\""),
            Self::Verdict(verdict) => verdict.fmt(f),
        }
    }
}

/// A number of ours, as nft writes a `classid` (tc(8), "handles").
struct Class(u32);

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{:x}", self.0 >> 16, self.0 & 0xffff)
    }
}

/// TCP flags by name.
struct Flags(u8);

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
        let set = NAMES.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0);
        let mut separator = "";
        for (_, name) in set {
            write!(f, "{separator}{name}")?;
            separator = " | ";
        }
        if separator.is_empty() { f.write_str("0x0") } else { Ok(()) }
    }
}

/// Things with something between them.
struct List<'a, T>(&'a [T], &'static str);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for item in self.0 {
            write!(f, "{separator}{item}")?;
            separator = self.1;
        }
        Ok(())
    }
}

/// What stands before a value that must not be.
const fn unless(is: bool) -> &'static str {
    if is { "" } else { "!= " }
}
