//! Whether packets arrive where the gate stands.
//!
//! Rules match the name of the interface that a packet arrives on, as the input hook sees it. That is
//! the bridge, bond or VRF and not its member (`br_pass_frame_up`, `bond_handle_frame`, `vrf_ip_rcv`
//! and `vrf_ip6_rcv` set `skb->dev`), and the VLAN or macvlan and not the interface below it. A gate on
//! the wrong one of the two guards nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;

use portcullis_core::policy::{Allowed, GatePolicy};

/// Kinds of interface that take packets of the one that they were made on. (Ends of a cable and
/// tunnels have an interface below them too, but take none of its own packets away.)
const ON_TOP: [&str; 8] =
    ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec", "dsa", "ipoib"];

/// What the ports and the device of Open vSwitch are called.
const OPEN_VSWITCH: &str = "openvswitch";

/// Masters that are followed; more are a circle.
const DEEPEST: usize = 8;

/// An interface of a host.
#[derive(Debug, Clone, Default)]
pub struct Interface {
    /// Its number, which it keeps when it is renamed.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its other names, which no rule knows.
    pub other_names: Vec<String>,
    /// Whether it can be used.
    pub up: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What its driver calls it: `bridge`, `vlan`, `macvlan`.
    pub kind: Option<String>,
    /// The number of the bridge, bond or VRF that takes its packets.
    pub master: Option<u32>,
    /// What the master's driver calls it.
    pub member_kind: Option<String>,
    /// The number of the interface that it was made on.
    pub link: Option<u32>,
}

/// A named interface on which no packet for this host arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blind {
    /// Which of the configuration's interfaces.
    pub place: usize,
    /// Its name.
    pub name: String,
    /// Why.
    pub why: Why,
    /// What to name in place of all the interfaces that are named; empty if nobody knows.
    pub instead: Vec<String>,
}

/// Why no packet arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// There is no such interface.
    Missing,
    /// It is not the name that rules match.
    OtherName(String),
    /// Packets arrive on its master.
    Member {
        /// What it is, in words.
        role: &'static str,
        /// The master.
        master: String,
    },
    /// It has no address, and one on top of it has.
    Below {
        /// The one on top.
        top: String,
        /// Its address.
        address: IpAddr,
    },
    /// No named interface has an address, and another one has.
    NoAddress {
        /// The other one.
        other: String,
        /// Its address.
        address: IpAddr,
    },
}

impl Why {
    /// The code of this finding.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "interface-missing",
            Self::OtherName(_) => "interface-other-name",
            Self::Member { .. } => "interface-member",
            Self::Below { .. } => "interface-below",
            Self::NoAddress { .. } => "interface-no-address",
        }
    }
}

impl Blind {
    /// What is wrong, as one sentence.
    pub fn message(&self) -> String {
        let name = &self.name;
        match &self.why {
            Why::Missing => format!("this host has no interface `{name}`"),
            Why::OtherName(first) => format!(
                "`{name}` is an alternative name of `{first}`, but rules match only `{first}`, so \
                 the gate sees no packets"
            ),
            Why::Member { role, master } => {
                format!("`{name}` is {role} `{master}`, so the gate sees no packets there")
            }
            Why::Below { top, address } => format!(
                "`{name}` has no address, but `{top}` on top of it has {address}; packets arrive \
                 on `{top}`, where the gate is not active"
            ),
            Why::NoAddress { other, address } => format!(
                "`{name}` has no address, but `{other}` has {address}; packets arrive on \
                 `{other}`, where the gate is not active"
            ),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match (&self.why, self.instead.as_slice()) {
            (Why::Missing, _) => {
                "check the name with `ip link`; `apply` and `run` refuse this until the interface \
                 is there"
                    .to_owned()
            }
            (_, []) => "write the interface that has the address of this host; `ip address` shows \
                        it"
            .to_owned(),
            (_, names) => format!("write {}", line(names)),
        }
    }

    /// Whether the guarded ports stand open for as long as this is so, and not only perhaps.
    pub const fn is_certain(&self) -> bool {
        match self.why {
            Why::OtherName(_) | Why::Member { .. } | Why::Below { .. } => true,
            Why::Missing | Why::NoAddress { .. } => false,
        }
    }
}

/// The line of the configuration that names these.
fn line(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("`interfaces = [{}]`", names.join(", "))
}

/// A named interface beside which packets arrive on another one, which is not named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Which of the configuration's interfaces.
    pub place: usize,
    /// Its name.
    pub name: String,
    /// The other one, which was made on it.
    pub top: String,
    /// The other one's address.
    pub address: IpAddr,
}

