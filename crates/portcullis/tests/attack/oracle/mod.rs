//! Odd packets to a guarded port, a knock port and a closed one: no kind of packet, no sequence of
//! them and no race between them tells the ports apart.

mod answer;
mod ask;
mod bytes;
mod probes;
mod scan;
mod sequences;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::thread;

use libtest_mimic::Trial;
use portcullis_lab::service::Echo;
use portcullis_lab::{Family, world};
use world::{By, FAMILIES, World};

use ask::{Outcome, Senders, Target, compare};
use probes::Kind;

const DOORS: &str = r#"
[door.ssh]
guards   = ["tcp/22", "tcp/2222", "udp/2222", "udp/5000", "tcp/6000", "udp/6000"]
sequence = ["tcp/1009", "tcp/4001", "udp/2003"]
recogniser = "RECOGNISER"
"#;

/// Ports that are guarded in both protocols, so many by one door.
const MANY: Range<u16> = 60_000..60_512;
const OF_ONE_DOOR: usize = 32;

/// Kinds of probes that there must be at least, in each family.
const KINDS: usize = 164;

/// The first is what the others must be like; the second tells what differs by itself.
const TARGETS: [Target; 10] = [
    Target { name: "closed", port: 25 },
    Target { name: "also closed", port: 26 },
    Target { name: "guarded, with a TCP service", port: 22 },
    Target { name: "guarded, with a UDP service", port: 5000 },
    Target { name: "guarded, with both", port: 2222 },
    Target { name: "guarded, nothing behind it", port: 6000 },
    Target { name: "first knock", port: 1009 },
    Target { name: "second knock", port: 4001 },
    Target { name: "last knock", port: 2003 },
    Target { name: "a port that nothing can listen on", port: 0 },
];

/// A service that nobody may use in the stance `closed`.
const PRIVATE: Target = Target { name: "neither guarded nor public, with both", port: 8080 };

/// What is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    Guard,
    Closed,
    GuardWithBans,
    ClosedWithBans,
    /// With so few strikes that the senders are banned before they ask.
    GuardBanned,
    ClosedBanned,
}

/// Strikes until a ban, where the senders are banned.
const STRIKES: usize = 10;

impl Rules {
    fn name(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Closed => "closed",
            Self::GuardWithBans => "guard_with_bans",
            Self::ClosedWithBans => "closed_with_bans",
            Self::GuardBanned => "guard_banned",
            Self::ClosedBanned => "closed_banned",
        }
    }

    /// All of these refuse as a closed port would.
    fn gate(self) -> String {
        let guard = matches!(self, Self::Guard | Self::GuardWithBans | Self::GuardBanned);
        let stance = if guard { "guard" } else { "closed" };
        let ban = match self {
            Self::Guard | Self::Closed => String::new(),
            Self::GuardWithBans | Self::ClosedWithBans => "[ban]\nstrikes = 10000\n".to_owned(),
            Self::GuardBanned | Self::ClosedBanned => format!("[ban]\nstrikes = {STRIKES}\n"),
        };
        format!("stance = \"{stance}\"\n{ban}")
    }

    /// A host with the gate.
    fn world(self) -> World {
        let gate = format!("[gate]\nrefuse = \"like-closed\"\n{}", self.gate());
        let world = World::new(By::Kernel, &format!("{gate}{DOORS}{}", many_doors()));
        world::unlimited_icmp();
        world
    }

    fn targets(self) -> Vec<Target> {
        match self {
            Self::Guard | Self::GuardWithBans | Self::GuardBanned => TARGETS.to_vec(),
            Self::Closed | Self::ClosedWithBans | Self::ClosedBanned => {
                TARGETS.into_iter().chain([PRIVATE]).collect()
            }
        }
    }
}

fn many_doors() -> String {
    let door = |n: u16| {
        let ports = MANY.skip(usize::from(n) * OF_ONE_DOOR).take(OF_ONE_DOOR);
        let guards: Vec<_> = ports.map(|port| format!("\"tcp/{port}\", \"udp/{port}\"")).collect();
        let sequence = [31_000, 29_000, 30_000].map(|port| format!("\"tcp/{}\"", port + n));
        format!(
            "[door.many{n}]\nguards = [{}]\nsequence = [{}]\nrecogniser = \"RECOGNISER\"\n",
            guards.join(", "),
            sequence.join(", ")
        )
    };
    (0..(MANY.len() / OF_ONE_DOOR) as u16).map(door).collect()
}

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for family in FAMILIES {
        trials.push(trial("probes_find_a_service_without_a_gate", family, move || {
            probes_find_a_service(family);
        }));
    }
    for rules in [Rules::GuardBanned, Rules::ClosedBanned] {
        for family in FAMILIES {
            let name = format!("banned_source_learns_no_port_in_stance_{}", rules.name());
            trials.push(trial(&name, family, move || banned_source_learns_no_port(rules, family)));
        }
    }
    let plain = [Rules::Guard, Rules::Closed];
    let all = [plain, [Rules::GuardWithBans, Rules::ClosedWithBans]].concat();
    for (rules, family) in all.into_iter().flat_map(|rules| FAMILIES.map(|f| (rules, f))) {
        let mut add = |name: &str, test: fn(Rules, Family)| {
            let name = format!("{name}_in_stance_{}", rules.name());
            trials.push(trial(&name, family, move || test(rules, family)));
        };
        add("odd_probes_are_answered_like_by_a_closed_port", |rules, family| {
            same_answers(rules, family, &probes::all(family), Senders::One);
        });
        // The rules cannot tell a listener of one address from a connection.
        add("nothing_tells_a_listener_of_one_address_from_a_closed_port", |rules, family| {
            let mut world = rules.world();
            let addresses = FAMILIES.map(|family| world.client.host(family));
            let _services = Services::at(&addresses);
            let kinds = [probes::all(family), sequences::all(family)].concat();
            same_answers_in(&mut world, rules, family, &kinds, Senders::One);
        });
        if !plain.contains(&rules) {
            continue;
        }
        add("odd_probes_on_two_cpus_are_answered_like_by_a_closed_port", |rules, family| {
            same_answers(rules, family, &probes::all(family), Senders::Two);
        });
        add("sequences_are_answered_like_by_a_closed_port", |rules, family| {
            same_answers(rules, family, &sequences::all(family), Senders::One);
        });
        add("scan_on_two_cpus_is_answered_by_the_port_it_asks", scan::few_ports);
        add("scan_of_many_guarded_ports_loses_no_more_than_of_closed_ones", scan::many_ports);
        add("scan_beside_port_zero_loses_no_more_of_guarded_ports", scan::beside_port_zero);
        add(
            "scan_from_used_source_ports_loses_no_more_of_guarded_ports",
            scan::from_used_source_ports,
        );
    }
    trials
}

