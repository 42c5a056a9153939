//! What the iptables back ends cannot do with a policy.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use portcullis_core::automaton::Automaton;
use portcullis_core::limits;
use portcullis_core::policy::{
    Allowed, DoorId, DoorName, InterfaceName, Place, Policy, Protocol, Recogniser, Refuse,
    Severity, Stance,
};

use super::compile::{grant_list, stage_count};
use super::{AddressStore, Family};

/// From so many lists on the cost of `recent` is worth a warning.
const MANY_LISTS: usize = 32;

/// From so many allowed networks on, too: they are compared one after the other.
const MANY_NETWORKS: usize = 256;

/// Where in a configuration something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// The choice of the back end.
    Backend,
    /// How guarded ports are refused; the choice of the back end where nothing is said.
    Refuse,
    /// The allow-list as a whole.
    Allow,
    /// Who recognises the knocks of a door.
    Recogniser(DoorId),
    /// A place that every policy has.
    Policy(Place),
}

/// Something found in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub problem: Problem,
    /// Where.
    pub site: Site,
}

/// The ways in which a policy does not suit these back ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented by its message and its hint below")]
pub enum Problem {
    NoDaemon,
    Tolerates,
    FractionOfSecond,
    WildcardInterface,
    SameGrants { other: DoorName },
    TooManyStages { count: usize, store: AddressStore },
    Evicts,
    Fills,
    ManyStages { count: usize },
    ManyNetworks { count: usize },
    NamesAllowed,
    LessExact,
}

/// Everything about a policy that does not suit the iptables back end with this address store. It may be
/// used with it when none of the findings is an error, and
/// [`core`](portcullis_core::policy::check()) finds none either.
pub fn check(policy: &Policy, store: AddressStore) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |site, problem| findings.push(Finding { problem, site });
    for (index, name) in policy.gate.interfaces.iter().enumerate().take(limits::MAX_INTERFACES) {
        if is_pattern(name) {
            report(Site::Policy(Place::Interface(index)), Problem::WildcardInterface);
        }
    }
    for (index, allowed) in policy.gate.allow.iter().enumerate().take(limits::MAX_ALLOWED) {
        let problem = match allowed {
            Allowed::Host(_) => Problem::NamesAllowed,
            Allowed::Interface(name) if is_pattern(name) => Problem::WildcardInterface,
            Allowed::Interface(_) | Allowed::Network(_) => continue,
        };
        report(Site::Policy(Place::Allow(index)), problem);
    }
    let networks = policy.gate.allow.iter().filter(|it| matches!(it, Allowed::Network(_)));
    let count = networks.count();
    if store == AddressStore::Recent && count > MANY_NETWORKS {
        report(Site::Allow, Problem::ManyNetworks { count });
    }
    let mut grants: BTreeMap<String, &DoorName> = BTreeMap::new();
    for (id, door) in policy.doors().take(limits::MAX_DOORS) {
        if door.recogniser != Recogniser::Kernel {
            report(Site::Recogniser(id), Problem::NoDaemon);
        }
        if door.tolerate > 0 {
            report(Site::Policy(Place::Tolerate(id)), Problem::Tolerates);
        }
        if door.step_timeout.subsec_nanos() > 0 {
            report(Site::Policy(Place::StepTimeout(id)), Problem::FractionOfSecond);
        }
        if door.open_for.subsec_nanos() > 0 {
            report(Site::Policy(Place::OpenFor(id)), Problem::FractionOfSecond);
        }
        let list = grant_list(Family::V4, &door.name);
        if let Some(&other) = grants.get(&list) {
            if *other != door.name {
                let other = other.clone();
                report(Site::Policy(Place::Door(id)), Problem::SameGrants { other });
            }
        } else {
            grants.insert(list, &door.name);
        }
    }
    let doors = policy.doors().take(limits::MAX_DOORS);
    if let Ok(automaton) = Automaton::build(doors) {
        let count = stage_count(&automaton).saturating_add(grants.len());
        let most = most_lists(store);
        if count > most {
            report(Site::Backend, Problem::TooManyStages { count, store });
        } else if store == AddressStore::Recent && count > MANY_LISTS {
            report(Site::Backend, Problem::ManyStages { count });
        }
    }
    let mut guards = policy.doors.iter().flat_map(|door| &door.guards);
    let refuses_tcp =
        policy.gate.stance == Stance::Closed || guards.any(|port| port.protocol == Protocol::Tcp);
    if policy.gate.refuse == Refuse::LikeClosed && refuses_tcp {
        report(Site::Refuse, Problem::LessExact);
    }
    report(
        Site::Backend,
        match store {
            AddressStore::Recent => Problem::Evicts,
            AddressStore::Ipset => Problem::Fills,
        },
    );
    findings
}

