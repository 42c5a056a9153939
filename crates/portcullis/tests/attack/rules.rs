//! What is in the rules themselves, and what they make of connection tracking.

use std::fs;
use std::net::SocketAddr;

use portcullis_lab::Family;
use portcullis_lab::packet::Packet;

use crate::stage::{CLOSED_UDP, GUARDED_UDP, KNOCKS, Setup, Stage};
use crate::world::iptables::NFT;
use crate::world::knock_packet;

/// Whoever can read the rules learns no secret that decides who disturbs whom: no source is known by
/// a hash.
pub fn no_seed(setup: Setup) {
    let stage = Stage::new(setup, "2s");
    let listed = stage.tools.must(NFT, &["list", "table", "inet", "portcullis"], "");
    for word in ["seed", "jhash", "symhash"] {
        let line = listed.lines().find(|line| line.contains(word));
        assert_eq!(line, None, "a source is known by a hash of its address");
    }
}

/// How many entries of connection tracking datagrams leave behind: figures, for the table belongs to
/// the machine, and its owner has to see to its size. While there is room whoever knocks gets in.
pub fn connection_tracking(setup: Setup, family: Family) {
    let stage = Stage::without_gate(setup);
    let figure = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/netfilter/nf_conntrack_{name}"));
        text.unwrap().trim().parse::<u32>().unwrap()
    };
    let flood = |port, many: u16| {
        let before = figure("count");
        let source = stage.new_source(family).ip();
        let to = stage.to(source, port);
        let packets = (0..many).map(|n| Packet::udp(SocketAddr::new(source, 1_024 + n), to, b"x"));
        stage.wire.send_all(packets).unwrap();
        figure("count").saturating_sub(before)
    };
    let without = flood(CLOSED_UDP, 2_000);
    stage.load(setup, "300s");
    let closed = flood(CLOSED_UDP + 1, 2_000);
    let guarded = flood(GUARDED_UDP, 2_000);
    eprintln!(
        "{setup} {family}: 2000 datagrams leave {closed} entries at a closed port, {guarded} at a \
         guarded one, {without} without a gate"
    );
    let knocks = || {
        let from = stage.new_source(family).ip();
        for knock in KNOCKS {
            let host = stage.to(from, 0).ip();
            stage.wire.send(&knock_packet(from, host, knock.parse().unwrap())).unwrap();
        }
        stage.admits(from)
    };
    assert!(knocks(), "a knock opens no door");
    let entries = flood(CLOSED_UDP, 60_000);
    eprintln!(
        "{setup} {family}: 60,000 leave {entries} where {} have room; a knock then opens: {}",
        figure("max"),
        knocks()
    );
}
