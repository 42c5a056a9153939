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
//! * **As the host's kernel sees it.** A packet that the network stack drops must not count as a
//!   knock, nor as a wrong one: the recognisers in the kernel and in the daemon would disagree about
//!   who has knocked. Each check cites the RFC and the kernel function that it follows.
//! * **Plain packets only.** What IPv4 options and IPv6 extension headers make of a packet depends on
//!   settings of the host, and the stack judges those of IPv6 after the firewall. A packet that has
//!   any is [`Unreadable::Extended`]: no knock and no wrong port.
//!
//! The view of each header lives in a file of its own, always in the same order: the offsets of the
//! standard as constants or patterns, `new_checked`, accessors, tests. Once `new_checked` has
//! returned a view, its accessors cannot fail. What lies behind an IP header travels as a `Payload`,
//! which knows both how many bytes were captured and how many there were on the wire.
//!
//! What is deliberately absent:
//!
//! * **Reassembly.** A fragment is a [`Segment::Fragment`] and nothing else. No honest knock is ever
//!   fragmented, and half a header is how filters are deceived (RFC 1858, RFC 7112).
//! * **Tunnels.** A packet inside another one is for whoever ends the tunnel; it is captured on that
//!   interface.
//! * **Judgement.** Whether an address may be a source, or a port a knock, is for those who ask.
#![warn(clippy::arithmetic_side_effects)]

mod address;
mod checksum;
mod cooked;
mod ethernet;
mod ipv4;
mod ipv6;
mod payload;
mod tcp;
mod udp;
mod unreadable;
mod vlan;

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests count with small numbers of their own")]
mod differential;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests count with small numbers of their own")]
mod samples;

use core::net::IpAddr;

use checksum::Sum;
use cooked::{Cooked, CookedV2};
use ethernet::{ETHER_TYPE_IPV4, ETHER_TYPE_IPV6, Ethernet};
use ipv4::Ipv4;
use ipv6::Ipv6;
use payload::Payload;
use tcp::Tcp;
use udp::Udp;

pub(crate) use address::can_be_a_source;
pub use address::is_of_one_link;
pub use checksum::Checksum;
pub use ipv6::MAX_EXTENSION_HEADERS;
pub use tcp::TcpFlags;
pub use unreadable::Unreadable;
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

/// What was captured of a frame, and what is known about it.
#[derive(Debug, Clone, Copy)]
pub struct Captured<'a> {
    /// What its first byte belongs to.
    pub link: Link,
    /// Its first bytes.
    pub bytes: &'a [u8],
    /// How many it had on the wire: a packet that claims more is dropped by the kernel.
    pub length: usize,
    /// How far to believe the checksum of TCP and UDP.
    pub checksum: Checksum,
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

/// Reads one frame that was captured whole, as [`Captured::parse`] does.
pub fn parse(link: Link, frame: &[u8]) -> Result<Packet, Unreadable> {
    Captured::whole(link, frame).parse()
}

impl<'a> Captured<'a> {
    /// A frame of which all bytes are there, checksums too.
    pub const fn whole(link: Link, bytes: &'a [u8]) -> Self {
        Self { link, bytes, length: bytes.len(), checksum: Checksum::Verify }
    }

    /// Reads the frame. What lies behind the IP packet (Ethernet pads short frames) is ignored.
    ///
    /// # Errors
    /// Why it is no packet.
    pub fn parse(&self) -> Result<Packet, Unreadable> {
        self.read(false)
    }

    /// The same, but steps over IPv4 options and IPv6 extension headers, whatever they say.
    ///
    /// # Errors
    /// Why it is no packet.
    pub fn parse_through_extensions(&self) -> Result<Packet, Unreadable> {
        self.read(true)
    }

    fn read(&self, through_extensions: bool) -> Result<Packet, Unreadable> {
        let (ether_type, bytes) = self.untagged()?;
        let before = self.bytes.len().saturating_sub(bytes.len());
        let wire = self.length.max(self.bytes.len()).saturating_sub(before);
        match ether_type {
            ETHER_TYPE_IPV4 => {
                let view = Ipv4::new_checked(bytes, wire)?;
                if view.has_options() && !through_extensions {
                    return Err(Unreadable::Extended);
                }
                let segment = match view.contents() {
                    Some((protocol, payload)) => {
                        self.segment(protocol, payload, view.pseudo_header(), true)?
                    }
                    None => Segment::Fragment,
                };
                let (source, destination) = (view.source().into(), view.destination().into());
                Ok(Packet { source, destination, segment })
            }
            ETHER_TYPE_IPV6 => {
                let view = Ipv6::new_checked(bytes, wire)?;
                let segment = match view.contents(through_extensions)? {
                    Some((protocol, payload)) => {
                        self.segment(protocol, payload, view.pseudo_header(protocol), false)?
                    }
                    None => Segment::Fragment,
                };
                let (source, destination) = (view.source().into(), view.destination().into());
                Ok(Packet { source, destination, segment })
            }
            _ => Err(Unreadable::NotIp),
        }
    }

