//! Packets in fragments: in and out of order, too small, overlapping, never whole.

use portcullis_lab::packet::{FRAGMENT, TCP, UDP};

use super::{FIN, Kinds, SYN};
use crate::oracle::answer::flag_names;
use crate::oracle::bytes::{Ends, Frames, Ip, Tcp, Udp};

/// One fragment: from where to where in the payload, and whether more follow.
type Piece = (usize, usize, bool);

/// Of a payload of 72 bytes.
const CUTS: [(&str, &[Piece]); 26] = [
    ("in two", &[(0, 40, true), (40, 72, false)]),
    ("in two, the last one first", &[(40, 72, false), (0, 40, true)]),
    ("in three", &[(0, 24, true), (24, 48, true), (48, 72, false)]),
    ("in three, mixed", &[(24, 48, true), (48, 72, false), (0, 24, true)]),
    (
        "in nine",
        &[
            (0, 8, true),
            (8, 16, true),
            (16, 24, true),
            (24, 32, true),
            (32, 40, true),
            (40, 48, true),
            (48, 56, true),
            (56, 64, true),
            (64, 72, false),
        ],
    ),
    ("the first of 8 bytes", &[(0, 8, true), (8, 72, false)]),
    ("the first of 8 bytes, the last one first", &[(8, 72, false), (0, 8, true)]),
    ("the first of 16 bytes", &[(0, 16, true), (16, 72, false)]),
    ("the first one twice", &[(0, 40, true), (0, 40, true), (40, 72, false)]),
    ("the last one twice", &[(0, 40, true), (40, 72, false), (40, 72, false)]),
    ("overlapping by 8 bytes", &[(0, 40, true), (32, 72, false)]),
    ("overlapping by all", &[(0, 40, true), (0, 72, false)]),
    ("overlapping the ports", &[(0, 24, true), (0, 8, true), (24, 72, false)]),
    ("overlapping inside", &[(0, 40, true), (8, 16, true), (40, 72, false)]),
    ("overlapping, the last one first", &[(32, 72, false), (0, 40, true)]),
    ("the first alone", &[(0, 40, true)]),
    ("the first of 8 bytes alone", &[(0, 8, true)]),
    ("the first of 0 bytes alone", &[(0, 0, true)]),
    ("the first of 10 bytes alone", &[(0, 10, true)]),
    ("the last alone", &[(40, 72, false)]),
    ("one in the middle alone", &[(24, 48, true)]),
    ("the middle missing", &[(0, 24, true), (48, 72, false)]),
    ("with an empty one", &[(0, 40, true), (40, 40, true), (40, 72, false)]),
    ("with an empty last one", &[(0, 40, true), (40, 72, true), (72, 72, false)]),
    ("two last ones", &[(0, 40, true), (40, 48, false), (40, 72, false)]),
    ("more behind the last one", &[(0, 40, true), (48, 72, true), (40, 48, false)]),
];

pub fn add(kinds: &mut Kinds) {
    for flags in [SYN, 0x10, SYN | FIN, 0] {
        let make = move |ends: &Ends| Tcp { data: vec![b'x'; 52], ..Tcp::new(flags) }.bytes(ends);
        add_cuts(kinds, &format!("TCP {}", flag_names(flags)), TCP, make);
    }
    add_cuts(kinds, "UDP", UDP, |ends| Udp::new(&[b'x'; 64]).bytes(ends));
    // Longer than what an error may quote.
    for length in [1_600, 3_000, 9_000, 60_000] {
        kinds.add(format!("UDP {length} bytes in fragments"), move |ends: &Ends| {
            let payload = Udp::new(&vec![b'x'; length]).bytes(ends);
            let step = 1_400;
            let pieces: Vec<Piece> = (0..payload.len())
                .step_by(step)
                .map(|at| (at, (at + step).min(payload.len()), at + step < payload.len()))
                .collect();
            cut(&Ip::new(ends, UDP, payload), &pieces, |_, ip| ip)
        });
    }
}

