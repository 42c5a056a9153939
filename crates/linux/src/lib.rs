//! Linux, spoken to directly. Knows no policy's meaning, no configuration and no firewall.
//!
//! | module | what it holds |
//! |---|---|
//! | [`sys`] | all the `unsafe` there is: system calls that no safe wrapper offers |
//! | [`netlink`] | the framing of netlink; links, addresses, sockets and connections |
//! | [`privileges`] | what each process may do, and how it gives up all else |
//! | [`capture`] | the packets of all watched interfaces, in order |
//! | [`proc`] | what `/proc` says about processes |
//! | [`clock`](fn@clock) | the time, on a clock that nobody sets |
//!
//! The time, and the interfaces of this host, which the kernel tells everybody:
//!
//! ```
//! use portcullis_linux::clock;
//! use portcullis_linux::netlink::route::Route;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let begin = clock();
//! for interface in Route::open()?.interfaces()? {
//!     println!("{}: {}", interface.index, interface.name);
//! }
//! println!("asked in {:?}", clock().since(begin));
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]

pub mod capture;
mod clock;
pub mod netlink;
pub mod privileges;
pub mod proc;
pub mod sys;

pub use clock::clock;

/// What this crate cannot use, tried: each of these imports fails to compile.
///
/// ```compile_fail
/// use portcullis_config as _;
/// ```
///
/// ```compile_fail
/// use portcullis_firewall as _;
/// ```
///
/// ```compile_fail
/// use toml as _;
/// ```
#[cfg(doctest)]
struct Walls;
