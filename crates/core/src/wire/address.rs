//! What can be told of a source from its address alone.

use core::net::IpAddr;

/// Whether the address means another host on each link (RFC 4291, section 2.5.6): a grant for it would be
/// one for strangers too.
pub const fn is_of_one_link(source: IpAddr) -> bool {
    matches!(source, IpAddr::V6(source) if source.is_unicast_link_local())
}

/// Whether somebody can be reached at this address: the kernel drops the others as martians
/// (`ip_route_input_slow` of net/ipv4/route.c; RFC 4291, section 2.5).
pub(crate) fn can_be_a_source(source: IpAddr) -> bool {
    let broadcast = matches!(source, IpAddr::V4(address) if address.is_broadcast());
    !(source.is_unspecified() || source.is_multicast() || source.is_loopback() || broadcast)
}
