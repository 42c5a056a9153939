//! The only code that changes the kernel's firewall. Reads no packet, no configuration and no file but the
//! lists of `xt_recent`.
//!
//! | module | what it holds |
//! |---|---|
//! | `backend` | [`Backend`]: the gate, by whichever back end it is loaded; what every command goes through |
//! | [`nftables`] | the gate's table: loaded, read back, opened for somebody |
//! | [`iptables`] | the gate on hosts that live on iptables: chains loaded, read back, opened for somebody |
//! | [`cut`] | ends what one source has with some ports of this host, or with all of it |
//! | `kind`, `error`, `failed` | the names of the back ends; what can go wrong, as a value and in words alone |
#![forbid(unsafe_code)]

mod backend;
pub mod cut;
mod error;
mod failed;
pub mod iptables;
mod kind;
pub mod nftables;

pub use backend::{Backend, Granted, Loaded, Look, Removed, Rules};
pub use error::Error;
pub use failed::Failed;
pub use kind::Kind;
