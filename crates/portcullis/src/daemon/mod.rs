//! `run`: one process reads packets, another keeps the firewall.
//!
//! ```text
//!            configuration, SIGHUP, SIGTERM
//!                       │
//!   ┌───────────────────▼──────────────────┐  text of the configuration   ┌─────────────────────┐
//!   │ keeper                               ├─────────────────────────────►│ watcher             │
//!   │ CAP_NET_ADMIN, reads no packet       │   SOCK_SEQPACKET             │ nobody, CAP_NET_RAW │
//!   │ re-checks every request              │◄─────────────────────────────┤ capture → engine    │
//!   └───────────────────┬──────────────────┘  messages of 32 bytes        └──────────▲──────────┘
//!                       │ netlink: grants                                  filtered  │
//!   ────────────────────▼─────────────────────────── kernel ────────────── packets ──┘
//! ```
//!
//! Where doors run commands there is a third one, the runner: it keeps every privilege, reads no packet
//! and touches no firewall, and is told by the keeper only which door was opened for whom.
//!
//! | module | what it holds |
//! |---|---|
//! | [`keeper`] | the process that changes the firewall, and never reads a packet |
//! | [`gate`] | the keeper's view of the firewall: one table, and grants in it |
//! | [`hosts`] | the process that looks up names in the allow-list, if there are any, and can do nothing else |
//! | [`watcher`] | the process that reads packets, and can do nothing else |
//! | [`capture`] | the packets of all watched interfaces, in order |
//! | [`filter`] | which packets the kernel shows at all |
//! | [`runner`](mod@runner) | the process that runs what doors run |
//! | [`message`] | what they say to each other |
//! | [`pace`] | how many lines an attacker can make us write |
//! | [`lines`] | those lines |
//! | [`notify`] | what systemd is told |
//! | [`outbox`] | what a keeper still has to say, so that it never waits for a reader |
//! | [`parts`] | what every keeper begins with |
//!
//! Each ends when another does, the runner after it has closed what it has opened. The rules and the
//! living grants stay in the kernel then, which
//! ends each grant by itself.

pub mod capture;
pub mod filter;
pub mod gate;
pub mod hosts;
pub mod keeper;
pub mod lines;
pub mod message;
pub mod notify;
pub mod outbox;
pub mod pace;
pub mod parts;
pub mod runner;
pub mod watcher;

use std::net::IpAddr;

use nix::time::{ClockId, clock_gettime};
use portcullis_core::time::Instant;

/// The time, on a clock that nobody sets and that goes on while the machine sleeps.
pub fn clock() -> Instant {
    let Ok(time) = clock_gettime(ClockId::CLOCK_BOOTTIME) else { return Instant::ORIGIN };
    let (seconds, nanos) = (time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs());
    Instant::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// Whether a grant to this address means anything: it is of somebody, and of one alone. Both
/// processes ask: the watcher, so that it never asks in vain, and the keeper, because it does not
/// trust the watcher.
pub fn may_have_grants(address: IpAddr) -> bool {
    let several = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    !(several || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_for_somebody() {
        for (address, may) in [
            ("203.0.113.7", true),
            ("2001:db8::7", true),
            ("fe80::7", true),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("::", false),
            ("ff02::1", false),
            ("::ffff:203.0.113.7", false),
        ] {
            assert_eq!(may_have_grants(address.parse().unwrap()), may, "{address}");
        }
    }

    #[test]
    fn the_clock_goes_forward() {
        let first = clock();
        assert!(first > Instant::ORIGIN);
        assert!(clock() >= first);
    }
}
