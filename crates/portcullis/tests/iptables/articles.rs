//! The rule lists of two articles that are copied everywhere, beside ours, on the same packets.
//!
//! Seed 001 is the article on iplock: three knocks in the shape of the `recent` wiki, every `--set`
//! before its `--dport`. Seed 000 is the article on `recent` with a base firewall around it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use portcullis_firewall::iptables::Family;
use portcullis_lab::Family as Side;
use portcullis_lab::packet::{ACK, Packet};

use crate::loading::Place;
use crate::world::iptables::{Tools, Variant};
use crate::world::{FAMILIES, PATIENCE};

/// As printed: matches are looked at from left to right, so `--set` is done for any TCP packet.
const SEED_001: &str = "\
*filter
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m recent --rcheck --seconds 10 --name knock3 --dport 22 -j ACCEPT
-A INPUT -p tcp -m recent --rcheck --seconds 10 --name knock2 -m recent --set --name knock3 --dport 300
-A INPUT -m recent --remove --name knock2
-A INPUT -p tcp -m recent --rcheck --seconds 10 --name knock1 -m recent --set --name knock2 --dport 200
-A INPUT -m recent --remove --name knock1
-A INPUT -p tcp -m recent --set --name knock1 --dport 100
-A INPUT -p tcp -j DROP
COMMIT
";

/// The saved file as printed: one copy of the article lacks the `*filter` and `COMMIT` around it.
const SEED_000: &str = "\
:OUTPUT ACCEPT [31:2964]
-A INPUT -p tcp -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -p tcp -m tcp --dport 1000 -m recent --set --name KNOCKING --rsource
-A INPUT -p tcp -m tcp --dport 22 -m recent --rcheck --seconds 15 --name KNOCKING --rsource -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-port-unreachable
";

fn syns(place: &Place, from: IpAddr, ports: impl IntoIterator<Item = u16>) {
    for port in ports {
        segment(place, from, port, None);
    }
}

fn segment(place: &Place, from: IpAddr, port: u16, flags: Option<u8>) {
    let side = FAMILIES[usize::from(from.is_ipv6())];
    assert_eq!(place.client.host(side).is_ipv4(), from.is_ipv4());
    let (from, to) =
        (SocketAddr::new(from, 41_000), SocketAddr::new(place.client.host(side), port));
    let packet = match flags {
        None => Packet::syn(from, to),
        Some(flags) => Packet::tcp(from, to, flags),
    };
    place.wire.send(&packet).unwrap();
}

fn v4(place: &Place, number: usize) -> IpAddr {
    place.addresses(number).into_iter().find(IpAddr::is_ipv4).unwrap()
}

fn v6(place: &Place, number: usize) -> IpAddr {
    place.addresses(number).into_iter().find(IpAddr::is_ipv6).unwrap()
}

pub fn seed_001(variant: Variant) {
    let place = Place::new(variant);
    place.tools.restore(Family::V4, SEED_001);
    // A plain connect, as TCP repeats it: no knock at all, and it is in.
    syns(&place, v4(&place, 0), [22, 22, 22]);
    assert!(place.is_open(v4(&place, 0)), "they must have mended their rules");
    // Three packets to any ports, and ACKs too.
    syns(&place, v4(&place, 1), [7001, 7002, 7003]);
    assert!(place.is_open(v4(&place, 1)));
    syns(&place, v4(&place, 2), [100]);
    segment(&place, v4(&place, 2), 200, Some(ACK));
    segment(&place, v4(&place, 2), 300, Some(ACK));
    assert!(place.is_open(v4(&place, 2)));
    // And nobody has said anything of IPv6.
    assert!(place.is_open(v6(&place, 0)));
}

pub fn seed_000(variant: Variant) {
    let place = Place::new(variant);
    let refused = place.tools.run("iptables-restore", &[], SEED_000);
    assert!(!refused.status.success(), "the file as printed was loaded");
    place.tools.restore(Family::V4, &format!("*filter\n{SEED_000}COMMIT\n"));
    assert!(!place.is_open(v4(&place, 0)));
    // A sequential scan that crosses the one knock opens the door.
    syns(&place, v4(&place, 0), 900..1_100);
    assert!(place.is_open(v4(&place, 0)));
    // A bare ACK is a knock.
    assert!(!place.is_open(v4(&place, 1)));
    segment(&place, v4(&place, 1), 1_000, Some(ACK));
    assert!(place.is_open(v4(&place, 1)));
    // Nobody has said anything of IPv6, so all of the base firewall is missing there.
    assert!(place.is_open(v6(&place, 0)));
    // It refuses the host's own business: what it sends to itself, and the answers to its datagrams.
    assert!(!reaches_itself(&place, Side::V4));
    assert!(!is_answered(&place, Side::V4));
}

