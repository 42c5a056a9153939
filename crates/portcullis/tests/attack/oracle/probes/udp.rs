//! Odd datagrams.

use super::{Kinds, Source};
use crate::oracle::bytes::{Ends, Udp};

pub fn add(kinds: &mut Kinds) {
    let mut add = |name: String, udp: Udp| {
        kinds.add(format!("UDP {name}"), move |ends: &Ends| udp.ip(ends));
    };
    for length in [0, 1, 2, 3, 4, 7, 8, 33, 512, 528, 529, 1000, 1200, 1201, 1400, 1452] {
        add(format!("{length} bytes"), Udp::new(&vec![b'x'; length]));
        add(
            format!("{length} bytes, checksum 0"),
            Udp { sum: Some(0), ..Udp::new(&vec![b'x'; length]) },
        );
    }
    let data = b"0123456789";
    for field in (0..=20).chain([50, 1000, u16::MAX]) {
        let length = Some(field);
        add(format!("length field {field}"), Udp { length, ..Udp::new(data) });
        add(
            format!("length field {field}, checksum 0"),
            Udp { length, sum: Some(0), ..Udp::new(data) },
        );
    }
    for sum in [1, 0x1111, 0xffff] {
        add(format!("checksum {sum:#06x}"), Udp { sum: Some(sum), ..Udp::new(data) });
    }
    for trailing in [1, 2, 6, 8, 100] {
        let trailing = vec![b'T'; trailing];
        let name = format!("{} bytes behind its length", trailing.len());
        add(name.clone(), Udp { trailing: trailing.clone(), ..Udp::new(data) });
        add(format!("{name}, empty"), Udp { trailing: trailing.clone(), ..Udp::default() });
        add(format!("{name}, checksum 0"), Udp { trailing, sum: Some(0), ..Udp::new(data) });
    }
    for source in [0, 1, 22, 25, 53, 67, 68, 123, 500, 546, 547, 2222, 5000, 65_535] {
        let name = format!("UDP from port {source}");
        kinds.add_from(name, Source::Port(source), |ends: &Ends| Udp::new(b"hello").ip(ends));
    }
    kinds.add_from("UDP from the port that it asks", Source::Asked, |ends: &Ends| {
        Udp::new(b"hello").ip(ends)
    });
}
