//! Connection tracking and the network stack disagree: a connection that the stack has given up is
//! still established to connection tracking, and a new one from the same port passes for it.

use std::net::{IpAddr, SocketAddr};

use portcullis_lab::answer::Meaning;
use portcullis_lab::packet::{ACK, FIN, Packet, RST, SYN};
use portcullis_lab::{Family, set_sysctl};

use crate::stage::{Connection, GUARDED, KNOCKS, NFTABLES, Setup, Stage, WAIT};
use crate::world::{PATIENCE, nft, program};

const URG: u8 = 0x20;

/// Flags that end a connection for the stack if the numbers are right (RFC 9293, section 3.10.7.4:
/// the reset is looked at first). What connection tracking makes of them is its own affair: it
/// ignores those that it has never seen together (`tcp_valid_flags`).
const ENDINGS: [u8; 6] = [SYN | RST, FIN | RST, URG | RST, SYN | RST | ACK, SYN | FIN | RST, RST];

/// Connections from one address: some to be ended, and one that lives on.
struct Connections {
    ended: Vec<Connection>,
    alive: Connection,
}

impl Connections {
    fn open(stage: &Stage, from: IpAddr) -> Self {
        let open = |port| {
            let mut connection = stage.admitted(SocketAddr::new(from, port));
            assert!(connection.talks(stage, PATIENCE), "a connection that was let in");
            connection
        };
        let ended = (41_000..).take(ENDINGS.len()).map(open).collect();
        Self { ended, alive: open(42_000) }
    }

    fn end(&self, stage: &Stage) {
        for (connection, flags) in self.ended.iter().zip(ENDINGS) {
            connection.send(stage, flags, b"");
        }
        stage.settle();
    }

    /// From none of the old ports a new connection can be made, however often it is tried.
    fn stay_ended(&self, stage: &Stage) {
        for round in 1..=3 {
            let syns: Vec<Packet> = self.ended.iter().map(Connection::again).collect();
            let seen = stage.exchange(&syns);
            for (syn, flags) in syns.iter().zip(ENDINGS) {
                let answer = seen.iter().find(|seen| seen.answers(syn));
                let answer = answer.map(|seen| seen.meaning());
                assert_ne!(
                    answer,
                    Some(Meaning::SynAck),
                    "round {round}: a new connection over one that {flags:#04x} ended"
                );
            }
        }
    }
}

/// The attack: a grant once, new connections for ever.
pub fn after_the_grant(setup: Setup, family: Family) {
    let stage = Stage::new(setup, "2s");
    let from = stage.new_source(family).ip();
    assert!(!stage.admits(from), "without a knock");
    let mut connections = Connections::open(&stage, from);
    connections.end(&stage);
    stage.wait_for_end(from);
    connections.stay_ended(&stage);
    assert!(connections.alive.talks(&stage, PATIENCE), "a living connection lives on");
}

/// The same without any grant: the connection was there before the gate.
pub fn before_the_gate(setup: Setup, family: Family) {
    let stage = Stage::without_gate(setup);
    // Something has switched connection tracking on.
    nft(
        "table inet other { chain input { type filter hook input priority 0; ct state new accept; }; }",
    );
    let from = stage.new_source(family).ip();
    let mut connections = Connections::open(&stage, from);
    connections.end(&stage);
    let mut half = Connection::half_open(&stage, SocketAddr::new(from, 43_000), GUARDED).unwrap();
    stage.load(setup, "2s");
    assert!(!stage.admits(from), "without a knock");
    connections.stay_ended(&stage);
    // Chains of iptables cannot ask for a whole socket (docs/known-issues.md).
    if NFTABLES.contains(&setup) {
        half.send(&stage, ACK, b"");
        assert!(!half.talks(&stage, WAIT), "a half-open connection has become a whole one");
    }
    assert!(connections.alive.talks(&stage, PATIENCE), "a living connection lives on");
}

/// The first segment within the grant, the third after it: whether the stack remembers the first, or
/// has put all it knows into a number that comes back (a SYN cookie, RFC 4987, section 3.6).
pub fn half_open(setup: Setup, family: Family) {
    for cookies in ["1", "2"] {
        let mut stage = Stage::new(setup, "2s");
        set_sysctl("ipv4/tcp_syncookies", cookies).unwrap();
        if cookies == "2" {
            // With one address it can be made whole (docs/known-issues.md).
            stage.listen_everywhere(family);
        }
        let from = stage.new_source(family).ip();
        stage.admitted(SocketAddr::new(from, 42_000));
        let mut halves: Vec<Connection> = Vec::new();
        for port in 43_000..43_003 {
            match Connection::half_open(&stage, SocketAddr::new(from, port), GUARDED) {
                Ok(half) => halves.push(half),
                // The machine is that slow.
                Err(_) => stage.knock(from, &KNOCKS),
            }
        }
        assert!(!halves.is_empty());
        stage.wait_for_end(from);
        for half in &mut halves {
            half.send(&stage, ACK, b"");
            let is_whole = half.talks(&stage, WAIT);
            assert!(!is_whole, "a half-open connection is made whole, SYN cookies: {cookies}");
        }
    }
}

/// What is revoked is over, also for ports that had a connection.
pub fn revoked(setup: Setup, family: Family) {
    let stage = Stage::new(setup, "300s");
    let from = stage.new_source(family).ip();
    let mut connections = Connections::open(&stage, from);
    let half = Connection::half_open(&stage, SocketAddr::new(from, 43_000), GUARDED).unwrap();
    connections.end(&stage);
    let revoke = |more: &[&str]| {
        let address = from.to_string();
        let arguments = [&["revoke", "ssh", &address], more].concat();
        let output = stage.tools.run(program(), &arguments, "");
        assert!(output.status.success(), "{output:?}");
    };
    revoke(&[]);
    assert!(!stage.admits(from));
    connections.stay_ended(&stage);
    assert!(connections.alive.talks(&stage, PATIENCE), "a living connection lives on");
    let mut late = half;
    late.send(&stage, ACK, b"");
    assert!(!late.talks(&stage, WAIT), "a half-open connection has become a whole one");
    revoke(&["--cut"]);
    assert!(!connections.alive.talks(&stage, WAIT), "a connection that was cut");
    connections.ended.push(connections.alive);
    connections.stay_ended(&stage);
}
