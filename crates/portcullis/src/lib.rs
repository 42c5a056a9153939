//! The programs of the suite, and all of it that touches Linux.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cli`] | the command line: one definition |
//! | [`commands`] | one file per command |
//! | [`config`] | the native configuration: TOML to policy, with located errors |
//! | [`exit`] | exit codes and failures, decided in one place |
#![deny(unsafe_code)]

pub mod cli;
pub mod commands;
pub mod config;
pub mod exit;
