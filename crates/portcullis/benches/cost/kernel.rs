//! What an ordinary packet costs the kernel, from sending it to what becomes of it.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use portcullis_core::policy::{Policy, Protocol, Recogniser, Refuse};
use portcullis_firewall::compile::compile;
use portcullis_firewall::iptables::AddressStore;
use portcullis_gate::iptables;
use portcullis_gate::nftables::Table;
use portcullis_lab::packet::Packet;
use portcullis_lab::wire::Wire;
use portcullis_lab::{Family, Lab, Peer};
use portcullis_testkit::policies::{many, port};

use crate::linear::{nft, one_rule_per_step};
use crate::{NEITHER, ROUNDS, ratio};

/// Packets of one measurement.
const BURST: usize = 50_000;

/// A public port.
const PUBLIC: u16 = 64_998;

/// Of the renderings that grow with the doors: more are not loaded, or not in minutes.
const MOST_LINEAR: u16 = 1_000;
const MOST_RECENT: u16 = 100;

const LINEAR_EMPTY: &str = "table inet linear\ndelete table inet linear\n";
const TRACKING: &str = "table inet linear\ndelete table inet linear\ntable inet linear {\n\
                        chain input { type filter hook input priority 0; ct state established accept; }\n}\n";

/// What is loaded while packets are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    None,
    /// One rule that asks for connections already made, as every firewall has it.
    Tracking,
    Ours(u16),
    Linear(u16),
    Recent(u16),
}

impl Rules {
    fn name(self) -> String {
        match self {
            Self::None => "no firewall".to_owned(),
            Self::Tracking => "one rule: established".to_owned(),
            Self::Ours(count) => format!("portcullis, {}", doors(count)),
            Self::Linear(count) => format!("a rule per step, {}", doors(count)),
            Self::Recent(count) => format!("recent, {}", doors(count)),
        }
    }
}

fn doors(count: u16) -> String {
    if count == 1 { "1 door".to_owned() } else { format!("{count} doors") }
}

/// So many doors, and a public port.
fn policy(doors: u16) -> Policy {
    let mut policy = many(doors);
    policy.gate.refuse = Refuse::Drop;
    policy.gate.public = vec![port(Protocol::Udp, PUBLIC)];
    policy.doors.iter_mut().for_each(|door| door.recogniser = Recogniser::Kernel);
    policy
}

/// The packets of which the cost is measured.
struct Packets {
    /// What the host has been talking to; nobody reads it, so that its queue is full.
    _service: UdpSocket,
    kinds: Vec<(&'static str, Packet)>,
}

impl Packets {
    fn new(client: &Peer) -> Self {
        let (host, peer) = (client.host(Family::V4), client.address(Family::V4, 0));
        let service = UdpSocket::bind(SocketAddr::new(host, PUBLIC)).unwrap();
        let guarded = policy(1).doors[0].guards[0].number.get();
        let udp =
            |port, to| Packet::udp(SocketAddr::new(peer, port), SocketAddr::new(host, to), b"x");
        let syn = |to| Packet::syn(SocketAddr::new(peer, 40_000), SocketAddr::new(host, to));
        Self {
            _service: service,
            kinds: vec![
                ("public", udp(40_001, PUBLIC)),
                ("established", udp(40_002, PUBLIC)),
                ("refused", syn(guarded)),
                ("wrong port", syn(NEITHER)),
            ],
        }
    }

    /// Makes the second one part of a conversation, whatever rules there are now.
    fn converse(&self, client: &Peer, wire: &Wire) {
        wire.send(&self.kinds[1].1).unwrap();
        let to = SocketAddr::new(client.address(Family::V4, 0), 40_002);
        self._service.send_to(b"x", to).unwrap();
    }
}

/// Prints a table.
pub fn kernel() {
    let mut lab = Lab::new().unwrap();
    let client = lab.peer("client", 1).unwrap();
    let wire = client.sender().unwrap();
    let mut gate = Table::open().unwrap();
    let mut rows = vec![Rules::None];
    let have_nft = nft(LINEAR_EMPTY);
    if have_nft {
        rows.push(Rules::Tracking);
    } else {
        eprintln!("nft is not installed: no comparison with one rule per step");
    }
    rows.extend([1, 100, 10_000].map(Rules::Ours));
    if have_nft {
        rows.extend([1, 100, MOST_LINEAR].map(Rules::Linear));
    }
    if iptables::load(&policy(1), AddressStore::Recent).is_ok() {
        iptables::remove().unwrap();
        rows.extend([1, 10, MOST_RECENT].map(Rules::Recent));
    } else {
        eprintln!("iptables is not installed: no comparison with `recent`");
    }
    let packets = Packets::new(&client);
    let mut best = vec![vec![Duration::MAX; packets.kinds.len()]; rows.len()];
    for _ in 0..ROUNDS {
        for (row, &rules) in rows.iter().enumerate() {
            // The slow ones need not be sent as many.
            let burst = match rules {
                Rules::Linear(MOST_LINEAR) => BURST / 20,
                Rules::Recent(MOST_RECENT) => BURST / 200,
                _ => BURST,
            };
            load(&mut gate, rules);
            packets.converse(&client, &wire);
            for (kind, (_, packet)) in packets.kinds.iter().enumerate() {
                let sent = wire.send_all(std::iter::repeat_n(packet, burst)).unwrap();
                let one = sent.took / u32::try_from(sent.packets).unwrap();
                best[row][kind] = best[row][kind].min(one);
            }
            unload(&mut gate, rules);
        }
    }
    print(&rows, &packets, &best);
}

fn print(rows: &[Rules], packets: &Packets, best: &[Vec<Duration>]) {
    println!(
        "in the kernel, ns for a packet, and how many times what it costs with portcullis and 1 door"
    );
    let one = rows.iter().position(|&rules| rules == Rules::Ours(1)).unwrap();
    print!("  {:<28}", "");
    packets.kinds.iter().for_each(|(name, _)| print!("{name:>20}"));
    println!();
    for (row, rules) in rows.iter().enumerate() {
        print!("  {:<28}", rules.name());
        for (kind, _) in packets.kinds.iter().enumerate() {
            let times = ratio(best[row][kind], best[one][kind]);
            print!("{:>12} x{times:<6.2}", best[row][kind].as_nanos());
        }
        println!();
    }
    println!(
        "  10,000 doors: {} rules of ours; a rule per step would be 50,001, which nft does not load",
        compile(&policy(10_000)).unwrap().rule_count()
    );
    println!("  in minutes; of `recent` 40,000 lists, of which the cost grows with the square");
}

fn load(gate: &mut Table, rules: Rules) {
    match rules {
        Rules::None => {}
        Rules::Tracking => assert!(nft(TRACKING)),
        Rules::Ours(doors) => drop(gate.load(&compile(&policy(doors)).unwrap()).unwrap()),
        Rules::Linear(doors) => assert!(nft(&one_rule_per_step(&policy(doors)))),
        Rules::Recent(doors) => drop(iptables::load(&policy(doors), AddressStore::Recent).unwrap()),
    }
}

fn unload(gate: &mut Table, rules: Rules) {
    match rules {
        Rules::None => {}
        Rules::Tracking | Rules::Linear(_) => assert!(nft(LINEAR_EMPTY)),
        Rules::Ours(_) => drop(gate.remove().unwrap()),
        Rules::Recent(_) => drop(iptables::remove().unwrap()),
    }
}
