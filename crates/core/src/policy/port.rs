//! A port of one protocol, as in `tcp/7431`.

use core::fmt;
use core::num::NonZeroU16;
use core::str::FromStr;

/// The protocols that have ports and can be knocked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// A knock is a bare SYN.
    Tcp,
    /// A knock is a datagram.
    Udp,
}

impl Protocol {
    /// The IANA protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port of one protocol, 1 to 65535. Port 0 is reserved (RFC 6335, section 6) and is never one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The number.
    pub number: NonZeroU16,
}

impl Port {
    /// The TCP port with this number; `None` for 0.
    pub const fn tcp(number: u16) -> Option<Self> {
        Self::new(Protocol::Tcp, number)
    }

    /// The UDP port with this number; `None` for 0.
    pub const fn udp(number: u16) -> Option<Self> {
        Self::new(Protocol::Udp, number)
    }

    /// The port with this number; `None` for 0.
    pub const fn new(protocol: Protocol, number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self { protocol, number }),
            None => None,
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.protocol, self.number)
    }
}

/// Why a text is not a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortError {
    /// There is no slash: the protocol is missing.
    NoProtocol,
    /// The protocol is neither `tcp` nor `udp`.
    UnknownProtocol,
    /// What follows the slash is not a decimal number.
    NotANumber,
    /// The number is 0 or above 65535.
    OutOfRange,
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoProtocol => "expected a protocol and a port, as in `tcp/22`",
            Self::UnknownProtocol => "the protocol is not `tcp` or `udp`",
            Self::NotANumber => "the port is not a decimal number",
            Self::OutOfRange => "a port is a number from 1 to 65535",
        })
    }
}

impl core::error::Error for PortError {}

impl FromStr for Port {
    type Err = PortError;

    /// Reads `tcp/22` or `udp/53`. Lower case, decimal, no sign, no spaces: one way to write each.
    fn from_str(text: &str) -> Result<Self, PortError> {
        let (protocol, number) = text.split_once('/').ok_or(PortError::NoProtocol)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(PortError::UnknownProtocol),
        };
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PortError::NotANumber);
        }
        let number = number.parse().map_err(|_| PortError::OutOfRange)?;
        Self::new(protocol, number).ok_or(PortError::OutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn one_way_to_write_each_port() {
        for text in ["tcp/1", "tcp/22", "udp/65535"] {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), text);
        }
        for (text, error) in [
            ("22", PortError::NoProtocol),
            ("", PortError::NoProtocol),
            ("TCP/22", PortError::UnknownProtocol),
            ("sctp/22", PortError::UnknownProtocol),
            ("tcp/", PortError::NotANumber),
            ("tcp/ssh", PortError::NotANumber),
            ("tcp/+22", PortError::NotANumber),
            ("tcp/-1", PortError::NotANumber),
            ("tcp/0x16", PortError::NotANumber),
            ("tcp/22/tcp", PortError::NotANumber),
            ("tcp/0", PortError::OutOfRange),
            ("tcp/65536", PortError::OutOfRange),
            ("tcp/99999999999999999999", PortError::OutOfRange),
        ] {
            assert_eq!(text.parse::<Port>(), Err(error), "{text}");
        }
    }
}
