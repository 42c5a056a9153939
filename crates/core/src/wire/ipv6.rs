//! IPv6 (RFC 8200, sections 3 and 4), checked as `ip6_rcv_core` of net/ipv6/ip6_input.c does, with
//! its extension headers stepped over as `ipv6_find_hdr` does for nftables.

use core::net::Ipv6Addr;

use super::checksum::Sum;
use super::payload::Payload;
use super::unreadable::Unreadable;

/// Most extension headers before the transport header. RFC 8200, section 4.1 asks senders for each
/// kind once and destination options twice, which makes six of those that are stepped over here.
pub const MAX_EXTENSION_HEADERS: u8 = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// The fragment offset and the bit `M` in bytes 2 and 3 of a fragment header; the other two bits are
/// reserved. All zero: an atomic fragment, which is a whole packet (RFC 6946, `ipv6_frag_rcv`).
const OFFSET_AND_MORE: u16 = 0xfff9;

/// A view of an IPv6 packet.
#[derive(Debug)]
pub(super) struct Ipv6<'a> {
    source: &'a [u8; 16],
    destination: &'a [u8; 16],
    next_header: u8,
    payload: Payload<'a>,
}

impl<'a> Ipv6<'a> {
    /// The view, if the fixed header is there and its payload no longer than what followed on the
    /// wire, which is `wire` bytes with this header.
    pub(super) fn new_checked(bytes: &'a [u8], wire: usize) -> Result<Self, Unreadable> {
        // Version, traffic class and flow label (4 bytes), payload length (2), next header, hop
        // limit, and the two addresses.
        let (fixed, rest) = bytes.split_first_chunk::<8>().ok_or(Unreadable::Truncated)?;
        let (source, rest) = rest.split_first_chunk().ok_or(Unreadable::Truncated)?;
        let (destination, rest) = rest.split_first_chunk().ok_or(Unreadable::Truncated)?;
        let [version, _, _, _, high, low, next_header, _] = *fixed;
        if version >> 4 != 6 {
            return Err(Unreadable::BadHeader);
        }
        let wire = wire.saturating_sub(40);
        let length = match (u16::from_be_bytes([high, low]), next_header) {
            // A jumbogram (RFC 2675): an option has the length, beyond 65,535. It is met where the
            // kernel joins or splits segments itself; as in the kernel, nothing is then cut off.
            (0, HOP_BY_HOP) => wire,
            (length, _) => usize::from(length),
        };
        let payload = Payload::new(rest, length, wire)?;
        Ok(Self { source, destination, next_header, payload })
    }

    /// The address it claims to come from.
    pub(super) fn source(&self) -> Ipv6Addr {
        Ipv6Addr::from(*self.source)
    }

    /// The sum of the pseudo-header, but for the length, of what has this protocol number.
    pub(super) fn pseudo_header(&self, protocol: u8) -> Sum {
        Sum::of_pseudo_header(self.source, self.destination, protocol)
    }

    /// The address it goes to.
    pub(super) fn destination(&self) -> Ipv6Addr {
        Ipv6Addr::from(*self.destination)
    }

