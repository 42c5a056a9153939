//! `knockd`: a drop-in for knockd 0.8, without its faults (`docs/knockd-compatibility.md`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | `knockd.conf`: every directive, with located errors |
//! | [`one_time`] | files of sequences that open once each |
//! | [`commands`] | start and stop commands: one scheduler, and the pending stops on disk |

pub mod commands;
pub mod config;
pub mod one_time;
