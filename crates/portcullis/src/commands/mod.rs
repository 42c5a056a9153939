//! One file per command of `portcullis`: its arguments, and what it does.

pub mod apply;
pub mod ban;
pub mod bans;
pub mod boot;
pub mod check;
pub mod compile;
pub mod completions;
pub mod confirm;
pub mod count;
pub mod demo;
pub mod doors;
pub mod explain;
pub mod grant;
pub mod grants;
pub mod import;
pub mod knock;
mod live;
pub mod man;
pub mod remove;
pub mod replay;
pub mod revoke;
pub mod rollback;
pub mod run;
mod state_dir;
pub mod status;
pub mod trace;
pub mod unban;