    /// The number of the first header that is no extension header, and what begins there; nothing of
    /// a fragment. ESP (50) hides what follows, and 59 says that nothing does: both end the walk as
    /// any protocol without ports. What options and routing headers *say* is not judged.
    ///
    /// Where extension headers are not `stepped_over`, all are refused but an atomic fragment header
    /// in front: the kernel removes that one before the firewall sees the packet
    /// (`nf_ct_frag6_gather`), and looks at all others after it.
    pub(super) fn contents(
        &self,
        stepped_over: bool,
    ) -> Result<Option<(u8, Payload<'a>)>, Unreadable> {
        let (mut number, mut rest) = (self.next_header, self.payload);
        for position in 0..=MAX_EXTENSION_HEADERS {
            if !is_extension(number) {
                return Ok(Some((number, rest)));
            }
            if !stepped_over && (number, position) != (FRAGMENT, 0) {
                return Err(Unreadable::Extended);
            }
            // Only the fixed header may be followed by hop-by-hop options (RFC 8200, section 4.1);
            // the kernel has no handler for them elsewhere.
            if number == HOP_BY_HOP && position > 0 {
                return Err(Unreadable::BadHeader);
            }
            if position == MAX_EXTENSION_HEADERS {
                break;
            }
            // All are 8 bytes or more, and begin with the next header's number and their length.
            let &[next, length, high, low, ..] = rest.header::<8>()?;
            let size = match number {
                FRAGMENT if u16::from_be_bytes([high, low]) & OFFSET_AND_MORE != 0 => {
                    return Ok(None);
                }
                FRAGMENT => 8,
                // 12 bytes are fixed (RFC 4302, section 2.2), so that 0 is too little.
                AUTHENTICATION if length == 0 => return Err(Unreadable::BadHeader),
                AUTHENTICATION => usize::from(length).saturating_add(2).saturating_mul(4),
                _ => usize::from(length).saturating_add(1).saturating_mul(8),
            };
            rest = rest.skip(size)?;
            number = next;
        }
        Err(Unreadable::TooManyHeaders)
    }
}