/// Whether the host can connect to its own service.
fn reaches_itself(place: &Place, side: Side) -> bool {
    let to = SocketAddr::new(place.client.host(side), 22);
    TcpStream::connect_timeout(&to, PATIENCE).is_ok()
}

/// Whether a datagram of the host, such as a question to a name server, is answered.
fn is_answered(place: &Place, side: Side) -> bool {
    let (host, server) = (place.client.host(side), place.client.address(side, 3));
    let socket = UdpSocket::bind((host, 0)).unwrap();
    let server = SocketAddr::new(server, 53);
    socket.send_to(b"who", server).unwrap();
    let answer = Packet::udp(server, socket.local_addr().unwrap(), b"me");
    place.wire.send(&answer).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket.recv(&mut [0; 8]).is_ok()
}

/// The same packets, and some that try harder, against ours, in every way of loading it.
pub fn ours(variant: Variant) {
    let ways = ["nftables", "iptables", "ipset"].into_iter();
    for (backend, stance) in ways.flat_map(|way| ["guard", "closed"].map(|stance| (way, stance))) {
        let place = Place::new(variant);
        place.apply(&format!(
            "[gate]\nbackend = \"{backend}\"\nstance = \"{stance}\"\nrefuse = \"like-closed\"\n\
             [door.ssh]\nguards = [\"tcp/22\"]\n\
             sequence = [\"tcp/100\", \"tcp/300\", \"tcp/200\"]\nstep_timeout = \"60s\"\n\
             recogniser = \"kernel\"\n"
        ));
        let shut = |from, why: &str| {
            assert!(!place.is_open(from), "{backend} {stance} on {variant} for {from}: {why}");
        };
        for side in FAMILIES {
            assert!(reaches_itself(&place, side), "{backend} {stance} on {variant}");
            assert!(is_answered(&place, side), "{backend} {stance} on {variant}");
        }
        for (first, second) in place.addresses(0).into_iter().zip(place.addresses(1)) {
            shut(first, "no knock");
            syns(&place, first, [22, 22, 22, 22]);
            shut(first, "a connect that TCP repeats");
            syns(&place, first, [7001, 7002, 7003]);
            shut(first, "any three ports");
            syns(&place, first, [100, 100, 100]);
            shut(first, "the first knock, repeated");
            syns(&place, first, [1]);
            for port in [100, 300, 200] {
                segment(&place, first, port, Some(ACK));
            }
            shut(first, "bare ACKs");
            syns(&place, first, [100]);
            segment(&place, first, 300, Some(ACK));
            segment(&place, first, 200, Some(ACK));
            shut(first, "a knock, then bare ACKs");
            for _ in 0..3 {
                syns(&place, first, 90..310);
                shut(first, "an ascending scan");
            }
            syns(&place, first, (90..310).rev());
            shut(first, "a descending scan");
            syns(&place, first, [100, 300, 9999, 200]);
            shut(first, "a wrong port in between");
            if let (IpAddr::V6(from), IpAddr::V6(to)) = (first, place.client.host(FAMILIES[1])) {
                syns(&place, first, [100]);
                place.wire.send_ip(&broken_off(from, to, 300)).unwrap();
                syns(&place, first, [200]);
                shut(first, "a fragment that breaks off inside its TCP header");
            }
            syns(&place, first, [100, 300, 200]);
            assert!(
                place.is_open(first),
                "{backend} {stance} on {variant}: the right knock, {first}"
            );
            shut(second, "somebody else's knock");
        }
        // The file that is printed is one that the programs take.
        if backend != "nftables" {
            printed(&place.tools);
        }
        assert!(place.tools.portcullis("remove", None).status.success());
    }
}

/// The first fragment of a segment, of which it holds the ports and no flags (RFC 8200, section 4.5).
fn broken_off(from: Ipv6Addr, to: Ipv6Addr, port: u16) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0, 0, 16, 44, 64];
    bytes.extend(from.octets().into_iter().chain(to.octets()));
    // TCP follows, offset 0, more fragments.
    bytes.extend([6, 0, 0, 1, 0, 0, 0, 9]);
    bytes.extend(41_000_u16.to_be_bytes().into_iter().chain(port.to_be_bytes()));
    bytes.extend([0, 0, 0, 1]);
    bytes
}

/// `compile` prints what iptables-restore itself takes, without `apply`.
fn printed(tools: &Tools) {
    let file = tools.path().join("portcullis.toml");
    let file = file.to_str().unwrap();
    assert!(tools.portcullis("remove", None).status.success());
    let text =
        |target| tools.must(crate::world::program(), &["compile", file, "--target", target], "");
    let sets = tools.run(crate::world::program(), &["compile", file, "--target", "ipset"], "");
    if sets.status.success() {
        tools.must("ipset", &["restore"], &String::from_utf8(sets.stdout).unwrap());
    }
    tools.must("iptables-restore", &["--noflush"], &text("iptables"));
    tools.must("ip6tables-restore", &["--noflush"], &text("ip6tables"));
}
