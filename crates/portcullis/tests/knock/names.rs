//! Names that only this test knows: in files of its own, and in a DNS of its own.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

/// `dual` is the first peer of a lab in both families, `two` has two IPv4 addresses of it.
const HOSTS: &str = "\
127.0.0.1 localhost
2001:db8::10 dual six
198.51.100.10 dual four
198.51.100.10 two
198.51.100.11 two
";

const SERVICES: &str = "\
ssh 22/tcp
tftp 69/udp
domain 53/tcp
domain 53/udp
odd 9/tcp
odd 10/udp
";

/// All that is not in the file of hosts is asked of the DNS on this host, and only once.
const RESOLVER: &str = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";

const SWITCH: &str = "hosts: files dns\nservices: files\n";

/// Puts files of ours over those of the machine, for this process and those that it starts.
pub fn own_files() -> TempDir {
    let folder = TempDir::new().unwrap();
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
    for (name, text) in [
        ("hosts", HOSTS),
        ("services", SERVICES),
        ("resolv.conf", RESOLVER),
        ("nsswitch.conf", SWITCH),
    ] {
        let (ours, theirs) = (folder.path().join(name), format!("/etc/{name}"));
        fs::write(&ours, text).unwrap();
        mount(Some(&ours), theirs.as_str(), nothing, MsFlags::MS_BIND, nothing)
            .unwrap_or_else(|errno| panic!("cannot replace {theirs}: {errno}"));
    }
    folder
}

/// Answers every question for an IPv4 address on the host of this thread with these, the first of
/// them another each time, as a DNS that spreads the load does. Any other question has no answer.
pub fn turning_dns(addresses: &'static [Ipv4Addr]) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
    thread::spawn(move || {
        let mut question = [0; 512];
        let mut first = 0;
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            // RFC 1035, section 4: a header of 12 bytes, the name, type, class.
            let name = question[12..length].iter().position(|byte| *byte == 0).unwrap();
            let asked = 12 + name + 5;
            let is_a = question[12 + name + 1..][..2] == [0, 1];
            let answers = if is_a { addresses.len() } else { 0 };
            let mut answer = question[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::try_from(answers).unwrap(), 0, 0, 0, 0]);
            answer.extend(&question[12..asked]);
            for n in 0..answers {
                // The same name, type A, class IN, not to be kept, four bytes.
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                answer.extend(addresses[(first + n) % answers].octets());
            }
            first += usize::from(is_a);
            socket.send_to(&answer, from).unwrap();
        }
    });
}
