//! Netlink: the framing of all its messages, and what needs no knowledge of the firewall's rules.
//!
//! | module | what it holds |
//! |---|---|
//! | [`message`] | the format of all messages: headers and attributes |
//! | [`socket`] | requests, their answers, dumps, errors |
//! | [`route`] | interfaces, addresses, routes |
//! | [`sockets`] | the sockets of this host: listed, ended |
//! | [`conntrack`] | the connections that the firewall knows: listed, forgotten |
//!
//! There is no crate in between: those that exist lack what the rules need, or have it wrong
//! (dynamic sets; timeouts in the wrong byte order), and the whole is small.

pub mod conntrack;
pub mod message;
pub mod route;
pub mod socket;
pub mod sockets;

pub use socket::Error;
