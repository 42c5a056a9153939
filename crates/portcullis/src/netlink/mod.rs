//! The kernel, spoken to directly: nf_tables and rtnetlink.
//!
//! | module | what it holds |
//! |---|---|
//! | [`message`] | the format of all messages: headers and attributes |
//! | [`socket`] | requests, their answers, dumps, errors |
//! | [`nftables`] | the gate's table: loaded, read back, opened for somebody |
//! | [`route`] | interfaces, addresses, routes |
//!
//! There is no crate in between: those that exist lack what the rules need, or have it wrong
//! (dynamic sets; timeouts in the wrong byte order), and the whole is small.

pub mod message;
pub mod nftables;
pub mod route;
pub mod socket;

pub use socket::Error;
