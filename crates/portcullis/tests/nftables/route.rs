//! Interfaces, addresses, routes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use portcullis_linux::netlink::route::{AddressMonitor, Interface, Route};

use crate::Test;

pub const TESTS: [Test; 6] = [
    ("a_new_namespace_has_a_loopback", a_new_namespace_has_a_loopback),
    ("a_cable_has_two_ends", a_cable_has_two_ends),
    ("addresses_are_listed", addresses_are_listed),
    ("routes_and_neighbours_are_used", routes_and_neighbours_are_used),
    ("what_is_not_there_is_an_error", what_is_not_there_is_an_error),
    ("changes_are_told", changes_are_told),
];

fn interface(route: &mut Route, name: &str) -> Interface {
    let all = route.interfaces().unwrap();
    all.into_iter().find(|interface| interface.name == name).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn a_new_namespace_has_a_loopback() {
    let mut route = Route::open().unwrap();
    let lo = interface(&mut route, "lo");
    assert!(lo.loopback);
    assert_eq!(lo.mac, None);
    route.set_up("lo").unwrap();
    assert!(interface(&mut route, "lo").up);
    let index = route.interface_index("lo").unwrap().unwrap();
    assert_eq!(index, lo.index);
    assert!(route.addresses().unwrap().contains(&(index, Ipv4Addr::LOCALHOST.into())));
}

fn a_cable_has_two_ends() {
    let mut route = Route::open().unwrap();
    route.create_veth("here", "there", None).unwrap();
    let mac = [2, 0, 0, 0, 0, 1];
    route.set_mac("here", mac).unwrap();
    route.set_mtu("here", 1400).unwrap();
    assert!(!interface(&mut route, "here").up);
    route.set_up("here").unwrap();
    route.set_up("there").unwrap();
    let here = interface(&mut route, "here");
    assert!(here.up && !here.loopback);
    assert_eq!(here.mac, Some(mac));
    // Each thread of this program may be in another namespace.
    let mtu = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    assert!(mtu.contains("there"));
    route.delete_link("here").unwrap();
    assert_eq!(route.interface_index("there").unwrap(), None);
}

fn addresses_are_listed() {
    let mut route = Route::open().unwrap();
    route.create_veth("here", "there", None).unwrap();
    let index = route.interface_index("here").unwrap().unwrap();
    for text in ["10.1.2.3", "2001:db8::3"] {
        route.add_address("here", address(text), 24).unwrap();
        assert!(route.addresses().unwrap().contains(&(index, address(text))));
        let again = route.add_address("here", address(text), 24).unwrap_err();
        assert_eq!(again.errno(), Some(Errno::EEXIST));
    }
}

fn routes_and_neighbours_are_used() {
    let mut route = Route::open().unwrap();
    route.create_veth("here", "there", None).unwrap();
    let from_to = [
        ("10.1.2.3", "10.1.2.4", "0.0.0.0", "198.51.100.9"),
        ("2001:db8::3", "2001:db8::4", "::", "2001:db8:9::9"),
    ];
    for end in ["here", "there"] {
        route.set_up(end).unwrap();
    }
    for (ours, neighbour, everywhere, far) in from_to {
        let length = if address(ours).is_ipv4() { 24 } else { 64 };
        let far = SocketAddr::new(address(far), 9);
        route.add_address("here", address(ours), length).unwrap();
        let socket = UdpSocket::bind(SocketAddr::new(address(ours), 0)).unwrap();
        socket.send_to(b"x", far).unwrap_err();
        route.add_neighbour("here", address(neighbour), [2, 0, 0, 0, 0, 9]).unwrap();
        route.add_route(address(everywhere), 0, Some(address(neighbour)), None).unwrap();
        socket.send_to(b"x", far).unwrap();
    }
    let direct = address("203.0.113.0");
    route.add_route(direct, 24, None, Some("here")).unwrap();
    let again = route.add_route(direct, 24, None, Some("here")).unwrap_err();
    assert_eq!(again.errno(), Some(Errno::EEXIST));
}

fn what_is_not_there_is_an_error() {
    let mut route = Route::open().unwrap();
    assert_eq!(route.interface_index("nothing").unwrap(), None);
    assert_eq!(route.interface_index("much-too-long-for-a-name").unwrap(), None);
    let error = route.set_up("nothing").unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENODEV));
    assert!(error.to_string().contains("no interface nothing"), "{error}");
    let error = route.create_veth("same", "same", None).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EEXIST));
}

fn changes_are_told() {
    let monitor = AddressMonitor::open().unwrap();
    let waits = |monitor: &AddressMonitor| {
        let mut fds = [PollFd::new(monitor.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() > 0
    };
    assert!(!waits(&monitor) && !monitor.drain());
    let mut route = Route::open().unwrap();
    route.create_veth("here", "there", None).unwrap();
    assert!(waits(&monitor));
    assert!(monitor.drain());
    assert!(!monitor.drain());
    route.add_address("here", address("10.1.2.3"), 24).unwrap();
    assert!(monitor.drain());
}
