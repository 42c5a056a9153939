//! One file per command of `portcullis`: its arguments, and what it does.

pub mod apply;
pub mod boot;
pub mod check;
pub mod compile;
pub mod confirm;
pub mod demo;
pub mod explain;
mod explain_packet;
pub mod import;
pub mod knock;
pub mod remove;
pub mod rollback;
pub mod run;
mod state_dir;
