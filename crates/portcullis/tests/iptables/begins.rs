//! A connection to a guarded port begins with a grant, whatever connection tracking takes it for.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use portcullis_firewall::iptables::{AddressStore, Family};
use portcullis_lab::answer::{Meaning, Seen};
use portcullis_lab::packet::{ACK, Packet, Payload, RST, SYN};
use portcullis_lab::service::Echo;

use crate::loading::Place;
use crate::world::iptables::{Variant, word};
use crate::world::{FAMILIES, PATIENCE, made_up};

const STANCES: [&str; 2] = ["guard", "closed"];

fn config(stance: &str, store: AddressStore) -> String {
    let public = if stance == "closed" { "public = [\"tcp/21\"]\n" } else { "" };
    format!(
        "[gate]\nbackend = \"{}\"\nstance = \"{stance}\"\nrefuse = \"like-closed\"\n{public}\
         [door.ssh]\nguards = [\"tcp/22\"]\n\
         sequence = [\"tcp/1009\", \"udp/4001\", \"tcp/2003\"]\n",
        word(store)
    )
}

fn segment(from: IpAddr, to: IpAddr, flags: u8, numbers: (u32, u32)) -> Packet {
    let mut packet = Packet::tcp(SocketAddr::new(from, 41_000), SocketAddr::new(to, 22), flags);
    if let Payload::Tcp(tcp) = &mut packet.payload {
        (tcp.sequence, tcp.acknowledgement) = numbers;
    }
    packet
}

/// Its sequence number.
fn number(seen: &Seen) -> u32 {
    u32::from_be_bytes(seen.payload()[4..8].try_into().unwrap())
}

/// The network stack ends a connection at a segment with SYN and RST, of which connection tracking takes
/// no notice: to it a SYN from that port is then part of the old connection.
pub fn old_port(variant: Variant, store: AddressStore) {
    for stance in STANCES {
        let place = Place::new(variant);
        let ends = FAMILIES.map(|side| (made_up(side, 1), place.client.host(side)));
        for family in Family::BOTH {
            // Connection tracking is switched on by the first rule that asks it.
            let rule = "*filter\n-A INPUT -m conntrack --ctstate INVALID\nCOMMIT\n";
            place.tools.restore(family, rule);
        }
        for (from, to) in ends {
            let probe = segment(from, to, SYN, (999, 0));
            let answer = place.wire.probe(&probe, PATIENCE).unwrap().unwrap();
            assert_eq!(answer.meaning(), Meaning::SynAck);
            let theirs = number(&answer).wrapping_add(1);
            place.wire.send(&segment(from, to, ACK, (1_000, theirs))).unwrap();
            place.wire.send(&segment(from, to, SYN | RST, (1_000, theirs))).unwrap();
        }
        place.apply(&config(stance, store));
        for (from, to) in ends {
            let probe = segment(from, to, SYN, (100_000, 0));
            let answer = place.wire.probe(&probe, PATIENCE).unwrap();
            let meaning = answer.map(|answer| answer.meaning());
            assert_eq!(meaning, Some(Meaning::Reset), "{stance} {variant} {store:?} from {from}");
        }
    }
}

/// A service that names a port, for which connection tracking then expects a connection.
fn passive(listener: &TcpListener, port: u16) -> thread::JoinHandle<()> {
    let (host, listener) = (listener.local_addr().unwrap().ip(), listener.try_clone().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let host = host.to_string().replace('.', ",");
        // The helper reads what begins where another line has ended.
        stream.write_all(b"220 here\r\n").unwrap();
        assert_ne!(stream.read(&mut [0; 8]).unwrap(), 0);
        let line = format!("227 Entering Passive Mode ({host},{},{}).\r\n", port >> 8, port & 255);
        stream.write_all(line.as_bytes()).unwrap();
        // Until the client is done.
        let _ = stream.read(&mut [0; 8]);
    })
}

/// What another connection has announced begins with a grant, too.
pub fn related(variant: Variant, store: AddressStore) {
    for stance in STANCES {
        let place = Place::new(variant);
        let (from, to) = (place.addresses(0)[0], place.client.host(FAMILIES[0]));
        let _echo = Echo::start(SocketAddr::new(to, 8080)).unwrap();
        let helper = "*raw\n-A PREROUTING -p tcp --dport 21 -j CT --helper ftp\nCOMMIT\n";
        place.tools.restore(Family::V4, helper);
        place.apply(&config(stance, store));
        // One for both: a child that another trial has just forked holds a closed listener until its exec.
        let ftp = TcpListener::bind(SocketAddr::new(to, 21)).unwrap();
        for (port, expected) in [(22, Meaning::Reset), (8080, Meaning::SynAck)] {
            let service = passive(&ftp, port);
            let mut control =
                place.client.connect(from, SocketAddr::new(to, 21), PATIENCE).unwrap();
            control.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_ne!(control.read(&mut [0; 80]).unwrap(), 0);
            control.write_all(b"PASV\r\n").unwrap();
            assert_ne!(control.read(&mut [0; 80]).unwrap(), 0);
            let syn = Packet::syn(SocketAddr::new(from, 42_000), SocketAddr::new(to, port));
            let answer = place.wire.probe(&syn, Duration::from_secs(5)).unwrap();
            let meaning = answer.map(|answer| answer.meaning());
            assert_eq!(meaning, Some(expected), "{stance} {variant} {store:?} port {port}");
            drop(control);
            service.join().unwrap();
        }
    }
}