fn trial(name: &str, family: Family, test: impl FnOnce() + Send + 'static) -> Trial {
    world::trial(format!("{name}_{family}"), test)
}

/// Services behind some of the ports, in both families, that answer whatever reaches them.
struct Services {
    _tcp: Vec<Echo>,
}

impl Services {
    fn start() -> Self {
        Self::at(&[Ipv6Addr::UNSPECIFIED.into()])
    }

    /// At these addresses of the host alone.
    fn at(addresses: &[IpAddr]) -> Self {
        let at = |port| addresses.iter().map(move |address| SocketAddr::new(*address, port));
        let tcp = [22, 2222, PRIVATE.port].into_iter().flat_map(at);
        let tcp = tcp.map(|at| Echo::start(at).unwrap()).collect();
        for at in [5000, 2222, PRIVATE.port].into_iter().flat_map(at) {
            let socket = UdpSocket::bind(at).unwrap();
            // Ends with the process: nothing wakes it, and nobody waits for it.
            thread::spawn(move || {
                let mut buffer = vec![0; 65_536];
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..length], from);
                }
            });
        }
        Self { _tcp: tcp }
    }
}

/// Lets packets that come in be handled on all CPUs.
fn on_two_cpus(world: &World) {
    // A container may not let us; then they are handled on the CPUs of the threads that send them.
    if let Err(error) = world.lab.spread(world.client.name()) {
        eprintln!("receive packet steering stays off: {error}");
    }
}

/// The probes do tell a service from a closed port: where no gate is.
fn probes_find_a_service(family: Family) {
    let mut world = Rules::Guard.world();
    world.done(&["remove"]);
    let _services = Services::start();
    let kinds = probes::all(family);
    assert!(kinds.len() >= KINDS, "{} kinds", kinds.len());
    let targets = [TARGETS[0], TARGETS[1], TARGETS[4]];
    let found = compare(&mut world, family, &targets, &kinds, Senders::One);
    let control = compare(&mut world, family, &targets[..2], &kinds, Senders::One);
    assert!(control.differences.is_empty(), "{}", listed(&control, kinds.len()));
    eprintln!(
        "{family}: {} kinds, {} are answered, {} find a service",
        kinds.len(),
        found.answered,
        found.differences.len()
    );
    assert!(found.answered > kinds.len() / 3, "{} of {} answered", found.answered, kinds.len());
    assert!(found.differences.len() > 100, "{} find a service", found.differences.len());
}

fn same_answers(rules: Rules, family: Family, kinds: &[Kind], senders: Senders) {
    let mut world = rules.world();
    let _services = Services::start();
    if senders == Senders::Two {
        on_two_cpus(&world);
    }
    same_answers_in(&mut world, rules, family, kinds, senders);
}

fn same_answers_in(
    world: &mut World,
    rules: Rules,
    family: Family,
    kinds: &[Kind],
    senders: Senders,
) {
    let outcome = compare(world, family, &rules.targets(), kinds, senders);
    assert!(outcome.answered > kinds.len() / 3, "{} answered", outcome.answered);
    assert!(outcome.differences.is_empty(), "{}", listed(&outcome, kinds.len()));
}

/// What is no strike is answered to a banned source as at a closed port, too.
fn banned_source_learns_no_port(rules: Rules, family: Family) {
    let mut world = rules.world();
    let _services = Services::start();
    let strikes = probes::strikes(STRIKES);
    let mut kinds = probes::all(family);
    kinds.iter_mut().for_each(|kind| kind.steps.insert(0, strikes.clone()));
    let outcome = compare(&mut world, family, &rules.targets(), &kinds, Senders::One);
    assert!(outcome.differences.is_empty(), "{}", listed(&outcome, kinds.len()));
    assert!(!world.gate.bans().unwrap().is_empty(), "nobody is banned");
}

/// All differences, so that whoever reads this need not run it again for the next.
fn listed(outcome: &Outcome, kinds: usize) -> String {
    let count = outcome.differences.len();
    let list: String = outcome.differences.iter().map(ToString::to_string).collect();
    format!("{count} of {kinds} kinds of probes tell ports apart:\n{list}")
}
