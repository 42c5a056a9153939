//! The programs of the suite, and all of it that touches Linux.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cli`] | the command line: one definition |
//! | [`commands`] | one file per command |
//! | [`apply`] | rules into the kernel, and back out of it unless somebody confirms them |
//! | [`config`] | the native configuration: TOML to policy, with located errors |
//! | [`daemon`] | `run`: one process reads packets, another keeps the firewall |
//! | [`demo`] | the story that `portcullis demo` tells |
//! | [`gate`] | the gate in the kernel, by whichever back end it is loaded: what every command goes through |
//! | [`import`] | a native configuration from a `knockd.conf` |
//! | [`iptables`] | the gate on hosts that live on iptables: loads it, takes it away |
//! | [`knockd`] | the drop-in for knockd: its configuration, its log lines, its commands |
//! | [`lab`] | a private network of namespaces, for the demo and the tests |
//! | [`look`] | what there is on this host, for what a configuration means to it |
//! | [`netlink`] | the kernel, spoken to directly: nf_tables and rtnetlink |
//! | [`replay`](mod@replay) | what the doors would have made of a capture |
//! | [`picture`] | configurations, and what becomes of packets, as SVG |
//! | [`runner`] | start and stop commands: one scheduler, and the pending stops on disk |
//! | [`sys`] | all the `unsafe` there is |
//! | [`trace`](mod@trace) | what packets mean to the doors as they arrive, and why one does not open |
//! | [`exit`] | exit codes and failures, decided in one place |
#![deny(unsafe_code)]

pub mod apply;
pub mod cli;
pub mod commands;
pub mod complete;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod exit;
mod files;
pub mod gate;
pub mod import;
pub mod iptables;
pub mod knockd;
pub mod lab;
pub mod look;
pub mod manual;
pub mod netlink;
pub mod picture;
mod proc;
pub mod replay;
pub mod runner;
pub mod sys;
pub mod trace;
