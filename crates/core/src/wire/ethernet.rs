//! Ethernet II (IEEE 802.3, section 3.2; RFC 894, RFC 2464).

use super::unreadable::Unreadable;

/// IPv4 (IANA "IEEE 802 Numbers").
pub(super) const ETHER_TYPE_IPV4: u16 = 0x0800;

/// IPv6.
pub(super) const ETHER_TYPE_IPV6: u16 = 0x86dd;

/// A view of an Ethernet frame without its preamble and check sequence.
#[derive(Debug)]
pub(super) struct Ethernet<'a> {
    header: &'a [u8; 14],
    payload: &'a [u8],
}

impl<'a> Ethernet<'a> {
    /// The view, if the header is there.
    pub(super) fn new_checked(frame: &'a [u8]) -> Result<Self, Unreadable> {
        let (header, payload) = frame.split_first_chunk().ok_or(Unreadable::Truncated)?;
        Ok(Self { header, payload })
    }

    /// What follows. Below 0x0600 it is a length and the frame one of IEEE 802.2, whose values are
    /// no EtherType of anything that we read.
    pub(super) const fn ether_type(&self) -> u16 {
        let [_, _, _, _, _, _, _, _, _, _, _, _, high, low] = *self.header;
        u16::from_be_bytes([high, low])
    }

    /// What lies behind the header, padding included.
    pub(super) const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_type_behind_two_addresses() {
        let frame = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x86, 0xdd, 0x60];
        let view = Ethernet::new_checked(&frame).unwrap();
        assert_eq!(view.ether_type(), ETHER_TYPE_IPV6);
        assert_eq!(view.payload(), [0x60]);
        assert_eq!(Ethernet::new_checked(&frame[..13]).unwrap_err(), Unreadable::Truncated);
        assert_eq!(Ethernet::new_checked(&frame[..14]).unwrap().payload(), []);
    }
}
