//! What packets cost with the rules of this version, and with those of another one.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use portcullis::config::parse_str;
use portcullis_firewall::compile::compile;
use portcullis_lab::packet::{ACK, Packet, Payload};
use portcullis_lab::{Family, Lab};
use tempfile::TempDir;

use crate::linear::nft;
use crate::{NEITHER, ratio};

/// Packets of one measurement. Short ones, so that few are disturbed by others on this machine.
const BURST: u32 = 8_000;
/// Measurements of each kind with each rules.
const ROUNDS: usize = 25;

const PUBLIC: u16 = 80;
const WAIT: Duration = Duration::from_secs(5);
const NONE: &str = "table inet portcullis\ndelete table inet portcullis\n";

const DOOR: &str = r#"
[door.ssh]
guards     = ["tcp/22", "udp/51820"]
sequence   = ["tcp/47431", "udp/29117", "tcp/51123"]
recogniser = "kernel"
"#;

/// Prints a table for each stance. The other version is a program, which compiles the same
/// configuration.
pub fn beside(program: &str) {
    for stance in ["guard", "closed"] {
        let text = format!(
            "[gate]\nstance = \"{stance}\"\nrefuse = \"like-closed\"\n\
             public = [\"tcp/{PUBLIC}\", \"udp/{PUBLIC}\"]\n{DOOR}"
        );
        // A thread of its own is another host, without what the one before has left behind.
        std::thread::scope(|scope| {
            scope.spawn(|| measure(stance, &text, program));
        });
    }
}

/// What the other version makes of the configuration.
fn theirs(program: &str, text: &str) -> String {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("portcullis.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let output =
        Command::new(program).arg("compile").arg(path).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{program} compiles no rules");
    String::from_utf8(output.stdout).unwrap()
}

fn measure(stance: &str, text: &str, program: &str) {
    let mut lab = Lab::new().unwrap();
    let client = lab.peer("client", 1).unwrap();
    let wire = client.sender().unwrap();
    let host = client.host(Family::V4);
    let to = |port| SocketAddr::new(host, port);
    let _public = UdpSocket::bind(to(PUBLIC)).unwrap();
    let _listener = TcpListener::bind(to(PUBLIC)).unwrap();
    let ours = compile(&parse_str("beside", text).unwrap().policy).unwrap().to_string();
    let rules =
        [("no rules", NONE.to_owned()), ("this version", ours), (program, theirs(program, text))];
    let source = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a40_0000 + n));
    let from = SocketAddr::new(source(BURST), 40_000);
    // Connection tracking sees the connection begin, and an entry outlives the rules that asked for it.
    assert!(nft(&rules[1].1));
    let syn_ack = client.wire().unwrap().probe(&Packet::syn(from, to(PUBLIC)), WAIT).unwrap();
    let number = syn_ack.unwrap().payload()[4..8].try_into().unwrap();
    // An acknowledgement of what has been said already: nobody answers it.
    let mut established = Packet::tcp(from, to(PUBLIC), ACK);
    if let Payload::Tcp(tcp) = &mut established.payload {
        tcp.sequence += 1;
        tcp.acknowledgement = u32::from_be_bytes(number).wrapping_add(1);
    }
    wire.send(&established).unwrap();
    let syn = |n, port| Packet::syn((source(n), 40_000).into(), to(port));
    let udp = |n, port| Packet::udp((source(n), 40_000).into(), to(port), b"x");
    let kinds: [(&str, &dyn Fn(u32) -> Packet); 8] = [
        ("established", &|_| established.clone()),
        ("public, UDP", &|n| udp(n, PUBLIC)),
        ("refused, TCP", &|n| syn(n, 22)),
        ("refused, UDP", &|n| udp(n, 51_820)),
        ("closed, TCP", &|n| syn(n, NEITHER)),
        ("closed, UDP", &|n| udp(n, NEITHER)),
        ("first knock", &|n| syn(n, 47_431)),
        ("wrong knock", &|n| syn(n, 51_123)),
    ];
    let mut all = [const { [const { Vec::new() }; 8] }; 3];
    for _ in 0..ROUNDS {
        for ((_, rules), all) in rules.iter().zip(&mut all) {
            assert!(nft(NONE) && nft(rules));
            for ((_, packet), all) in kinds.iter().zip(all) {
                let packets: Vec<Packet> = (0..BURST).map(packet).collect();
                let sent = wire.send_all(&packets).unwrap();
                all.push(sent.took / BURST);
            }
        }
    }
    let quartile = |mut all: Vec<Duration>| {
        all.sort();
        all[ROUNDS / 4]
    };
    let best = all.map(|row| row.map(quartile));
    println!(
        "stance {stance}: ns for a packet and its answer, and how many times the other version's"
    );
    println!("  {:<14}{:>10}{:>22}{:>16}", "", "no rules", "this version", "the other");
    for (kind, (name, _)) in kinds.iter().enumerate() {
        let [none, ours, theirs] = best.map(|row| row[kind]);
        println!(
            "  {name:<14}{:>10}{:>14}   x{:<5.2}{:>14}",
            none.as_nanos(),
            ours.as_nanos(),
            ratio(ours, theirs),
            theirs.as_nanos()
        );
    }
}
