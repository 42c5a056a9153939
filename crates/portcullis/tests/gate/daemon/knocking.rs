//! Who gets in.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::poll::{PollFd, PollFlags, poll};
use portcullis_core::engine::Direction;
use portcullis_lab::packet::{ACK, Extension, Packet, SYN};
use portcullis_lab::{Family, Lab};
use portcullis_linux::capture::{Capture, Interfaces};
use portcullis_linux::netlink::route::Route;
use portcullis_watcher::filter;

use super::support::{BOTH, DOOR, House, SEQUENCE, WAIT, knock};

pub const TESTS: &[(&str, fn())] = &[
    ("a_right_knock_opens", a_right_knock_opens),
    ("the_wrong_order_opens_nothing", the_wrong_order_opens_nothing),
    ("unusual_frames_knock_too", unusual_frames_knock_too),
    ("options_and_extension_headers_are_no_knock", options_and_extension_headers_are_no_knock),
    (
        "a_checksum_that_is_not_filled_in_is_no_wrong_one",
        a_checksum_that_is_not_filled_in_is_no_wrong_one,
    ),
    ("a_frame_for_another_network_does_not", a_frame_for_another_network_does_not),
    ("interfaces_that_come_later_are_watched", interfaces_that_come_later_are_watched),
    ("a_burst_is_captured_exactly", a_burst_is_captured_exactly),
    ("a_flood_does_not_hide_a_knock", a_flood_does_not_hide_a_knock),
];

fn a_right_knock_opens() {
    let house = House::new(DOOR);
    for family in BOTH {
        assert!(!house.gets_in(family, 0));
        house.send(&house.knock(family, 0, &SEQUENCE));
        for stage in 1..=3 {
            let address = house.client.address(family, 0);
            house.wait_for_line(&format!("{address}: ssh: stage {stage}"));
        }
        house.wait_for_open(family, 0);
        assert!(house.gets_in(family, 0));
        assert!(!house.gets_in(family, 1), "open for others too");
    }
}

fn the_wrong_order_opens_nothing() {
    let house = House::new(DOOR);
    let [a, b, c] = SEQUENCE;
    for (number, family) in BOTH.into_iter().enumerate() {
        for wrong in [&[c, b, a][..], &[a, c, b], &[a, b, ("udp", c.1)], &[a, b, ("tcp", 9), c]] {
            house.send(&house.knock(family, 0, wrong));
        }
        // Packets are taken in order: when this one has been heard of, so have those before it.
        house.send(&house.knock(family, 1, &SEQUENCE));
        house.wait_for_open(family, 1);
        assert!(!house.gets_in(family, 0));
        assert_eq!(super::support::grants().len(), number + 1);
    }
}

fn unusual_frames_knock_too() {
    let house = House::new(DOOR);
    for family in BOTH {
        let mut tagged = house.knock(family, 0, &SEQUENCE);
        // Priority 5, and no network.
        tagged.iter_mut().for_each(|packet| packet.vlan = Some(5 << 13));
        house.send(&tagged);
        house.wait_for_open(family, 0);
        assert!(house.gets_in(family, 0));
    }
}

fn options_and_extension_headers_are_no_knock() {
    let house = House::new(DOOR);
    let mut extended = house.knock(Family::V6, 1, &SEQUENCE);
    for packet in &mut extended {
        // Padding (RFC 8200, section 4.2) in destination options.
        packet.extensions.push(Extension { kind: 60, body: vec![1, 4, 0, 0, 0, 0] });
    }
    let mut with_options = house.knock(Family::V4, 1, &SEQUENCE);
    // No operation, four times.
    with_options.iter_mut().for_each(|packet| packet.ip_options = vec![1; 4]);
    for (family, packets) in [(Family::V6, extended), (Family::V4, with_options)] {
        house.send(&packets);
        house.send(&house.knock(family, 2, &SEQUENCE));
        house.wait_for_open(family, 2);
        assert!(!house.gets_in(family, 1));
    }
}

/// A program that sends leaves the checksum to its card, which a cable of namespaces does not have:
/// the packet arrives without it, and counts.
fn a_checksum_that_is_not_filled_in_is_no_wrong_one() {
    let house = House::new(DOOR);
    for family in BOTH {
        let (from, to) = (house.client.address(family, 0), house.client.host(family));
        for (protocol, port) in SEQUENCE {
            let to = SocketAddr::new(to, port);
            if protocol == "tcp" {
                let refused = house.client.connect(from, to, WAIT);
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
            } else {
                let send =
                    || UdpSocket::bind((from, 0)).and_then(|socket| socket.send_to(b"x", to));
                assert_eq!(house.client.run(send).unwrap().unwrap(), 1);
            }
        }
        house.wait_for_open(family, 0);
    }
}

