//! The Internet checksum (RFC 1071) of IPv4 headers, and of TCP and UDP with their pseudo-header
//! (RFC 9293, section 3.1; RFC 8200, section 8.1).

use super::payload::Payload;
use super::unreadable::Unreadable;

/// How far to believe the checksum of a TCP segment or a UDP datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// Compute it. A packet that was not captured whole is [`Unreadable::Truncated`].
    Verify,
    /// Compute it, but accept a field that holds the sum of the pseudo-header alone: so Linux leaves
    /// a packet whose checksum the card is to fill in, and so a capture on the sending host shows it.
    VerifyUnlessPartial,
    /// Do not look at it: the card or the kernel has verified it or is still to fill it in
    /// (`TP_STATUS_CSUM_VALID` and `TP_STATUS_CSUMNOTREADY` of packet_mmap), or it cannot be known.
    Trust,
}

/// A ones' complement sum of 16-bit words.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum(u32);

impl Sum {
    /// The sum of a pseudo-header without its length: addresses and protocol number.
    pub(super) fn of_pseudo_header(source: &[u8], destination: &[u8], protocol: u8) -> Self {
        Self::default().add(source).add(destination).add(&[0, protocol])
    }

    /// With these bytes, which follow an even number of others. An odd last byte is filled up with
    /// zeros.
    pub(super) fn add(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<2>();
        // An IP packet has fewer than 2^16 words, so this does not wrap.
        let add = |sum: u32, word| sum.wrapping_add(u16::from_be_bytes(word).into());
        let sum = words.iter().copied().fold(self.0, add);
        Self(rest.first().map_or(sum, |&last| add(sum, [last, 0])))
    }

    /// In 16 bits. Of bytes that include their own checksum it is all ones.
    pub(super) fn fold(self) -> u16 {
        let once = (self.0 & 0xffff).wrapping_add(self.0 >> 16);
        let twice = (once & 0xffff).wrapping_add(once >> 16);
        u16::try_from(twice).unwrap_or(u16::MAX)
    }
}

/// Verifies the checksum of a segment or datagram, which stands in this field of it.
pub(super) fn verify(
    belief: Checksum,
    pseudo: Sum,
    payload: Payload<'_>,
    field: u16,
) -> Result<(), Unreadable> {
    if belief == Checksum::Trust {
        return Ok(());
    }
    let length = u32::try_from(payload.length()).unwrap_or(u32::MAX);
    let pseudo = pseudo.add(&length.to_be_bytes());
    if belief == Checksum::VerifyUnlessPartial && field == pseudo.fold() {
        return Ok(());
    }
    let bytes = payload.whole().ok_or(Unreadable::Truncated)?;
    if pseudo.add(bytes).fold() == u16::MAX { Ok(()) } else { Err(Unreadable::BadChecksum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_is_that_of_rfc_1071() {
        let sum = |bytes: &[u8]| Sum::default().add(bytes).fold();
        // The example of its section 3.
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(sum(&[0xff; 65_534]), 0xffff);
        assert_eq!(sum(&[0x12, 0x34, 0x56]), 0x6834);
        assert_eq!(sum(&[]), 0);
    }

    #[test]
    fn wrong_cut_and_partial_checksums_are_believed_as_far_as_asked() {
        use Checksum::{Trust, Verify, VerifyUnlessPartial};
        let pseudo = Sum::of_pseudo_header(&[192, 0, 2, 7], &[192, 0, 2, 1], 17);
        let partial = pseudo.add(&[0, 0, 0, 9]).fold();
        let datagram = |field: u16| {
            let [high, low] = field.to_be_bytes();
            [0x9c, 0x40, 0x71, 0xbd, 0, 9, high, low, 0x61]
        };
        let right = !pseudo.add(&[0, 0, 0, 9]).add(&datagram(0)).fold();
        let judge = |belief, field: u16, captured: usize| {
            let bytes = datagram(field);
            let payload = Payload::new(&bytes[..captured], 9, 9).unwrap();
            verify(belief, pseudo, payload, field)
        };
        for belief in [Verify, VerifyUnlessPartial, Trust] {
            assert_eq!(judge(belief, right, 9), Ok(()), "{belief:?}");
        }
        for (belief, wrong, cut, not_filled_in) in [
            (Verify, Err(Unreadable::BadChecksum), Err(Unreadable::Truncated), false),
            (VerifyUnlessPartial, Err(Unreadable::BadChecksum), Err(Unreadable::Truncated), true),
            (Trust, Ok(()), Ok(()), true),
        ] {
            assert_eq!(judge(belief, right ^ 1, 9), wrong, "{belief:?}");
            assert_eq!(judge(belief, right, 8), cut, "{belief:?}");
            assert_eq!(judge(belief, partial, 9).is_ok(), not_filled_in, "{belief:?}");
        }
    }
}
