//! Who may pass.

use std::net::{IpAddr, Ipv4Addr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use portcullis_core::policy::{Policy, Recogniser};
use portcullis_firewall::compile::compile;
use portcullis_gate::nftables::{Error, Table};
use portcullis_lab::wait_until;

use crate::Test;
use crate::{corpus, nft};

pub const TESTS: [Test; 10] = [
    ("a_grant_is_listed", a_grant_is_listed),
    ("granting_again_begins_anew", granting_again_begins_anew),
    ("a_grant_ends", a_grant_ends),
    ("a_time_is_never_for_ever", a_time_is_never_for_ever),
    ("revoking_closes", revoking_closes),
    ("without_a_table_nothing_is_granted", without_a_table_nothing_is_granted),
    ("a_full_set_says_so", a_full_set_says_so),
    ("a_reload_carries_grants_over", a_reload_carries_grants_over),
    ("a_reload_carries_attempts_over", a_reload_carries_attempts_over),
    (
        "a_reload_in_a_flood_carries_the_farthest_attempts",
        a_reload_in_a_flood_carries_the_farthest_attempts,
    ),
];

const MINUTE: Duration = Duration::from_secs(60);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn gate(doors: u32) -> Table {
    let mut gate = Table::open().unwrap();
    gate.load(&compile(&corpus::doors(doors, Recogniser::Both)).unwrap()).unwrap();
    gate
}

fn a_grant_is_listed() {
    let mut gate = gate(3);
    assert_eq!(gate.grants().unwrap(), []);
    assert_eq!(gate.attempts().unwrap(), []);
    gate.grant(2, address("192.0.2.7"), MINUTE).unwrap();
    gate.grant(3, address("2001:db8::7"), MINUTE).unwrap();
    gate.grant(1, address("::ffff:192.0.2.8"), MINUTE).unwrap();
    let mut found = gate.grants().unwrap();
    found.sort_by_key(|grant| grant.class);
    let who: Vec<_> = found.iter().map(|grant| (grant.class, grant.address)).collect();
    let expected =
        [(1, address("192.0.2.8")), (2, address("192.0.2.7")), (3, address("2001:db8::7"))];
    assert_eq!(who, expected);
    for grant in found {
        assert_eq!(grant.timeout, Some(MINUTE));
        assert!(grant.expires.unwrap() <= MINUTE);
        assert!(grant.expires.unwrap() > MINUTE - Duration::from_secs(5));
    }
    let names = gate.door_names().unwrap();
    assert_eq!(names[1], (2, "door-1".to_owned()));
}

fn granting_again_begins_anew() {
    let mut gate = gate(3);
    for seconds in [60, 600, 10] {
        let time = Duration::from_secs(seconds);
        gate.grant(2, address("192.0.2.7"), time).unwrap();
        let found = gate.grants().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].timeout, Some(time));
        assert!(found[0].expires.unwrap() > time - Duration::from_secs(5));
    }
}

fn a_grant_ends() {
    let mut gate = gate(3);
    gate.grant(2, address("192.0.2.7"), Duration::from_millis(300)).unwrap();
    assert_eq!(gate.grants().unwrap().len(), 1);
    sleep(Duration::from_millis(400));
    assert_eq!(gate.grants().unwrap(), []);
}

fn a_time_is_never_for_ever() {
    let mut gate = gate(3);
    gate.grant(2, address("192.0.2.7"), Duration::ZERO).unwrap();
    gate.grant(2, address("192.0.2.8"), Duration::from_micros(1)).unwrap();
    assert!(gate.grants().unwrap().iter().all(|grant| grant.timeout.is_some()));
    let error = gate.grant(2, address("192.0.2.9"), Duration::MAX).unwrap_err();
    assert!(matches!(error, Error::Refused { errno: Errno::ERANGE, .. }), "{error}");
    sleep(Duration::from_millis(100));
    assert_eq!(gate.grants().unwrap(), []);
}

fn revoking_closes() {
    let mut gate = gate(3);
    gate.grant(2, address("192.0.2.7"), MINUTE).unwrap();
    assert!(!gate.revoke(1, address("192.0.2.7")).unwrap());
    assert!(gate.revoke(2, address("192.0.2.7")).unwrap());
    assert!(!gate.revoke(2, address("192.0.2.7")).unwrap());
    assert_eq!(gate.grants().unwrap(), []);
}

fn without_a_table_nothing_is_granted() {
    let mut gate = Table::open().unwrap();
    let error = gate.grant(2, address("192.0.2.7"), MINUTE).unwrap_err();
    assert!(matches!(error, Error::Refused { errno: Errno::ENOENT, .. }), "{error}");
}

fn a_full_set_says_so() {
    let mut gate = Table::open().unwrap();
    let mut ruleset = compile(&corpus::doors(3, Recogniser::Both)).unwrap();
    ruleset.sets.iter_mut().find(|set| set.name == "grant4").unwrap().size = Some(4);
    gate.load(&ruleset).unwrap();
    let error = (0..100_u32).find_map(|n| gate.grant(1, IpAddr::V4(n.into()), MINUTE).err());
    let error = error.unwrap();
    assert_eq!(error.to_string(), "the kernel refused elements of set grant4: the set is full");
    assert!((2..=4).contains(&gate.grants().unwrap().len()));
}

