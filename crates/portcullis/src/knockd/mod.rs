//! `knockd`: a drop-in for knockd 0.8, without its faults (`docs/knockd-compatibility.md`).
//!
//! ```text
//!   knockd.conf, one-time files, signals
//!                  │
//!   ┌──────────────▼──────────────┐   doors, as the engine wants them    ┌─────────────────────┐
//!   │ keeper: root                ├─────────────────────────────────────►│ watcher             │
//!   │ log, commands, pending stops│                                      │ nobody, CAP_NET_RAW │
//!   │ reads no packet             │◄─────────────────────────────────────┤ capture → engine    │
//!   └──────────────┬──────────────┘    stage, opened, timed out          └──────────▲──────────┘
//!            /bin/sh -c …                                                        packets
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`keeper`] | the process that logs and runs commands, and never reads a packet |
//! | [`doors`] | the doors, and which of their one-time sequences come next |
//! | [`one_time`] | files of sequences that open once each |
//! | [`reporter`] | what is told of what happens |
//! | [`log`] | where lines go: a file, syslog, stdout |
//! | [`journal`] | the order of the lines while host names are being looked up |
//! | [`lookup`] | reverse DNS, which nothing waits for |
//!
//! The watcher is [`portcullis_watcher::knockd`], the configuration [`portcullis_config::knockd`].

pub mod cli;
pub mod doors;
pub mod journal;
pub mod keeper;
pub mod log;
pub mod lookup;
pub mod one_time;
pub mod reporter;

/// The interface, if neither the command line nor the configuration names one (knockd's).
pub const DEFAULT_INTERFACE: &str = "eth0";

/// Where the process number is written with `-d` (knockd's).
pub const DEFAULT_PID_FILE: &str = "/var/run/knockd.pid";

/// Where pending stop commands are kept.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/portcullis/knockd";

/// The argument that makes this program its own watcher.
pub const WATCHER: &str = "--run-watcher";
