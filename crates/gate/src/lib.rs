//! The only code that changes the kernel's firewall. Reads no packet, no file and no configuration.
//!
//! | module | what it holds |
//! |---|---|
//! | [`nftables`] | the gate's table: loaded, read back, opened for somebody |
//! | [`iptables`] | the gate on hosts that live on iptables: loads it, takes it away |
//! | [`cut`] | ends what one source has with some ports of this host, or with all of it |
#![forbid(unsafe_code)]

pub mod cut;
mod error;
pub mod iptables;
pub mod nftables;

pub use error::Error;