fn add_cuts(
    kinds: &mut Kinds,
    name: &str,
    protocol: u8,
    make: impl Fn(&Ends) -> Vec<u8> + Copy + Send + Sync + 'static,
) {
    for (how, pieces) in CUTS {
        kinds.add(format!("{name} {how}"), move |ends: &Ends| {
            cut(&Ip::new(ends, protocol, make(ends)), pieces, |_, ip| ip)
        });
    }
    let halves = CUTS[0].1;
    for mark in [1, 2, 3] {
        kinds.add(format!("{name} in two, the last one marked {mark}"), move |ends: &Ends| {
            let ip = Ip { traffic_class: 2, ..Ip::new(ends, protocol, make(ends)) };
            let marked = |n, ip| if n == 1 { Ip { traffic_class: mark, ..ip } } else { ip };
            // Congestion met by one is met by all (RFC 3168, section 5.3).
            let traffic_class = if mark == 3 { 3 } else { 2 };
            Frames {
                wholes: vec![Ip { traffic_class, ..ip.clone() }.bytes()],
                ..cut(&ip, halves, marked)
            }
        });
    }
    kinds.add(format!("{name} in two of other protocols"), move |ends: &Ends| {
        cut(&Ip::new(ends, protocol, make(ends)), halves, |n, ip| {
            if n == 1 { Ip { protocol: 132, ..ip } } else { ip }
        })
    });
    kinds.add(format!("{name} in two that do not belong together"), move |ends: &Ends| {
        cut(&Ip::new(ends, protocol, make(ends)), halves, |n, mut ip| {
            ip.id += n as u16;
            ip.extensions.iter_mut().for_each(|(_, bytes)| bytes[6] += n as u8);
            ip
        })
    });
    kinds.add(format!("{name}, a fragment beyond the greatest length"), move |ends: &Ends| {
        let far = |ip: Ip| with_offset(ip, 65_528, false);
        let ip = Ip::new(ends, protocol, make(ends));
        Frames { wholes: vec![ip.bytes()], frames: vec![far(ip).frame()] }
    });
    if !kinds.is_v4() {
        // RFC 7112: the first fragment must hold all headers.
        kinds.add(format!("{name} cut inside a destination header"), move |ends: &Ends| {
            let payload = [vec![protocol, 1, 1, 12], vec![0; 12], make(ends)].concat();
            let ip = Ip::new(ends, 60, payload);
            cut(&ip, &[(0, 8, true), (8, 88, false)], |_, ip| ip)
        });
        kinds.add(format!("{name} cut behind a destination header"), move |ends: &Ends| {
            let payload = [vec![protocol, 0, 1, 4, 0, 0, 0, 0], make(ends)].concat();
            let ip = Ip::new(ends, 60, payload);
            cut(&ip, &[(0, 8, true), (8, 80, false)], |_, ip| ip)
        });
    }
}

/// The packet in pieces, each changed once more.
fn cut(ip: &Ip, pieces: &[Piece], change: impl Fn(usize, Ip) -> Ip) -> Frames {
    let frames = pieces.iter().enumerate().map(|(n, (from, to, more))| {
        let payload = ip.payload[*from..(*to).min(ip.payload.len())].to_vec();
        let piece = with_offset(Ip { payload, ..ip.clone() }, *from, *more);
        change(n, piece).frame()
    });
    Frames { frames: frames.collect(), wholes: vec![ip.bytes()] }
}

/// Makes it the fragment that begins there.
fn with_offset(mut ip: Ip, at: usize, more: bool) -> Ip {
    if ip.to.is_ipv4() {
        ip.fragment = (at / 8) as u16 | if more { 0x2000 } else { 0 };
    } else {
        let offset = (at as u16 | u16::from(more)).to_be_bytes();
        ip.extensions.push((FRAGMENT, vec![0, offset[0], offset[1], 0, 0, 0, 7]));
    }
    ip
}
