//! The gate for hosts that live on iptables: the same doors as chains of `iptables` and `ip6tables`.
//!
//! A [`Policy`](portcullis_core::policy::Policy) is [compiled](compile::compile) to one [`Filter`]
//! for each address family, which is [printed](mod@text) for `iptables-restore` and `ipset restore`,
//! and [simulated](simulator). What these back ends cannot do is [refused](mod@check) beforehand.
//!
//! There is one list of source addresses for every stage of a door, kept by one of two
//! [address stores](AddressStore), and one list of those who may enter it. Everything that we make in the
//! kernel begins with [`PREFIX`]; of what belongs to others we touch one thing, the jump from `INPUT`.

use alloc::string::String;
use alloc::vec::Vec;

use portcullis_core::policy::{Network, Protocol};

use crate::ruleset::Reject;

mod base;
pub mod check;
pub mod compile;
pub mod simulator;
pub mod text;

/// What the names of all our chains and lists begin with.
pub const PREFIX: &str = "portcullis";

/// The chain that `INPUT` jumps to.
pub const INPUT: &str = "portcullis-input";

/// What remembers source addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressStore {
    /// The match `recent`: lists of 100 addresses, of which the oldest goes when another comes.
    Recent,
    /// Sets of `ipset`, which take no more addresses when they are full.
    Ipset,
}

/// An address family; `iptables` and `ip6tables` know one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];
}

/// The gate in one address family: chains of the table `filter`, and the sets that they need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Which family.
    pub family: Family,
    /// The sets of `ipset`; none with [`AddressStore::Recent`], which makes its lists by itself.
    pub sets: Vec<Set>,
    /// The chains; the first one is [`INPUT`].
    pub chains: Vec<Chain>,
}

impl Filter {
    /// The chain of this name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// How many rules there are, without the jump from `INPUT`.
    pub fn rule_count(&self) -> usize {
        self.chains.iter().map(|chain| chain.rules.len()).sum()
    }
}

/// A set of source addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name: at most 31 bytes.
    pub name: String,
    /// How many addresses or networks it takes.
    pub size: u32,
    /// What is in it.
    pub kind: SetKind,
}

/// What a set holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetKind {
    /// Addresses, each with the time when it goes.
    Sources {
        /// Seconds that an address stays which somebody adds by hand. Our rules say the time
        /// themselves.
        default_timeout: u32,
    },
    /// Always these networks, none of which has a prefix of 0, which sets cannot hold.
    Networks(Vec<Network>),
}

/// A chain of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name: at most 28 bytes.
    pub name: String,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// A rule: when all matches say yes, one after the other, the target is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// In the order of evaluation. A match that changes a list comes after all that do not.
    pub matches: Vec<Match>,
    /// None if the rule is there for what its matches do.
    pub target: Option<Target>,
    /// For whoever reads the rules: letters, digits, spaces and `-_.,:`.
    pub comment: Option<String>,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// `-i NAME`
    Interface(String),
    /// `-s NETWORK`: of the family of the filter.
    From(Network),
    /// `-m conntrack --ctstate ESTABLISHED`
    Established,
    /// `-m conntrack --ctstate RELATED`
    Related,
    /// `-m pkttype ! --pkt-type unicast`: not sent to this host alone.
    NotForHost,
    /// `-m ipv6header --soft ! --header dst,route,frag`: what rules see in it is what the network
    /// stack sees. In IPv6 only.
    ///
    /// A fragment header that is still there is taken away after the rules have been asked, and
    /// everything behind it may be another packet by then. Behind a routing header or destination
    /// options there may have been one that the reassembly for connection tracking took away
    /// (`nf_ct_frag6_reasm` of `net/ipv6/netfilter/nf_conntrack_reasm.c`, in every kernel since 3.13):
    /// it leaves the stack at the header behind it, with the number of the first header of the packet.
    /// So what calls itself a header of any other protocol is read as a routing header or as options,
    /// and the segment behind that is delivered.
    ///
    /// The match says no, too, where the headers break off, so it is asked what may go on and not what
    /// may not.
    Plain,
    /// `-p tcp`
    Protocol(Protocol),
    /// `! -p tcp`
    NotTcp,
    /// `--sport N`. A [`Match::Protocol`] comes before it.
    SourcePort(u16),
    /// `-p icmp -m icmp --icmp-type N`, or `-p ipv6-icmp -m icmp6 --icmpv6-type N`.
    IcmpType(u8),
    /// `-m hl --hl-eq 255`: it comes from the link itself. In IPv6 only.
    HopLimit255,
    /// `-m limit --limit N/second --limit-burst N`: so many packets come by here, and no more.
    Limit {
        /// So many a second.
        per_second: u32,
        /// So many at once after a while without any.
        burst: u32,
    },
    /// `--dport N`, or `-m multiport --dports` for several, at most [`text::MAX_PORTS`]. A
    /// [`Match::Protocol`] comes before it.
    Ports(Vec<u16>),
    /// `-m tcp --tcp-flags MASK VALUE`, with `!` unless `is`. A [`Match::Protocol`] comes before it.
    TcpFlags {
        /// Whether they are to be so, or not.
        is: bool,
        /// The flags that are looked at, as in byte 13 of the header.
        mask: u8,
        /// Those that are set.
        value: u8,
    },
    /// `-m recent --rcheck --seconds S --name LIST`: the source came into this list at most so many
    /// seconds ago. 0 is no limit.
    Recent {
        /// The list.
        list: String,
        /// Seconds.
        seconds: u32,
    },
    /// `-m recent --set --name LIST`: puts the source into the list, with the time of now. Always
    /// says yes.
    RecentSet(String),
    /// `-m recent --remove --name LIST`: takes the source out of the list. Says whether it was there.
    RecentRemove(String),
    /// `-m set --match-set SET src`
    InSet(String),
}

impl Match {
    /// Whether looking changes something.
    pub const fn has_side_effect(&self) -> bool {
        matches!(self, Self::RecentSet(_) | Self::RecentRemove(_) | Self::Limit { .. })
    }
}

/// What is done with a packet that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `-j RETURN`: back to the chain that jumped here; in the end to `INPUT`, whose other rules
    /// decide.
    Return,
    /// `-j LOG --log-prefix PREFIX`; goes on with the next rule.
    Log(&'static str),
    /// `-j DROP`
    Drop,
    /// `-j REJECT`
    Reject(Reject),
    /// `-g CHAIN`: on to that chain, never to come back.
    Goto(String),
    /// `-j CHAIN`: to that chain, and then on with the next rule.
    Call(String),
    /// `-j SET --add-set SET src --exist --timeout S`; goes on with the next rule.
    Add {
        /// The set.
        set: String,
        /// Seconds.
        seconds: u32,
    },
    /// `-j SET --del-set SET src`; goes on with the next rule.
    Delete(String),
}
