//! Each rule, by the shortest policy that breaks it.

use alloc::string::ToString;
use alloc::vec;
use core::time::Duration;

use super::*;
use crate::policy::Severity;
use crate::policy::{Ban, GatePolicy, Hook, Hooks, InterfaceName};

/// `name: guards = sequence` of ports, each separated by a space.
fn door(text: &str) -> Door {
    let (name, rest) = text.split_once(": ").unwrap();
    let (guards, sequence) = rest.split_once(" = ").unwrap();
    Door {
        name: DoorName::new(name).unwrap(),
        guards: ports(guards),
        sequence: ports(sequence),
        step_timeout: Door::DEFAULT_STEP_TIMEOUT,
        open_for: Door::DEFAULT_OPEN_FOR,
        recogniser: Recogniser::Both,
        tolerate: 0,
        hooks: None,
    }
}

fn ports(text: &str) -> Vec<Port> {
    text.split_whitespace().map(|port| port.parse().unwrap()).collect()
}

fn policy(doors: &[&str]) -> Policy {
    Policy { gate: GatePolicy::default(), doors: doors.iter().map(|text| door(text)).collect() }
}

/// The codes and places of all findings.
fn found(policy: &Policy) -> Vec<(&'static str, Place)> {
    check(policy).iter().map(|finding| (finding.problem.code(), finding.place)).collect()
}

const SSH: &str = "ssh: tcp/22 = tcp/7431 udp/29117 tcp/1123";
const FIRST: DoorId = DoorId(0);
const SECOND: DoorId = DoorId(1);

#[test]
fn the_smallest_policy_is_good() {
    assert_eq!(found(&policy(&[SSH])), []);
}

#[test]
fn a_policy_without_doors_is_not() {
    assert_eq!(found(&policy(&[])), [("no-door", Place::Whole)]);
}

#[test]
fn all_closed_is_said_but_may_be() {
    let mut closed = policy(&[]);
    closed.gate.stance = Stance::Closed;
    assert_eq!(found(&closed), [("nobody-gets-in", Place::Stance)]);
    assert_eq!(Problem::NobodyGetsIn.severity(), Severity::Warning);
    closed.gate.public = ports("tcp/80");
    assert_eq!(found(&closed), []);
}

#[test]
fn only_a_closed_gate_logs() {
    let mut policy = policy(&[SSH]);
    policy.gate.log_refused = true;
    assert_eq!(found(&policy), [("log-in-guard", Place::LogRefused)]);
    policy.gate.stance = Stance::Closed;
    assert_eq!(found(&policy), []);
}

#[test]
fn the_allow_list() {
    let mut policy = policy(&[SSH]);
    let allow = ["203.0.113.7", "a.example", "203.0.113.7", "0.0.0.0/0", "iface:wg0"];
    policy.gate.allow = allow.iter().map(|text| text.parse().unwrap()).collect();
    let mut expected =
        alloc::vec![("duplicate-allowed", Place::Allow(2)), ("allows-everyone", Place::Allow(3))];
    assert_eq!(found(&policy), expected);
    policy.gate.interfaces = alloc::vec![InterfaceName::new("eth0").unwrap()];
    expected.push(("allowed-elsewhere", Place::Allow(4)));
    assert_eq!(found(&policy), expected);
    policy.gate.allow = (0..40).map(|n| alloc::format!("h{n}").parse().unwrap()).collect();
    assert_eq!(found(&policy), [("too-many-hosts", Place::Whole)]);
    policy.gate.allow = (0..5_000u32).map(|n| alloc::format!("::{n:x}").parse().unwrap()).collect();
    assert_eq!(found(&policy), [("too-many-allowed", Place::Whole)]);
}

