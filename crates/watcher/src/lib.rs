//! The only code that reads packets. It can ask for grants and make none; it runs nothing.
//!
//! | module | what it holds |
//! |---|---|
//! | [`watch`] | the process that reads packets for a daemon: one loop, which gives up everything first |
//! | [`native`] | what `portcullis run` does with packets |
//! | [`knockd`] | what `knockd` does with them |
//! | [`follow`] | packets for somebody who looks on (`portcullis trace`), without any privilege |
//! | [`filter`] | which packets the kernel shows at all |
//! | [`message`] | what a watcher and its keeper say to each other |
//! | [`pace`] | how many lines an attacker can make us write |
#![forbid(unsafe_code)]

pub mod filter;
pub mod follow;
pub mod knockd;
pub mod message;
pub mod native;
pub mod pace;
pub mod watch;