/// The interfaces of a host, beside those that a gate names.
#[derive(Debug, Clone, Copy)]
pub struct Topology<'a> {
    gate: &'a GatePolicy,
    interfaces: &'a [Interface],
}

impl<'a> Topology<'a> {
    /// Of this gate on this host.
    pub const fn new(gate: &'a GatePolicy, interfaces: &'a [Interface]) -> Self {
        Self { gate, interfaces }
    }

    /// The named interfaces on which no packet arrives. A gate that names none stands on all.
    pub fn blind(self) -> Vec<Blind> {
        let named = || self.gate.interfaces.iter().enumerate();
        let found: Vec<Blind> = named()
            .filter_map(|(place, name)| {
                let (why, arrivals) = self.why(name.as_str())?;
                let instead = if arrivals.is_empty() { Vec::new() } else { self.advice() };
                Some(Blind { place, name: name.as_str().to_owned(), why, instead })
            })
            .collect();
        if found.is_empty() { self.nowhere().into_iter().collect() } else { found }
    }

    /// Whether packets arrive on some interface that is named, or will once it has an address, which
    /// at boot may come a moment later.
    pub fn may_see(self) -> bool {
        let named = &self.gate.interfaces;
        let may_see = |name: &str| {
            let why = self.why(name);
            why.is_none_or(|(why, _)| matches!(why, Why::Below { .. }))
        };
        named.is_empty() || named.iter().any(|name| may_see(name.as_str()))
    }

    /// Members that are named together with their masters: the rules see nothing on them, and who
    /// captures there sees each packet twice.
    pub fn superfluous(self) -> Vec<(usize, &'a str)> {
        let named = self.gate.interfaces.iter().enumerate();
        named
            .filter_map(|(place, name)| {
                let member = self.find(name.as_str())?;
                let master = self.last_master(member)?;
                // The older kernels among ours keep link-local packets on the member of a VRF.
                let counts = self.is_named(&master.name) && !is(&master.kind, "vrf");
                counts.then_some((place, master.name.as_str()))
            })
            .collect()
    }

    /// Interfaces on top of named ones that have an address and are not named, although the named
    /// one sees packets too.
    pub fn beside(self) -> Vec<Beside> {
        let mut found = Vec::new();
        for (place, name) in self.gate.interfaces.iter().enumerate() {
            let Some(below) = self.find(name.as_str()) else { continue };
            if self.why(name.as_str()).is_some() {
                continue;
            }
            for top in self.above(below) {
                if self.is_arrival(below, top)
                    && !self.is_known(top)
                    && let Some(address) = address(top)
                {
                    let (name, top) = (name.as_str().to_owned(), top.name.clone());
                    found.push(Beside { place, name, top, address });
                }
            }
        }
        found
    }

    /// Why no packet arrives on the interface of this name, and where they do.
    fn why(self, name: &str) -> Option<(Why, Vec<&'a Interface>)> {
        let Some(interface) = self.find(name) else {
            let other = |at: &&Interface| at.other_names.iter().any(|other| other == name);
            return Some(match self.interfaces.iter().find(other) {
                Some(first) => (Why::OtherName(first.name.clone()), vec![first]),
                None => (Why::Missing, Vec::new()),
            });
        };
        let above = self.above(interface);
        let mut arrivals: Vec<_> =
            above.iter().copied().filter(|at| self.is_arrival(interface, at)).collect();
        let is_known = arrivals.iter().any(|at| self.is_known(at));
        if let Some(master) = self.last_master(interface) {
            // Packets to the master's own addresses arrive there, and no others can be meant by its name.
            let is_itself = address(master).is_some() || is(&master.kind, "vrf");
            if self.is_known(master) || (is_known && !is_itself) {
                return None;
            }
            if !is(&interface.member_kind, OPEN_VSWITCH) {
                arrivals.retain(|at| at.index != master.index);
                arrivals.insert(0, master);
            }
            let role = role(interface.member_kind.as_deref());
            return Some((Why::Member { role, master: master.name.clone() }, arrivals));
        }
        if is_known || address(interface).is_some() {
            return None;
        }
        let top = arrivals.first()?.name.clone();
        let address = arrivals.iter().chain(&above).find_map(|at| address(at))?;
        // A neighbour can send to the interface below too, for any address of this host.
        arrivals.insert(0, interface);
        Some((Why::Below { top, address }, arrivals))
    }

