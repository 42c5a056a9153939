//! The only code that changes the kernel's firewall. Reads no packet, no configuration and no file but the
//! lists of `xt_recent`.
//!
//! | module | what it holds |
//! |---|---|
//! | `gate` | [`Gate`]: the gate, by whichever back end it is loaded; what every command goes through |
//! | [`nftables`] | the gate's table: loaded, read back, opened for somebody |
//! | [`iptables`] | the gate on hosts that use iptables: chains loaded, read back, opened for somebody |
//! | [`cut`] | ends what one source has with some ports of this host, or with all of it |
//! | `backend`, `error`, `failed` | the names of the back ends; what can go wrong, as a value and in words alone |
//!
//! Rules into the kernel, a grant, and the rules out again. This needs `CAP_NET_ADMIN`:
//!
//! ```no_run
//! use std::time::Duration;
//! use portcullis_core::policy::{Door, DoorName, Policy, Recogniser};
//! use portcullis_firewall::compile::compile;
//! use portcullis_gate::nftables::Table;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let door = Door {
//!     name: DoorName::new("ssh")?,
//!     guards: vec!["tcp/22".parse()?],
//!     sequence: vec!["tcp/7431".parse()?, "udp/29117".parse()?, "tcp/1123".parse()?],
//!     step_timeout: Door::DEFAULT_STEP_TIMEOUT,
//!     open_for: Door::DEFAULT_OPEN_FOR,
//!     recogniser: Recogniser::Kernel,
//!     tolerate: 0,
//!     hooks: None,
//! };
//! let policy = Policy { doors: vec![door], ..Policy::default() };
//! let ruleset = compile(&policy).map_err(|_| "two doors contradict each other")?;
//!
//! let mut table = Table::open()?;
//! let loaded = table.load(&ruleset)?; // one transaction, and read back
//! println!("{} rules and {} elements", loaded.rules, loaded.elements);
//! table.open_door("ssh", "203.0.113.7".parse()?, Duration::from_secs(30))?;
//! for grant in table.grants()? {
//!     println!("{} has a grant", grant.address);
//! }
//! table.remove()?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod backend;
pub mod cut;
mod error;
mod failed;
mod gate;
pub mod iptables;
pub mod nftables;

pub use backend::Backend;
pub use error::Error;
pub use failed::Failed;
pub use gate::{Gate, Granted, Loaded, Look, Removed, Rules};

/// What this crate cannot use, tried: each of these imports fails to compile.
///
/// ```compile_fail
/// use portcullis_config as _;
/// ```
///
/// ```compile_fail
/// use portcullis_insight as _;
/// ```
///
/// ```compile_fail
/// use portcullis_watcher as _;
/// ```
///
/// ```compile_fail
/// use toml as _;
/// ```
#[cfg(doctest)]
struct Walls;
