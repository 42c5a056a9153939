//! Random policies that pass the check, from so few ports that sequences overlap and scripts hit.

use std::time::Duration;

use portcullis_core::limits;
use portcullis_core::policy::{
    Ban, Door, DoorName, GatePolicy, InterfaceName, Policy, Port, Protocol, Recogniser, Refuse,
    Severity, Stance, check,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Ports that knocks are drawn from.
pub const KNOCKS: [u16; 6] = [1009, 4001, 2003, 7001, 3001, 9001];

/// Ports that are guarded.
pub const GUARDS: [u16; 4] = [22, 443, 8443, 51_820];

/// Ports that are public.
pub const PUBLIC: [u16; 2] = [80, 53];

/// The interface that packets of scripts come in on, if not on another.
pub const INTERFACE: &str = "eth0";

fn protocol() -> impl Strategy<Value = Protocol> {
    select(vec![Protocol::Tcp, Protocol::Udp])
}

/// A port that sequences are made of.
pub fn knock() -> impl Strategy<Value = Port> {
    (protocol(), select(KNOCKS.to_vec())).prop_map(|(protocol, number)| port(protocol, number))
}

/// A policy of 1 to 6 doors. Doors that overlap agree in `step_timeout` and `tolerate`, as they must;
/// so most policies have one value of each, and some have two.
pub fn policy() -> impl Strategy<Value = Policy> {
    let durations = (select(vec![1u64, 2, 5]), select(vec![2u64, 3, 30]), 0u8..3);
    let door = (
        vec(knock(), 3..6),
        any::<bool>(),
        durations,
        select(vec![Recogniser::Both, Recogniser::Both, Recogniser::Kernel, Recogniser::Daemon]),
        vec(protocol(), 1..3),
    );
    let gate = (
        any::<bool>(),
        any::<bool>(),
        select(vec![Stance::Guard, Stance::Closed]),
        // So many strikes that nobody is ever banned, but all are counted.
        select(vec![None, Some(Ban { strikes: limits::MAX_STRIKES, ..Ban::default() })]),
        select(vec![Refuse::LikeClosed, Refuse::Drop, Refuse::Reject]),
    );
    (vec(door, 1..7), durations_of_all(), gate).prop_map(
        |(doors, shared, (public, named, stance, ban, refuse))| {
            let gate = GatePolicy { stance, ban, refuse, ..GatePolicy::default() };
            let mut policy = Policy { gate, doors: Vec::new() };
            if public {
                policy.gate.public = PUBLIC.map(|number| port(Protocol::Tcp, number)).to_vec();
            }
            if named {
                policy.gate.interfaces = vec![InterfaceName::new(INTERFACE).expect("a good name")];
            }
            for (sequence, own, (step, open, tolerate), recogniser, guards) in doors {
                let (step, tolerate) = if own { (step, tolerate) } else { shared };
                let Some(&number) = GUARDS.get(policy.doors.len()) else { break };
                let mut guards: Vec<_> =
                    guards.into_iter().map(|protocol| port(protocol, number)).collect();
                guards.dedup();
                policy.doors.push(Door {
                    name: DoorName::new(&format!("door-{}", policy.doors.len()))
                        .expect("a good name"),
                    guards,
                    sequence,
                    step_timeout: Duration::from_secs(step),
                    open_for: Duration::from_secs(open),
                    recogniser,
                    tolerate,
                    hooks: None,
                });
                if check(&policy)
                    .iter()
                    .any(|finding| finding.problem.severity() == Severity::Error)
                {
                    policy.doors.pop();
                }
            }
            policy
        },
    )
}

/// Who may be allowed: some of the sources of scripts, and others.
const ALLOWED: [&str; 8] = [
    "198.51.100.8",
    "198.51.100.8/29",
    "203.0.113.0/24",
    "2001:db8:1::/48",
    "iface:wg0",
    "iface:eth0",
    "0.0.0.0/0",
    "::/0",
];

/// This policy with a chance of an allow-list and, if it is closed, of a log.
pub fn dressed(policy: Policy) -> impl Strategy<Value = Policy> {
    let few = subsequence(ALLOWED[..5].to_vec(), 1..4);
    let many = subsequence(ALLOWED.to_vec(), 1..4);
    let allowed = prop_oneof![4 => Just(Vec::new()), 4 => few, 1 => many];
    (allowed, any::<bool>()).prop_map(move |(allowed, log)| {
        let mut policy = policy.clone();
        policy.gate.allow =
            allowed.into_iter().map(|text| text.parse().expect("may be allowed")).collect();
        policy.gate.log_refused = log && policy.gate.stance == Stance::Closed;
        policy
    })
}

fn durations_of_all() -> impl Strategy<Value = (u64, u8)> {
    (select(vec![1u64, 2, 5]), 0u8..3)
}

/// A door of both recognisers with the usual durations.
pub fn door(name: &str, guard: Port, sequence: &[Port], tolerate: u8) -> Door {
    Door {
        name: DoorName::new(name).expect("a good name"),
        guards: vec![guard],
        sequence: sequence.to_vec(),
        step_timeout: Door::DEFAULT_STEP_TIMEOUT,
        open_for: Door::DEFAULT_OPEN_FOR,
        recogniser: Recogniser::Both,
        tolerate,
        hooks: None,
    }
}

/// So many doors (at most 10,000) of four knocks each, with the same durations, that pass the check.
pub fn many(count: u16) -> Policy {
    let mut policy = Policy::default();
    for index in 0..count {
        // Rows of ports, each used once; a sequence goes up and down among them.
        let tcp = |row: u16| port(Protocol::Tcp, 1 + row * 10_000 + index);
        let sequence = [tcp(0), tcp(3), port(Protocol::Udp, 1 + index), tcp(2)];
        policy.doors.push(door(&format!("d{index}"), tcp(5), &sequence, 0));
    }
    policy
}

/// A port that is not 0.
pub fn port(protocol: Protocol, number: u16) -> Port {
    Port::new(protocol, number).expect("not 0")
}