fn a_frame_for_another_network_does_not() {
    let house = House::new(DOOR);
    let mut tagged = house.knock(Family::V4, 0, &SEQUENCE);
    tagged.iter_mut().for_each(|packet| packet.vlan = Some(42));
    house.send(&tagged);
    house.send(&house.knock(Family::V4, 1, &SEQUENCE));
    house.wait_for_open(Family::V4, 1);
    assert!(!house.gets_in(Family::V4, 0));
}

fn interfaces_that_come_later_are_watched() {
    let mut house = House::new(DOOR);
    let late = house.lab.peer("late", 1).unwrap();
    house.wait_for_line("interface late appeared");
    for family in BOTH {
        let (from, to) = (late.address(family, 0), late.host(family));
        // The daemon may hear of the address a moment after the interface.
        let wire = late.wire().unwrap();
        let opened = (0..50).any(|_| {
            for packet in knock(from, to, &SEQUENCE) {
                wire.send(&packet).unwrap();
            }
            let line = format!("{from}: ssh: open for ");
            let wait = std::time::Duration::from_millis(200);
            house.daemon.wait_for_line(wait, |said| said.starts_with(&line)).is_some()
        });
        assert!(opened);
    }
    Route::open().unwrap().delete_link("late").unwrap();
    house.wait_for_line("warning: interface late disappeared");
    house.send(&house.knock(Family::V4, 0, &SEQUENCE));
    house.wait_for_open(Family::V4, 0);
}

/// Waits for packets until so many have come, and tells how many of each direction.
fn count(capture: &mut Capture, total: usize) -> (usize, usize) {
    let (mut to, mut from) = (0, 0);
    while to + from < total {
        capture.drain(usize::MAX, |frame| match frame.direction {
            Direction::ToHost => to += 1,
            Direction::FromHost => from += 1,
            Direction::Elsewhere => panic!("not for us"),
        });
        if to + from < total {
            let mut fds: Vec<PollFd<'_>> =
                capture.sockets().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            assert!(poll(&mut fds, 5000u16).unwrap() > 0, "only {to} and {from}");
        }
    }
    (to, from)
}

fn a_burst_is_captured_exactly() {
    let mut lab = Lab::new().unwrap();
    let client = lab.peer("client", 1).unwrap();
    let mut route = Route::open().unwrap();
    let hidden = filter::program(&["tcp/22".parse().unwrap()]);
    let mut capture = Capture::open(Interfaces::AllButLoopback, hidden, &mut route).unwrap();
    let wire = client.sender().unwrap();
    let mut expected = 0;
    let mut packets = Vec::new();
    for (family, n) in BOTH.into_iter().flat_map(|family| (0..500u16).map(move |n| (family, n))) {
        let from = SocketAddr::new(client.address(family, 0), 40_000);
        let to = |port| SocketAddr::new(client.host(family), port);
        packets.extend([
            Packet::syn(from, to(1000 + n)),
            Packet::udp(from, to(1000 + n), b"x"),
            // These are not shown: no beginning, or of a guarded port.
            Packet::tcp(from, to(1000 + n), ACK),
            Packet::tcp(from, to(1000 + n), SYN | ACK),
            Packet::syn(from, to(22)),
            Packet::ping(from.ip(), to(0).ip(), n),
        ]);
        expected += 2;
    }
    wire.send_all(&packets).unwrap();
    assert_eq!(count(&mut capture, expected), (expected, 0));
    assert_eq!(lab.arrived("client").unwrap(), packets.len() as u64);
    assert_eq!(capture.take_lost().count(), 0);

    // What the ring cannot hold is counted: none is lost without being told.
    let many = 60_000;
    let to = SocketAddr::new(client.host(Family::V4), 9);
    let from = SocketAddr::new(client.address(Family::V4, 0), 40_000);
    wire.send_all((0..many).map(|_| Packet::syn(from, to))).unwrap();
    let lost: u32 = capture.take_lost().map(|(_, lost)| lost).sum();
    let mut kept = 0;
    capture.drain(usize::MAX, |_| kept += 1);
    assert_eq!(kept + lost, many);
    assert!(lost > 0);

    // And it goes on as if nothing had been.
    wire.send_all((0..100).map(|_| Packet::syn(from, to))).unwrap();
    assert_eq!(count(&mut capture, 100), (100, 0));
}

fn a_flood_does_not_hide_a_knock() {
    let house = House::new(DOOR);
    let sender = house.client.sender().unwrap();
    let to = house.client.host(Family::V4);
    let flood = (0..20_000u32).map(|n| {
        let source = IpAddr::from([10, 1, (n >> 8) as u8, n as u8]);
        // The first knock of the door, so that each is remembered.
        Packet::syn(SocketAddr::new(source, 1024), SocketAddr::new(to, 7431))
    });
    let flood: Vec<Packet> = flood.collect();
    for knock in house.knock(Family::V4, 0, &SEQUENCE) {
        sender.send_all(&flood[..5000]).unwrap();
        house.wire.send(&knock).unwrap();
    }
    house.wait_for_open(Family::V4, 0);
    // Of 15,000 stages only some are told.
    house.wait_for_line("suppressed ");
}
