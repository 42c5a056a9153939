//! All the `unsafe` there is: system calls that no safe wrapper offers, each with its reason.
#![allow(unsafe_code, reason = "the one place for it; see ARCHITECTURE.md")]

pub mod background;
pub mod namespace;
pub mod netlink;
pub mod packet;
pub mod process;
pub mod spawn;
pub mod time;

use std::io;
use std::os::fd::RawFd;

/// The descriptors that this process has, and the one that read the list, which is closed again.
///
/// # Errors
///
/// `/proc` is not mounted.
fn descriptors() -> io::Result<Vec<RawFd>> {
    let entries = std::fs::read_dir("/proc/self/fd")?.collect::<io::Result<Vec<_>>>()?;
    Ok(entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}
