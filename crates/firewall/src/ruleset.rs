//! One nftables table as a value.
//!
//! The types hold what Portcullis needs of nftables and no more, so that each of the three readers
//! (text, netlink, simulator) can be complete. A [`Statement`] is one statement of the nft language;
//! what the language implies (that `ip saddr` is only looked at in IPv4 packets, `tcp flags` only in
//! TCP segments) is implied here too, and written out where a reader needs it.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use portcullis_core::policy::{Network, Protocol};

/// The name of the one table that is ours.
pub const TABLE: &str = "portcullis";

/// The table `inet portcullis`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// The table's comment: who made it, and from what.
    pub comment: String,
    /// For how long connection tracking remembers some connections.
    pub timeouts: Vec<Timeout>,
    /// Sets and maps, in the order of creation.
    pub sets: Vec<Set>,
    /// Chains, in the order of creation. Rules may name chains that come later.
    pub chains: Vec<Chain>,
}

impl Ruleset {
    /// The set or map of this name.
    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }

    /// The chain of this name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// How many rules there are.
    pub fn rule_count(&self) -> usize {
        self.chains.iter().map(|chain| chain.rules.len()).sum()
    }
}

/// A `ct timeout` object: connection tracking forgets a TCP connection, whatever its state, when it has
/// heard nothing of it for this long (kernel: `CONFIG_NF_CONNTRACK_TIMEOUT`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeout {
    /// Its name.
    pub name: &'static str,
    /// Seconds, at least 1.
    pub seconds: u32,
}

impl Timeout {
    /// The states that a TCP connection can have to connection tracking, as nft names them, in the
    /// order of `enum ctattr_timeout_tcp`, which begins at 1.
    pub const STATES: [&str; 11] = [
        "syn_sent",
        "syn_recv",
        "established",
        "fin_wait",
        "close_wait",
        "last_ack",
        "time_wait",
        "close",
        "syn_sent2",
        "retrans",
        "unack",
    ];
}

/// A set, or a map if it has `data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// What is looked up: one type, or several concatenated.
    pub key: Vec<Type>,
    /// What is found.
    pub data: Option<Type>,
    /// Who puts elements there.
    pub kind: Kind,
    /// Most elements; the kernel's own bound (65,536) where none is given.
    pub size: Option<u32>,
    /// The elements that it is created with.
    pub elements: Vec<Element>,
}

/// Who puts elements into a set, and of what kind they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It has the elements that it is created with, and no others.
    Fixed,
    /// The same; its elements are networks, none of them within another (`flags interval`).
    Networks,
    /// Whoever loads it replaces its elements from time to time.
    Kept,
    /// Packets may add elements, which then have a timeout (`flags dynamic,timeout`).
    Dynamic,
}

/// An element of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// One value for each type of the key.
    pub key: Vec<Value>,
    /// The value of a map.
    pub data: Option<Value>,
    /// What `nft list` shows beside it; at most 128 bytes (`NFTNL_UDATA_COMMENT_MAXLEN`).
    pub comment: Option<String>,
}

/// The types of nft that keys and data are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `ipv4_addr`
    Ipv4Addr,
    /// `ipv6_addr`
    Ipv6Addr,
    /// `inet_proto`
    InetProto,
    /// `inet_service`
    InetService,
    /// `classid`: 32 bits, which nft writes as two hexadecimal halves. Our numbers (doors, states)
    /// are of this type because the one register that a packet carries through the rules without
    /// meaning anything to the receiving side is its priority.
    Classid,
    /// `ifname`
    Ifname,
    /// `verdict`
    Verdict,
}

/// A value of one of those types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// A network of IPv4 or IPv6 addresses; only as an element of a set of networks.
    Network(Network),
    /// A protocol.
    Proto(Protocol),
    /// A port number; 0 is possible, as the port of nobody.
    Service(u16),
    /// A number of ours.
    Class(u32),
    /// The name of an interface.
    Interface(String),
    /// What to do.
    Verdict(Verdict),
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where the kernel calls it; `None` if only rules do. The policy is `accept`.
    pub hook: Option<Hook>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// Where the kernel calls a chain, and with which type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// The hook.
    pub point: HookPoint,
    /// Chains of the same hook run in ascending order of this; 0 is `filter`, -100 is `dstnat`, -300 is
    /// `raw`.
    pub priority: i32,
}

