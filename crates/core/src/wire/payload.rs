//! What lies behind an IP header: how much was captured, and how much there was.

use super::unreadable::Unreadable;

/// The bytes behind a header, without link-layer padding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload<'a> {
    /// What was captured, never more than `length`; less when a snap length cut the frame.
    captured: &'a [u8],
    /// The length on the wire, in bytes, by the IP header.
    length: usize,
}

impl<'a> Payload<'a> {
    /// Takes the first `length` of `bytes`. The rest is padding (IEEE 802.3, section 3.2.8). There
    /// may be fewer, since captures cut long packets, but not on the wire, where `wire` bytes
    /// followed: the kernel drops a packet that is longer than its frame.
    pub(super) fn new(bytes: &'a [u8], length: usize, wire: usize) -> Result<Self, Unreadable> {
        if length > wire {
            return Err(Unreadable::BadHeader);
        }
        Ok(Self { captured: bytes.get(..length).unwrap_or(bytes), length })
    }

    /// The length on the wire, in bytes.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// All bytes, unless the capture has fewer.
    pub(super) fn whole(&self) -> Option<&'a [u8]> {
        (self.captured.len() == self.length).then_some(self.captured)
    }

    /// The first N bytes. A packet that claims to have fewer is bad; a capture that has fewer is
    /// truncated.
    pub(super) fn header<const N: usize>(&self) -> Result<&'a [u8; N], Unreadable> {
        if self.length < N {
            return Err(Unreadable::BadHeader);
        }
        self.captured.first_chunk().ok_or(Unreadable::Truncated)
    }

    /// What follows the first `size` bytes.
    pub(super) fn skip(&self, size: usize) -> Result<Self, Unreadable> {
        let length = self.length.checked_sub(size).ok_or(Unreadable::BadHeader)?;
        let captured = self.captured.get(size..).ok_or(Unreadable::Truncated)?;
        Ok(Self { captured, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_padding_from_payload_and_a_short_packet_from_a_short_capture() {
        let padded = Payload::new(&[1, 2, 3, 4], 3, 4).unwrap();
        assert_eq!((padded.captured, padded.length()), ([1, 2, 3].as_slice(), 3));
        assert_eq!(padded.header::<3>(), Ok(&[1, 2, 3]));
        assert_eq!(padded.header::<4>(), Err(Unreadable::BadHeader));
        assert_eq!(padded.skip(3).unwrap().length(), 0);
        assert_eq!(padded.skip(4).unwrap_err(), Unreadable::BadHeader);

        let snapped = Payload::new(&[1, 2], 3, 3).unwrap();
        assert_eq!((padded.whole(), snapped.whole()), (Some(&[1, 2, 3][..]), None));
        assert_eq!(snapped.header::<3>(), Err(Unreadable::Truncated));
        assert_eq!(snapped.skip(2).unwrap().length(), 1);
        assert_eq!(snapped.skip(3).unwrap_err(), Unreadable::Truncated);
        assert_eq!(snapped.skip(usize::MAX).unwrap_err(), Unreadable::BadHeader);

        let beyond = Payload::new(&[1, 2], 3, 2);
        assert_eq!(beyond.unwrap_err(), Unreadable::BadHeader);
    }
}
