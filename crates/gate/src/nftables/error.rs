//! What can go wrong with nf_tables, in plain words.

use std::fmt;

use nix::errno::Errno;
use portcullis_core::text::plain;
use portcullis_firewall::compile::BANS;
use portcullis_firewall::ruleset::TABLE;
use portcullis_linux::netlink::socket;

/// Why the kernel does not hold what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// `CAP_NET_ADMIN` is missing.
    NotPermitted,
    /// The kernel was built without nf_tables, or its module is not there.
    NoNfTables,
    /// There is no table.
    NoTable,
    /// The loaded table has no door of this name.
    NoDoor {
        /// The name.
        name: String,
        /// Those that it has, some of them if they are many.
        known: Vec<String>,
    },
    /// The loaded rules ban nobody.
    NoBans,
    /// Another process holds the table, through the socket of this number.
    Held(u32),
    /// The kernel refused one object of a transaction, and so all of it.
    Refused {
        /// Which, e.g. "rule 3 of chain door".
        object: String,
        /// Why.
        errno: Errno,
        /// Why, in the kernel's words, if it has any.
        text: Option<String>,
    },
    /// What was read back is not what was sent.
    Mismatch(Mismatch),
    /// The kernel could not be asked, or refused something else.
    Netlink(socket::Error),
}

/// The first difference between what the kernel should hold and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Of which object.
    pub object: String,
    /// What is different.
    pub difference: String,
}

impl Mismatch {
    /// A difference.
    pub(super) fn new(object: &Object, difference: impl Into<String>) -> Self {
        Self { object: object.to_string(), difference: difference.into() }
    }
}

/// What a message is about, to say so when it is refused.
#[derive(Debug, Clone)]
pub enum Object {
    /// All of it.
    Transaction,
    /// The table.
    Table,
    /// What nft calls a stateful object, such as a `ct timeout`.
    Stateful(String),
    /// A set.
    Set(String),
    /// Elements of a set.
    Elements(String),
    /// A chain.
    Chain(String),
    /// A rule of a chain, counted from 0.
    Rule(String, usize),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transaction => f.write_str("the transaction"),
            Self::Table => write!(f, "table inet {TABLE}"),
            Self::Stateful(name) => write!(f, "object {name}"),
            Self::Set(name) => write!(f, "set {name}"),
            Self::Elements(name) => write!(f, "elements of set {name}"),
            Self::Chain(name) => write!(f, "chain {name}"),
            Self::Rule(chain, index) => write!(f, "rule {} of chain {chain}", index + 1),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.difference)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted => f.write_str("permission denied: this needs root (CAP_NET_ADMIN)"),
            Self::NoNfTables => f.write_str("this kernel does not support nf_tables"),
            Self::NoTable => f.write_str("the gate is not loaded"),
            Self::NoDoor { name, .. } => write!(f, "the loaded gate has no door {}", plain(name)),
            Self::NoBans => {
                f.write_str("the loaded gate has no bans: its configuration has no `[ban]`")
            }
            Self::Held(owner) => {
                write!(f, "another process holds table inet portcullis (netlink port {owner})")
            }
            Self::Refused { object, errno, text } => {
                write!(f, "the kernel refused {object}: {}", meaning(*errno))?;
                match text {
                    Some(text) => write!(f, " ({text})"),
                    None => Ok(()),
                }
            }
            Self::Mismatch(mismatch) => {
                write!(f, "the loaded rules are not the expected ones: {mismatch}")
            }
            Self::Netlink(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// What an error of nf_tables means; where it can mean many things, the system's own words.
fn meaning(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT => {
            "it does not exist; a module of nf_tables (e.g. nft_ct, nft_reject_inet) may be missing"
        }
        Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT => {
            "this kernel is too old for it, or built without it"
        }
        Errno::ENFILE => "the set is full",
        Errno::EEXIST => "it already exists, but is different",
        Errno::EBUSY => "it is in use",
        Errno::ERANGE => "a value is out of range",
        Errno::ERESTART => "other programs keep changing the firewall at the same time",
        Errno::ENOMEM => "out of memory",
        Errno::ELOOP => "the chains form a loop",
        Errno::EMLINK => "chains are nested too deeply",
        other => other.desc(),
    }
}

impl From<socket::Error> for Error {
    fn from(error: socket::Error) -> Self {
        match error.errno() {
            Some(Errno::EPERM | Errno::EACCES) => Self::NotPermitted,
            // No NETLINK_NETFILTER at all; or no nf_tables behind it, for which single messages get
            // EINVAL and transactions EOPNOTSUPP.
            Some(
                Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP | Errno::EINVAL,
            ) => Self::NoNfTables,
            _ => Self::Netlink(error),
        }
    }
}

impl From<Mismatch> for Error {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}

impl Error {
    /// What to do about it, in one sentence without a period.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotPermitted => "run it as root",
            Self::NoNfTables => {
                "use a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET, or `backend = \
                 \"iptables\"`"
            }
            Self::Held(_) => "stop that process first",
            Self::Mismatch(_) => {
                "another program changes table inet portcullis; stop it, then run `portcullis \
                 apply`"
            }
            Self::NoTable => "run `portcullis apply` or `portcullis run`",
            Self::NoDoor { known, .. } if known.is_empty() => {
                "run `portcullis apply` to load your configuration"
            }
            Self::NoDoor { known, .. } => {
                return Some(format!(
                    "loaded doors: {}; run `portcullis apply` to load a changed configuration",
                    known.join(", ")
                ));
            }
            Self::NoBans => "add a line `[ban]` to the configuration, then run `portcullis apply`",
            Self::Refused { errno: Errno::ENFILE, object, .. }
                if BANS
                    .iter()
                    .any(|set| *object == Object::Elements((*set).into()).to_string()) =>
            {
                "wait until bans end, or end some: portcullis unban SOURCE"
            }
            Self::Refused { errno: Errno::ENFILE, .. } => {
                "wait until grants end, or revoke some: portcullis revoke DOOR ADDRESS"
            }
            Self::Refused { .. } | Self::Netlink(_) => return None,
        };
        Some(hint.to_owned())
    }
}
