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
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod attempts;
pub mod automaton;
pub mod conversations;
pub mod engine;
pub mod knockd;
pub mod limits;
pub mod policy;
pub mod strength;
pub mod text;
pub mod time;
pub mod wire;