#[test]
fn strikes_and_times_of_bans() {
    let mut policy = policy(&[SSH]);
    policy.gate.ban = Some(Ban::default());
    assert_eq!(found(&policy), []);
    let (out, few) = (Some("strikes-out-of-range"), Some("knocks-ban"));
    for (strikes, code) in
        [(0, out), (1, out), (2, few), (6, few), (7, None), (10_000, None), (10_001, out)]
    {
        policy.gate.ban = Some(Ban { strikes, ..Ban::default() });
        let expected: Vec<_> = code.into_iter().map(|code| (code, Place::BanStrikes)).collect();
        assert_eq!(found(&policy), expected, "{strikes}");
    }
    let day = Duration::from_secs(86_400);
    policy.gate.ban = Some(Ban { strikes: 6, within: day, time: day * 31 });
    policy.gate.refuse = Refuse::Drop;
    policy.gate.stance = Stance::Closed;
    assert_eq!(
        found(&policy),
        [
            ("one-try-bans", Place::BanStrikes),
            ("knocks-ban", Place::BanStrikes),
            ("within-out-of-range", Place::BanWithin),
            ("ban-time-out-of-range", Place::BanTime)
        ]
    );
}

#[test]
fn sequences_that_a_scan_touches_in_order() {
    for (sequence, code) in [
        ("", "too-few-knocks"),
        ("tcp/1", "too-few-knocks"),
        ("tcp/2 tcp/1", "too-few-knocks"),
        ("tcp/1 tcp/2 tcp/3", "monotone-sequence"),
        ("tcp/3 udp/2 tcp/1", "monotone-sequence"),
        ("tcp/5 udp/5 tcp/5", "monotone-sequence"),
        ("tcp/5 udp/5 tcp/6", "monotone-sequence"),
        ("tcp/65535 tcp/1 tcp/2", "sweep-opens"),
        ("udp/2 udp/1 udp/65535", "sweep-opens"),
        ("tcp/65535 udp/1 udp/2", "sweep-opens"),
        ("udp/65535 tcp/1 udp/1", "monotone-sequence"),
        ("udp/65535 tcp/1 udp/1 tcp/2", "sweep-opens"),
    ] {
        let policy = policy(&[&alloc::format!("a: tcp/22 = {sequence}")]);
        assert_eq!(found(&policy), [(code, Place::Sequence(FIRST))], "{sequence}");
    }
}

#[test]
fn a_sweep_gets_through_when_enough_is_forgiven() {
    // 65535, 1 and 3 are touched between.
    let mut policy = policy(&["a: tcp/22 = tcp/65534 tcp/2 tcp/4"]);
    for (tolerate, opens) in [(0, false), (2, false), (3, true), (16, true)] {
        policy.doors[0].tolerate = tolerate;
        let expected: &[_] = if opens { &[("sweep-opens", Place::Tolerate(FIRST))] } else { &[] };
        assert_eq!(found(&policy), expected, "{tolerate}");
    }
    // Public ports are never wrong, so that they make it easier.
    policy.doors[0].tolerate = 2;
    policy.gate.public = ports("tcp/3");
    assert_eq!(found(&policy), [("sweep-opens", Place::Tolerate(FIRST))]);
}

#[test]
fn ports_that_can_be_no_knock() {
    let mut policy = policy(&["a: tcp/22 udp/9 = tcp/7 udp/9 udp/9 tcp/3 tcp/80 tcp/5"]);
    policy.gate.public = ports("tcp/443 tcp/80");
    let findings = check(&policy);
    let shown: Vec<_> = findings.iter().map(|f| (f.problem.code(), f.place, f.related)).collect();
    let guard = Some(Place::Guard(FIRST, 1));
    assert_eq!(
        shown,
        [
            ("guarded-knock", Place::Knock(FIRST, 1), guard),
            ("repeated-knock", Place::Knock(FIRST, 2), None),
            ("guarded-knock", Place::Knock(FIRST, 2), guard),
            ("public-knock", Place::Knock(FIRST, 4), Some(Place::Public(1))),
        ]
    );
    assert_eq!(findings[0].problem.to_string(), "`udp/9` cannot be a knock: door `a` guards it");
}

