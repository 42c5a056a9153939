//! What would happen to packets, and why. Changes nothing, asks no kernel, opens no file.
//!
//! | module | what it holds |
//! |---|---|
//! | [`replay`](mod@replay) | what the doors would have made of a capture |
//! | [`trace`](mod@trace) | what packets mean to the doors as they arrive, and why one does not open |
//! | [`explain`](mod@explain) | how the rules treat invented packets, rule by rule |
//! | [`picture`] | configurations, and how the rules treat packets, as SVG |
//!
//! How the rules treat invented packets, as `portcullis explain` says it:
//!
//! ```
//! use portcullis_config::parse_str;
//! use portcullis_insight::explain::{Item, Sender, tell};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = r#"
//!     [door.ssh]
//!     guards   = ["tcp/22"]
//!     sequence = ["udp/7431", "udp/29117", "udp/1123"]
//! "#;
//! let policy = parse_str("portcullis.toml", text)?.policy;
//! let sender = Sender {
//!     from: "203.0.113.7".parse()?,
//!     interface: None,
//!     established: false,
//!     rules: false,
//! };
//! let packets = ["tcp/22", "udp/7431", "udp/29117", "udp/1123", "tcp/22"];
//! let packets = packets.into_iter().map(Item::parse).collect::<Result<Vec<_>, _>>()?;
//! let events = tell(&sender, &packets, &policy, None).map_err(|_| "two doors contradict each other")?;
//! assert_eq!(events.first().map(|event| event.passes), Some(false));
//! assert_eq!(events.last().map(|event| event.passes), Some(true));
//! # Ok(())
//! # }
//! ```
//!
//! Which doors the packets of a capture would have opened, as `portcullis replay` says it:
//!
//! ```
//! use portcullis_config::parse_str;
//! use portcullis_insight::replay::file::Capture;
//! use portcullis_insight::replay::{Replay, Settings, places};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let text = r#"
//! #     [door.ssh]
//! #     guards   = ["tcp/22"]
//! #     sequence = ["udp/7431", "udp/29117", "udp/1123"]
//! # "#;
//! let policy = parse_str("portcullis.toml", text)?.policy;
//! let bytes = pcap(&[7431, 29117, 1123]); // datagrams from 203.0.113.7 to 198.51.100.1
//! let mut capture = Capture::open(Box::new(&bytes[..]), places(&policy, false))
//!     .map_err(|error| error.to_string())?;
//!
//! let settings = Settings { host: vec!["198.51.100.1".parse()?], ..Settings::default() };
//! let mut replay = Replay::new(&policy, settings).map_err(|_| "two doors contradict each other")?;
//! replay.feed(&mut capture, |_| ());
//! let report = replay.finish();
//! assert_eq!(report.frames, 3);
//! let opening = report.openings.first().ok_or("no door opened")?;
//! assert_eq!(opening.source.to_string(), "203.0.113.7");
//! # Ok(())
//! # }
//! #
//! # fn pcap(ports: &[u16]) -> Vec<u8> {
//! #     let mut bytes = Vec::new();
//! #     // Magic, version 2.4, zone, accuracy, longest frame, LINKTYPE_RAW.
//! #     for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
//! #         bytes.extend(word.to_le_bytes());
//! #     }
//! #     for (second, port) in (1_700_000_000_u32..).zip(ports) {
//! #         for word in [second, 0, 28, 28] {
//! #             bytes.extend(word.to_le_bytes());
//! #         }
//! #         let [high, low] = port.to_be_bytes();
//! #         bytes.extend([
//! #             0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0x14, 0x94, 203, 0, 113, 7, 198, 51, 100, 1, // IPv4
//! #             0x9c, 0x40, high, low, 0, 8, 0, 0, // UDP without a checksum
//! #         ]);
//! #     }
//! #     bytes
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod explain;
pub mod picture;
pub mod replay;
pub mod trace;

/// What this crate cannot use, tried: each of these imports fails to compile.
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
