//! What can go wrong with the gate, whichever back end it has.

use std::fmt;
use std::io;
use std::time::Duration;

use portcullis_linux::netlink::socket;

use crate::{Backend, Failed, nftables};

/// Why the gate could not be asked or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Nothing of ours is loaded.
    NotLoaded,
    /// nf_tables says no; or, of any back end, there is no door of this name.
    Nftables(nftables::Error),
    /// A program of iptables or ipset is not there or failed, or signals could not be held back.
    Failed(Failed),
    /// The rules of this back end ban nobody.
    NoBans(Backend),
    /// Every grant of this door is for the time that its rule says.
    FixedTime {
        /// The door.
        door: String,
        /// That time.
        time: Duration,
    },
    /// The rules of a door name no list of grants, which only somebody else can have made so.
    NoList {
        /// The door.
        door: String,
    },
    /// A list of `recent` cannot be read or changed.
    List {
        /// Its name.
        list: String,
        /// What was to be done.
        doing: &'static str,
        /// What the system said.
        error: String,
        /// The same, for programs.
        kind: io::ErrorKind,
    },
    /// A list of `recent` holds something unknown.
    ListFormat(String),
    /// A set of ipset cannot be read or changed.
    Set {
        /// Its name.
        set: String,
        /// What the kernel said.
        error: socket::Error,
    },
    /// A set of ipset takes no more addresses.
    Full {
        /// Its name.
        list: String,
    },
    /// The doors of a policy contradict each other, which a policy that was checked does not.
    Conflict,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoaded => f.write_str("the gate is not loaded"),
            Self::Nftables(error) => error.fmt(f),
            Self::Failed(failed) => failed.fmt(f),
            Self::NoBans(backend) => {
                write!(
                    f,
                    "the loaded gate has no bans: back end \"{}\" cannot count strikes",
                    backend.word()
                )
            }
            Self::FixedTime { door, time } => write!(
                f,
                "with back end \"iptables\" every grant of door {door} lasts {} seconds",
                time.as_secs()
            ),
            Self::NoList { door } => {
                write!(f, "the loaded rules of door {door} have no list of grants")
            }
            Self::List { list, doing, error, .. } => {
                write!(f, "cannot {doing} the list {list}: {error}")
            }
            Self::ListFormat(list) => write!(f, "unknown format of list {list}"),
            Self::Set { set, error } => write!(f, "cannot use the set {set}: {error}"),
            Self::Full { list } => write!(f, "{list} is full"),
            Self::Conflict => f.write_str("the doors of this configuration contradict each other"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// What to do about it, as one sentence without a period.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotLoaded => "run `portcullis apply` or `portcullis run`",
            Self::Failed(failed) => return failed.hint.clone(),
            Self::NoBans(_) => "bans need `backend = \"nftables\"` and a table `[ban]`",
            Self::FixedTime { .. } => {
                "leave out `--for`; with `backend = \"ipset\"` or \"nftables\" each grant has its own time"
            }
            Self::List { kind: io::ErrorKind::PermissionDenied, .. } => {
                "run it as root outside of containers; see `ip_list_perms` and `ip_list_uid` of \
                 the module xt_recent"
            }
            Self::List { kind: io::ErrorKind::NotFound, .. } | Self::NoList { .. } => {
                "another program has changed the rules; run `portcullis apply` to load them again"
            }
            Self::Set { error, .. } if error.errno() == Some(nix::errno::Errno::EPERM) => {
                "run it as root"
            }
            Self::Set { error, .. } if error.errno() == Some(nix::errno::Errno::ENOENT) => {
                "another program has removed the set; run `portcullis apply` to load it again"
            }
            Self::Full { .. } => {
                "wait until grants end, or revoke some: portcullis revoke DOOR ADDRESS"
            }
            Self::Nftables(_)
            | Self::List { .. }
            | Self::ListFormat(_)
            | Self::Set { .. }
            | Self::Conflict => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<nftables::Error> for Error {
    fn from(error: nftables::Error) -> Self {
        match error {
            nftables::Error::NoTable => Self::NotLoaded,
            other => Self::Nftables(other),
        }
    }
}

/// What the loader of iptables says.
impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}
