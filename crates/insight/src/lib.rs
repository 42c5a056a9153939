//! What would happen to packets, and why. Changes nothing, asks no kernel, opens no file.
//!
//! | module | what it holds |
//! |---|---|
//! | [`replay`](mod@replay) | what the doors would have made of a capture |
//! | [`trace`](mod@trace) | what packets mean to the doors as they arrive, and why one does not open |
//! | [`explain`](mod@explain) | what becomes of packets that somebody makes up, rule by rule |
//! | [`picture`] | configurations, and what becomes of packets, as SVG |
#![forbid(unsafe_code)]

pub mod explain;
pub mod picture;
pub mod replay;
pub mod trace;
