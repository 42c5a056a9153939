//! A real sshd behind the door, and commands that are run through it.

use std::net::IpAddr;
use std::process::{Child, Output, Stdio};

use portcullis_lab::Family;

use super::support::{House, Test, before, done, refused, said};
use crate::world::sshd::Sshd;
use crate::world::{PATIENCE, knock_packet};

const NEEDS: &[&str] = &["sshd", "ssh", "ssh-keygen", "unshare"];

pub const TESTS: &[Test] = &[
    ("rules_that_would_cut_off_their_own_session_v4", NEEDS, || cut_off(Family::V4)),
    ("rules_that_would_cut_off_their_own_session_v6", NEEDS, || cut_off(Family::V6)),
    ("confirmed_over_a_new_session_v4", NEEDS, || confirmed(Family::V4)),
    ("confirmed_over_a_new_session_v6", NEEDS, || confirmed(Family::V6)),
    ("a_locked_out_administrator_gets_back_in", NEEDS, locked_out),
];

struct Server {
    house: House,
    sshd: Sshd,
    from: IpAddr,
    to: IpAddr,
}

impl Server {
    fn new(family: Family) -> Self {
        let house = House::new();
        let (from, to) = (house.client.address(family, 0), house.client.host(family));
        Self { sshd: Sshd::start(), house, from, to }
    }

    /// Runs a command on the server, through ssh.
    fn run(&self, arguments: &[&str]) -> Output {
        self.shell(&self.line(arguments))
    }

    fn line(&self, arguments: &[&str]) -> String {
        self.house.words(arguments).join(" ")
    }

    fn shell(&self, line: &str) -> Output {
        self.sshd.run(&self.house.client, self.from, self.to, line)
    }

    /// A session that runs the line when it is told to.
    fn waiting(&self, line: &str) -> Child {
        let line = format!("echo here; read go; {line}");
        let mut command = self.sshd.ssh(self.from, self.to, &line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.house.client.run(move || command.spawn().unwrap()).unwrap();
        let mut here = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut here).unwrap();
        assert_eq!(&here, b"here\n");
        child
    }

    /// Whether a new session can be opened.
    fn gets_in(&self) -> bool {
        let output = self.sshd.login(&self.house.client, self.from, self.to);
        assert!(output.status.success() || said(&output).contains("refused"), "{output:?}");
        output.status.success()
    }

    /// Knocks at the door, and waits until the kernel has opened it.
    fn knock(&mut self) {
        for port in ["tcp/7431", "udp/29117", "tcp/1123"] {
            let packet = knock_packet(self.from, self.to, port.parse().unwrap());
            self.house.wire.send(&packet).unwrap();
        }
        let house = &mut self.house;
        let open = || house.gate.grants().unwrap().iter().any(|grant| grant.address == self.from);
        assert!(portcullis_lab::wait_until(std::time::Instant::now() + PATIENCE, open));
    }
}

/// Tells a waiting session to go on.
fn go(mut child: Child) -> Output {
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"\n").unwrap();
    child.wait_with_output().unwrap()
}

fn cut_off(family: Family) {
    let mut server = Server::new(family);
    let guarded = server.house.door("ssh", 22);
    let address = server.from.to_string();
    for way in [&[][..], &["--confirm-within", "60s"]] {
        let output = server.run(&[&["apply", &guarded], way].concat());
        let words = ["lock you out", &address, "tcp/22", "door ssh", "--allow-lockout"];
        refused(&output, 1, &words);
        server.house.wait_for(&[]);
        assert!(server.house.state().pending.is_none());
    }
    // As sudo does it, which takes the variable out of the environment.
    let line = format!("env -u SSH_CONNECTION {}", server.line(&["apply", &guarded]));
    refused(&server.shell(&format!("{line}; exit $?")), 1, &["lock you out"]);
    // As doas does it, which leaves no process with the variable.
    let line = format!("exec env -u SSH_CONNECTION {}", server.line(&["apply", &guarded]));
    refused(&server.shell(&line), 1, &["lock you out", &address]);
    // Rules that guard something else.
    done(&server.run(&["apply", &server.house.door("web", 443)]));
    assert_eq!(server.house.doors(), before(Some("web")));
    // On an interface that the session does not come in by.
    let text = std::fs::read_to_string(&guarded).unwrap();
    let elsewhere = server.house.folder.path().join("elsewhere.toml");
    crate::world::write_config(&elsewhere, &format!("[gate]\ninterfaces = [\"lo\"]\n{text}"));
    done(&server.run(&["apply", elsewhere.to_str().unwrap()]));
    assert!(server.gets_in());
    // Who insists is obeyed, and then is really locked out, until he knocks.
    let session = server.waiting(&server.line(&["apply", &guarded]));
    let second = server.waiting(&server.line(&["apply", &guarded]));
    done(&server.run(&["apply", &guarded, "--allow-lockout"]));
    assert_eq!(server.house.doors(), before(Some("ssh")));
    assert!(!server.gets_in());
    refused(&go(session), 1, &["lock you out", "knock from that address"]);
    server.knock();
    done(&go(second));
    assert!(server.gets_in());
}

fn confirmed(family: Family) {
    let mut server = Server::new(family);
    let guarded = server.house.door("ssh", 22);
    // A session that is older than the rules, and outlives them.
    let old = server.waiting(&server.line(&["confirm", "--yes"]));
    let apply = server.line(&["apply", &guarded, "--confirm-within", "1h", "--allow-lockout"]);
    let both = format!("{apply} && {}", server.line(&["confirm", "--yes"]));
    refused(&server.shell(&both), 1, &["this SSH session applied the rules"]);
    refused(&go(old), 1, &["older than the rules"]);
    assert!(server.house.state().pending.is_some());
    assert!(!server.gets_in());
    server.knock();
    done(&server.run(&["confirm"]));
    let state = server.house.state();
    assert!(state.pending.is_none() && state.confirmed.is_some());
    // It survives a reboot.
    server.house.gate.remove().unwrap();
    done(&server.house.run(&["boot"]));
    assert_eq!(server.house.doors(), before(Some("ssh")));
    assert!(!server.gets_in());
    server.knock();
    assert!(server.gets_in());
}

fn locked_out() {
    let mut server = Server::new(Family::V4);
    let guarded = server.house.door("ssh", 22);
    done(&server.run(&["apply", &guarded, "--confirm-within", "3s", "--allow-lockout"]));
    assert!(!server.gets_in());
    server.house.wait_for(&[]);
    assert!(server.gets_in());
}