    /// Whether packets that come in by an interface below arrive on this one.
    fn is_arrival(self, below: &Interface, above: &Interface) -> bool {
        let is_last = above.master.is_none() && address(above).is_some();
        above.index != below.index && (is_last || is(&above.kind, "vrf"))
    }

    /// An interface, its masters and those that were made on it, and theirs.
    fn above(self, interface: &'a Interface) -> Vec<&'a Interface> {
        let mut found = vec![interface];
        let mut known = BTreeSet::from([interface.index]);
        let mut next = 0;
        while let Some(below) = found.get(next).copied() {
            next = next.saturating_add(1);
            let is_above = |at: &&Interface| {
                let is_on_top = at.kind.as_deref().is_some_and(|kind| ON_TOP.contains(&kind));
                below.master == Some(at.index)
                    || (is_on_top && at.link == Some(below.index))
                    // The device that its ports belong to takes no packet: other ports do.
                    || (is(&below.member_kind, OPEN_VSWITCH) && is(&at.kind, OPEN_VSWITCH))
            };
            found.extend(
                self.interfaces.iter().filter(is_above).filter(|at| known.insert(at.index)),
            );
        }
        found
    }

    /// The master of the master, and so on.
    fn last_master(self, member: &Interface) -> Option<&'a Interface> {
        let mut last = self.master(member)?;
        for _ in 0..DEEPEST {
            match self.master(last) {
                Some(master) => last = master,
                None => break,
            }
        }
        Some(last)
    }

    /// All are there, and none has an address.
    fn nowhere(self) -> Option<Blind> {
        let sees = |name: &str| {
            self.find(name).is_none_or(|at| address(at).is_some() || is(&at.kind, "vrf"))
        };
        let first = self.gate.interfaces.first()?;
        if self.gate.interfaces.iter().any(|name| sees(name.as_str())) {
            return None;
        }
        // Addresses of a dummy are there to be reached by way of others.
        let is_other = |at: &&Interface| {
            at.up && at.name != "lo" && !is(&at.kind, "dummy") && !self.is_known(at)
        };
        let mut others = self.interfaces.iter().filter(is_other);
        let (other, address) = others.find_map(|at| Some((at, address(at)?)))?;
        let why = Why::NoAddress { other: other.name.clone(), address };
        let instead = vec![other.name.clone()];
        Some(Blind { place: 0, name: first.as_str().to_owned(), why, instead })
    }

    /// What the configuration should name.
    fn advice(self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for named in &self.gate.interfaces {
            let these = match self.why(named.as_str()) {
                None | Some((Why::Missing, _)) => vec![named.as_str()],
                Some((_, arrivals)) => arrivals.iter().map(|at| at.name.as_str()).collect(),
            };
            for name in these {
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
        }
        names
    }

    fn find(self, name: &str) -> Option<&'a Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    fn master(self, member: &Interface) -> Option<&'a Interface> {
        let master = member.master?;
        self.interfaces.iter().find(|interface| interface.index == master)
    }

    fn is_named(self, name: &str) -> bool {
        self.gate.interfaces.iter().any(|named| named.as_str() == name)
    }

    /// Whether the configuration says what becomes of packets that arrive here.
    pub fn is_known(self, interface: &Interface) -> bool {
        let name = interface.name.as_str();
        let is_allowed =
            |allowed: &Allowed| matches!(allowed, Allowed::Interface(at) if at.as_str() == name);
        self.is_named(name) || self.gate.allow.iter().any(is_allowed)
    }
}

fn is(kind: &Option<String>, name: &str) -> bool {
    kind.as_deref() == Some(name)
}

/// An address at which others than its neighbours reach it: every interface that is up has a
/// link-local one.
fn address(interface: &Interface) -> Option<IpAddr> {
    let is_link_local = |at: &IpAddr| matches!(at, IpAddr::V6(at) if at.is_unicast_link_local());
    interface.addresses.iter().find(|at| !is_link_local(at)).copied()
}

const fn role(kind: Option<&str>) -> &'static str {
    let Some(kind) = kind else { return "a member of" };
    match kind.as_bytes() {
        b"bridge" => "a port of the bridge",
        b"bond" => "a member of the bond",
        b"team" => "a member of the team",
        b"vrf" => "a member of the VRF",
        b"openvswitch" => "a port of Open vSwitch, the device of which is",
        _ => "a member of",
    }
}

#[cfg(test)]
#[path = "topology/tests.rs"]
mod tests;