fn a_reload_carries_grants_over() {
    let mut gate = gate(3);
    gate.grant(1, address("192.0.2.1"), MINUTE).unwrap();
    gate.grant(2, address("192.0.2.2"), MINUTE).unwrap();
    gate.grant(3, address("2001:db8::3"), 10 * MINUTE).unwrap();
    gate.grant(77, address("192.0.2.77"), MINUTE).unwrap();
    // The first door is gone, the others have other numbers, and a new one has taken its number.
    let mut policy = corpus::doors(4, Recogniser::Both);
    policy.doors.remove(0);
    policy.doors.reverse();
    let loaded = gate.load(&compile(&policy).unwrap()).unwrap();
    assert_eq!(loaded.grants, 2);
    let names = gate.door_names().unwrap();
    assert_eq!(names[0], (1, "door-3".to_owned()));
    let mut found = gate.grants().unwrap();
    found.sort_by_key(|grant| grant.class);
    let who: Vec<_> = found.iter().map(|grant| (grant.class, grant.address)).collect();
    assert_eq!(who, [(2, address("2001:db8::3")), (3, address("192.0.2.2"))]);
    assert!(found[0].expires.unwrap() > 9 * MINUTE && found[0].expires.unwrap() <= 10 * MINUTE);
    assert!(found[1].expires.unwrap() <= MINUTE);
}

fn a_reload_carries_attempts_over() {
    for tolerate in [0, 1] {
        let policy = |change: fn(&mut Policy)| {
            let mut policy = corpus::doors(3, Recogniser::Both);
            policy.doors.iter_mut().for_each(|door| door.tolerate = tolerate);
            change(&mut policy);
            compile(&policy).unwrap()
        };
        let mut gate = Table::open().unwrap();
        gate.load(&policy(|_| {})).unwrap();
        nft::load("add element inet portcullis attempt4 { 192.0.2.1 timeout 1m : 0:1 }");
        nft::load("add element inet portcullis attempt6 { 2001:db8::2 timeout 10m : 0:2 }");
        if tolerate > 0 {
            nft::load("add element inet portcullis in_time4 { 192.0.2.1 timeout 1m }");
        }
        // What the doors open to and when is another question.
        let same = policy(|policy| policy.gate.public.push("tcp/4444".parse().unwrap()));
        gate.load(&same).unwrap();
        let mut found = gate.attempts().unwrap();
        found.sort_by_key(|attempt| attempt.state);
        let who: Vec<_> = found.iter().map(|attempt| (attempt.address, attempt.state)).collect();
        assert_eq!(who, [(address("192.0.2.1"), 1), (address("2001:db8::2"), 2)]);
        assert!(found[0].expires.unwrap() <= MINUTE && found[1].expires.unwrap() > 9 * MINUTE);
        if tolerate > 0 {
            assert!(nft::list().contains("elements = { 192.0.2.1 timeout"));
        }
        // Other knocks: nobody is in the middle of these.
        gate.load(&policy(|policy| policy.doors[0].sequence.reverse())).unwrap();
        assert_eq!(gate.attempts().unwrap(), []);
    }
}

/// More than are carried: those stay that have come farther than a forged first knock.
fn a_reload_in_a_flood_carries_the_farthest_attempts() {
    let ruleset = compile(&corpus::doors(3, Recogniser::Both)).unwrap();
    let mut gate = Table::open().unwrap();
    gate.load(&ruleset).unwrap();
    let state = |source: Ipv4Addr| if source.to_bits() % 1000 == 999 { 2 } else { 1 };
    let elements: Vec<_> = (0..80_000u32)
        .map(|n| Ipv4Addr::from_bits(0x0a00_0000 + n))
        .map(|source| format!("{source} timeout 10m : 0:{}", state(source)))
        .collect();
    // As many as an ordinary user may send at once.
    for some in elements.chunks(1000) {
        nft::load(&format!("add element inet portcullis attempt4 {{ {} }}", some.join(", ")));
    }
    // While a set grows, it cannot be listed as a whole.
    let soon = || Instant::now() + MINUTE;
    assert!(wait_until(soon(), || gate.attempts().unwrap().len() == elements.len()));
    gate.load(&ruleset).unwrap();
    let mut found = Vec::new();
    assert!(wait_until(soon(), || {
        found = gate.attempts().unwrap();
        found.len() == portcullis_core::limits::MAX_CARRIED_ATTEMPTS
    }));
    assert!(found.iter().all(|attempt| match attempt.address {
        IpAddr::V4(source) => attempt.state == state(source),
        IpAddr::V6(_) => false,
    }));
    assert_eq!(found.iter().filter(|attempt| attempt.state == 2).count(), 80);
}
