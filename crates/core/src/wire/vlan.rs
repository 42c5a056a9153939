//! VLAN tags (IEEE 802.1Q, section 9.6), also two of them (802.1ad, "QinQ").

use super::unreadable::Unreadable;

/// Most tags on one frame: a service tag and a customer tag. A card or the kernel may already have
/// taken off the outer one.
pub const MAX_TAGS: u8 = 2;

/// A customer tag (802.1Q).
const ETHER_TYPE_CUSTOMER: u16 = 0x8100;

/// A service tag (802.1ad). The kernel knows these two and no older ones (`eth_type_vlan`).
const ETHER_TYPE_SERVICE: u16 = 0x88a8;

/// Takes the tags off: the EtherType and the bytes behind the last one. Which network a tag names
/// makes no difference to a knock.
pub(super) fn untag(mut ether_type: u16, mut bytes: &[u8]) -> Result<(u16, &[u8]), Unreadable> {
    for _ in 0..MAX_TAGS {
        if !is_tag(ether_type) {
            break;
        }
        let (&[_, _, high, low], rest) = bytes.split_first_chunk().ok_or(Unreadable::Truncated)?;
        ether_type = u16::from_be_bytes([high, low]);
        bytes = rest;
    }
    if is_tag(ether_type) { Err(Unreadable::TooManyHeaders) } else { Ok((ether_type, bytes)) }
}

const fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, ETHER_TYPE_CUSTOMER | ETHER_TYPE_SERVICE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGS: [u8; 13] =
        [0x20, 0x05, 0x81, 0x00, 0x00, 0x2a, 0x08, 0x00, 0x45, 0x00, 0x00, 0x00, 0x00];

    #[test]
    fn takes_off_up_to_two_tags() {
        assert_eq!(untag(0x0800, &TAGS), Ok((0x0800, TAGS.as_slice())));
        assert_eq!(untag(0x8100, &TAGS[4..]), Ok((0x0800, &TAGS[8..])));
        assert_eq!(untag(0x88a8, &TAGS), Ok((0x0800, &TAGS[8..])));
        assert_eq!(untag(0x8100, &TAGS), Ok((0x0800, &TAGS[8..])));
    }

    #[test]
    fn refuses_three_tags_and_half_a_tag() {
        let mut three = TAGS;
        three[6] = 0x81;
        assert_eq!(untag(0x88a8, &three), Err(Unreadable::TooManyHeaders));
        assert_eq!(untag(0x8100, &TAGS[..3]), Err(Unreadable::Truncated));
        assert_eq!(untag(0x88a8, &TAGS[..7]), Err(Unreadable::Truncated));
    }
}
