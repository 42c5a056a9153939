//! Names of ports, as this system knows them: `ssh`, `domain`.

use dns_lookup::{AddrInfoHints, SockType, getaddrinfo};
use portcullis_core::policy::{Port, Protocol};

/// The port that a service has with this protocol; otherwise the one that it has with the other,
/// since both are assigned together (RFC 6335, section 5) and the list of a system often has only one.
/// `None` where the name is not known.
pub fn port(name: &str, protocol: Protocol) -> Option<Port> {
    // A name has a letter. Without one the system would take it for a number, and turn -1 into 65535.
    if !name.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let other = match protocol {
        Protocol::Tcp => Protocol::Udp,
        Protocol::Udp => Protocol::Tcp,
    };
    let number = number(name, protocol).or_else(|| number(name, other))?;
    Port::new(protocol, number)
}

fn number(name: &str, protocol: Protocol) -> Option<u16> {
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::DGram,
    };
    let hints = AddrInfoHints { socktype: kind.into(), ..AddrInfoHints::default() };
    let found = getaddrinfo(None, Some(name), Some(hints)).ok()?.next()?.ok()?;
    Some(found.sockaddr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        for name in ["", "22", "-1", " 22", "+80", "\u{0}", "no such service", "ssh\u{0}"] {
            assert_eq!(port(name, Protocol::Tcp), None, "{name:?}");
        }
    }
}
