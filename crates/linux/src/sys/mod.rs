//! All the `unsafe` there is: system calls that no safe wrapper offers, each with its reason.
#![allow(unsafe_code, reason = "the one place for it; see ARCHITECTURE.md")]

pub mod background;
pub mod namespace;
pub mod netlink;
pub mod packet;
pub mod process;
pub mod shell;
pub mod time;