#[test]
fn a_port_has_one_owner() {
    let mut policy = policy(&[
        "a: tcp/22 tcp/22 tcp/80 = tcp/7431 udp/29117 tcp/1123",
        "b: tcp/22 tcp/25 = tcp/7432 udp/29117 tcp/1123",
    ]);
    policy.gate.public = ports("tcp/80 tcp/80");
    policy.gate.interfaces =
        ["eth0", "eth1", "eth0"].iter().map(|name| InterfaceName::new(name).unwrap()).collect();
    assert_eq!(
        found(&policy),
        [
            ("duplicate-interface", Place::Interface(2)),
            ("duplicate-public", Place::Public(1)),
            ("duplicate-guard", Place::Guard(FIRST, 1)),
            ("public-guard", Place::Guard(FIRST, 2)),
            ("guarded-twice", Place::Guard(SECOND, 0)),
        ]
    );
    let warnings =
        check(&policy).iter().filter(|f| f.problem.severity() == Severity::Warning).count();
    assert_eq!(warnings, 3);
}

#[test]
fn doors_that_cannot_be_told_apart() {
    for (other, code, at) in [
        ("tcp/7431 udp/29117 tcp/1123", "same-sequence", SECOND),
        ("tcp/7431 udp/29117 tcp/1123 tcp/5", "prefix-sequence", FIRST),
        ("tcp/5 tcp/7431 udp/29117 tcp/1123 tcp/6", "contained-sequence", FIRST),
        ("tcp/5 tcp/7431 udp/29117 tcp/1123", "contained-sequence", FIRST),
    ] {
        let policy = policy(&[SSH, &alloc::format!("b: tcp/25 = {other}")]);
        assert_eq!(found(&policy), [(code, Place::Sequence(at))], "{other}");
    }
}

#[test]
fn overlapping_doors_agree_in_what_a_source_has_once() {
    let mut policy = policy(&[SSH, "b: tcp/25 = tcp/7431 udp/29117 tcp/1124"]);
    assert_eq!(found(&policy), []);
    policy.doors[1].step_timeout = Duration::from_secs(6);
    assert_eq!(found(&policy), [("mixed-step-timeout", Place::StepTimeout(SECOND))]);
    policy.doors[1].step_timeout = Door::DEFAULT_STEP_TIMEOUT;
    policy.doors[1].tolerate = 1;
    assert_eq!(found(&policy), [("mixed-tolerate", Place::Tolerate(SECOND))]);
}

#[test]
fn durations_have_limits_that_are_themselves_allowed() {
    let millis = Duration::from_millis;
    let mut policy = policy(&[SSH]);
    for (step_timeout, open_for) in [
        (limits::MIN_STEP_TIMEOUT, limits::MIN_OPEN_FOR),
        (limits::MAX_STEP_TIMEOUT, limits::MAX_OPEN_FOR),
    ] {
        policy.doors[0].step_timeout = step_timeout;
        policy.doors[0].open_for = open_for;
        assert!(check(&policy).iter().all(|f| f.problem.severity() == Severity::Warning));
    }
    policy.doors[0].step_timeout = limits::MIN_STEP_TIMEOUT - millis(1);
    policy.doors[0].open_for = limits::MIN_OPEN_FOR - millis(1);
    assert_eq!(
        found(&policy),
        [
            ("step-timeout-too-short", Place::StepTimeout(FIRST)),
            ("open-for-too-short", Place::OpenFor(FIRST))
        ]
    );
    policy.doors[0].step_timeout = limits::MAX_STEP_TIMEOUT + millis(1);
    policy.doors[0].open_for = limits::MAX_OPEN_FOR + millis(1);
    assert_eq!(
        found(&policy),
        [
            ("step-timeout-too-long", Place::StepTimeout(FIRST)),
            ("open-for-too-long", Place::OpenFor(FIRST))
        ]
    );
}

#[test]
fn what_is_far_too_large_is_refused_and_nothing_more() {
    let mut policy = policy(&[SSH]);
    policy.doors[0].tolerate = u8::MAX;
    assert_eq!(found(&policy), [("tolerate-too-large", Place::Tolerate(FIRST))]);
    policy.doors[0].tolerate = 0;
    // Longer than the automaton can number.
    let more = (0..1_000u16).flat_map(|i| [Port::tcp(1 + i), Port::udp(60_000 - i)]);
    policy.doors[0].sequence = more.flatten().filter(|p| p.number.get() != 22).collect();
    assert_eq!(found(&policy), [("too-many-knocks", Place::Sequence(FIRST))]);
    policy.doors[0].guards.clear();
    assert!(found(&policy).contains(&("no-guards", Place::Guards(FIRST))));
}

