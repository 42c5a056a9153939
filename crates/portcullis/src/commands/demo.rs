//! `portcullis demo`.

use portcullis_lab::Family;

use crate::demo;
use crate::exit::Outcome;

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Let only the daemon open the door
    #[arg(long, conflicts_with = "kernel")]
    daemon: bool,
    /// Let only the kernel open the door; start no daemon
    #[arg(long)]
    kernel: bool,
    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', long)]
    ipv6: bool,
}

/// Runs the command. Must be called before there is a second thread: see
/// [`portcullis_lab::enter`].
pub fn run(args: &Args) -> Outcome {
    use portcullis_core::policy::Recogniser::{Both, Daemon, Kernel};

    let recogniser = match (args.daemon, args.kernel) {
        (true, _) => Daemon,
        (_, true) => Kernel,
        _ => Both,
    };
    let families: &[Family] = match (args.ipv4, args.ipv6) {
        (true, _) => &[Family::V4],
        (_, true) => &[Family::V6],
        _ => &[Family::V4, Family::V6],
    };
    demo::tell(recogniser, families)
}
