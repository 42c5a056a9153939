//! One file per command of `portcullis`: its arguments, and what it does.

pub mod apply;
mod apply_iptables;
pub mod check;
pub mod compile;
pub mod demo;
pub mod explain;
mod explain_iptables;
mod explain_packet;
pub mod import;
pub mod knock;
pub mod remove;
pub mod run;
