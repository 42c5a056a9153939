//! The programs of the suite, and all of it that touches Linux.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cli`] | the command line: one definition |
//! | [`commands`] | one file per command |
//! | [`apply`] | rules into the kernel, and back out of it unless somebody confirms them |
//! | [`config`] | the native configuration: opened, and held against its back end |
//! | [`daemon`] | `run`: one process reads packets, another keeps the firewall |
//! | [`demo`] | the story that `portcullis demo` tells |
//! | [`knockd`] | the drop-in for knockd: its configuration, its log lines, its commands |
//! | [`look`] | what there is on this host, for what a configuration means to it |
//! | [`door_commands`] | start and stop commands: one scheduler, and the pending stops on disk |
//! | [`exit`] | exit codes and failures, decided in one place |
#![forbid(unsafe_code)]

pub mod apply;
pub mod cli;
pub mod commands;
pub mod complete;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod door_commands;
pub mod exit;
mod files;
pub mod knockd;
pub mod look;
pub mod manual;
mod out;
mod progress;
mod syslog;
