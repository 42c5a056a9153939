//! Interfaces and addresses that come and go, and those that theirs does not understand.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::sys::signal::Signal;
use portcullis_lab::packet::Packet;
use portcullis_lab::{Family, Lab};
use portcullis_linux::netlink::route::Route;

use super::Test;
use crate::both::Which;
use crate::both::daemon::{Daemon, Setup};
use crate::both::house::House;

pub const TESTS: &[Test] = &[
    ("an_address_that_comes_later_is_seen", &[], new_address),
    ("an_interface_that_comes_back_is_seen", &["ip"], back),
    ("any_interface", &[], any),
    ("several_interfaces", &[], several),
    ("ipv6_through_a_tunnel", &[], tunnel),
];

const A: &str = "[A]\nsequence = 7000,8000\n";

fn opened(daemon: &Daemon, source: std::net::IpAddr) -> bool {
    daemon.about(source).contains(&"A: OPEN SESAME".to_owned())
}

fn new_address(which: Which) {
    let house = House::new();
    let daemon = house.start(which, &Setup::new(A));
    let mut route = Route::open().unwrap();
    for address in ["198.51.100.2", "2001:db8::2"] {
        route.add_address("client", address.parse().unwrap(), 32).unwrap();
    }
    let seen = || {
        let source = house.knock("7000@198.51.100.2 8000@198.51.100.2");
        let source6 = house.new_source(Family::V6);
        house.play(source6, "7000@2001:db8::2 8000@2001:db8::2");
        house.settle(&[&daemon]);
        (opened(&daemon, source), opened(&daemon, source6))
    };
    if which.is_ours() {
        daemon.wait_until("aware of the addresses", || seen() == (true, true));
    } else {
        assert_eq!(seen(), (false, false));
        daemon.signal(Signal::SIGHUP);
        daemon.wait_for("re-reading", |line| line.starts_with("re-reading config file"));
        house.settle(&[&daemon]);
        assert_eq!(seen(), (false, false));
    }
}

fn back(which: Which) {
    let mut house = House::new();
    let daemon = house.start(which, &Setup::new(A));
    let deleted = Command::new("ip").args(["link", "delete", "client"]).status().unwrap();
    assert!(deleted.success());
    if !which.is_ours() {
        // As if all were well.
        assert_eq!(daemon.wait().unwrap().code(), Some(0));
        return;
    }
    house.client = house.lab.peer("client", 4).unwrap();
    house.wire = house.client.wire().unwrap();
    // Until it has noticed, what arrives is nobody's.
    daemon.wait_until("aware of the interface", || {
        let source = house.knock("7000 8000");
        portcullis_lab::wait_until(std::time::Instant::now() + crate::both::PATIENCE / 100, || {
            opened(&daemon, source)
        })
    });
    assert!(daemon.is_running());
}

fn any(which: Which) {
    let house = House::new();
    let daemon = Daemon::start(which, &Setup::new(A).interface("any"));
    daemon.wait_for_line("starting up, listening on any");
    let source = house.knock("7000 8000");
    if which.is_ours() {
        daemon.wait_until("open", || opened(&daemon, source));
        let source = house.new_source(Family::V6);
        house.play(source, "7000 8000");
        daemon.wait_until("open", || opened(&daemon, source));
    } else {
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert!(!opened(&daemon, source));
        assert!(daemon.is_running());
    }
}

fn several(which: Which) {
    let mut house = House::new();
    let other = house.lab.peer("other", 2).unwrap();
    let setup = Setup::new(A).interface("client,other");
    if !which.is_ours() {
        let refused = Daemon::refused(which, &setup);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        return;
    }
    let daemon = house.start(which, &setup);
    let source = house.knock("7000 8000");
    daemon.wait_until("open", || opened(&daemon, source));
    for family in [Family::V4, Family::V6] {
        let source = other.address(family, 1);
        let host = other.host(family);
        house.wire = other.wire().unwrap();
        house.play(source, &format!("7000@{host} 8000@{host}"));
        daemon.wait_until("open", || opened(&daemon, source));
    }
}

nix::ioctl_write_ptr_bad!(
    /// `TUNSETIFF` of linux/if_tun.h: ties an open `/dev/net/tun` to an interface.
    set_tunnel,
    libc::TUNSETIFF,
    libc::ifreq
);

/// A tunnel of IP packets without any header before them; the file is its other end.
fn open_tunnel(name: &str) -> Option<File> {
    let file = File::options().read(true).write(true).open("/dev/net/tun").ok()?;
    // SAFETY: `ifreq` is plain old data of C, for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *slot = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads the `ifreq`, which lives until the call returns; the file is open.
    unsafe { set_tunnel(file.as_raw_fd(), &raw const request) }.ok()?;
    Some(file)
}

fn tunnel(which: Which) {
    let _lab = Lab::new().unwrap();
    let Some(mut end) = open_tunnel("tun0") else {
        eprintln!("there is no /dev/net/tun here");
        return;
    };
    let mut route = Route::open().unwrap();
    route.set_up("tun0").unwrap();
    route.add_address("tun0", "192.0.2.1".parse().unwrap(), 24).unwrap();
    route.add_address("tun0", "2001:db8:9::1".parse().unwrap(), 64).unwrap();
    let daemon = Daemon::start(which, &Setup::new(A).interface("tun0"));
    let mut knock = |from: &str, to: &str| {
        for port in [7000, 8000] {
            let from = SocketAddr::new(from.parse().unwrap(), 40_000);
            let to = SocketAddr::new(to.parse().unwrap(), port);
            end.write_all(&Packet::syn(from, to).to_bytes()).unwrap();
        }
    };
    let [v4, v6] = ["192.0.2.9", "2001:db8:9::9"];
    if which.is_ours() {
        knock(v6, "2001:db8:9::1");
        daemon.wait_until("open", || opened(&daemon, v6.parse().unwrap()));
    } else {
        knock(v6, "2001:db8:9::1");
    }
    // After it, so that theirs has had its chance.
    knock(v4, "192.0.2.1");
    daemon.wait_until("open", || opened(&daemon, v4.parse().unwrap()));
    assert_eq!(opened(&daemon, v6.parse().unwrap()), which.is_ours());
}
