//! `run`: one process reads packets, another keeps the firewall.
//!
//! ```text
//!            configuration, SIGHUP, SIGTERM
//!                       │
//!   ┌───────────────────▼──────────────────┐  text of the configuration   ┌─────────────────────┐
//!   │ keeper                               ├─────────────────────────────►│ watcher             │
//!   │ CAP_NET_ADMIN, reads no packet       │   SOCK_SEQPACKET             │ nobody, CAP_NET_RAW │
//!   │ re-checks every request              │◄─────────────────────────────┤ capture → engine    │
//!   └───────────────────┬──────────────────┘  messages of 32 bytes        └──────────▲──────────┘
//!                       │ netlink: grants                                  filtered  │
//!   ────────────────────▼─────────────────────────── kernel ────────────── packets ──┘
//! ```
//!
//! Where doors run commands there is a third one, the runner: it keeps every privilege, reads no packet
//! and touches no firewall, and is told by the keeper only which door was opened for whom.
//!
//! | module | what it holds |
//! |---|---|
//! | [`keeper`] | the process that changes the firewall, and never reads a packet |
//! | [`gate`] | the keeper's view of the firewall: one table, and grants in it |
//! | [`resolver`] | the process that looks up names in the allow-list, if there are any, and can do nothing else |
//! | [`runner`](mod@runner) | the process that runs what doors run |
//! | [`notify`] | what systemd is told |
//! | [`outbox`] | what a keeper still has to say, so that it never waits for a reader |
//! | [`parts`] | what every keeper begins with |
//!
//! Each ends when another does, the runner after it has closed what it has opened. The rules and the
//! living grants stay in the kernel then, which
//! ends each grant by itself.

pub mod gate;
pub mod keeper;
pub mod notify;
pub mod outbox;
pub mod parts;
pub mod resolver;
pub mod runner;
