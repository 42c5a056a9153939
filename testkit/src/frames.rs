//! The packets of scripts as bytes, beginning with the IP header.

use std::net::IpAddr;

use etherparse::{IpNumber, PacketBuilder, PacketBuilderStep};
use portcullis_core::engine::Direction;
use portcullis_core::policy::Protocol;

use crate::script::{Event, What};

/// The port that scripts send from.
pub const SOURCE_PORT: u16 = 40_000;

/// The port that another host asks from, and is answered.
const ASKING_PORT: u16 = 5_353;

/// The frames that an event is made of, with where they were going.
pub fn frames(event: &Event) -> Vec<(Direction, Vec<u8>)> {
    let (from, to) = (event.source(), event.destination());
    let there = |bytes| vec![(Direction::ToHost, bytes)];
    match event.what {
        What::New(port) if port.protocol == Protocol::Tcp => {
            there(tcp(from, to, port.number.get(), 0x02))
        }
        What::New(port) => there(udp(from, to, SOURCE_PORT, port.number.get())),
        What::Zero => there(tcp(from, to, 0, 0x02)),
        What::Segment(number, flags) => there(tcp(from, to, number, flags)),
        What::Fragment(number) => there(fragment(udp(from, to, SOURCE_PORT, number))),
        What::Icmp => there(icmp(from, to)),
        What::Broadcast(number) => vec![(Direction::Elsewhere, udp(from, to, SOURCE_PORT, number))],
        What::Answer(number) => vec![
            (Direction::FromHost, udp(to, from, number, ASKING_PORT)),
            (Direction::ToHost, udp(from, to, ASKING_PORT, number)),
        ],
    }
}

fn ip(from: IpAddr, to: IpAddr) -> PacketBuilderStep<etherparse::IpHeaders> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 64),
        _ => unreachable!("both ends are of one family"),
    }
}

/// A TCP segment with these flags, as in byte 13 of its header.
pub fn tcp(from: IpAddr, to: IpAddr, port: u16, flags: u8) -> Vec<u8> {
    let mut step = ip(from, to).tcp(SOURCE_PORT, port, 1_000, 64_240);
    if flags & 0x01 != 0 {
        step = step.fin();
    }
    if flags & 0x02 != 0 {
        step = step.syn();
    }
    if flags & 0x04 != 0 {
        step = step.rst();
    }
    if flags & 0x08 != 0 {
        step = step.psh();
    }
    if flags & 0x10 != 0 {
        step = step.ack(7);
    }
    if flags & 0x20 != 0 {
        step = step.urg(0);
    }
    let mut bytes = Vec::new();
    step.write(&mut bytes, &[]).expect("a vector takes everything");
    bytes
}

/// A UDP datagram of one byte.
pub fn udp(from: IpAddr, to: IpAddr, source_port: u16, port: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    ip(from, to).udp(source_port, port).write(&mut bytes, &[0]).expect("a vector takes everything");
    bytes
}

fn icmp(from: IpAddr, to: IpAddr) -> Vec<u8> {
    let mut bytes = Vec::new();
    let number = if from.is_ipv4() { IpNumber::ICMP } else { IpNumber::IPV6_ICMP };
    ip(from, to)
        .write(&mut bytes, number, &[8, 0, 0, 0, 0, 0, 0, 0])
        .expect("a vector takes everything");
    bytes
}

/// Makes a whole packet the first of several fragments.
fn fragment(mut packet: Vec<u8>) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        // More fragments follow (RFC 791, section 3.1); the checksum of the header goes with it.
        packet[6] = 0x20;
        let mut header = etherparse::Ipv4Header::from_slice(&packet).expect("just made").0;
        header.header_checksum = header.calc_header_checksum();
        let mut bytes = Vec::new();
        header.write_raw(&mut bytes).expect("a vector takes everything");
        packet.splice(..bytes.len(), bytes);
    } else {
        // A fragment header (RFC 8200, section 4.5) before the datagram.
        let header = [packet[6], 0, 0, 1, 0, 0, 0, 9];
        packet[6] = 44;
        let length = u16::from_be_bytes([packet[4], packet[5]]) + 8;
        packet[4..6].copy_from_slice(&length.to_be_bytes());
        packet.splice(40..40, header);
    }
    packet
}
