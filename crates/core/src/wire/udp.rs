//! UDP (RFC 768), checked as `__udp4_lib_rcv` of net/ipv4/udp.c and `udp_error` of nf_conntrack do,
//! and more strictly. Its checksum is for [`super::checksum`].

use super::payload::Payload;
use super::unreadable::Unreadable;

/// The IANA protocol number.
pub(super) const PROTOCOL: u8 = 17;

/// A view of a UDP header.
#[derive(Debug)]
pub(super) struct Udp<'a>(&'a [u8; 8]);

impl<'a> Udp<'a> {
    /// The view, if the header is there and its length is that of the packet. The data need not have
    /// been captured. A length of 0 marks a jumbogram (RFC 2675, section 4), which is no knock:
    /// connection tracking calls it invalid.
    ///
    /// A datagram may be shorter than its packet, but is no knock then: the checksum covers the
    /// datagram to the network stack and the packet to connection tracking, so that the one drops
    /// what the other takes.
    pub(super) fn new_checked(payload: Payload<'a>) -> Result<Self, Unreadable> {
        // Source port (2 bytes), destination port (2), length with this header (2), checksum (2).
        let header = payload.header::<8>()?;
        let [_, _, _, _, high, low, _, _] = *header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 8 || length != payload.length() {
            return Err(Unreadable::BadHeader);
        }
        Ok(Self(header))
    }

    /// Its checksum; 0 is none, which IPv6 does not allow (RFC 8200, section 8.1; `udp6_csum_init`
    /// of net/ipv6/udp.c).
    pub(super) const fn checksum(&self) -> u16 {
        let [_, _, _, _, _, _, high, low] = *self.0;
        u16::from_be_bytes([high, low])
    }

    /// The port it comes from.
    pub(super) const fn source_port(&self) -> u16 {
        let [high, low, ..] = *self.0;
        u16::from_be_bytes([high, low])
    }

    /// The port it goes to.
    pub(super) const fn destination_port(&self) -> u16 {
        let [_, _, high, low, ..] = *self.0;
        u16::from_be_bytes([high, low])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ports() {
        let bytes = [0x9c, 0x40, 0x71, 0xbd, 0, 8, 0, 0];
        let view = Udp::new_checked(Payload::new(&bytes, 8, 8).unwrap()).unwrap();
        assert_eq!((view.source_port(), view.destination_port()), (40000, 29117));
    }

    #[test]
    fn length_is_that_of_the_packet() {
        for (field, length, fits) in [
            (0, 12, false),
            (7, 12, false),
            (8, 12, false),
            (8, 8, true),
            (12, 12, true),
            (13, 12, false),
            (u16::MAX, 1480, false),
            (1480, 1480, true),
        ] {
            let [high, low] = field.to_be_bytes();
            let bytes = [0, 1, 0, 2, high, low, 0, 0];
            let view = Udp::new_checked(Payload::new(&bytes, length, length).unwrap());
            assert_eq!(view.is_ok(), fits, "{field} in {length}");
        }
        let bytes = [0, 1, 0, 2, 0, 8, 0, 0];
        let short = Udp::new_checked(Payload::new(&bytes, 7, 7).unwrap());
        assert_eq!(short.unwrap_err(), Unreadable::BadHeader);
        let cut = Udp::new_checked(Payload::new(&bytes[..7], 8, 8).unwrap());
        assert_eq!(cut.unwrap_err(), Unreadable::Truncated);
    }
}
