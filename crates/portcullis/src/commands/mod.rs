//! One file per command of `portcullis`: its arguments, and what it does.

pub mod apply;
mod apply_iptables;
pub mod boot;
pub mod check;
pub mod compile;
pub mod confirm;
pub mod demo;
pub mod doors;
pub mod explain;
mod explain_iptables;
mod explain_packet;
pub mod grant;
pub mod grants;
pub mod import;
pub mod knock;
mod live;
pub mod remove;
pub mod replay;
pub mod revoke;
pub mod rollback;
pub mod run;
mod state_dir;
pub mod status;
pub mod trace;
