//! Datagrams with something odd about them: a guarded port answers as a closed one does, or is as
//! silent.

use std::net::{Ipv6Addr, SocketAddr};

use portcullis_lab::Family;
use portcullis_lab::packet::{Extension, Packet};

use crate::stage::{CLOSED_UDP, GUARDED_UDP, KNOCK_UDP, Make, Setup, Stage, comparable, say};

/// What is done to a datagram.
type Change = Box<dyn Fn(Packet) -> Packet>;

/// A field of the UDP header: the length at 4, the checksum at 6 (RFC 768).
fn field(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn oddities(family: Family) -> Vec<(String, Change)> {
    let mut all: Vec<(String, Change)> = Vec::new();
    let mut add = |name: String, change: Change| all.push((name, change));
    add("nothing odd".into(), Box::new(|packet| packet));
    for length in [0, 1, 4, 7, 8, 9, 11, 50, 1500, u16::MAX] {
        let put = move |packet: Packet| packet.altered(|bytes| field(bytes, 4, length));
        add(format!("length field {length}, checksum of before"), Box::new(put));
        let seal = move |packet: Packet| put(packet).sealed();
        add(format!("length field {length}, right checksum"), Box::new(seal));
        let none = move |packet: Packet| put(packet).altered(|bytes| field(bytes, 6, 0));
        add(format!("length field {length}, no checksum"), Box::new(none));
    }
    for more in [1, 2, 6, 7, 600] {
        let extend =
            move |packet: Packet| packet.altered(|bytes| bytes.resize(bytes.len() + more, b'A'));
        add(format!("{more} bytes behind it"), Box::new(extend));
        let seal = move |packet: Packet| extend(packet).sealed();
        add(format!("{more} bytes behind it, checksum over all"), Box::new(seal));
    }
    for sum in [0, 0x1111, u16::MAX] {
        let put = move |packet: Packet| packet.altered(|bytes| field(bytes, 6, sum));
        add(format!("checksum {sum:#06x}"), Box::new(put));
    }
    for length in [1, 2, 3, 4, 7] {
        let cut = move |packet: Packet| packet.altered(|bytes| bytes.truncate(length));
        add(format!("cut after {length} bytes"), Box::new(cut));
    }
    add("hop limit 1".into(), Box::new(|packet| Packet { ttl: 1, ..packet }));
    add("type of service 0xb8".into(), Box::new(|packet| Packet { tos: 0xb8, ..packet }));
    match family {
        Family::V4 => {
            for (name, options) in [
                ("record route", &[7, 7, 4, 0, 0, 0, 0][..]),
                ("timestamp without room", &[68, 8, 9, 0, 0, 0, 0, 0]),
                ("router alert", &[148, 4, 0, 0]),
                ("security", &[134, 6, 0, 0, 0, 1]),
                ("unknown option", &[0x9e, 4, 1, 2]),
                ("no operation", &[1; 4]),
            ] {
                let put = move |packet| Packet { ip_options: options.to_vec(), ..packet };
                add(name.into(), Box::new(put));
            }
        }
        Family::V6 => {
            let by = [Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9)];
            for (name, extensions) in [
                ("destination option 0x1e", vec![Extension::destination(&[0x1e, 2, 1, 2])]),
                ("destination option 0x5e", vec![Extension::destination(&[0x5e, 2, 1, 2])]),
                ("destination option 0x9e", vec![Extension::destination(&[0x9e, 2, 1, 2])]),
                ("destination option 0xde", vec![Extension::destination(&[0xde, 2, 1, 2])]),
                ("hop-by-hop option 0x5e", vec![Extension::hop_by_hop(&[0x5e, 2, 1, 2])]),
                ("routing header, none left", vec![Extension::routing(0, 0, &by)]),
                ("routing header, one left", vec![Extension::routing(0, 1, &by)]),
                ("atomic fragment", vec![Extension::fragment(7, 0, false)]),
                ("authentication header", vec![Extension::authentication(7)]),
                ("two destination headers", vec![Extension::destination(&[]); 2]),
            ] {
                let put = move |packet| Packet { extensions: extensions.clone(), ..packet };
                add(name.into(), Box::new(put));
            }
        }
    }
    all
}

/// To each oddity, the answers of a closed port, the guarded port and a knock port are the same.
pub fn of_datagrams(setup: Setup, family: Family) {
    let stage = Stage::new(setup, "2s");
    let oddities = oddities(family);
    let packets: Vec<Box<Make<'_>>> = oddities
        .iter()
        .map(|(_, change)| {
            Box::new(move |from: SocketAddr, to: SocketAddr| change(Packet::udp(from, to, b"hi")))
                as Box<Make<'_>>
        })
        .collect();
    let packets: Vec<&Make<'_>> = packets.iter().map(AsRef::as_ref).collect();
    let (mut wrong, mut answered) = (Vec::new(), 0);
    let rows = stage.answers(family, [CLOSED_UDP, GUARDED_UDP, KNOCK_UDP], &packets);
    for ((name, _), row) in oddities.iter().zip(&rows) {
        let bytes = row.each_ref().map(|seen| seen.as_ref().map(comparable));
        answered += usize::from(bytes[0].is_some());
        for (port, at) in [("guarded", 1), ("knock", 2)] {
            if bytes[at] != bytes[0] {
                wrong.push(format!("{name}: {port} {}, closed {}", say(&row[at]), say(&row[0])));
            }
        }
    }
    assert!(wrong.is_empty(), "{family}:\n{}", wrong.join("\n"));
    assert!(answered > 0 || setup == Setup::ClosedDrop, "nothing was answered");
}
