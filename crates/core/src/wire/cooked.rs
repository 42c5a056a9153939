//! The headers that libpcap makes up where a device has none of its own, or where there are many
//! devices (`LINKTYPE_LINUX_SLL` and `LINKTYPE_LINUX_SLL2` of tcpdump.org).

use super::unreadable::Unreadable;

/// A view of a frame with the first kind of header.
///
/// Packet type (2 bytes), `ARPHRD_` type (2), address length (2), address (8), protocol (2).
#[derive(Debug)]
pub(super) struct Cooked<'a> {
    header: &'a [u8; 16],
    payload: &'a [u8],
}

impl<'a> Cooked<'a> {
    /// The view, if the header is there.
    pub(super) fn new_checked(frame: &'a [u8]) -> Result<Self, Unreadable> {
        let (header, payload) = frame.split_first_chunk().ok_or(Unreadable::Truncated)?;
        Ok(Self { header, payload })
    }

    /// The EtherType. Novell and 802.2 frames have 1 and 4 here, which are none.
    pub(super) const fn protocol(&self) -> u16 {
        let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, high, low] = *self.header;
        u16::from_be_bytes([high, low])
    }

    /// What lies behind the header.
    pub(super) const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A view of a frame with the second kind of header.
///
/// Protocol (2 bytes), reserved (2), interface index (4), `ARPHRD_` type (2), packet type (1),
/// address length (1), address (8).
#[derive(Debug)]
pub(super) struct CookedV2<'a> {
    header: &'a [u8; 20],
    payload: &'a [u8],
}

impl<'a> CookedV2<'a> {
    /// The view, if the header is there.
    pub(super) fn new_checked(frame: &'a [u8]) -> Result<Self, Unreadable> {
        let (header, payload) = frame.split_first_chunk().ok_or(Unreadable::Truncated)?;
        Ok(Self { header, payload })
    }

    /// The EtherType, as in the first kind.
    pub(super) const fn protocol(&self) -> u16 {
        let [high, low, ..] = *self.header;
        u16::from_be_bytes([high, low])
    }

    /// What lies behind the header.
    pub(super) const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_protocol_at_the_end_of_the_first_and_the_start_of_the_second() {
        let mut frame = [0; 21];
        frame[14..17].copy_from_slice(&[0x08, 0x00, 0x45]);
        let view = Cooked::new_checked(&frame[..17]).unwrap();
        assert_eq!((view.protocol(), view.payload()), (0x0800, [0x45].as_slice()));
        assert_eq!(Cooked::new_checked(&frame[..15]).unwrap_err(), Unreadable::Truncated);

        let mut frame = [0; 21];
        frame[..2].copy_from_slice(&[0x86, 0xdd]);
        frame[20] = 0x60;
        let view = CookedV2::new_checked(&frame).unwrap();
        assert_eq!((view.protocol(), view.payload()), (0x86dd, [0x60].as_slice()));
        assert_eq!(CookedV2::new_checked(&frame[..19]).unwrap_err(), Unreadable::Truncated);
    }
}
