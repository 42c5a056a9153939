//! One file per command of `portcullis`: its arguments, and what it does.

pub mod apply;
pub mod boot;
pub mod check;
pub mod compile;
pub mod confirm;
pub mod demo;
pub mod doors;
pub mod explain;
mod explain_iptables;
mod explain_nftables;
mod explain_packet;
mod explain_text;
pub mod grant;
pub mod grants;
pub mod import;
pub mod knock;
mod live;
pub mod remove;
pub mod revoke;
pub mod rollback;
pub mod run;
mod state_dir;
pub mod status;
