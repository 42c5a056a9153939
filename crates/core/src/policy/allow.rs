//! Who needs no knock: networks, interfaces, and names of hosts.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use super::{InterfaceName, NameError};

/// An entry of the allow-list: `203.0.113.7`, `2001:db8::/32`, `admin.example.org`, or `iface:wg0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowed {
    /// All addresses of a network, or one.
    Network(Network),
    /// Whoever comes by this interface.
    Interface(InterfaceName),
    /// The addresses that this name has.
    Host(HostName),
}

/// What comes before the name of an interface.
const INTERFACE: &str = "iface:";

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Interface(name) => write!(f, "{INTERFACE}{name}"),
            Self::Host(name) => name.fmt(f),
        }
    }
}

impl FromStr for Allowed {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        if let Some(name) = text.strip_prefix(INTERFACE) {
            return InterfaceName::new(name).map(Self::Interface).map_err(AllowedError::Interface);
        }
        // No name of a host has a colon or a slash in it, or ends in a number.
        let numeric = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit());
        if text.contains([':', '/']) || text.rsplit('.').next().is_some_and(numeric) {
            return text.parse().map(Self::Network);
        }
        HostName::new(text).map(Self::Host)
    }
}

/// A network, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of the first `prefix` bits of `address`; the others must be 0.
    ///
    /// # Errors
    /// [`AllowedError::PrefixTooLong`], [`AllowedError::HostBits`], or
    /// [`AllowedError::MappedAddress`] for IPv4 in IPv6 clothes, in which no packet comes.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, AllowedError> {
        if prefix > Self::longest(address) {
            return Err(AllowedError::PrefixTooLong(Self::longest(address)));
        }
        if let IpAddr::V6(six) = address
            && six.to_ipv4_mapped().is_some()
        {
            return Err(AllowedError::MappedAddress);
        }
        let network = Self { address, prefix };
        match network.mask(address) == address {
            true => Ok(network),
            false => Err(AllowedError::HostBits(network.mask(address), prefix)),
        }
    }

    const fn longest(address: IpAddr) -> u8 {
        match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        }
    }

    /// The lowest address.
    pub const fn first(self) -> IpAddr {
        self.address
    }

    /// The highest address.
    pub fn last(self) -> IpAddr {
        match self.address {
            IpAddr::V4(four) => {
                let host = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                Ipv4Addr::from_bits(four.to_bits() | host).into()
            }
            IpAddr::V6(six) => {
                let host = u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                Ipv6Addr::from_bits(six.to_bits() | host).into()
            }
        }
    }

    /// How many bits all its addresses share: at most 32 or 128.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether it is only one address.
    pub const fn is_one(self) -> bool {
        self.prefix == Self::longest(self.address)
    }

    /// Whether an address is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && (self.first()..=self.last()).contains(&address)
    }

    fn mask(self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(four) => {
                let host = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                Ipv4Addr::from_bits(four.to_bits() & !host).into()
            }
            IpAddr::V6(six) => {
                let host = u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                Ipv6Addr::from_bits(six.to_bits() & !host).into()
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_one() {
            true => self.address.fmt(f),
            false => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

impl FromStr for Network {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| AllowedError::NotAnAddress)?;
        let prefix = match prefix {
            None => Self::longest(address),
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                let longest = Self::longest(address);
                text.parse().map_err(|_| AllowedError::PrefixTooLong(longest))?
            }
            Some(_) => return Err(AllowedError::NotAPrefix),
        };
        Self::new(address, prefix)
    }
}

/// The networks among `all` that are in no other: they are disjoint, and in the order of their
/// addresses, IPv4 first.
pub fn disjoint(all: impl IntoIterator<Item = Network>) -> Vec<Network> {
    let mut networks: Vec<Network> = all.into_iter().collect();
    // Two networks are apart, or one is in the other; the larger comes first.
    networks.sort_unstable();
    let mut kept: Vec<Network> = Vec::new();
    for network in networks {
        if !kept.last().is_some_and(|last| last.contains(network.first())) {
            kept.push(network);
        }
    }
    kept
}

/// The name of a host as the DNS has it (RFC 1123, section 2.1): labels of letters, digits and `-`, and
/// no longer than a comment of the kernel may be, beside which its addresses are kept. The last label is not a number, so that none is taken for an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

impl HostName {
    /// Longest name, in bytes.
    pub const LONGEST: usize = 127;
    const LONGEST_LABEL: usize = 63;

