//! Why a knock could not be made.

use std::fmt;
use std::io;
use std::net::IpAddr;

use portcullis_core::policy::Port;

use crate::family::Family;

/// Why a knock could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum KnockError {
    /// There is nothing to knock at.
    NoPorts,
    /// The name of the host could not be looked up.
    Unresolved {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The host has no address of the kind that is wanted.
    NoAddress {
        /// The name.
        host: String,
        /// Which kind.
        family: Family,
    },
    /// This host has no route to any of the addresses.
    NoRoute {
        /// The address that was tried last.
        address: IpAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// A knock could not be sent; those before it have been.
    Send {
        /// To which port.
        port: Port,
        /// At which address.
        address: IpAddr,
        /// What the operating system says.
        source: io::Error,
    },
}

impl fmt::Display for KnockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPorts => f.write_str("no ports to knock at"),
            Self::Unresolved { host, source } => {
                write!(f, "cannot resolve {}: {source}", host.escape_default())
            }
            Self::NoAddress { host, family } => {
                write!(f, "{} has no {family} address", host.escape_default())
            }
            Self::NoRoute { address, source } => {
                write!(f, "no route to {address}: {source}")
            }
            Self::Send { port, address, source } => {
                write!(f, "cannot knock at {port} of {address}: {source}")
            }
        }
    }
}

impl std::error::Error for KnockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unresolved { source, .. }
            | Self::NoRoute { source, .. }
            | Self::Send { source, .. } => Some(source),
            Self::NoPorts | Self::NoAddress { .. } => None,
        }
    }
}
