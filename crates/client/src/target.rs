//! Whom to knock at: from a name to one address.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use crate::KnockError;
use crate::family::Family;

/// Any port will do where none matters yet: nothing is sent to it.
const NO_PORT: u16 = 9;

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Any => "IP",
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A host to knock at: a name, or an address (IPv6 with or without brackets).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
}

impl Target {
    /// The host with this name or address.
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into() }
    }

    /// The first address, in the order of preference, that there is a way to.
    pub(crate) fn resolve(&self, family: Family) -> Result<SocketAddr, KnockError> {
        let host = &self.host;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let found = (bare, NO_PORT)
            .to_socket_addrs()
            .map_err(|source| KnockError::Unresolved { host: host.clone(), source })?;
        let mut result = Err(KnockError::NoAddress { host: host.clone(), family });
        for address in found.filter(|address| family.includes(address)) {
            match route(address) {
                Ok(()) => return Ok(address),
                Err(source) => {
                    result = Err(KnockError::NoRoute { address: address.ip(), source });
                }
            }
        }
        result
    }
}

/// Whether there is a way to the address. To connect a UDP socket sends nothing.
fn route(address: SocketAddr) -> io::Result<()> {
    UdpSocket::bind(unspecified(address))?.connect(address)
}

/// Any address of this host of the same family, and any port.
pub fn unspecified(like: SocketAddr) -> SocketAddr {
    match like {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_too() {
        for (host, expected) in
            [("127.0.0.1", "127.0.0.1:9"), ("::1", "[::1]:9"), ("[::1]", "[::1]:9")]
        {
            // A host without IPv6 has no way to ::1, but it has understood.
            match Target::new(host).resolve(Family::Any) {
                Ok(address) => assert_eq!(address.to_string(), expected),
                Err(KnockError::NoRoute { address, .. }) => {
                    assert_eq!(SocketAddr::from((address, NO_PORT)).to_string(), expected);
                }
                Err(other) => panic!("{host}: {other}"),
            }
        }
    }

    #[test]
    fn the_wrong_family_is_said_so() {
        let error = Target::new("127.0.0.1").resolve(Family::V6).unwrap_err();
        assert_eq!(error.to_string(), "127.0.0.1 has no IPv6 address");
        let error = Target::new("::1").resolve(Family::V4).unwrap_err();
        assert_eq!(error.to_string(), "::1 has no IPv4 address");
    }

    #[test]
    fn what_is_not_found_is_printed_safely() {
        let error = Target::new("\x1b[31mred").resolve(Family::Any).unwrap_err();
        assert!(matches!(error, KnockError::Unresolved { .. }));
        assert!(!error.to_string().contains('\x1b'));
    }
}