    /// Checks and keeps a name.
    ///
    /// # Errors
    /// [`AllowedError::NotAName`] if it is none.
    pub fn new(text: &str) -> Result<Self, AllowedError> {
        let label = |label: &str| {
            (1..=Self::LONGEST_LABEL).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
        let good = text.len() <= Self::LONGEST
            && text.split('.').all(label)
            && !text.rsplit('.').next().is_some_and(numeric);
        if good { Ok(Self(text.to_ascii_lowercase())) } else { Err(AllowedError::NotAName) }
    }

    /// The name as text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a text cannot be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedError {
    /// What stands before the slash, or alone, is no address.
    NotAnAddress,
    /// What stands behind the slash is no number.
    NotAPrefix,
    /// The prefix is longer than an address, which has this many bits.
    PrefixTooLong(u8),
    /// Bits behind the prefix are set; the network itself is this one.
    HostBits(IpAddr, u8),
    /// It is an IPv4 address in IPv6 clothes.
    MappedAddress,
    /// It is no name of a host.
    NotAName,
    /// It is no name of an interface.
    Interface(NameError),
}

impl fmt::Display for AllowedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnAddress => f.write_str("this is not an IP address"),
            Self::NotAPrefix => f.write_str("the prefix length is not a number"),
            Self::PrefixTooLong(longest) => {
                write!(f, "the prefix length is at most {longest} here")
            }
            Self::HostBits(..) => f.write_str("this is an address inside a network, not a network"),
            Self::MappedAddress => f.write_str("no packet has such an address"),
            Self::NotAName => f.write_str("this is not an address or a host name"),
            Self::Interface(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for AllowedError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn one_way_to_write_each() {
        for text in [
            "203.0.113.7",
            "203.0.113.0/24",
            "0.0.0.0/0",
            "2001:db8::1",
            "2001:db8:1::/48",
            "::/0",
            "admin.example.org",
            "localhost",
            "a-1.b",
            "iface:wg0",
        ] {
            assert_eq!(text.parse::<Allowed>().unwrap().to_string(), text);
        }
        for (text, error) in [
            ("", AllowedError::NotAName),
            ("203.0.113", AllowedError::NotAnAddress),
            ("203.0.113.256", AllowedError::NotAnAddress),
            ("203.0.113.7/", AllowedError::NotAPrefix),
            ("203.0.113.7/+8", AllowedError::NotAPrefix),
            ("203.0.113.7/33", AllowedError::PrefixTooLong(32)),
            ("203.0.113.7/999", AllowedError::PrefixTooLong(32)),
            ("203.0.113.7/24", AllowedError::HostBits([203, 0, 113, 0].into(), 24)),
            ("2001:db8::1/129", AllowedError::PrefixTooLong(128)),
            ("::ffff:203.0.113.7", AllowedError::MappedAddress),
            ("-a.example", AllowedError::NotAName),
            ("a..example", AllowedError::NotAName),
            ("a_b.example", AllowedError::NotAName),
            ("a b", AllowedError::NotAName),
            ("*.example", AllowedError::NotAName),
            ("host.example:22", AllowedError::NotAnAddress),
            ("iface:", AllowedError::Interface(NameError::Empty)),
        ] {
            assert_eq!(text.parse::<Allowed>(), Err(error), "{text}");
        }
    }

    #[test]
    fn networks_have_ends() {
        for (text, first, last) in [
            ("203.0.113.7", "203.0.113.7", "203.0.113.7"),
            ("203.0.113.0/24", "203.0.113.0", "203.0.113.255"),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("2001:db8::/127", "2001:db8::", "2001:db8::1"),
        ] {
            let network: Network = text.parse().unwrap();
            let (first, last): (IpAddr, IpAddr) = (first.parse().unwrap(), last.parse().unwrap());
            assert_eq!((network.first(), network.last()), (first, last));
            assert!(network.contains(first) && network.contains(last));
        }
        assert!(!"0.0.0.0/0".parse::<Network>().unwrap().contains("::1".parse().unwrap()));
    }

    #[test]
    fn what_is_in_another_goes() {
        let networks = |texts: &[&str]| -> Vec<Network> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let all =
            ["10.0.0.0/8", "::/0", "10.1.0.0/16", "10.0.0.0/8", "11.0.0.0/8", "10.0.0.0/9", "::1"];
        assert_eq!(disjoint(networks(&all)), networks(&["10.0.0.0/8", "11.0.0.0/8", "::/0"]));
    }
}
