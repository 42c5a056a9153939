//! IPv4 (RFC 791, section 3.1), checked as `ip_rcv_core` of net/ipv4/ip_input.c does.

use core::net::Ipv4Addr;

use super::checksum::Sum;
use super::payload::Payload;
use super::unreadable::Unreadable;

/// More fragments follow, or this is not the first: the bits `MF` and fragment offset of bytes 6 and
/// 7. The other two are "don't fragment" and the reserved one, which the kernel ignores too.
const FRAGMENT: u16 = 0x3fff;

/// A view of an IPv4 packet.
#[derive(Debug)]
pub(super) struct Ipv4<'a> {
    /// The header without its options.
    header: &'a [u8; 20],
    payload: Payload<'a>,
}

impl<'a> Ipv4<'a> {
    /// The view, if the header is there with all its options, is the sum that it says it is, and is
    /// no longer than the packet, which is no longer than the `wire` bytes that followed the link
    /// header.
    pub(super) fn new_checked(bytes: &'a [u8], wire: usize) -> Result<Self, Unreadable> {
        // Version (4 bits), header length in words (4 bits), type of service, total length (2).
        let header = bytes.first_chunk::<20>().ok_or(Unreadable::Truncated)?;
        let [version_and_words, _, high, low, ..] = *header;
        let (version, words) = (version_and_words >> 4, version_and_words & 0x0f);
        if version != 4 || words < 5 {
            return Err(Unreadable::BadHeader);
        }
        let header_length = usize::from(words).saturating_mul(4);
        let (with_options, rest) =
            bytes.split_at_checked(header_length).ok_or(Unreadable::Truncated)?;

        // The host never sees a packet with a wrong sum, so it has not been knocked with.
        if Sum::default().add(with_options).fold() != u16::MAX {
            return Err(Unreadable::BadHeader);
        }
        let total_length = usize::from(u16::from_be_bytes([high, low]));
        let length = total_length.checked_sub(header_length).ok_or(Unreadable::BadHeader)?;
        let payload = Payload::new(rest, length, wire.saturating_sub(header_length))?;
        Ok(Self { header, payload })
    }

    /// Whether it has options.
    pub(super) const fn has_options(&self) -> bool {
        self.header[0] & 0x0f != 5
    }

    /// The sum of its pseudo-header but for the length.
    pub(super) fn pseudo_header(&self) -> Sum {
        let (source, destination) = (self.source().octets(), self.destination().octets());
        Sum::of_pseudo_header(&source, &destination, self.header[9])
    }

    /// The address it claims to come from.
    pub(super) const fn source(&self) -> Ipv4Addr {
        let [.., a, b, c, d, _, _, _, _] = *self.header;
        Ipv4Addr::new(a, b, c, d)
    }

    /// The address it goes to.
    pub(super) const fn destination(&self) -> Ipv4Addr {
        let [.., a, b, c, d] = *self.header;
        Ipv4Addr::new(a, b, c, d)
    }

    /// The protocol number and what lies behind the header; nothing of a fragment. An authentication
    /// header is not stepped over, as nftables does not either: for IPv4 it is a protocol (51).
    pub(super) const fn contents(&self) -> Option<(u8, Payload<'a>)> {
        let [_, _, _, _, _, _, high, low, _, protocol, ..] = *self.header;
        if u16::from_be_bytes([high, low]) & FRAGMENT != 0 {
            return None;
        }
        Some((protocol, self.payload))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, seal};
    use super::*;

    fn view(bytes: &[u8]) -> Result<Ipv4<'_>, Unreadable> {
        Ipv4::new_checked(bytes, bytes.len())
    }

    #[test]
    fn reads_addresses_protocol_and_payload() {
        let view = super::tests::view(&samples::TCP4_SYN).unwrap();
        assert_eq!(view.source(), Ipv4Addr::new(198, 51, 100, 7));
        assert_eq!(view.destination(), Ipv4Addr::new(192, 0, 2, 1));
        let (protocol, payload) = view.contents().unwrap();
        assert_eq!((protocol, payload.length()), (6, 20));
    }

    #[test]
    fn options_lie_before_the_payload() {
        let view = super::tests::view(&samples::UDP4_OPTIONS).unwrap();
        assert_eq!(view.contents().unwrap().1.header::<2>(), Ok(&[0x9c, 0x40]));
        // Cut inside the options.
        assert!(view.has_options());
        let cut = Ipv4::new_checked(&samples::UDP4_OPTIONS[..23], 36);
        assert_eq!(cut.unwrap_err(), Unreadable::Truncated);
    }

    #[test]
    fn each_part_of_a_fragmented_packet_is_a_fragment() {
        for (bits, whole) in [
            (0x0000, true),
            (0x4000, true),
            (0x8000, true),
            (0x2000, false),
            (0x0001, false),
            (0x1fff, false),
            (0x6001, false),
        ] {
            let mut packet = samples::TCP4_SYN;
            packet[6..8].copy_from_slice(&u16::to_be_bytes(bits));
            seal(&mut packet);
            let view = super::tests::view(&packet).unwrap();
            assert_eq!(view.contents().is_some(), whole, "{bits:#06x}");
        }
    }

    #[test]
    fn refuses_a_header_that_contradicts_itself() {
        for (what, at, value) in [
            ("version 5", 0, 0x55),
            ("header of 4 words", 0, 0x44),
            ("no header at all", 0, 0x40),
            ("total length of 19", 3, 19),
            ("no total length", 3, 0),
        ] {
            let mut packet = samples::TCP4_SYN;
            packet[at] = value;
            seal(&mut packet);
            assert_eq!(view(&packet).unwrap_err(), Unreadable::BadHeader, "{what}");
        }
        let mut packet = samples::TCP4_SYN;
        packet[10] ^= 0x80;
        assert_eq!(view(&packet).unwrap_err(), Unreadable::BadHeader, "checksum");
    }

    #[test]
    fn a_snap_length_is_not_a_bad_length() {
        let mut packet = samples::TCP4_SYN;
        packet[2..4].copy_from_slice(&1500u16.to_be_bytes());
        seal(&mut packet);
        let (_, payload) = Ipv4::new_checked(&packet, 1500).unwrap().contents().unwrap();
        assert_eq!(payload.length(), 1480);
        assert_eq!(view(&packet).unwrap_err(), Unreadable::BadHeader, "longer than its frame");
    }
}
