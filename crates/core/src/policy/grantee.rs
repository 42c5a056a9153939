//! Who can be granted anything at all.

use core::net::IpAddr;

/// Whether a grant to this address means anything: it is of somebody, and of one alone. Both
/// processes ask: the watcher, so that it never asks in vain, and the keeper, because it does not
/// trust the watcher.
pub fn may_have_grants(address: IpAddr) -> bool {
    let several = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    !(several || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_for_somebody() {
        for (address, may) in [
            ("203.0.113.7", true),
            ("2001:db8::7", true),
            ("fe80::7", true),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("::", false),
            ("ff02::1", false),
            ("::ffff:203.0.113.7", false),
        ] {
            assert_eq!(may_have_grants(address.parse().unwrap()), may, "{address}");
        }
    }
}
