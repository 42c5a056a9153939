//! What opens a door of a `knockd.conf`.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use crate::policy::Port;
use crate::wire::TcpFlags;

/// One door, as far as its recogniser must know it. Its name and commands are somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Door {
    /// The knocks, in order: 1 to 32 (`limits::MAX_KNOCKS`). None for a door that cannot be opened,
    /// because its one-time sequences are used up.
    pub sequence: Vec<Port>,
    /// Which TCP segments it sees at all.
    pub flags: FlagFilter,
    /// The time from the first knock to the last. Zero is possible (knockd takes 0 and negative
    /// numbers): then only a sequence of one knock can open.
    pub timeout: Duration,
    /// The address that must be knocked at; `None` for those of this host.
    pub target: Option<IpAddr>,
    /// Whether the sequence opens only once: after that the door waits for another one.
    pub once: bool,
}

/// Which TCP segments a door sees (`TCPFlags` of knockd(1)). Others are as if they had never come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FlagFilter {
    /// These must all be there; others may be.
    pub set: TcpFlags,
    /// None of these may be there.
    pub clear: TcpFlags,
}

impl FlagFilter {
    /// Whether the door sees a segment with these flags.
    pub const fn admits(self, flags: TcpFlags) -> bool {
        let flags = flags.bits();
        flags & self.set.bits() == self.set.bits() && flags & self.clear.bits() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_included_not_equal() {
        let syn = FlagFilter { set: TcpFlags::SYN, clear: TcpFlags::default() };
        assert!(syn.admits(TcpFlags::SYN));
        assert!(syn.admits(TcpFlags::SYN | TcpFlags::ACK));
        assert!(!syn.admits(TcpFlags::ACK));
        let first = FlagFilter { set: TcpFlags::SYN, clear: TcpFlags::ACK };
        assert!(first.admits(TcpFlags::SYN));
        assert!(!first.admits(TcpFlags::SYN | TcpFlags::ACK));
        assert!(FlagFilter::default().admits(TcpFlags::default()));
    }
}
