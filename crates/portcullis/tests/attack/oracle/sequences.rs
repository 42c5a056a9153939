//! Packets that follow one another: what the first one leaves behind must not show in the answer to
//! the second.

use portcullis_lab::Family;

use crate::oracle::answer::flag_names;
use crate::oracle::bytes::{Ends, Frames, Ip, Tcp, Udp};
use crate::oracle::probes::{ACK, FIN, Kind, Kinds, PSH, RST, SOURCE, SYN, Source, Step};

/// Flags of segments that open, continue and end connections.
const FLAGS: [u8; 12] =
    [SYN, ACK, SYN | ACK, FIN, FIN | ACK, PSH | ACK, RST, RST | ACK, SYN | RST, SYN | FIN, PSH, 0];

/// Where the second packet goes: port 0, a closed port, guarded ones, knocks.
const SECOND: [u16; 8] = [0, 27, 22, 2222, 5000, 6000, 1009, 2003];

/// How often a packet is repeated.
const TIMES: usize = 10;

pub fn all(family: Family) -> Vec<Kind> {
    let mut kinds = Kinds::new(family);
    then_another_port(&mut kinds);
    same_port_again(&mut kinds);
    repeated(&mut kinds);
    from_used_source_ports(&mut kinds);
    in_frames_for_others(&mut kinds);
    kinds.kinds
}

/// To the port that is compared, then to another: from the same source port, and from the next.
fn then_another_port(kinds: &mut Kinds) {
    let packets = [
        ("TCP S", tcp(SYN)),
        ("TCP A", tcp(ACK)),
        ("TCP SF", tcp(SYN | FIN)),
        ("TCP none", tcp(0)),
        ("UDP", udp(b"hello")),
        ("UDP with bytes behind it", {
            let odd = Udp { trailing: vec![b'T'; 6], ..Udp::new(b"hello") };
            Step::new(move |ends: &Ends| odd.ip(ends))
        }),
    ];
    for (first_name, first) in &packets {
        for (then_name, then) in &packets {
            for port in SECOND {
                for (source, from) in [(SOURCE, "the same"), (SOURCE + 1, "another")] {
                    let second = Step { source: Source::Port(source), ..then.clone() }.to(port);
                    // Once more to the first one, which may have lost its answer to the second.
                    let steps = vec![first.clone(), second, first.clone()];
                    let name = format!(
                        "{first_name}, then {then_name} to port {port} from {from} source port, then \
                         {first_name} again"
                    );
                    kinds.add_steps(name, steps);
                }
            }
        }
    }
    for port in SECOND {
        for (name, packet) in &packets {
            let before = packet.clone().to(port);
            let name = format!("{name} to port {port} before, then to the port");
            kinds.add_steps(name, vec![before, packet.clone()]);
        }
    }
}

/// Two segments of one connection, and then its opening again.
fn same_port_again(kinds: &mut Kinds) {
    for first in FLAGS {
        for then in FLAGS {
            let name = format!("TCP {}, {}, S", flag_names(first), flag_names(then));
            kinds.add_steps(name, vec![tcp(first), tcp(then), tcp(SYN)]);
        }
    }
    // A reset with the number that the connection tracking expects, and with another.
    for sequence in [1000, 1001, 2000, 0] {
        for flags in [RST, RST | ACK, SYN | RST] {
            let reset = Step::new(move |ends: &Ends| Tcp { sequence, ..Tcp::new(flags) }.ip(ends));
            let name = format!("TCP S, {} with {sequence}, S, A", flag_names(flags));
            kinds.add_steps(name, vec![tcp(SYN), reset, tcp(SYN), tcp(ACK)]);
        }
    }
    kinds.add_steps("UDP, TCP S, UDP", vec![udp(b"hello"), tcp(SYN), udp(b"hello")]);
    kinds.add_steps(
        "UDP, odd UDP, UDP",
        vec![
            udp(b"hello"),
            Step::new(|ends: &Ends| Udp { length: Some(50), ..Udp::new(b"hello") }.ip(ends)),
            udp(b"hello"),
        ],
    );
}

/// The same packet as fast as it can be sent.
fn repeated(kinds: &mut Kinds) {
    for flags in FLAGS {
        let step = Step { times: TIMES, ..tcp(flags) };
        kinds.add_steps(format!("TCP {}, {TIMES} times", flag_names(flags)), vec![step, tcp(SYN)]);
    }
    for length in [0, 5, 1200] {
        let step = Step { times: TIMES, ..udp(&vec![b'x'; length]) };
        let name = format!("UDP {length} bytes, {TIMES} times, and again");
        kinds.add_steps(name, vec![step.clone(), step]);
    }
}

/// A datagram from each of a range of source ports to another port, and then from one of these source
/// ports to the port that is compared: who translates connections to one port of the host must find
/// a source port for each, and the kernel seeks it in these ranges (`nf_nat_l4proto_unique_tuple`).
fn from_used_source_ports(kinds: &mut Kinds) {
    for (from, to, source) in [(1, 511, 53), (512, 1023, 700)] {
        for port in [0, 2222] {
            let all = Step::new(move |ends: &Ends| {
                let each = (from..=to).map(|source| Ends { source, ..*ends });
                let packets = each.map(|ends| Udp::new(b"hello").ip(&ends));
                let (frames, wholes) = packets.map(|ip| (ip.frame(), ip.bytes())).unzip();
                Frames { frames, wholes }
            });
            let then = Step { source: Source::Port(source), ..udp(b"hello") };
            let name = format!("UDP to port {port} from ports {from} to {to}, then from {source}");
            kinds.add_steps(name, vec![Step { compared: false, ..all.to(port) }, then]);
        }
    }
}

/// A segment in a frame for everybody on the link, which no network stack answers, and then others of the same connection.
fn in_frames_for_others(kinds: &mut Kinds) {
    let signed = |flags| {
        Step::new(move |ends: &Ends| {
            let options = [vec![1, 1, 19, 18], vec![7; 16]].concat();
            Tcp { options, sequence: 70_000, ..Tcp::new(flags) }.ip(ends)
        })
    };
    for (frame, mac) in [("broadcast", [0xff; 6]), ("multicast", [0x33, 0x33, 0, 0, 0, 1])] {
        for first in FLAGS {
            let for_all = Step::new(move |ends: &Ends| Ip {
                mac,
                ..Tcp { sequence: 70_000, ..Tcp::new(first) }.ip(ends)
            });
            for then in [SYN, ACK, FIN | ACK] {
                let name =
                    format!("TCP {} in a {frame} frame, {}", flag_names(first), flag_names(then));
                kinds.add_steps(&name, vec![for_all.clone(), tcp(then), tcp(then)]);
                let name = format!("{name} with a signature");
                kinds.add_steps(name, vec![for_all.clone(), signed(then)]);
            }
        }
    }
}

fn tcp(flags: u8) -> Step {
    Step::new(move |ends: &Ends| Tcp::new(flags).ip(ends))
}

fn udp(data: &[u8]) -> Step {
    let datagram = Udp::new(data);
    Step::new(move |ends: &Ends| datagram.ip(ends))
}
