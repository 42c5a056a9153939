//! Checked views of frames: Ethernet, cooked, 802.1Q, IPv4, IPv6, TCP, UDP.
//!
//! [`parse`] turns the bytes of one captured frame into a [`Packet`], or says in one word why it
//! cannot. Everything it reads was written by a stranger, so this is the contract:
//!
//! * **Total.** Every input has an answer. There is no indexing that can miss and no arithmetic that
//!   can wrap: the lints below refuse both, tests cut packets at every length, and `fuzz/` does the
//!   rest. Nothing is allocated, and the work is bounded: at most [`MAX_TAGS`] tags and
//!   [`MAX_EXTENSION_HEADERS`] extension headers are stepped over.
//! * **Never more than the bytes say.** Addresses, ports and flags are copied out of the frame. A
//!   frame that was cut short gives the same packet as the whole one, or none.
//! * **As the host's kernel sees it.** A packet that the kernel drops before a rule can match it must
//!   not count as a knock, nor as a wrong one: the recognisers in the kernel and in the daemon would
//!   disagree about who has knocked. Each check cites the RFC and the kernel function that it follows.
//!
//! The view of each header lives in a file of its own, always in the same order: the offsets of the
//! standard as constants or patterns, `new_checked`, accessors, tests. Once `new_checked` has
//! returned a view, its accessors cannot fail. What lies behind an IP header travels as a `Payload`,
//! which knows both how many bytes were captured and how many there were on the wire.
//!
//! What is deliberately absent:
//!
//! * **TCP and UDP checksums.** On a capture they cannot be verified: with checksum offload the
//!   kernel hands over the host's own packets before the card fills the field in
//!   (`TP_STATUS_CSUMNOTREADY` of packet_mmap), and a snap length cuts off bytes that
//!   the sum covers. The IPv4 *header* checksum is always there, and is verified.
//! * **Reassembly.** A fragment is a [`Segment::Fragment`] and nothing else. No honest knock is ever
//!   fragmented, and half a header is how filters are deceived (RFC 1858, RFC 7112).
//! * **Tunnels.** A packet inside another one is for whoever ends the tunnel; it is captured on that
//!   interface.
//! * **Judgement.** Whether an address may be a source, or a port a knock, is for those who ask.
#![warn(clippy::arithmetic_side_effects)]

mod cooked;
mod ethernet;
mod ipv4;
mod ipv6;
mod payload;
mod tcp;
mod udp;
mod vlan;

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests count with small numbers of their own")]
mod differential;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests count with small numbers of their own")]
mod samples;

use core::fmt;
use core::net::IpAddr;

use cooked::{Cooked, CookedV2};
use ethernet::{ETHER_TYPE_IPV4, ETHER_TYPE_IPV6, Ethernet};
use ipv4::Ipv4;
use ipv6::Ipv6;
use payload::Payload;
use tcp::Tcp;
use udp::Udp;

pub use ipv6::MAX_EXTENSION_HEADERS;
pub use tcp::TcpFlags;
pub use vlan::MAX_TAGS;

/// What a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// An Ethernet header of 14 bytes (`LINKTYPE_ETHERNET`, 1).
    Ethernet,
    /// The 16-byte header that libpcap makes up for the device `any` (`LINKTYPE_LINUX_SLL`, 113).
    Cooked,
    /// Its 20-byte successor (`LINKTYPE_LINUX_SLL2`, 276).
    CookedV2,
    /// The IP header itself (`LINKTYPE_RAW`, 101): what a packet socket of type `SOCK_DGRAM` gives.
    Raw,
}

/// The part of a frame that a recogniser looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Who sent it, as far as one can tell. Of the family of the IP header: an IPv4-mapped address
    /// in an IPv6 header stays IPv6.
    pub source: IpAddr,
    /// To whom, as written in the IP header (a routing header may name others).
    pub destination: IpAddr,
    /// What is in it.
    pub segment: Segment,
}

/// What an IP packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A TCP segment (RFC 9293).
    Tcp {
        /// The port it comes from; 0 is possible.
        source_port: u16,
        /// The port it goes to; 0 is possible.
        destination_port: u16,
        /// The sequence number: a retransmitted SYN has the same.
        sequence: u32,
        /// The control bits.
        flags: TcpFlags,
    },
    /// A UDP datagram (RFC 768).
    Udp {
        /// The port it comes from; 0 is possible, and means that no answer is wanted.
        source_port: u16,
        /// The port it goes to; 0 is possible.
        destination_port: u16,
    },
    /// A part of a packet: of IPv4, more fragments follow or some went before; of IPv6, there is a
    /// fragment header and it is not that of an "atomic" fragment, which is whole (RFC 6946).
    Fragment,
    /// Something without ports: the IANA protocol number (ICMP, SCTP, ESP, no next header, …).
    Other(u8),
}

