//! TCP (RFC 9293, section 3.1), checked as `tcp_v4_rcv` of net/ipv4/tcp_ipv4.c and `tcp_error` of
//! nf_conntrack do. Its checksum is for [`super::checksum`].

use core::fmt;
use core::ops::BitOr;

use super::payload::Payload;
use super::unreadable::Unreadable;

/// The IANA protocol number.
pub(super) const PROTOCOL: u8 = 6;

/// A view of a TCP header without its options.
#[derive(Debug)]
pub(super) struct Tcp<'a>(&'a [u8; 20]);

impl<'a> Tcp<'a> {
    /// The view, if the fixed header is there and the options fit into the packet. They need not
    /// have been captured: nobody reads them.
    pub(super) fn new_checked(payload: Payload<'a>) -> Result<Self, Unreadable> {
        // Source port (2 bytes), destination port (2), sequence number (4), acknowledgment number
        // (4), data offset in words (4 bits), reserved (4 bits), control bits, …
        let header = payload.header::<20>()?;
        let words = header[12] >> 4;
        if words < 5 || usize::from(words).saturating_mul(4) > payload.length() {
            return Err(Unreadable::BadHeader);
        }
        Ok(Self(header))
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

    /// The number of its first byte.
    pub(super) const fn sequence(&self) -> u32 {
        let [_, _, _, _, a, b, c, d, ..] = *self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Its checksum.
    pub(super) const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.0[16], self.0[17]])
    }

    /// The control bits.
    pub(super) const fn flags(&self) -> TcpFlags {
        TcpFlags::from_bits(self.0[13])
    }
}

/// The control bits of a TCP segment (RFC 9293, section 3.1; ECE and CWR: RFC 3168, section 6.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TcpFlags(u8);

impl TcpFlags {
    /// No more from the sender.
    pub const FIN: Self = Self(0x01);
    /// The first segment of a connection, in either direction.
    pub const SYN: Self = Self(0x02);
    /// The connection is refused or broken off.
    pub const RST: Self = Self(0x04);
    /// Hand what there is to the application.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment number means something.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer means something.
    pub const URG: Self = Self(0x20);
    /// Congestion was met; in a SYN, the sender knows of such things.
    pub const ECE: Self = Self(0x40);
    /// The sender has slowed down; in a SYN, as [`ECE`](Self::ECE).
    pub const CWR: Self = Self(0x80);

    /// Byte 13 of a header.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Byte 13 of a header.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of those flags are set.
    pub const fn contains(self, those: Self) -> bool {
        self.0 & those.0 == those.0
    }

    /// Whether this segment asks for a new connection: SYN, and none of FIN, RST and ACK (what
    /// iptables calls `--syn`). The other four may be set: ECN sets two in honest SYNs.
    pub const fn is_bare_syn(self) -> bool {
        let asked = Self::FIN.0 | Self::SYN.0 | Self::RST.0 | Self::ACK.0;
        self.0 & asked == Self::SYN.0
    }
}

impl BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for TcpFlags {
    /// Writes the names of the flags, as in `syn,ack` (nftables' way); `none` without any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
        let mut separator = "";
        for (bit, name) in NAMES.iter().enumerate() {
            if self.0 >> bit & 1 == 1 {
                write!(f, "{separator}{name}")?;
                separator = ",";
            }
        }
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpFlags({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn reads_ports_sequence_and_flags() {
        let view =
            Tcp::new_checked(Payload::new(&samples::TCP4_SYN[20..], 20, 20).unwrap()).unwrap();
        assert_eq!((view.source_port(), view.destination_port()), (40000, 7431));
        assert_eq!(view.sequence(), 0x1234_5678);
        assert_eq!(view.flags(), TcpFlags::SYN);
    }

    #[test]
    fn the_options_must_fit_the_packet_but_not_the_capture() {
        let mut header = [0; 60];
        for (words, length, fits) in [
            (0, 60, false),
            (4, 60, false),
            (5, 20, true),
            (6, 20, false),
            (6, 24, true),
            (15, 59, false),
            (15, 60, true),
            (15, 1480, true),
        ] {
            header[12] = words << 4;
            let whole = Tcp::new_checked(Payload::new(&header, length, length).unwrap());
            assert_eq!(whole.is_ok(), fits, "{words} words in {length} bytes");
            let snapped = Tcp::new_checked(Payload::new(&header[..20], length, length).unwrap());
            assert_eq!(snapped.is_ok(), fits, "{words} words in {length} bytes, 20 captured");
        }
        let short = Tcp::new_checked(Payload::new(&header, 19, 60).unwrap());
        assert_eq!(short.unwrap_err(), Unreadable::BadHeader);
        let cut = Tcp::new_checked(Payload::new(&header[..19], 20, 20).unwrap());
        assert_eq!(cut.unwrap_err(), Unreadable::Truncated);
    }

    #[test]
    fn only_a_syn_without_fin_rst_and_ack_is_bare() {
        let bare = (0..=u8::MAX).filter(|&bits| TcpFlags::from_bits(bits).is_bare_syn());
        assert_eq!(bare.count(), 16);
        assert!((TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR).is_bare_syn());
        assert!(!(TcpFlags::SYN | TcpFlags::ACK).is_bare_syn());
        assert!(!TcpFlags::default().is_bare_syn());
    }

    #[test]
    fn flags_are_sets_with_names() {
        let both = TcpFlags::SYN | TcpFlags::ACK;
        assert!(both.contains(TcpFlags::SYN) && both.contains(both));
        assert!(!TcpFlags::SYN.contains(both));
        assert_eq!(both.bits(), 0x12);
        assert_eq!(both.to_string(), "syn,ack");
        assert_eq!(TcpFlags::from_bits(0xff).to_string(), "fin,syn,rst,psh,ack,urg,ecn,cwr");
        assert_eq!(alloc::format!("{:?}", TcpFlags::default()), "TcpFlags(none)");
    }
}
