//! The allow-list. Its sources need no knock, and their packets never count as knocks.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use portcullis_core::limits;
use portcullis_core::policy::{Allowed, HostName, Network, Policy, disjoint};

use super::{ACCEPT, ADDRESS, Compiler, SADDR, element, fixed, rule};
use crate::ruleset::{Element, Field, Kind, Rule, Ruleset, Set, Statement, Type, Value};

/// The sets of addresses that the names in the allow-list have, for IPv4 and IPv6. The comment of an
/// element is the name that it belongs to.
pub const HOSTS: [&str; 2] = ["allow_host4", "allow_host6"];

/// The sets of the networks in the allow-list, for IPv4 and IPv6; they exist only if it has some.
pub const ALLOWED: [&str; 2] = ["allow4", "allow6"];

const INTERFACES: &str = "allow_if";

/// Names with the addresses that they have.
pub type Hosts = BTreeMap<HostName, Vec<IpAddr>>;

/// Puts the addresses of names into a ruleset. Of each name it takes as many as
/// [`MAX_ADDRESSES_PER_HOST`](limits::MAX_ADDRESSES_PER_HOST).
pub fn admit(ruleset: &mut Ruleset, hosts: &Hosts) {
    let mut seen = BTreeSet::new();
    for (name, addresses) in hosts.iter().take(limits::MAX_ALLOWED_HOSTS) {
        for address in addresses.iter().take(limits::MAX_ADDRESSES_PER_HOST) {
            let address = address.to_canonical();
            if !seen.insert(address) {
                continue;
            }
            let [four, six] = HOSTS;
            let (set, value) = match address {
                IpAddr::V4(address) => (four, Value::Ipv4(address)),
                IpAddr::V6(address) => (six, Value::Ipv6(address)),
            };
            if let Some(set) = ruleset.sets.iter_mut().find(|it| it.name == set) {
                let comment = Some(name.as_str().to_owned());
                set.elements.push(Element { key: vec![value], data: None, comment });
            }
        }
    }
}

/// The networks in the allow-list, those of both families.
pub(crate) fn networks(policy: &Policy) -> Vec<Network> {
    disjoint(policy.gate.allow.iter().filter_map(|allowed| match allowed {
        Allowed::Network(network) => Some(*network),
        Allowed::Interface(_) | Allowed::Host(_) => None,
    }))
}

/// The names of the interfaces in the allow-list.
pub(crate) fn interfaces(policy: &Policy) -> BTreeSet<&str> {
    let interfaces = policy.gate.allow.iter().filter_map(|allowed| match allowed {
        Allowed::Interface(name) => Some(name.as_str()),
        Allowed::Network(_) | Allowed::Host(_) => None,
    });
    interfaces.collect()
}

impl Compiler<'_> {
    pub(super) fn allow_sets(&self) -> Vec<Set> {
        let mut sets = Vec::new();
        let names = interfaces(self.policy).into_iter();
        let interfaces: Vec<_> =
            names.map(|name| element(vec![Value::Interface(name.to_owned())], None)).collect();
        if !interfaces.is_empty() {
            sets.push(fixed(INTERFACES, vec![Type::Ifname], None, interfaces));
        }
        let networks = networks(self.policy);
        for (four, (name, address)) in
            [true, false].into_iter().zip(ALLOWED.into_iter().zip(ADDRESS))
        {
            let own = networks.iter().filter(|network| network.first().is_ipv4() == four);
            let elements: Vec<_> = own.map(|&it| element(vec![Value::Network(it)], None)).collect();
            if !elements.is_empty() {
                let set = fixed(name, vec![address], None, elements);
                sets.push(Set { kind: Kind::Networks, ..set });
            }
        }
        if !self.policy.allowed_hosts().is_empty() {
            let most = limits::MAX_ALLOWED_HOSTS.saturating_mul(limits::MAX_ADDRESSES_PER_HOST);
            let size = Some(u32::try_from(most).unwrap_or(u32::MAX));
            for (name, address) in HOSTS.into_iter().zip(ADDRESS) {
                let set = fixed(name, vec![address], None, Vec::new());
                sets.push(Set { kind: Kind::Kept, size, ..set });
            }
        }
        sets
    }

    pub(super) fn allow(&self) -> Vec<Rule> {
        let is_in = |key, set| {
            rule([Statement::In { key: vec![key], set, member: true }, ACCEPT]).because("allowed")
        };
        let mut rules = Vec::new();
        if !interfaces(self.policy).is_empty() {
            rules.push(is_in(Field::Iifname, INTERFACES));
        }
        let networks = networks(self.policy);
        for (four, (name, saddr)) in [true, false].into_iter().zip(ALLOWED.into_iter().zip(SADDR)) {
            if networks.iter().any(|network| network.first().is_ipv4() == four) {
                rules.push(is_in(saddr, name));
            }
        }
        if !self.policy.allowed_hosts().is_empty() {
            rules.extend(SADDR.into_iter().zip(HOSTS).map(|(saddr, name)| is_in(saddr, name)));
        }
        rules
    }
}