/// The hooks of netfilter that we use (`enum nf_inet_hooks`), each with the type of chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPoint {
    /// All packets that come in, before routing; a chain of type `filter`.
    Prerouting,
    /// The same; a chain of type `nat`: only the first packet of a connection meets it, and none that
    /// connection tracking calls invalid or does not track.
    PreroutingNat,
    /// Packets to this host, after routing and reassembly; a chain of type `filter`.
    Input,
    /// The same; a chain of type `nat`, which the same packets meet as [`Self::PreroutingNat`].
    InputNat,
    /// All packets that go out, their addresses and ports as they will be seen; a chain of type `filter`.
    Postrouting,
}

/// A rule: statements from left to right, until one does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its statements.
    pub statements: Vec<Statement>,
    /// What `nft list` shows behind it; at most 128 bytes.
    pub comment: Option<&'static str>,
}

/// What of a packet is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `ip saddr`; only in IPv4 packets.
    IpSaddr,
    /// `ip6 saddr`; only in IPv6 packets.
    Ip6Saddr,
    /// `ip6 saddr & ffff:ffff:ffff:ffff::`: its network of 64 bits; only in IPv6 packets, and only as a
    /// key by itself.
    Ip6SaddrNetwork,
    /// `meta l4proto`
    L4Proto,
    /// `th dport`: the destination port of whatever transport protocol it is.
    ThDport,
    /// `ct original proto-dst`: the destination port that the connection of the packet was begun with,
    /// before any translation. Only behind a [`Protocol`](Statement::Protocol).
    OriginalDport,
    /// `meta priority`: the register.
    Priority,
    /// `iifname`
    Iifname,
}

impl Field {
    /// The type of its values.
    pub const fn kind(self) -> Type {
        match self {
            Self::IpSaddr => Type::Ipv4Addr,
            Self::Ip6Saddr | Self::Ip6SaddrNetwork => Type::Ipv6Addr,
            Self::L4Proto => Type::InetProto,
            Self::ThDport | Self::OriginalDport => Type::InetService,
            Self::Priority => Type::Classid,
            Self::Iifname => Type::Ifname,
        }
    }
}

/// What the routes say of a destination (`RTN_*` of linux/rtnetlink.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// An address of this host, and of it alone.
    Local,
    /// An address of somebody else, to whom the packet is passed on.
    Unicast,
    /// All hosts of a link.
    Broadcast,
    /// Whichever host is nearest, which may be this one.
    Anycast,
    /// A group of hosts.
    Multicast,
}

impl Destination {
    /// As `nft` writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Unicast => "unicast",
            Self::Broadcast => "broadcast",
            Self::Anycast => "anycast",
            Self::Multicast => "multicast",
        }
    }
}

