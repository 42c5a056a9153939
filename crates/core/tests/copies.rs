//! Copies of knocks on their way: TCP repeats a SYN, networks duplicate and reorder packets.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use portcullis_core::engine::{Direction, Engine, Options, Verdict};
use portcullis_core::policy::{Door, Policy, Port, Protocol};
use portcullis_core::time::Instant;
use portcullis_core::wire::{Packet, Segment, TcpFlags};
use portcullis_testkit::policies;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn door(name: &str, sequence: &[Port], tolerate: u8) -> Door {
    policies::door(name, policies::port(Protocol::Tcp, 22), sequence, tolerate)
}

fn engine(doors: Vec<Door>) -> Engine {
    let policy = Policy { doors, ..Policy::default() };
    let options = Options { max_attempts: 64, ..Options::default() };
    Engine::new(&policy, options).expect("doors without conflicts")
}

/// Where in a row of packets its door opens. Until then each packet is a knock or changes nothing.
fn opens_at(engine: &mut Engine, client: u32, packets: &[Port]) -> Option<usize> {
    let source = IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + client));
    let destination = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
    let mut now = Instant::from_millis(1_000);
    for (at, port) in packets.iter().enumerate() {
        let destination_port = port.number.get();
        let segment = match port.protocol {
            Protocol::Tcp => {
                let flags = TcpFlags::SYN;
                Segment::Tcp { source_port: 40_000, destination_port, sequence: 1, flags }
            }
            Protocol::Udp => Segment::Udp { source_port: 40_000, destination_port },
        };
        let packet = Packet { source, destination, segment };
        now = now.after(Duration::from_millis(10));
        match engine.handle_parsed(packet, Direction::ToHost, now) {
            Verdict::Opened { .. } => return Some(at),
            Verdict::Stage { .. } | Verdict::Repeated(_) => {}
            verdict => panic!("{verdict:?}: packet {at} of {packets:?}"),
        }
    }
    None
}

/// All sequences of so many of these ports, none of which follows itself.
fn sequences(ports: &[Port], knocks: usize) -> Vec<Vec<Port>> {
    let mut found = vec![Vec::new()];
    for _ in 0..knocks {
        let longer = |start: &Vec<Port>| {
            let last = start.last().copied();
            let next = ports.iter().filter(move |&&port| Some(port) != last);
            let start = start.clone();
            next.map(move |&port| [start.as_slice(), &[port]].concat())
        };
        found = found.iter().flat_map(longer).collect();
    }
    found
}

/// Sends the rest of a sequence with up to so many copies of what was sent, in every order; counts the orders.
fn send_all(
    engine: &mut Engine,
    sequence: &[Port],
    sent: usize,
    copies: usize,
    packets: &mut Vec<Port>,
    orders: &mut u32,
) {
    if sent == sequence.len() {
        *orders += 1;
        // A client for each, so that none goes on with the attempt of another.
        assert!(opens_at(engine, *orders, packets).is_some(), "{sequence:?}: {packets:?}");
        return;
    }
    let distinct = |&at: &usize| !sequence[..at].contains(&sequence[at]);
    for at in (0..sent).filter(distinct).filter(|_| copies > 0) {
        packets.push(sequence[at]);
        send_all(engine, sequence, sent, copies - 1, packets, orders);
        packets.pop();
    }
    packets.push(sequence[sent]);
    send_all(engine, sequence, sent + 1, copies, packets, orders);
    packets.pop();
}

#[test]
fn door_opens_after_every_order_of_knocks_and_copies() {
    let ports = [1, 2, 3].map(|number| Port::tcp(number).expect("not 0"));
    let mut total = 0;
    for knocks in 3..=5 {
        for sequence in sequences(&ports, knocks) {
            for tolerate in [0, 1] {
                let mut engine = engine(vec![door("mine", &sequence, tolerate)]);
                let mut orders = 0;
                send_all(&mut engine, &sequence, 0, 3, &mut Vec::new(), &mut orders);
                total += orders;
            }
        }
    }
    assert!(total > 10_000, "{total}");
}

fn port() -> impl Strategy<Value = Port> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    (protocol, 1u16..=6).prop_map(|(protocol, number)| Port::new(protocol, number).expect("not 0"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn door_opens_after_knocks_mixed_with_copies(
        mut sequence in vec(port(), 3..=8),
        other in vec(port(), 3..=5),
        tolerate in 0u8..=2,
        copies in vec((any::<Index>(), any::<Index>()), 0..=20),
    ) {
        sequence.dedup();
        prop_assume!(sequence.len() >= 3);
        let mut packets = sequence.clone();
        for (which, place) in copies {
            // Behind a packet that is on its way already.
            let place = place.index(packets.len());
            let copied = packets[which.index(place + 1)];
            packets.insert(place + 1, copied);
        }
        let mut alone = engine(vec![door("mine", &sequence, tolerate)]);
        prop_assert!(opens_at(&mut alone, 1, &packets).is_some(), "{:?}", packets);

        // Another door changes nothing, unless both begin with the same knock. Then a copy may be the next
        // knock of the other door.
        let doors = vec![door("mine", &sequence, tolerate), door("other", &other, tolerate)];
        let policy = Policy { doors, ..Policy::default() };
        let options = Options { max_attempts: 64, ..Options::default() };
        if other[0] != sequence[0]
            && let Ok(mut both) = Engine::new(&policy, options)
        {
            prop_assert!(opens_at(&mut both, 1, &packets).is_some(), "{:?}", packets);
        }
    }
}
