//! What `-D` prints.

use std::io::{self, Write};
use std::time::SystemTime;

use portcullis_core::wire::{Packet, Segment};
use portcullis_linux::sys::time::local;

/// A line on standard output, at once. Nobody need read it.
pub fn print(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// `2026-11-21 06:27:44: tcp: 10.9.0.2:54070 -> 10.9.0.1:7000 60 bytes`. The number is that of the IP
/// packet as far as it was looked at.
pub fn packet(packet: &Packet, length: usize, at: SystemTime) -> String {
    let (name, ports) = match packet.segment {
        Segment::Tcp { source_port, destination_port, .. } => {
            ("tcp", Some((source_port, destination_port)))
        }
        Segment::Udp { source_port, destination_port, .. } => {
            ("udp", Some((source_port, destination_port)))
        }
        Segment::Fragment => ("fragment", None),
        Segment::Other(_) => ("other", None),
    };
    let now = local(at);
    let (year, month, day) = (now.year, now.month, now.day);
    let (hour, minute, second) = (now.hour, now.minute, now.second);
    let (from, to) = (packet.source, packet.destination);
    let way = match ports {
        Some((source, destination)) => format!("{from}:{source} -> {to}:{destination}"),
        None => format!("{from} -> {to}"),
    };
    format!(
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}: {name}: {way} {length} bytes"
    )
}

#[cfg(test)]
mod tests {
    use portcullis_core::wire::TcpFlags;

    use super::*;

    #[test]
    fn a_packet_on_one_line() {
        let segment = Segment::Tcp {
            source_port: 54070,
            destination_port: 7000,
            flags: TcpFlags::SYN,
            sequence: 1,
        };
        let [source, destination] = ["10.9.0.2", "10.9.0.1"].map(|text| text.parse().unwrap());
        let line = packet(&Packet { source, destination, segment }, 60, SystemTime::now());
        let (time, rest) = line.split_at("2026-11-21 06:27:44".len());
        assert_eq!(rest, ": tcp: 10.9.0.2:54070 -> 10.9.0.1:7000 60 bytes");
        let month: u32 = time[5..7].parse().unwrap();
        assert!((1..=12).contains(&month), "{time}");
    }
}
