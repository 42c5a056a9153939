//! The policy as values: which ports are guarded, how they open, and for how long.
//!
//! Nothing here knows the file it came from. [`check()`] says what is wrong with a policy and *where*
//! in terms of the policy itself ([`Place`]); whoever read the file turns that into line and column.

mod allow;
mod check;
mod grantee;
mod hook;
mod name;
mod port;
mod problem;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

pub use allow::{Allowed, AllowedError, HostName, Network, disjoint};
pub use check::{Finding, Place, check};
pub use grantee::may_have_grants;
pub use hook::{Hook, HookError, Hooks};
pub use name::{DoorName, InterfaceName, NameError};
pub use port::{Port, PortError, Protocol};
pub use problem::{Problem, Severity};

/// Everything the gate is to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// What holds for all doors.
    pub gate: GatePolicy,
    /// The doors, in the order of the file. The index of a door is its [`DoorId`].
    pub doors: Vec<Door>,
}

impl Policy {
    /// The door with this number.
    pub fn door(&self, id: DoorId) -> Option<&Door> {
        self.doors.get(id.index())
    }

    /// All doors with their numbers.
    pub fn doors(&self) -> impl Iterator<Item = (DoorId, &Door)> {
        (0u32..).map(DoorId).zip(&self.doors)
    }

    /// The names of hosts in the allow-list, each once.
    pub fn allowed_hosts(&self) -> BTreeSet<&HostName> {
        let hosts = self.gate.allow.iter().filter_map(|allowed| match allowed {
            Allowed::Host(name) => Some(name),
            Allowed::Network(_) | Allowed::Interface(_) => None,
        });
        hosts.collect()
    }

    /// The doors that this recogniser (kernel or daemon) may open.
    pub fn doors_seen_by(&self, who: Recogniser) -> impl Iterator<Item = (DoorId, &Door)> {
        self.doors().filter(move |(_, door)| door.is_seen_by(who))
    }

    /// Whether any door runs something.
    pub fn has_hooks(&self) -> bool {
        self.doors.iter().any(|door| door.hooks.is_some())
    }
}

/// What holds for the whole gate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatePolicy {
    /// How much of the host it answers for.
    pub stance: Stance,
    /// How a guarded port answers strangers; in the stance `closed`, every port that is not public.
    pub refuse: Refuse,
    /// Interfaces on which the gate stands; empty means all but loopback.
    pub interfaces: Vec<InterfaceName>,
    /// Ports whose touch never counts as a wrong knock. In the stance `closed`, the ports that
    /// anybody may use.
    pub public: Vec<Port>,
    /// Who is banned, for what and how long; `None` if nobody is.
    pub ban: Option<Ban>,
    /// Who needs no knock.
    pub allow: Vec<Allowed>,
    /// Whether the kernel logs packets that it refuses, at a bounded rate
    /// ([`limits::LOGGED_PER_SECOND`](crate::limits::LOGGED_PER_SECOND)). Only in the stance `closed`.
    pub log_refused: bool,
}

/// When a source is banned, and for how long.
///
/// A strike is a bare SYN or a datagram, for this host alone, that is refused at a guarded port, or that
/// goes to a wrong port while its source has made knocks (as the kernel recogniser sees it). One
/// connection that is tried without a grant makes a strike with each SYN that TCP sends for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ban {
    /// The strike that makes this number full bans.
    pub strikes: u32,
    /// They are counted for this long, from the first one on.
    pub within: Duration,
    /// How long a ban lasts.
    pub time: Duration,
}

impl Default for Ban {
    fn default() -> Self {
        Self { strikes: 10, within: Duration::from_secs(60), time: Duration::from_secs(3_600) }
    }
}

/// How much of the host the gate answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stance {
    /// The guarded ports; everything else is left to whatever firewall is there.
    #[default]
    Guard,
    /// All of what comes in: a whole base firewall, which refuses what it does not know.
    Closed,
}

/// How a guarded port answers those who have no grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refuse {
    /// Exactly as a port of this host with nothing behind it.
    #[default]
    LikeClosed,
    /// Not at all.
    Drop,
    /// With an ICMP "administratively prohibited": says that a firewall stands here.
    Reject,
}

impl Refuse {
    /// What is done in a stance where the configuration does not say: in each as its closed ports
    /// are, in `closed` not at all.
    pub const fn default_of(stance: Stance) -> Self {
        match stance {
            Stance::Guard => Self::LikeClosed,
            Stance::Closed => Self::Drop,
        }
    }
}

/// A named thing that can open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// Its name, unique in the policy.
    pub name: DoorName,
    /// The ports that it guards. None only if it runs something.
    pub guards: Vec<Port>,
    /// The knocks that open it, in order.
    pub sequence: Vec<Port>,
    /// Each knock must come less than this after the one before.
    pub step_timeout: Duration,
    /// How long a grant lasts.
    pub open_for: Duration,
    /// Who may recognise the sequence.
    pub recogniser: Recogniser,
    /// Wrong ports forgiven in one attempt.
    pub tolerate: u8,
    /// What it runs.
    pub hooks: Option<Hooks>,
}

impl Door {
    /// `step_timeout` where the configuration gives none.
    pub const DEFAULT_STEP_TIMEOUT: Duration = Duration::from_secs(5);
    /// `open_for` where the configuration gives none.
    pub const DEFAULT_OPEN_FOR: Duration = Duration::from_secs(30);

    /// Whether `who` (kernel or daemon) opens it. The kernel has nothing to open of a door that
    /// guards nothing.
    pub fn is_seen_by(&self, who: Recogniser) -> bool {
        self.recogniser.includes(who) && (who != Recogniser::Kernel || !self.guards.is_empty())
    }
}

/// The number of a door in its [`Policy`], from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DoorId(pub u32);

impl DoorId {
    /// As an index of [`Policy::doors`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Who sees the knock and may grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recogniser {
    /// The compiled rules alone.
    Kernel,
    /// The daemon alone.
    Daemon,
    /// Either.
    #[default]
    Both,
}

impl Recogniser {
    /// Whether a door with this recogniser is opened by `who`. `Both` includes everyone.
    pub fn includes(self, who: Self) -> bool {
        self == Self::Both || who == Self::Both || self == who
    }
}