/// Why a frame is not a [`Packet`]. One that is [`NotIp`](Self::NotIp) is everyday traffic, such as
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
    /// * UDP (RFC 768; `udp_error` of nf_conntrack): the length is below 8 or beyond the IP packet.
    BadHeader,
    /// More than [`MAX_TAGS`] VLAN tags, or more than [`MAX_EXTENSION_HEADERS`] IPv6 extension
    /// headers. Legal, but a host may refuse it (RFC 8883 has an ICMPv6 error for that), and no
    /// honest sender does it.
    TooManyHeaders,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotIp => "neither IPv4 nor IPv6",
            Self::Truncated => "cut short inside a header",
            Self::BadHeader => "a header contradicts itself",
            Self::TooManyHeaders => "too many headers",
        })
    }
}

impl core::error::Error for Unreadable {}

/// Reads one frame. What lies behind the IP packet (Ethernet pads short frames) is ignored.
pub fn parse(link: Link, frame: &[u8]) -> Result<Packet, Unreadable> {
    let (ether_type, bytes) = match link {
        Link::Ethernet => {
            let view = Ethernet::new_checked(frame)?;
            vlan::untag(view.ether_type(), view.payload())?
        }
        Link::Cooked => {
            let view = Cooked::new_checked(frame)?;
            vlan::untag(view.protocol(), view.payload())?
        }
        Link::CookedV2 => {
            let view = CookedV2::new_checked(frame)?;
            vlan::untag(view.protocol(), view.payload())?
        }
        Link::Raw => (raw_ether_type(frame)?, frame),
    };
    match ether_type {
        ETHER_TYPE_IPV4 => {
            let view = Ipv4::new_checked(bytes)?;
            Ok(Packet {
                source: view.source().into(),
                destination: view.destination().into(),
                segment: segment(view.contents())?,
            })
        }
        ETHER_TYPE_IPV6 => {
            let view = Ipv6::new_checked(bytes)?;
            Ok(Packet {
                source: view.source().into(),
                destination: view.destination().into(),
                segment: segment(view.contents()?)?,
            })
        }
        _ => Err(Unreadable::NotIp),
    }
}

/// The EtherType that would stand before this IP header, by the version in its first four bits.
fn raw_ether_type(bytes: &[u8]) -> Result<u16, Unreadable> {
    match bytes.first().ok_or(Unreadable::Truncated)? >> 4 {
        4 => Ok(ETHER_TYPE_IPV4),
        6 => Ok(ETHER_TYPE_IPV6),
        _ => Err(Unreadable::NotIp),
    }
}

