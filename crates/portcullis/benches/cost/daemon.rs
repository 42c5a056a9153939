//! What a wrong port costs the daemon.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portcullis_core::engine::{Direction, Engine, Frame, Options};
use portcullis_core::time::Instant as Moment;
use portcullis_core::wire::{Captured, Link};
use portcullis_lab::packet::Packet;
use portcullis_testkit::policies::many;

use crate::{NEITHER, ROUNDS, ratio};

/// One door against ten thousand.
pub fn daemon() {
    const PACKETS: u32 = 500_000;
    println!("in the daemon: a SYN to a port of no door, from 256 sources in turn");
    let mut best = [Duration::MAX; 2];
    let mut engines =
        [1, 10_000].map(|count| Engine::new(&many(count), Options::default()).unwrap());
    let from = SocketAddr::from(([198, 51, 100, 7], 40_000));
    let packet = Packet::syn(from, SocketAddr::from(([198, 51, 100, 1], NEITHER)));
    for _ in 0..ROUNDS {
        for (engine, best) in engines.iter_mut().zip(&mut best) {
            let mut frames: Vec<Vec<u8>> = (0..256u16)
                .map(|host| {
                    let mut packet = packet.clone();
                    let from = SocketAddr::from(([10, 0, 0, host as u8], 40_000));
                    packet.ends = Packet::syn(from, SocketAddr::from(([198, 51, 100, 1], 1))).ends;
                    packet.to_bytes()
                })
                .collect();
            let start = Instant::now();
            let mut wrong = 0u32;
            for number in 0..PACKETS {
                let bytes = &mut frames[(number % 256) as usize];
                let captured = Captured::whole(Link::Raw, bytes);
                let frame = Frame { direction: Direction::ToHost, captured };
                let verdict = engine.handle_packet(frame, Moment::from_millis(number.into()));
                wrong += u32::from(verdict.index() == 10);
            }
            assert_eq!(wrong, PACKETS);
            *best = (*best).min(start.elapsed() / PACKETS);
        }
    }
    for (name, best_of) in ["1 door", "10,000 doors"].into_iter().zip(best) {
        println!(
            "  {name:<32} {:>21} ns  x{:.2} of one door",
            best_of.as_nanos(),
            ratio(best_of, best[0])
        );
    }
}