const fn is_extension(number: u8) -> bool {
    matches!(number, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use alloc::vec::Vec;

    /// An IPv6 packet with this behind its fixed header.
    fn packet(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = samples::UDP6[..40].to_vec();
        packet[4..6].copy_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        packet[6] = next_header;
        packet.extend(payload);
        packet
    }

    /// The protocol number and the length behind the extension headers.
    fn end(packet: &[u8]) -> Result<Option<(u8, usize)>, Unreadable> {
        cut(packet, packet.len())
    }

    /// The same of a packet of which not all is there.
    fn cut(packet: &[u8], wire: usize) -> Result<Option<(u8, usize)>, Unreadable> {
        let contents = Ipv6::new_checked(packet, wire)?.contents(true)?;
        Ok(contents.map(|(number, payload)| (number, payload.length())))
    }

    #[test]
    fn reads_addresses_and_protocol() {
        let view = Ipv6::new_checked(&samples::UDP6, 52).unwrap();
        assert_eq!(view.source(), "2001:db8::7".parse::<Ipv6Addr>().unwrap());
        assert_eq!(view.destination(), "2001:db8:1::1".parse::<Ipv6Addr>().unwrap());
        assert_eq!(end(&samples::UDP6), Ok(Some((17, 12))));
        let mut wrong = samples::UDP6;
        wrong[0] = 0x40;
        assert_eq!(end(&wrong), Err(Unreadable::BadHeader));
        assert_eq!(cut(&samples::UDP6[..39], 52), Err(Unreadable::Truncated));
    }

    #[test]
    fn each_extension_header_has_its_own_way_to_say_its_length() {
        for (what, number, header) in [
            ("hop-by-hop", 0, &[17, 1, 5, 2, 0, 0, 1, 10, 0, 0, 0, 0, 0, 0, 0, 0][..]),
            ("routing", 43, &[17, 0, 4, 0, 0, 0, 0, 0]),
            ("destination options", 60, &[17, 0, 1, 4, 0, 0, 0, 0]),
            ("atomic fragment", 44, &[17, 255, 0, 6, 0, 0, 0, 1]),
            ("authentication", 51, &[17, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9]),
        ] {
            let payload: Vec<u8> = header.iter().chain(&[0; 12]).copied().collect();
            let mut packet = packet(number, &payload);
            assert_eq!(end(&packet), Ok(Some((17, 12))), "{what}");

            // One unit too long for the packet, and one byte too short in the capture.
            let last = 40 + header.len() - 1;
            assert_eq!(cut(&packet[..last], packet.len()), Err(Unreadable::Truncated), "{what}");
            assert_eq!(end(&packet[..last]), Err(Unreadable::BadHeader), "{what}");
            if number != FRAGMENT {
                packet[41] = 255;
                assert_eq!(end(&packet), Err(Unreadable::BadHeader), "{what}");
            }
        }
        let no_room_for_its_fixed_part = packet(51, &[17, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(end(&no_room_for_its_fixed_part), Err(Unreadable::BadHeader));
    }

    #[test]
    fn fragments_are_fragments_unless_they_are_whole() {
        for (bits, whole) in
            [(0u16, true), (6, true), (1, false), (8, false), (0xfff8, false), (0xfff9, false)]
        {
            let [high, low] = bits.to_be_bytes();
            let packet = packet(44, &[17, 0, high, low, 0, 0, 0, 1, 0, 0]);
            assert_eq!(end(&packet), Ok(whole.then_some((17, 2))), "{bits:#06x}");
        }
    }

    #[test]
    fn at_most_eight_and_hop_by_hop_only_in_front() {
        let chain = |count: usize, last: u8| {
            let mut headers = [60, 0, 1, 4, 0, 0, 0, 0].repeat(count);
            headers[8 * (count - 1)] = last;
            packet(60, &headers)
        };
        assert_eq!(end(&chain(8, 6)), Ok(Some((6, 0))));
        assert_eq!(end(&chain(9, 6)), Err(Unreadable::TooManyHeaders));
        assert_eq!(end(&chain(8, 60)), Err(Unreadable::TooManyHeaders));
        let late = packet(60, &[HOP_BY_HOP, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0]);
        assert_eq!(end(&late), Err(Unreadable::BadHeader));
    }

    #[test]
    fn only_an_atomic_fragment_header_in_front_is_stepped_over_unasked() {
        let whole = [44, 0, 0, 0, 0, 0, 0, 9];
        let (padding, routing) = ([17, 0, 1, 4, 0, 0, 0, 0], [17, 0, 4, 0, 0, 0, 0, 0]);
        let to_udp = |mut header: [u8; 8]| {
            header[0] = 17;
            header
        };
        let to = |next: u8, mut header: [u8; 8]| {
            header[0] = next;
            header
        };
        let contents = |number, headers: &[[u8; 8]]| {
            let packet = packet(number, headers.as_flattened());
            let view = Ipv6::new_checked(&packet, packet.len())?;
            view.contents(false).map(|contents| contents.map(|(number, _)| number))
        };
        assert_eq!(contents(17, &[]), Ok(Some(17)));
        assert_eq!(contents(44, &[to_udp(whole)]), Ok(Some(17)));
        assert_eq!(contents(44, &[to(17, [0, 0, 0, 1, 0, 0, 0, 9])]), Ok(None));
        for (number, headers) in [
            (0, &[padding][..]),
            (60, &[padding]),
            (43, &[routing]),
            (51, &[to_udp([0, 0, 0, 0, 0, 0, 0, 1])]),
            (44, &[whole, to_udp(whole)]),
            (44, &[to(60, whole), padding]),
            (60, &[to(44, padding), to_udp(whole)]),
        ] {
            assert_eq!(
                contents(number, headers),
                Err(Unreadable::Extended),
                "{number} {headers:?}"
            );
        }
    }

    #[test]
    fn what_has_no_ports_ends_the_walk() {
        for number in [1, 50, 58, 59, 132, 135, 253] {
            assert_eq!(end(&packet(number, &[])), Ok(Some((number, 0))));
        }
    }

    #[test]
    fn only_a_hop_by_hop_header_may_stand_for_the_length() {
        let mut jumbo = packet(0, &[17, 0, 0xc2, 4, 0, 1, 0, 0, 1, 2]);
        jumbo[4..6].fill(0);
        assert_eq!(end(&jumbo), Ok(Some((17, 2))));
        let mut empty = packet(60, &[17, 0, 1, 4, 0, 0, 0, 0]);
        empty[4..6].fill(0);
        assert_eq!(end(&empty), Err(Unreadable::BadHeader));
    }
}
