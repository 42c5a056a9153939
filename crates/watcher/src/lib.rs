//! The only code that reads packets. It can ask for grants and make none; it runs nothing.
//!
//! | module | what it holds |
//! |---|---|
//! | [`watch`] | the process that reads packets for a daemon: one loop, which gives up everything first |
//! | [`native`] | what `portcullis run` does with packets |
//! | [`knockd`] | what `knockd` does with them |
//! | [`follow`] | packets for somebody who looks on (`portcullis trace`), without any privilege |
//! | [`filter`] | which packets the kernel shows at all |
//! | [`message`] | what a watcher and its keeper say to each other |
//! | [`pace`] | how many lines an attacker can make us write |
//!
//! A flood of packets makes a bounded number of lines:
//!
//! ```
//! use portcullis_core::time::Instant;
//! use portcullis_watcher::pace::Pace;
//!
//! let mut pace = Pace::new(20, 10); // 20 at once, then 10 a second
//! let second = |number: u64| Instant::from_millis(number * 1_000);
//! assert_eq!((0..1_000).filter(|_| pace.admits(second(1))).count(), 20);
//! assert_eq!((0..1_000).filter(|_| pace.admits(second(2))).count(), 10);
//! ```
//!
//! The packets that the doors of a policy are about, as `portcullis trace` reads them. This needs
//! `CAP_NET_RAW`, and afterwards the process has no privilege:
//!
//! ```no_run
//! use std::os::fd::AsFd;
//! use std::time::Duration;
//! use portcullis_core::policy::Policy;
//! use portcullis_linux::capture::Interfaces;
//! use portcullis_watcher::follow::Follow;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policy = Policy::default();
//! let mut follow = Follow::open(&policy, Interfaces::AllButLoopback)
//!     .map_err(|error| format!("cannot read packets: {error:?}"))?;
//! let stdin = std::io::stdin(); // a key ends the wait, too
//! follow.wait(stdin.as_fd(), Duration::from_secs(10))?;
//! let lost = follow.take(|packet, _direction, _now| println!("from {}", packet.source));
//! println!("{lost} packets were lost");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod filter;
pub mod follow;
pub mod knockd;
pub mod message;
pub mod native;
pub mod pace;
pub mod watch;

/// What this crate cannot use, tried: each of these imports fails to compile.
///
/// ```compile_fail
/// use portcullis_firewall as _;
/// ```
///
/// ```compile_fail
/// use portcullis_gate as _;
/// ```
///
/// ```compile_fail
/// use portcullis_insight as _;
/// ```
#[cfg(doctest)]
struct Walls;