/// Whether iptables takes this name for something else.
fn is_pattern(name: &InterfaceName) -> bool {
    name.as_str().ends_with('+') || name.as_str().starts_with('!')
}

const fn most_lists(store: AddressStore) -> usize {
    match store {
        AddressStore::Recent => limits::MAX_RECENT_LISTS,
        AddressStore::Ipset => limits::MAX_IPSETS,
    }
}

impl Problem {
    /// A short name that stays the same for ever, for scripts and for looking it up.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoDaemon => "backend-no-daemon",
            Self::Tolerates => "backend-tolerate",
            Self::FractionOfSecond => "backend-whole-seconds",
            Self::WildcardInterface => "backend-wildcard",
            Self::SameGrants { .. } => "backend-same-name",
            Self::TooManyStages { .. } => "backend-too-many-lists",
            Self::Evicts => "recent-evicts",
            Self::Fills => "ipset-fills",
            Self::ManyStages { .. } => "recent-slow",
            Self::ManyNetworks { .. } => "backend-many-networks",
            Self::NamesAllowed => "backend-cannot",
            Self::LessExact => "backend-less-exact",
        }
    }

    /// Whether it forbids the policy.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Evicts
            | Self::Fills
            | Self::ManyStages { .. }
            | Self::ManyNetworks { .. }
            | Self::LessExact => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// What to do about it, as one sentence without a period.
    pub fn hint(&self) -> String {
        match self {
            Self::NoDaemon => "write `recogniser = \"kernel\"` or `backend = \"nftables\"`".into(),
            Self::Tolerates => "write `tolerate = 0` or `backend = \"nftables\"`".into(),
            Self::FractionOfSecond => "write whole seconds such as `5s`".into(),
            Self::WildcardInterface => {
                "rename the interface, or write `backend = \"nftables\"`".into()
            }
            Self::SameGrants { .. } => "give one of them another name".into(),
            Self::TooManyStages { store, .. } => {
                format!("use at most {}, or write `backend = \"nftables\"`", most_lists(*store))
            }
            Self::Evicts => {
                "write `backend = \"nftables\"`, which withstands a flood together with the \
                 daemon, or `\"ipset\"`, which has room for 65,536 addresses"
                    .into()
            }
            Self::Fills => {
                "write `backend = \"nftables\"`, which withstands such a flood together with the \
                 daemon"
                    .into()
            }
            Self::ManyStages { .. } => {
                "write `backend = \"nftables\"`; its cost does not grow with the number of doors"
                    .into()
            }
            Self::ManyNetworks { .. } => {
                "write `backend = \"ipset\"` or `\"nftables\"`; they find a network in one lookup"
                    .into()
            }
            Self::NamesAllowed => {
                "write its addresses or networks, or `backend = \"nftables\"`".into()
            }
            Self::LessExact => {
                "write `backend = \"nftables\"`, where the network stack itself answers; or \
                 `refuse = \"drop\"` if this host drops all other packets"
                    .into()
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDaemon => f.write_str("the daemon cannot open doors of this back end"),
            Self::Tolerates => f.write_str("this back end cannot forgive a wrong port"),
            Self::FractionOfSecond => f.write_str("this back end counts in whole seconds"),
            Self::WildcardInterface => f.write_str("iptables treats this name as a pattern"),
            Self::SameGrants { other } => {
                write!(f, "the sets of this door and of door `{other}` would have the same name")
            }
            Self::TooManyStages { count, store } => {
                let lists = match store {
                    AddressStore::Recent => "`recent` lists",
                    AddressStore::Ipset => "sets of `ipset`",
                };
                write!(f, "the doors need {count} {lists} in each address family")
            }
            Self::Evicts => f.write_str(
                "a `recent` list holds 100 addresses, so 100 forged packets to the first knock \
                 port end the attempts of all other sources",
            ),
            Self::Fills => f.write_str(
                "65,536 forged sources fill the set of a stage, and nobody else can knock until \
                 these entries expire",
            ),
            Self::ManyStages { count } => write!(
                f,
                "the kernel searches up to {count} `recent` lists, one after the other, for each \
                 packet that may be a knock or a wrong port"
            ),
            Self::ManyNetworks { count } => {
                write!(f, "each packet is compared with up to {count} allowed networks, one by one")
            }
            Self::NamesAllowed => f.write_str(
                "host names in `allow` work only with nftables; with this back end nothing would \
                 look them up again",
            ),
            Self::LessExact => f.write_str(
                "with this back end a guarded port does not answer exactly like a closed port: its \
                 resets have type of service 0 and no flow label, and come even where other rules \
                 drop",
            ),
        }
    }
}
