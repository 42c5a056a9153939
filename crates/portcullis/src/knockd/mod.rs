//! `knockd`: a drop-in for knockd 0.8, without its faults (`docs/knockd-compatibility.md`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | `knockd.conf`: every directive, with located errors |
//! | [`one_time`] | files of sequences that open once each |
//! | [`commands`] | start and stop commands: one scheduler, and the pending stops on disk |
//! | [`log`] | where lines go: a file, syslog, stdout |
//! | [`journal`] | the order of the lines while host names are being looked up |
//! | [`lookup`] | reverse DNS, which nothing waits for |

pub mod commands;
pub mod config;
pub mod journal;
pub mod log;
pub mod lookup;
pub mod one_time;
