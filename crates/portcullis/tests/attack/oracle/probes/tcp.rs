//! Odd TCP segments.

use super::{ACK, FIN, Kinds, PSH, RST, SYN, Source, URG};
use crate::oracle::answer::flag_names;
use crate::oracle::bytes::{Ends, Tcp};

/// Flags that a listening socket, a closed port, connection tracking and rules treat differently.
const SOME: [u8; 8] = [SYN, ACK, SYN | ACK, FIN, FIN | ACK, PSH | ACK, RST, 0];

pub fn add(kinds: &mut Kinds) {
    let mut add = |name: String, tcp: Tcp| {
        kinds.add(format!("TCP {name}"), move |ends: &Ends| tcp.ip(ends));
    };
    // The six flags of old in all sets, each with those of ECN.
    for flags in 0..=u8::MAX {
        add(flag_names(flags), Tcp::new(flags));
    }
    for flags in 0..64 {
        let name = flag_names(flags);
        add(format!("{name} with data"), Tcp { data: vec![b'x'; 33], ..Tcp::new(flags) });
        add(format!("{name}, acknowledging 0"), Tcp { acknowledgement: 0, ..Tcp::new(flags) });
    }
    for flags in SOME {
        let name = flag_names(flags);
        let plain = || Tcp::new(flags);
        for (option, bytes) in options() {
            add(format!("{name} with option {option}"), Tcp { options: bytes, ..plain() });
        }
        for words in 0..16 {
            let offset = Some(words);
            add(format!("{name}, data offset {words}"), Tcp { offset, ..plain() });
            let data = vec![1; 40];
            add(format!("{name}, data offset {words}, NOPs"), Tcp { offset, data, ..plain() });
        }
        for reserved in 1..16 {
            add(format!("{name}, reserved bits {reserved}"), Tcp { reserved, ..plain() });
        }
        for sum in [0, 0x1234, 0xffff] {
            add(format!("{name}, checksum {sum:#06x}"), Tcp { sum: Some(sum), ..plain() });
        }
        for sequence in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            add(format!("{name}, sequence {sequence}"), Tcp { sequence, ..plain() });
        }
        for window in [0, 1, u16::MAX] {
            add(format!("{name}, window {window}"), Tcp { window, ..plain() });
        }
        for urgent in [0, 1, 5, u16::MAX] {
            let data = vec![b'x'; 8];
            add(format!("{name}, urgent pointer {urgent}, no URG"), Tcp { urgent, ..plain() });
            let segment = Tcp { urgent, data, ..Tcp::new(flags | URG) };
            add(format!("{name}, URG, urgent pointer {urgent}"), segment);
        }
        for length in [1, 100, 1400] {
            let data = vec![b'x'; length];
            add(format!("{name} with {length} bytes"), Tcp { data, ..plain() });
        }
    }
    for flags in SOME {
        for source in [0, 1, 22, 25, 80, 2222, 65_535] {
            let name = format!("TCP {} from port {source}", flag_names(flags));
            kinds.add_from(name, Source::Port(source), move |ends: &Ends| Tcp::new(flags).ip(ends));
        }
        let name = format!("TCP {} from the port that it asks", flag_names(flags));
        kinds.add_from(name, Source::Asked, move |ends: &Ends| Tcp::new(flags).ip(ends));
    }
}

/// Options as they should be and as they should not.
fn options() -> Vec<(&'static str, Vec<u8>)> {
    let md5 = || [vec![19, 18], vec![7; 16]].concat();
    let authentication = || [vec![29, 16, 1, 1], vec![7; 12]].concat();
    let linux = vec![2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    vec![
        ("MSS", vec![2, 4, 5, 0xb4]),
        ("MSS 0", vec![2, 4, 0, 0]),
        ("MSS of a wrong length", vec![2, 5, 5, 0xb4, 0]),
        ("those of Linux", linux),
        ("window scale 15", vec![3, 3, 15]),
        ("SACK permitted", vec![4, 2]),
        ("SACK block", vec![5, 10, 0, 0, 7, 0, 0, 0, 8, 0]),
        ("timestamps", vec![8, 10, 0, 0, 0, 1, 0, 0, 0, 0]),
        ("timestamps all ones", [vec![8, 10], vec![0xff; 8]].concat()),
        ("MD5", md5()),
        ("MD5 behind NOPs", [vec![1, 1], md5()].concat()),
        ("MD5 twice", [md5(), md5()].concat()),
        ("MD5 of a wrong length", [vec![19, 17], vec![7; 15]].concat()),
        ("MD5 cut off", vec![19, 18, 7, 7]),
        ("MD5 behind the end of options", [vec![0, 0], md5()].concat()),
        ("AO", authentication()),
        ("AO twice", [authentication(), authentication()].concat()),
        ("AO of 4 bytes", vec![29, 4, 1, 1]),
        ("unknown of no length, and room", [vec![254, 0], vec![1; 18]].concat()),
        ("unknown of length 1, and room", [vec![254, 1], vec![1; 18]].concat()),
        ("unknown beyond the header, and room", [vec![254, 40], vec![1; 18]].concat()),
        ("AO of 3 bytes", vec![29, 3, 1]),
        ("AO cut off", vec![29, 16, 1, 1]),
        ("MD5 and AO", [md5(), authentication()].concat()),
        ("AO and MD5", [authentication(), md5()].concat()),
        ("fast open request", vec![34, 2]),
        ("fast open cookie", [vec![34, 10], vec![7; 8]].concat()),
        ("fast open, experimental", vec![254, 4, 0xf9, 0x89]),
        ("multipath", vec![30, 12, 0, 1, 7, 7, 7, 7, 7, 7, 7, 7]),
        ("user timeout", vec![28, 4, 0, 60]),
        ("unknown 77", vec![77, 4, 1, 2]),
        ("of length 0", vec![8, 0, 1, 1]),
        ("of length 1", vec![8, 1, 1, 1]),
        ("longer than the header", vec![8, 40, 1, 1]),
        ("NOPs", vec![1; 40]),
        ("end and junk", vec![0, 9, 9, 9]),
        ("zeros", vec![0; 40]),
    ]
}