/// Reads what an IP packet carries: its protocol number and payload, or nothing for a fragment.
fn segment(contents: Option<(u8, Payload<'_>)>) -> Result<Segment, Unreadable> {
    let Some((protocol, payload)) = contents else { return Ok(Segment::Fragment) };
    match protocol {
        tcp::PROTOCOL => {
            let view = Tcp::new_checked(payload)?;
            Ok(Segment::Tcp {
                source_port: view.source_port(),
                destination_port: view.destination_port(),
                sequence: view.sequence(),
                flags: view.flags(),
            })
        }
        udp::PROTOCOL => {
            let view = Udp::new_checked(payload)?;
            Ok(Segment::Udp {
                source_port: view.source_port(),
                destination_port: view.destination_port(),
            })
        }
        other => Ok(Segment::Other(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    const ALL_LINKS: [Link; 4] = [Link::Ethernet, Link::Cooked, Link::CookedV2, Link::Raw];

    #[test]
    fn a_cut_frame_gives_the_same_packet_or_none() {
        for (name, link, frame) in samples::all() {
            let whole = parse(link, &frame).unwrap();
            for length in 0..frame.len() {
                match parse(link, &frame[..length]) {
                    Ok(cut) => assert_eq!(cut, whole, "{name} cut to {length}"),
                    Err(error) => {
                        assert_eq!(error, Unreadable::Truncated, "{name} cut to {length}")
                    }
                }
            }
        }
    }

    #[test]
    fn padding_is_ignored() {
        for (name, link, mut frame) in samples::all() {
            let whole = parse(link, &frame);
            frame.extend([0xff; 46]);
            assert_eq!(parse(link, &frame), whole, "{name}");
        }
    }

    #[test]
    fn no_single_wrong_byte_panics_and_none_in_an_ipv4_header_goes_unseen() {
        for (name, link, frame) in samples::all() {
            for at in 0..frame.len() {
                for wrong in 0..=u8::MAX {
                    let mut frame = frame.clone();
                    frame[at] = wrong;
                    for link in ALL_LINKS {
                        let _ = parse(link, &frame);
                    }
                }
            }
            if link == Link::Raw && frame[0] >> 4 == 4 {
                for at in 0..20 {
                    let mut frame = frame.clone();
                    frame[at] ^= 0x01;
                    let error = parse(link, &frame).unwrap_err();
                    assert!(
                        matches!(error, Unreadable::BadHeader | Unreadable::Truncated),
                        "{name} with byte {at} wrong: {error:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_link_shows_the_same_packet() {
        let raw = samples::TCP4_SYN;
        let expected = parse(Link::Raw, &raw);
        assert!(expected.is_ok());
        let headers: [(Link, &[u8]); 6] = [
            (Link::Ethernet, &samples::ETHERNET4),
            (Link::Ethernet, &samples::ETHERNET4_TAGGED),
            (Link::Ethernet, &samples::ETHERNET4_TAGGED_TWICE),
            (Link::Cooked, &samples::COOKED4),
            (Link::Cooked, &samples::COOKED4_TAGGED),
            (Link::CookedV2, &samples::COOKED_V2_4),
        ];
        for (link, header) in headers {
            let frame: Vec<u8> = header.iter().chain(&raw).copied().collect();
            assert_eq!(parse(link, &frame), expected, "{link:?}");
        }
    }

    #[test]
    fn each_broken_sample_is_refused_for_its_own_reason() {
        for (name, link, frame, reason) in samples::broken() {
            assert_eq!(parse(link, &frame), Err(reason), "{name}");
        }
    }

    #[test]
    fn samples_are_what_their_names_say() {
        for (name, link, frame) in samples::all() {
            let Packet { source, destination, segment } = parse(link, &frame).unwrap();
            assert_eq!(source.is_ipv4(), name.contains('4'), "{name}");
            assert_eq!(source, samples::source(source.is_ipv4()), "{name}");
            assert_eq!(destination, samples::destination(source.is_ipv4()), "{name}");
            let word = match segment {
                Segment::Tcp { source_port: 40000, destination_port: 7431, sequence, flags } => {
                    assert_eq!(sequence, 0x1234_5678, "{name}");
                    assert_eq!(flags.is_bare_syn(), !name.contains("ack"), "{name}");
                    "tcp"
                }
                Segment::Udp { source_port: 40000, destination_port: 29117 } => "udp",
                Segment::Fragment => "fragment",
                Segment::Other(1 | 58) => "icmp",
                Segment::Other(50) => "esp",
                Segment::Other(59) => "nothing",
                other => panic!("{name}: {other:?}"),
            };
            assert!(name.contains(word), "{name}: {segment:?}");
        }
    }

    #[test]
    fn other_traffic_is_not_ip() {
        let mut arp = samples::ETHERNET4;
        arp[12..].copy_from_slice(&[0x08, 0x06]);
        assert_eq!(parse(Link::Ethernet, &arp), Err(Unreadable::NotIp));
        // A length in place of an EtherType: IEEE 802.3, as spanning tree uses it.
        arp[12..].copy_from_slice(&[0x00, 0x26]);
        assert_eq!(parse(Link::Ethernet, &arp), Err(Unreadable::NotIp));
        assert_eq!(parse(Link::Raw, &[0x50; 60]), Err(Unreadable::NotIp));
        assert_eq!(parse(Link::Raw, &[]), Err(Unreadable::Truncated));
    }

    #[test]
    fn the_version_must_be_that_of_the_ether_type() {
        let six_as_four: Vec<u8> =
            samples::ETHERNET4.iter().chain(&samples::UDP6).copied().collect();
        assert_eq!(parse(Link::Ethernet, &six_as_four), Err(Unreadable::BadHeader));
        let mut four_as_six: Vec<u8> =
            samples::ETHERNET4.iter().chain(&samples::TCP4_SYN).copied().collect();
        four_as_six[12..14].copy_from_slice(&ETHER_TYPE_IPV6.to_be_bytes());
        assert_eq!(parse(Link::Ethernet, &four_as_six), Err(Unreadable::BadHeader));
    }

    #[test]
    fn reasons_are_said_in_words() {
        assert_eq!(Unreadable::Truncated.to_string(), "cut short inside a header");
        assert_eq!(alloc::format!("{:>22}|", Unreadable::NotIp), " neither IPv4 nor IPv6|");
    }
}
