//! Knocks: portable, unprivileged, and knows neither firewall nor daemon.
//!
//! A knock is one packet. For TCP it is the SYN of a connection that is abandoned before the
//! operating system repeats it; for UDP a datagram of one byte. Each comes from a fresh source port,
//! and all of a sequence go to one address: a name with several addresses would otherwise be knocked
//! at in pieces.
//!
//! Knocks at a host, with 100 milliseconds from one to the next:
//!
//! ```no_run
//! use portcullis_client::{Options, Target, knock};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sequence = ["tcp/7431".parse()?, "udp/29117".parse()?, "tcp/1123".parse()?];
//! let report = knock(&Target::new("gate.example.org"), &sequence, &Options::default())?;
//! println!("knocked at {}", report.address);
//! # Ok(())
//! # }
//! ```
//!
//! A knock at this host, and what arrives there:
//!
//! ```
//! use std::net::UdpSocket;
//! use portcullis_client::{Family, Options, Target, knock};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! let port = format!("udp/{}", socket.local_addr()?.port()).parse()?;
//! let options = Options { family: Family::V4, ..Options::default() };
//! let report = knock(&Target::new("localhost"), &[port], &options)?;
//! assert!(report.address.is_loopback());
//! assert_eq!(socket.recv(&mut [0; 16])?, 1);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod cli;
mod error;
mod family;
mod knock_once;
mod service;
mod target;

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use portcullis_core::policy::Port;

pub use error::KnockError;
pub use family::Family;
pub use knock_once::Answer;
pub use target::Target;

/// How to knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The time from one knock to the next, so that they arrive in order. An answer to a knock shows
    /// that it has arrived, and ends the wait.
    pub delay: Duration,
    /// Which kind of address to knock at.
    pub family: Family,
}

impl Options {
    /// The delay where none is given: more than packets of one path ever overtake each other by.
    pub const DEFAULT_DELAY: Duration = Duration::from_millis(100);
}

impl Default for Options {
    fn default() -> Self {
        Self { delay: Self::DEFAULT_DELAY, family: Family::Any }
    }
}

/// One knock that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentKnock {
    /// The port.
    pub port: Port,
    /// What came back in the time that was waited.
    pub answer: Answer,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The address that was knocked at.
    pub address: IpAddr,
    /// The knocks, in order.
    pub knocks: Vec<SentKnock>,
}

/// Knocks at the ports in their order.
///
/// # Errors
///
/// Before the first packet: nothing to knock at, no such host, no route to it. After it: what the
/// operating system of this host refuses. What the other side answers is no error.
pub fn knock(target: &Target, sequence: &[Port], options: &Options) -> Result<Report, KnockError> {
    knock_telling(target, sequence, options, |_, _| ())
}

/// The same, and tells of each knock when it has been made.
///
/// # Errors
///
/// See [`knock`].
pub fn knock_telling(
    target: &Target,
    sequence: &[Port],
    options: &Options,
    mut tell: impl FnMut(IpAddr, SentKnock),
) -> Result<Report, KnockError> {
    if sequence.is_empty() {
        return Err(KnockError::NoPorts);
    }
    let destination = target.resolve(options.family)?;
    let address = destination.ip();
    let mut knocks = Vec::with_capacity(sequence.len());
    let mut pause = Duration::ZERO;
    for &port in sequence {
        thread::sleep(pause);
        let start = Instant::now();
        let answer = knock_once::knock_once(destination, port, options.delay)
            .map_err(|source| KnockError::Send { port, address, source })?;
        pause = match answer {
            Answer::None => options.delay.saturating_sub(start.elapsed()),
            Answer::Open | Answer::Refused | Answer::Unreachable => Duration::ZERO,
        };
        let knock = SentKnock { port, answer };
        tell(address, knock);
        knocks.push(knock);
    }
    Ok(Report { address, knocks })
}

/// What this crate cannot use, tried: each of these imports fails to compile.
///
/// ```compile_fail
/// use portcullis_firewall as _;
/// ```
///
/// ```compile_fail
/// use portcullis_linux as _;
/// ```
///
/// ```compile_fail
/// use nix as _;
/// ```
#[cfg(doctest)]
struct Walls;