/// A statement of the nft language. Where it does not match, the rule ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `ct state S,…`: what connection tracking says of the packet is one of these.
    Tracked(&'static [Tracking]),
    /// `ct status dnat`: the destination of the packet's connection has been translated.
    Translated,
    /// `socket wildcard 0` or `1`: the network stack has a whole socket for the packet, and that is
    /// bound to one address (a connection, or a listener of one address), or to none (a listener of
    /// all). Neither matches without a socket, nor for a handshake that is not complete, nor for what
    /// is left of a closed connection. Kernel 5.10 (`net/netfilter/nft_socket.c`).
    SocketWildcard(bool),
    /// `socket transparent 0` or `1`: the network stack has a socket of any kind for the packet, and
    /// that is transparent or is not. One of the two matches whenever there is a socket.
    SocketTransparent(bool),
    /// `fib daddr type K` or `!= K`: what the routes say of the destination.
    To {
        /// Whether it must be of this kind or must not.
        is: bool,
        /// The kind.
        kind: Destination,
    },
    /// `ip hdrlength != 5`: there are options in the header; only in IPv4 packets.
    IpOptions,
    /// `udp checksum 0`; only in UDP datagrams.
    UdpChecksumZero,
    /// `ip6 saddr fe80::/10`: an address that means something on one link only; only in IPv6 packets.
    FromLinkLocal,
    /// `fib saddr type local`: the source is an address of this host.
    FromLocalAddress,
    /// `frag more-fragments 1`: it is a fragment, and not the last one; only in IPv6 packets.
    MoreFragments,
    /// `th dport A-B`: the destination port is one of these.
    ThDportAmong {
        /// The first one.
        first: u16,
        /// The last one.
        last: u16,
    },
    /// `th dport 0`: the destination port of whatever transport protocol it is.
    ThDportZero,
    /// `meta pkttype != host`: broadcast, multicast, and what was meant for another host.
    NotForHost,
    /// `exthdr frag exists`; only in IPv6 packets.
    FragmentHeader,
    /// `ip6 nexthdr N` or `!= N`: the kind of the header right behind the fixed one; only in IPv6
    /// packets.
    Ip6NextHeader {
        /// Whether it must be of this kind or must not.
        is: bool,
        /// The kind.
        kind: u8,
    },
    /// `frag nexthdr N`: the kind of the header behind the fragment header; only in IPv6 packets.
    FragmentNextHeader(u8),
    /// `hbh nexthdr N`: the kind of the header behind that of hop-by-hop options; only in IPv6 packets.
    HopByHopNextHeader(u8),
    /// `meta l4proto == P` or `!=`
    Protocol {
        /// Whether it must be this protocol or must not.
        is: bool,
        /// Which.
        protocol: Protocol,
    },
    /// `iifname == "X"`
    Interface(String),
    /// `icmp type N`; only in ICMP messages in IPv4 packets.
    IcmpType(u8),
    /// `icmp type 3 icmp code 4`: a packet of this host was too big (RFC 1191); only in IPv4 packets.
    IcmpTooBig,
    /// `@th,N,8 V` or `!= V`: a byte behind the network header.
    TransportByte {
        /// Whether it must have this value or must not.
        is: bool,
        /// Which byte, from 0; at most 31, as `nft` counts bits in a byte.
        at: u8,
        /// The value.
        value: u8,
    },
    /// `icmpv6 type N`; only in ICMPv6 messages in IPv6 packets.
    Icmpv6Type(u8),
    /// `ip6 hoplimit 255`: no router has passed it on; only in IPv6 packets.
    HopLimit255,
    /// `tcp doff > 5`: the header has options; only in TCP segments.
    TcpHasOptions,
    /// `@th,160,8 set 0`, behind [`Statement::TcpHasOptions`]: the options end before the first one. The checksum stays as it
    /// is, so the packet must have been verified already, as connection tracking does.
    EndTcpOptions,
    /// What a DHCP server sends to a client (RFC 2131, section 4.1).
    DhcpReply,
    /// What a DHCPv6 server or relay on the link sends to a client (RFC 8415, section 7.2).
    Dhcpv6Reply,
    /// `limit rate [over] N/UNIT burst B packets`: matches while there is some left, or when not.
    Limit(Limit),
    /// `counter`
    Counter,
    /// `log prefix "X"`: a line in the kernel's log.
    Log(&'static str),
    /// `tcp flags & mask == value`, or `!=`; only in TCP segments.
    TcpFlags {
        /// Whether they must be equal or must not.
        equal: bool,
        /// The flags that are looked at, as in byte 13 of the header.
        mask: u8,
        /// What they are compared with.
        value: u8,
    },
    /// `KEY @SET` or `KEY != @SET`
    In {
        /// What is looked up.
        key: Vec<Field>,
        /// Where.
        set: &'static str,
        /// Whether it must be in there or must not.
        member: bool,
    },
    /// `meta priority set N`
    SetPriority(u32),
    /// `meta priority set KEY map @MAP`; does not match where the map has no such key.
    SetPriorityFrom {
        /// What is looked up.
        key: Vec<Field>,
        /// Where.
        map: &'static str,
    },
    /// `KEY vmap @MAP`
    Dispatch {
        /// What is looked up.
        key: Vec<Field>,
        /// Where.
        map: &'static str,
    },
    /// `add|update|delete @SET { KEY [timeout T] [limit …] [: DATA] }`. `add` and `update` do not match
    /// when the set is full, or when the element's own limit does not; `delete` always does.
    Change {
        /// Which.
        operation: Operation,
        /// The set or map.
        set: &'static str,
        /// The key of the element.
        key: Vec<Field>,
        /// How long an added element lives. Never given with `delete`.
        timeout: Option<Duration>,
        /// A limit that each element has for itself, judged after it is there. Never given with
        /// `delete`.
        limit: Option<Limit>,
        /// The data of the element of a map. nft wants some even to delete, and ignores it then.
        data: Option<Data>,
    },
    /// `th dport set 0`, where nothing before it asks for the protocol: then the checksum stays as it
    /// is.
    SetDportZero,
    /// `th dport set meta priority map @MAP`; the same holds.
    SetDportFrom {
        /// Where the priority is looked up.
        map: &'static str,
    },
    /// `ct timeout set "NAME"`: the connection that the packet begins is remembered for as long as
    /// that object says. Only for TCP, and before connection tracking has confirmed the connection.
    SetTimeout(&'static str),
    /// `dnat to :A-B fully-random`, only in chains of type `nat` at [`HookPoint::PreroutingNat`]: the
    /// connection goes to one of these ports of the same address, and its answers come from the port
    /// that was asked. Ends the evaluation.
    DnatToPorts {
        /// The first one.
        first: u16,
        /// The last one.
        last: u16,
    },
    /// `snat to :A-B fully-random`, only at [`HookPoint::InputNat`]: to this host the connection comes
    /// from one of these ports, and its answers go to the port that it came from.
    SnatToPorts {
        /// The first one.
        first: u16,
        /// The last one.
        last: u16,
    },
    /// `ip6 flowlabel set 0`; only in IPv6 packets.
    ClearFlowLabel,
    /// `reject with ...`; ends the evaluation.
    Reject(Reject),
    /// Ends the rule, and with it the evaluation of the chain.
    Verdict(Verdict),
}

/// What connection tracking says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// It begins a connection, or belongs to one that was never answered.
    New,
    /// It belongs to a connection of which packets in both directions were seen.
    Established,
    /// Such a connection was expected because of another one, or it is an error message about one.
    Related,
    /// It belongs to none and can begin none.
    Invalid,
    /// Connection tracking was told not to look at it.
    Untracked,
}

impl Tracking {
    /// Its name in nft.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Related => "related",
            Self::Invalid => "invalid",
            Self::Untracked => "untracked",
        }
    }
}

