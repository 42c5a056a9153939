//! The programs that tests are held against: installed where we may, named where we may not.

use std::process::{Command, Stdio};

use crate::run::{installed, say, succeeds};

/// A program that some tests need, and Debian's packages that bring it.
struct Peer {
    program: &'static str,
    packages: &'static [&'static str],
    why: &'static str,
}

const PEERS: [Peer; 13] = [
    Peer {
        program: "nft",
        packages: &["nftables"],
        why: "what we load must be what nft would have loaded",
    },
    Peer {
        program: "nmap",
        packages: &["nmap"],
        why: "a guarded host must look like one with nothing there",
    },
    Peer {
        program: "knockd",
        packages: &["knockd"],
        why: "the drop-in must do what it does, less its faults",
    },
    Peer {
        program: "knock",
        packages: &["knockd"],
        why: "our client must do what it does, less its faults",
    },
    Peer { program: "setpriv", packages: &["util-linux"], why: "knocks must not need root" },
    Peer {
        program: "iptables",
        packages: &["iptables"],
        why: "the commands in other people's knockd.conf call it",
    },
    Peer {
        program: "ipset",
        packages: &["ipset"],
        why: "one of the back ends is made of its sets",
    },
    Peer {
        program: "sshd",
        packages: &["openssh-server"],
        why: "a real service stands behind the doors of the drop-in",
    },
    Peer {
        program: "ssh",
        packages: &["openssh-client"],
        why: "a real client goes through the doors of the drop-in",
    },
    Peer {
        program: "tcpdump",
        packages: &["tcpdump"],
        why: "a replay of what it captures must open what opened live",
    },
    Peer { program: "nc", packages: &["netcat-openbsd"], why: "people knock with it" },
    Peer {
        program: "ip",
        packages: &["iproute2"],
        why: "an interface must be able to disappear under the drop-in",
    },
    Peer {
        program: "unshare",
        packages: &["util-linux"],
        why: "the drop-in must find other files than this machine's in some places",
    },
];

/// The standard library's parts for a target that has no more of it, and the compiler that they
/// belong to. Rustup's own are not in any package registry.
const WITHOUT_STD: [&str; 2] = ["rustc-web", "libstd-rust-web-dev-bpf"];

/// The target without std.
pub const TARGET_WITHOUT_STD: &str = "bpfel-unknown-none";

/// The compiler that can build for it, if it is there.
pub fn compiler_without_std() -> Option<&'static str> {
    let compiler = "/usr/bin/rustc";
    let library = format!("/usr/lib/rustlib/{TARGET_WITHOUT_STD}");
    (std::path::Path::new(compiler).is_file() && std::path::Path::new(&library).is_dir())
        .then_some(compiler)
}

/// Sees to it that the peers are there. As root they are installed; for anyone else the tests that
/// need a missing one count as skipped.
pub fn provide() {
    let missing: Vec<_> = PEERS.iter().filter(|peer| !installed(peer.program)).collect();
    let mut packages: Vec<_> = missing.iter().flat_map(|peer| peer.packages).copied().collect();
    if compiler_without_std().is_none() {
        packages.extend(WITHOUT_STD);
    }
    if packages.is_empty() {
        return;
    }
    say(&format!("peers: {}", packages.join(" ")));
    if is_root() && installed("apt-get") {
        let apt = |args: &[&str]| {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive").args(args).stdin(Stdio::null());
            command
        };
        let install = ["install", "-y", "-qq", "--no-install-recommends"];
        let done = succeeds(&mut apt(&["update", "-qq"]))
            // One by one: that one is not to be had must not cost the others.
            && packages.iter().all(|package| succeeds(apt(&install).arg(package)));
        if done {
            return;
        }
    }
    for peer in &missing {
        println!("not installed: {} ({}); tests that need it are skipped", peer.program, peer.why);
    }
    println!("to have them: sudo apt-get install {}", packages.join(" "));
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").stdin(Stdio::null()).output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