    /// The EtherType and the bytes behind link header and tags.
    fn untagged(&self) -> Result<(u16, &'a [u8]), Unreadable> {
        match self.link {
            Link::Ethernet => {
                let view = Ethernet::new_checked(self.bytes)?;
                vlan::untag(view.ether_type(), view.payload())
            }
            Link::Cooked => {
                let view = Cooked::new_checked(self.bytes)?;
                vlan::untag(view.protocol(), view.payload())
            }
            Link::CookedV2 => {
                let view = CookedV2::new_checked(self.bytes)?;
                vlan::untag(view.protocol(), view.payload())
            }
            Link::Raw => Ok((raw_ether_type(self.bytes)?, self.bytes)),
        }
    }

    /// Reads what an IP packet carries. UDP may do without a checksum only in IPv4.
    fn segment(
        &self,
        protocol: u8,
        payload: Payload<'_>,
        pseudo: Sum,
        is_v4: bool,
    ) -> Result<Segment, Unreadable> {
        match protocol {
            tcp::PROTOCOL => {
                let view = Tcp::new_checked(payload)?;
                checksum::verify(self.checksum, pseudo, payload, view.checksum())?;
                Ok(Segment::Tcp {
                    source_port: view.source_port(),
                    destination_port: view.destination_port(),
                    sequence: view.sequence(),
                    flags: view.flags(),
                })
            }
            udp::PROTOCOL => {
                let view = Udp::new_checked(payload)?;
                match view.checksum() {
                    0 if is_v4 => {}
                    0 if self.checksum != Checksum::Trust => return Err(Unreadable::BadChecksum),
                    field => checksum::verify(self.checksum, pseudo, payload, field)?,
                }
                Ok(Segment::Udp {
                    source_port: view.source_port(),
                    destination_port: view.destination_port(),
                })
            }
            other => Ok(Segment::Other(other)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    /// What is made of a frame that was cut to so many bytes.
    fn cut(link: Link, frame: &[u8], to: usize) -> Captured<'_> {
        let checksum = Checksum::Trust;
        Captured { link, bytes: &frame[..to], length: frame.len(), checksum }
    }

    const ALL_LINKS: [Link; 4] = [Link::Ethernet, Link::Cooked, Link::CookedV2, Link::Raw];

    #[test]
    fn a_cut_frame_gives_the_same_packet_or_none() {
        for (name, link, frame) in samples::all() {
            let whole = samples::read(link, &frame).unwrap();
            for length in 0..frame.len() {
                match cut(link, &frame, length).parse_through_extensions() {
                    Ok(cut) => assert_eq!(cut, whole, "{name} cut to {length}"),
                    Err(error) => {
                        assert_eq!(error, Unreadable::Truncated, "{name} cut to {length}")
                    }
                }
                // Where bytes are missing, nobody can know the checksum.
                let verified = Captured { checksum: Checksum::Verify, ..cut(link, &frame, length) };
                let padding_alone = name.contains("padded") && length >= frame.len() - 6;
                if let Ok(Packet { segment: Segment::Tcp { .. }, .. }) = verified.parse() {
                    assert!(padding_alone, "{name} cut to {length}");
                }
            }
        }
    }

    #[test]
    fn a_packet_that_is_longer_than_its_frame_is_refused() {
        for (name, link, frame) in samples::all() {
            let padding = if name.contains("padded") { 6 } else { 0 };
            let longest = frame.len() - padding;
            let short = Captured { length: longest - 1, ..cut(link, &frame, longest - 1) };
            let refused = short.parse_through_extensions();
            // A jumbogram has its length from the frame, and the last one nothing but its header.
            if !name.contains("jumbogram") && name != "nothing6" {
                assert_eq!(refused, Err(Unreadable::BadHeader), "{name}");
            }
        }
    }

    #[test]
    fn options_and_extension_headers_are_refused_unless_asked_for() {
        for (name, link, frame) in samples::all() {
            let has = ["options", "authentication", "jumbogram", "routing", "hop", "extensions"];
            let extended = name != "tcp4-syn-options" && has.iter().any(|word| name.contains(word))
                || name == "cooked2-udp4";
            let read = parse(link, &frame);
            assert_eq!(read == Err(Unreadable::Extended), extended, "{name}: {read:?}");
            assert_eq!(read.is_ok(), !extended, "{name}: {read:?}");
        }
    }

    #[test]
    fn a_wrong_checksum_is_refused_and_none_is_for_ipv4_alone() {
        for (name, link, frame) in samples::all() {
            let Ok(Packet { segment, .. }) = parse(link, &frame) else { continue };
            let field = match segment {
                Segment::Tcp { .. } => 4,
                Segment::Udp { .. } => 6,
                _ => continue,
            };
            let end = frame.len() - if name.contains("padded") { 6 } else { 0 };
            let options = if name == "tcp4-syn-options" { 12 } else { 0 };
            let at = if field == 4 { end - 4 - options } else { end - 6 };
            let mut wrong = frame.clone();
            wrong[at + 1] ^= 0x10;
            assert_eq!(parse(link, &wrong), Err(Unreadable::BadChecksum), "{name}");
            let mut none = frame.clone();
            none[at..at + 2].fill(0);
            let expected = match segment {
                Segment::Udp { .. } if name.contains('4') => parse(link, &frame),
                _ => Err(Unreadable::BadChecksum),
            };
            assert_eq!(parse(link, &none), expected, "{name}");
        }
    }

    #[test]
    fn padding_is_ignored() {
        for (name, link, mut frame) in samples::all() {
            if name.contains("jumbogram") {
                // Its length is that of the frame.
                continue;
            }
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
            let Packet { source, destination, segment } = samples::read(link, &frame).unwrap();
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
