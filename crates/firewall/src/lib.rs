//! What the kernel is told, as values.
//!
//! A [`Policy`](portcullis_core::policy::Policy) is [compiled](compile::compile) to a
//! [`Ruleset`](ruleset::Ruleset): one table with its sets and chains. That value is [printed](text)
//! as nftables text, loaded over netlink by the program, and [simulated](simulator) to say what
//! happens to a packet: three readers of one thing, so that what is shown is what is loaded.
//!
//! For hosts that live on iptables, [`iptables`] holds the same for chains of `iptables-restore` with
//! the match `recent` or with `ipset`.
//!
//! This crate sees no packet and no key, runs nothing and opens nothing.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod compile;
pub mod iptables;
pub mod ruleset;
pub mod simulator;
pub mod text;
