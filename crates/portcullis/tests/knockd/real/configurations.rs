//! Configurations that were written for theirs, letter by letter.

use std::fs;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use portcullis_lab::Family;
use portcullis_lab::service::Echo;
use portcullis_linux::netlink::route::Route;

use super::{answers, drop_everything, found, on, run};
use crate::both::daemon::{Daemon, Setup};
use crate::both::house::House;
use crate::both::{PATIENCE, Which};
use crate::world::sshd::Sshd;

pub const NEEDS: &[&str] = &["knock", "iptables", "sshd", "ssh", "ssh-keygen", "unshare", "mount"];

/// A host behind `eth0` that lets nobody in.
struct Castle {
    house: House,
    sshd: Sshd,
    from: IpAddr,
    to: IpAddr,
}

impl Castle {
    fn new() -> Self {
        let house = House::with_interface("eth0");
        let sshd = Sshd::start();
        drop_everything();
        let from = house.client.address(Family::V4, 0);
        let to = house.client.host(Family::V4);
        let castle = Self { house, sshd, from, to };
        assert!(!castle.is_open(22));
        castle
    }

    fn start(&self, which: Which, setup: &Setup) -> Daemon {
        Daemon::start(which, &setup.clone().interface("").verbatim())
    }

    fn is_open(&self, port: u16) -> bool {
        answers(&self.house.wire, self.from, SocketAddr::new(self.to, port))
    }

    /// With theirs, as people do.
    fn knock(&self, to: IpAddr, ports: &[&str]) {
        let to = to.to_string();
        let arguments = [&["-d", "20", to.as_str()], ports].concat();
        let output = on(&self.house.client, "knock", &arguments);
        assert!(output.status.success(), "{output:?}");
    }

    fn wait_for_rules(&self, daemon: &Daemon, count: usize, port: &str) {
        let rules = || {
            let rules = run("/sbin/iptables -S INPUT");
            rules.lines().filter(|rule| rule.contains(&format!("--dport {port} "))).count()
        };
        daemon.wait_until(&format!("with {count} rules"), || rules() == count);
    }

    /// Where there are other users to be, which sshd needs; elsewhere it says at least who it is.
    fn login(&self) {
        if !fs::read_to_string("/proc/self/uid_map").unwrap().contains("4294967295") {
            let to = SocketAddr::new(self.to, 22);
            let mut stream = self.house.client.connect(self.from, to, PATIENCE).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut begin = [0; 8];
            stream.read_exact(&mut begin).unwrap();
            assert_eq!(&begin, b"SSH-2.0-");
            return;
        }
        let output = self.sshd.login(&self.house.client, self.from, self.to);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "inside", "{output:?}");
    }
}

/// The configuration that the package brings. It logs to the system log; `-g` adds a file to watch.
pub fn debian(which: Which) {
    let castle = Castle::new();
    let setup = Setup::new(&found("debian.conf")).arg("-g").arg("DIR/log");
    let daemon = castle.start(which, &setup);
    assert!(daemon.log()[0].ends_with("listening on eth0"));

    castle.knock(castle.to, &["7000", "8000", "9000"]);
    castle.wait_for_rules(&daemon, 1, "22");
    castle.login();

    castle.knock(castle.to, &["9000", "8000", "7000"]);
    castle.wait_for_rules(&daemon, 0, "22");
    assert!(!castle.is_open(22));

    // Its third door runs a program that the package does not bring.
    castle.knock(castle.to, &["12345", "54321", "24680", "13579"]);
    daemon.wait_for_line("openHTTPS: command returned non-zero status code (127)");
}

/// The log is at `/var/log/knockd.log`.
fn with_log(name: &str) -> Setup {
    let mut setup = Setup::new(&found(name)).mounts("mount --bind DIR /var/log");
    setup.log = "knockd.log".to_owned();
    setup
}

pub fn open_close(which: Which) {
    let castle = Castle::new();
    let daemon = castle.start(which, &with_log("magazine-open-close.conf"));
    castle.knock(castle.to, &["7000", "8000", "9000"]);
    castle.wait_for_rules(&daemon, 1, "22");
    castle.login();
    castle.knock(castle.to, &["9000", "8000", "7000"]);
    castle.wait_for_rules(&daemon, 0, "22");
    assert!(!castle.is_open(22));
    let lines: Vec<String> =
        daemon.log().iter().map(|line| line.replace(&castle.from.to_string(), "IP")).collect();
    let expected = [
        "starting up, listening on eth0",
        "IP: openSSH: Stage 1",
        "IP: openSSH: Stage 2",
        "IP: openSSH: Stage 3",
        "IP: openSSH: OPEN SESAME",
        "openSSH: running command: /sbin/iptables -A INPUT -s IP -p tcp --dport 22 -j ACCEPT⏎",
        "IP: closeSSH: Stage 1",
        "IP: closeSSH: Stage 2",
        "IP: closeSSH: Stage 3",
        "IP: closeSSH: OPEN SESAME",
        "closeSSH: running command: /sbin/iptables -D INPUT -s IP -p tcp --dport 22 -j ACCEPT⏎",
    ];
    assert_eq!(lines, expected);
}

pub fn ftp(which: Which) {
    let castle = Castle::new();
    let server: IpAddr = "192.0.2.1".parse().unwrap();
    Route::open().unwrap().add_address("eth0", server, 32).unwrap();
    let _ftp = Echo::start(SocketAddr::new(server, 21)).unwrap();
    let at = SocketAddr::new(server, 21);
    let reached = || castle.house.client.connect(castle.from, at, Duration::from_millis(500));
    assert!(reached().is_err());
    let daemon = castle.start(which, &with_log("ftp.conf"));
    castle.knock(server, &["2000", "3455", "6789"]);
    castle.wait_for_rules(&daemon, 1, "21");
    assert!(reached().is_ok());
    assert!(!castle.is_open(21) && !castle.is_open(22));
    castle.knock(server, &["6789", "3455", "2000"]);
    castle.wait_for_rules(&daemon, 0, "21");
    assert!(reached().is_err());
}

pub fn start_stop(which: Which) {
    let castle = Castle::new();
    let daemon = castle.start(which, &with_log("magazine-start-stop.conf"));
    castle.knock(castle.to, &["7000", "8000", "9000"]);
    castle.wait_for_rules(&daemon, 1, "22");
    castle.login();
    castle.wait_for_rules(&daemon, 0, "22");
    assert!(!castle.is_open(22));
    daemon.wait_for_line(&format!("{}: SSH: command timeout", castle.from));
}
