//! The only code that reads packets. It can ask for grants and make none; it runs nothing.
//!
//! | module | what it holds |
//! |---|---|
//! | [`reader`] | the loop that reads packets |
//! | [`watch`] | the process that runs it for a daemon, which gives up everything first |
//! | [`native`] | what `portcullis run` does with packets |
//! | [`knockd`] | what `knockd` does with them |
//! | [`follow`] | packets for `portcullis trace`, without any privilege |
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
//! The packets of all interfaces, as `portcullis trace` reads them. The receiver implements
//! [`Handler`](reader::Handler). This needs `CAP_NET_RAW`, and afterwards the process has no privilege:
//!
//! ```no_run
//! use portcullis_linux::capture::Interfaces;
//! use portcullis_watcher::follow;
//! use portcullis_watcher::reader::Handler;
//!
//! fn look_on<H: Handler>(handler: &mut H) -> Result<H::Stop, follow::Error> {
//!     let (mut reader, _addresses) = follow::open(Interfaces::AllButLoopback)?;
//!     Ok(reader.run(handler))
//! }
//! ```
#![forbid(unsafe_code)]

pub mod filter;
pub mod follow;
pub mod knockd;
pub mod message;
pub mod native;
pub mod pace;
pub mod reader;
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
