//! The kernel, spoken to directly: nf_tables, rtnetlink, and what ends connections.
//!
//! | module | what it holds |
//! |---|---|
//! | [`message`] | the format of all messages: headers and attributes |
//! | [`socket`] | requests, their answers, dumps, errors |
//! | [`nftables`] | the gate's table: loaded, read back, opened for somebody |
//! | [`route`] | interfaces, addresses, routes |
//! | [`sockets`] | the sockets of this host: listed, ended |
//! | [`conntrack`] | the connections that the firewall knows: listed, forgotten |
//! | [`cut`] | both of these, to end what one source has with some ports |
//!
//! There is no crate in between: those that exist lack what the rules need, or have it wrong
//! (dynamic sets; timeouts in the wrong byte order), and the whole is small.

pub mod conntrack;
pub mod cut;
pub mod message;
pub mod nftables;
pub mod route;
pub mod socket;
pub mod sockets;

pub use socket::Error;
