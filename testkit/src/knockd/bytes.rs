//! Doors and a script out of any bytes, for a fuzzer: it finds its way through them as it finds its
//! way through the engine.

use std::time::Duration;

use portcullis_core::knockd::{Door, FlagFilter};
use portcullis_core::policy::Port;
use portcullis_core::wire::{Packet, Segment, TcpFlags};

use super::script::{ELSEWHERE, HOST, Happening, SOURCES};

/// Doors and what happens to them, as [`compare`](super::compare()) takes them. Any bytes mean
/// something; what is missing is zeros.
pub fn from_bytes(bytes: &[u8]) -> (Vec<Door>, Vec<(Duration, Happening)>) {
    let mut bytes = Bytes(bytes);
    let doors = bytes.doors();
    let mut script = Vec::new();
    while !bytes.0.is_empty() {
        let what = bytes.next();
        let after = Duration::from_millis(match what >> 5 {
            0..=4 => 0,
            5 => 500,
            6 => 1_000,
            _ => u64::from(bytes.next()) * 50,
        });
        let happening = match what & 31 {
            0 => Happening::Look,
            1 => Happening::Doors(bytes.doors()),
            2 => Happening::Host(usize::from(bytes.next()) % (HOST.len() + 1)),
            // One door that was there has gone, or is the first one now.
            3 => {
                let mut doors = doors.clone();
                let count = doors.len();
                doors.rotate_left(usize::from(bytes.next()) % count);
                doors.truncate(1 + usize::from(bytes.next()) % count);
                Happening::Doors(doors)
            }
            _ => Happening::Packet(bytes.packet()),
        };
        script.push((after, happening));
    }
    (doors, script)
}

/// What is left of the bytes.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn doors(&mut self) -> Vec<Door> {
        let count = 1 + self.next() % 6;
        (0..count).map(|_| self.door()).collect()
    }

    fn door(&mut self) -> Door {
        let shape = self.next();
        let knocks = match shape & 7 {
            7 => 33,
            few => few,
        };
        let sequence = (0..knocks).map(|_| {
            let byte = self.next();
            let number = 1 + u16::from(byte & 3);
            if byte & 0x80 == 0 { Port::tcp(number) } else { Port::udp(number) }.expect("not 0")
        });
        let sequence = sequence.collect();
        let (set, clear) = [(2, 0), (0, 0), (2, 0x10), (0x10, 0)][usize::from(shape >> 3 & 3)];
        let flags = FlagFilter { set: TcpFlags::from_bits(set), clear: TcpFlags::from_bits(clear) };
        let timeout = Duration::from_millis([5_000, 2_000, 1_000, 0][usize::from(shape >> 5 & 3)]);
        let target = match self.next() & 15 {
            at @ 0..=2 => Some([HOST[0], HOST[1], ELSEWHERE[0]][usize::from(at)]),
            _ => None,
        };
        let target = target.map(|text| text.parse().expect("an address"));
        Door { sequence, flags, timeout, target, once: shape & 0x80 != 0 }
    }

    fn packet(&mut self) -> Packet {
        let (ends, kind, number) = (self.next(), self.next(), self.next());
        let all = [&HOST[..], &ELSEWHERE].concat();
        let source = match usize::from(ends & 15) {
            known if known < SOURCES.len() => SOURCES[known],
            _ => SOURCES[0],
        };
        let destination = all.get(usize::from(ends >> 4)).copied().unwrap_or(HOST[0]);
        // Ports of doors for the most part, and a few of none.
        let destination_port = match number {
            0..=199 => 1 + u16::from(number & 3),
            _ => u16::from(number),
        };
        let flags = [2, 2, 0x12, 2, 0x10, 0, 4, 0x29][usize::from(kind >> 2 & 7)];
        let flags = TcpFlags::from_bits(flags);
        let (source_port, sequence) = (40_000, u32::from(kind >> 5));
        let segment = match kind & 3 {
            0 => Segment::Udp { source_port, destination_port },
            1 if kind == 0xfd => Segment::Fragment,
            _ => Segment::Tcp { source_port, destination_port, sequence, flags },
        };
        Packet {
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
            segment,
        }
    }
}