#[test]
fn what_is_legal_and_weak_is_worth_a_warning() {
    let mut policy = policy(&[SSH]);
    let warned = |policy: &Policy| {
        assert!(check(policy).iter().all(|f| f.problem.severity() == Severity::Warning));
        found(policy)
    };
    for (stance, refuse, stands_out) in [
        (Stance::Guard, Refuse::LikeClosed, false),
        (Stance::Guard, Refuse::Drop, true),
        (Stance::Guard, Refuse::Reject, true),
        // There every port refuses so.
        (Stance::Closed, Refuse::Drop, false),
        (Stance::Closed, Refuse::Reject, false),
    ] {
        (policy.gate.stance, policy.gate.refuse) = (stance, refuse);
        let expected = [("refusal-stands-out", Place::Refuse)];
        assert_eq!(warned(&policy), if stands_out { &expected[..] } else { &[] });
    }
    policy.doors[0].step_timeout = Duration::from_secs(30);
    policy.doors[0].open_for = Duration::from_secs(3_600);
    assert_eq!(warned(&policy), []);
    policy.doors[0].step_timeout = Duration::from_secs(60);
    policy.doors[0].open_for = Duration::from_secs(3_601);
    let long = ("open-for-long", Place::OpenFor(FIRST));
    assert_eq!(warned(&policy), [("step-timeout-long", Place::StepTimeout(FIRST)), long]);
    assert!(check(&policy)[0].problem.to_string().contains(" 4369 forged packets a second "));
    // The memory of the daemon is the same whatever happens.
    policy.doors[0].recogniser = Recogniser::Daemon;
    assert_eq!(warned(&policy), [long]);
}

#[test]
fn two_doors_of_one_name() {
    let policy =
        policy(&[SSH, "ssh: tcp/25 = tcp/7 udp/9 udp/3", "ssh: tcp/26 = tcp/8 udp/9 udp/3"]);
    let findings = check(&policy);
    assert_eq!(findings.len(), 2);
    assert!(findings.iter().all(|f| f.related == Some(Place::Door(FIRST))));
}

#[test]
fn too_many_pairs_of_durations() {
    let mut policy = policy(&[]);
    for i in 0..65u16 {
        let mut door =
            door(&alloc::format!("d{i}: tcp/{} = udp/{} tcp/9 udp/10", 100 + i, 1_000 + i));
        door.open_for = Duration::from_secs(10 + u64::from(i));
        policy.doors.push(door);
    }
    assert_eq!(found(&policy), [("too-many-durations", Place::Whole)]);
}

#[test]
fn a_door_runs_something_or_guards_something() {
    let hook = || Hook::new(vec!["/bin/true".into()]).unwrap();
    let mut policy = policy(&["wake:  = tcp/7431 udp/29117 tcp/1123"]);
    let seen =
        |policy: &Policy, who| policy.doors_seen_by(who).map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(found(&policy), [("no-guards", Place::Guards(FIRST))]);
    policy.doors[0].hooks = Some(Hooks { on_open: hook(), on_close: None });
    for recogniser in [Recogniser::Both, Recogniser::Daemon] {
        policy.doors[0].recogniser = recogniser;
        assert_eq!(found(&policy), []);
        assert_eq!(seen(&policy, Recogniser::Daemon), [FIRST]);
        // There is nothing that the kernel could open.
        assert_eq!(seen(&policy, Recogniser::Kernel), []);
    }
    policy.doors[0].recogniser = Recogniser::Kernel;
    assert_eq!(found(&policy), [("hooks-need-daemon", Place::Recogniser(FIRST))]);
    policy.doors[0].guards = ports("tcp/22");
    assert_eq!(found(&policy), [("hooks-need-daemon", Place::Recogniser(FIRST))]);
    policy.doors[0].recogniser = Recogniser::Both;
    assert_eq!(found(&policy), []);
    assert_eq!(seen(&policy, Recogniser::Kernel), [FIRST]);
}
