//! What Portcullis decides, and nothing else.
//!
//! Bytes, time and policy come in; verdicts and actions go out. This crate opens no file, no socket
//! and no door: it has no clock, no thread, no random source and no log. That is enforced by
//! `no_std`, and CI builds it for a target that has no standard library at all.
//!
//! | module | what it holds |
//! |---|---|
//! | [`time`] | the only way this crate knows the time: integer newtypes, passed in |
//! | [`limits`] | every bound in one table, with what happens when it is reached |
//! | [`wire`] | checked views of frames: Ethernet, cooked, 802.1Q, IPv4, IPv6, TCP, UDP |
//! | [`policy`] | doors and the gate as values, and the check that refuses bad ones |
//! | [`automaton`] | all doors as one automaton: the single definition of "has knocked" |
//! | [`attempts`] | how far each source has come: a bounded table |
//! | [`conversations`] | which datagrams answer the host's own |
//! | [`engine`] | puts these together: a frame and the time in, a verdict and actions out |
//! | [`knockd`] | the recogniser of the drop-in for knockd, with what a knock means there |
//! | [`text`] | text of strangers, made safe for a terminal |
//! | [`strength`] | how many sequences there are, and how long guessing takes |
//!
//! A policy with one door, the engine, and three frames that open it:
//!
//! ```
//! use core::net::IpAddr;
//! use portcullis_core::engine::{Action, Direction, Engine, Frame, Options, Verdict};
//! use portcullis_core::policy::{Door, DoorId, DoorName, Policy, Recogniser, check};
//! use portcullis_core::time::Instant;
//! use portcullis_core::wire::{Captured, Link};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let door = Door {
//!     name: DoorName::new("ssh")?,
//!     guards: vec!["tcp/22".parse()?],
//!     sequence: vec!["udp/7431".parse()?, "udp/29117".parse()?, "udp/1123".parse()?],
//!     step_timeout: Door::DEFAULT_STEP_TIMEOUT,
//!     open_for: Door::DEFAULT_OPEN_FOR,
//!     recogniser: Recogniser::Both,
//!     tolerate: 0,
//!     hooks: None,
//! };
//! let policy = Policy { doors: vec![door], ..Policy::default() };
//! assert!(check(&policy).is_empty());
//!
//! // `seed` is a secret: it keeps strangers from making packets for the tables.
//! let options = Options { seed: 4, ..Options::default() };
//! let mut engine = Engine::new(&policy, options).map_err(|_| "two doors contradict each other")?;
//! let mut now = Instant::from_millis(0);
//! let mut last = None;
//! for port in [7431, 29117, 1123] {
//!     let bytes = datagram(port); // from 203.0.113.7 to 198.51.100.1
//!     let frame = Frame {
//!         direction: Direction::ToHost,
//!         captured: Captured::whole(Link::Raw, &bytes),
//!     };
//!     last = Some(engine.handle_packet(frame, now));
//!     now = now.after(core::time::Duration::from_millis(100));
//! }
//! assert_eq!(last, Some(Verdict::Opened { door: DoorId(0), source: "203.0.113.7".parse()?, stage: 3 }));
//!
//! // The engine changes nothing. It says what is to be done.
//! let Some(Action::Open(grant)) = engine.next_action() else { return Err("no grant".into()) };
//! assert_eq!(grant.address, "203.0.113.7".parse::<IpAddr>()?);
//! assert_eq!(grant.open_for.as_secs(), 30);
//! # Ok(())
//! # }
//! #
//! # fn datagram(port: u16) -> [u8; 28] {
//! #     let [high, low] = port.to_be_bytes();
//! #     [
//! #         0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0x14, 0x94, 203, 0, 113, 7, 198, 51, 100, 1, // IPv4
//! #         0x9c, 0x40, high, low, 0, 8, 0, 0, // UDP without a checksum
//! #     ]
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod attempts;
pub mod automaton;
pub mod conversations;
pub mod engine;
mod granted;
pub mod knockd;
pub mod limits;
pub mod policy;
pub mod strength;
pub mod text;
pub mod time;
pub mod wire;

/// What this crate cannot use, tried: each of these imports fails to compile.
///
/// ```compile_fail
/// use portcullis_config as _;
/// ```
///
/// ```compile_fail
/// use portcullis_firewall as _;
/// ```
///
/// ```compile_fail
/// use portcullis_linux as _;
/// ```
///
/// ```compile_fail
/// use nix as _;
/// ```
#[cfg(doctest)]
struct Walls;