/// How often something may happen: a bucket of `burst` packets, which fills at this rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// So many packets in each unit of time, at least 1.
    pub rate: u32,
    /// The unit.
    pub per: Unit,
    /// So many at once, at least 1.
    pub burst: u32,
    /// Matches what is too much (`over`), and not what is not.
    pub over: bool,
}

/// Units of time that nft has a word for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// One second.
    Second,
    /// 86,400 seconds.
    Day,
}

impl Unit {
    /// How long it is.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Day => 86_400,
        }
    }
}

/// What a rule may do to a dynamic set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Adds an element; where it exists, nothing changes but its timeout (and not even that).
    Add,
    /// Adds an element; where it exists, its timeout starts anew, but its data stays.
    Update,
    /// Removes an element.
    Delete,
}

/// The data of an element that a rule adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// What the packet has there.
    Field(Field),
    /// A constant.
    Value(Value),
}

/// How a packet is refused (`nft(8)`, reject statement).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// `reject with tcp reset`
    TcpReset,
    /// `reject with icmpx port-unreachable`, which nft shows as plain `reject`.
    PortUnreachable,
    /// `reject with icmpx admin-prohibited`
    AdminProhibited,
}

/// Where evaluation goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This table is done with the packet; other tables are not.
    Accept,
    /// The packet is gone.
    Drop,
    /// The named chain goes on, and does not come back.
    Goto(String),
    /// The named chain goes on; where it ends, or says [`Verdict::Return`], the rule behind this one does.
    Jump(String),
    /// Back to the rule behind the last jump; without one, the policy of the base chain.
    Return,
}
