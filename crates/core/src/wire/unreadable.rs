//! Why a frame cannot be read.

use core::fmt;

/// Why a frame is not a `Packet`. One that is [`NotIp`](Self::NotIp) is everyday traffic, such as
/// ARP; the others are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// The EtherType is neither 0x0800 nor 0x86dd (or, without link header, the version is neither
    /// 4 nor 6).
    NotIp,
    /// The capture ends inside a header that is needed. Of TCP and UDP the first 20 and 8 bytes are.
    Truncated,
    /// A header contradicts itself or the one around it, so that the kernel drops the packet:
    ///
    /// * IPv4 (RFC 791, section 3.1; `ip_rcv_core`): the version is not 4, the header length below 5
    ///   words or beyond the total length, or the header checksum wrong;
    /// * IPv6 (RFC 8200, section 4; `ip6_rcv_core`): the version is not 6, a hop-by-hop header is not
    ///   the first one, an authentication header lacks its fixed part (RFC 4302, section 2.2), or a
    ///   header does not fit into the payload length;
    /// * TCP (RFC 9293, section 3.1; `tcp_v4_rcv`): the data offset is below 5 words or beyond the IP
    ///   packet;
    /// * UDP (RFC 768; `udp_error` of nf_conntrack): the length is below 8 or not that of the IP
    ///   packet.
    ///
    /// So does an IP packet that is longer than its frame.
    BadHeader,
    /// The checksum of TCP or UDP is wrong (`tcp_v4_rcv`, `__udp4_lib_rcv`), or UDP in IPv6 has none.
    BadChecksum,
    /// It has IPv4 options or IPv6 extension headers, other than one "atomic" fragment header in
    /// front.
    Extended,
    /// More than `MAX_TAGS` VLAN tags, or where they are stepped over more than
    /// `MAX_EXTENSION_HEADERS` IPv6 extension headers. Legal, but a host may refuse it (RFC 8883
    /// has an ICMPv6 error for that), and no honest sender does it.
    TooManyHeaders,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotIp => "neither IPv4 nor IPv6",
            Self::Truncated => "cut short inside a header",
            Self::BadHeader => "a header contradicts itself",
            Self::BadChecksum => "a checksum is wrong",
            Self::Extended => "IP options or extension headers",
            Self::TooManyHeaders => "too many headers",
        })
    }
}

impl core::error::Error for Unreadable {}
