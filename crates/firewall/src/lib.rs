//! What the kernel is told, as values.
//!
//! A [`Policy`](portcullis_core::policy::Policy) is [compiled](compile::compile) to a
//! [`Ruleset`](ruleset::Ruleset): one table with its sets and chains. That value is [printed](text)
//! as nftables text, loaded over netlink by the program, and [simulated](simulator) to say what
//! happens to a packet: three readers of one thing, so that what is shown is what is loaded.
//!
//! For hosts that live on iptables, [`iptables`] holds the same for chains of `iptables-restore` with
//! the match `recent` or with `ipset`.
//!
//! This crate sees no packet and no key, runs nothing and opens nothing.
//!
//! The rules of one door, as text, and what they do with packets:
//!
//! ```
//! use portcullis_core::policy::{Door, DoorName, Policy, Recogniser};
//! use portcullis_core::time::Instant;
//! use portcullis_firewall::compile::compile;
//! use portcullis_firewall::simulator::{Fate, Packet, Payload, Simulator};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let door = Door {
//!     name: DoorName::new("ssh")?,
//!     guards: vec!["tcp/22".parse()?],
//!     sequence: vec!["tcp/7431".parse()?, "tcp/29117".parse()?, "tcp/1123".parse()?],
//!     step_timeout: Door::DEFAULT_STEP_TIMEOUT,
//!     open_for: Door::DEFAULT_OPEN_FOR,
//!     recogniser: Recogniser::Both,
//!     tolerate: 0,
//!     hooks: None,
//! };
//! let policy = Policy { doors: vec![door], ..Policy::default() };
//! let ruleset = compile(&policy).map_err(|_| "two doors contradict each other")?;
//! // A script for `nft -f`.
//! assert!(ruleset.to_string().contains("table inet portcullis {"));
//!
//! let (client, host) = ("203.0.113.7".parse()?, "198.51.100.1".parse()?);
//! let syn = |port| {
//!     let payload = Payload::Tcp { source_port: 40_000, destination_port: port, flags: 0x02 };
//!     Packet::new(client, host, payload)
//! };
//! let mut kernel = Simulator::new(&ruleset);
//! let now = Instant::from_millis(0);
//! assert_eq!(kernel.receive(&syn(22), now).fate, Fate::AnsweredAsClosed);
//! for port in [7431, 29117, 1123] {
//!     kernel.receive(&syn(port), now);
//! }
//! assert_eq!(kernel.receive(&syn(22), now).fate, Fate::Passed);
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod compile;
pub mod iptables;
pub mod ruleset;
pub mod simulator;
pub mod text;

/// What this crate cannot use, tried: each of these imports fails to compile.
///
/// ```compile_fail
/// use portcullis_config as _;
/// ```
///
/// ```compile_fail
/// use portcullis_gate as _;
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
