//! Knocks that theirs loses.

use portcullis_lab::Family;
use portcullis_lab::packet::{Extension, Packet};

use super::Test;
use crate::both::Which;
use crate::both::daemon::{Daemon, Setup};
use crate::both::house::House;

pub const TESTS: &[Test] = &[
    ("a_door_does_not_end_another_with_the_same_beginning", &[], prefixes),
    ("a_client_does_not_end_the_knock_of_another", &[], clients),
    ("a_failed_knock_does_not_end_those_of_others", &[], failures),
    ("a_retransmitted_syn_is_no_second_knock", &[], retransmitted),
    ("a_priority_tag_hides_nothing", &[], tagged),
    ("a_vlan_tag_hides_nothing", &[], vlan),
    ("extension_headers_hide_nothing", &[], extensions),
    ("five_strays_end_a_knock", &[], strays),
];

const A: &str = "[A]\nsequence = 7000,8000,9000\ntcpflags = syn\n";

/// A daemon in which no attempt is the oldest for ever.
fn start(house: &House, which: Which, config: &str) -> Daemon {
    let _ = house;
    Daemon::start(which, &Setup::new(config))
}

fn opened(daemon: &Daemon) -> Vec<String> {
    let mut doors: Vec<String> = daemon
        .log()
        .iter()
        .filter_map(|line| line.strip_suffix(": OPEN SESAME"))
        .filter(|line| !line.ends_with(": sentinel"))
        .map(str::to_owned)
        .collect();
    doors.sort();
    doors
}

fn prefixes(which: Which) {
    for (config, script, theirs, ours) in [
        ("[A]\nsequence = 1,2\n[B]\nsequence = 1,2,3\n", "1 2 3", &["A"][..], &["A", "B"][..]),
        ("[A]\nsequence = 1,2,3\n[B]\nsequence = 1,3,2\n", "1 3 2", &[], &["B"]),
        ("[A]\nsequence = 1\n[B]\nsequence = 1,2\n", "1 2", &["A"], &["A", "B"]),
    ] {
        let house = House::new();
        let daemon = start(&house, which, config);
        let source = house.knock(script);
        house.settle(&[&daemon]);
        let expected = if which.is_ours() { ours } else { theirs };
        let expected: Vec<String> =
            expected.iter().map(|door| format!("{source}: {door}")).collect();
        assert_eq!(opened(&daemon), expected, "{config}");
    }
}

fn clients(which: Which) {
    let house = House::new();
    let daemon = start(&house, which, A);
    let [first, second] = [house.new_source(Family::V4), house.new_source(Family::V6)];
    house.play(first, "7000");
    house.play(second, "7000");
    house.play(first, "8000 9000");
    house.play(second, "8000 9000");
    house.settle(&[&daemon]);
    let mut expected = vec![format!("{first}: A")];
    if which.is_ours() {
        expected.push(format!("{second}: A"));
    }
    assert_eq!(opened(&daemon), expected);
}

fn failures(which: Which) {
    let house = House::new();
    let daemon = start(&house, which, A);
    let [stranger, client] = [house.new_source(Family::V4), house.new_source(Family::V4)];
    house.play(stranger, "7000");
    house.play(client, "7000 8000");
    house.play(stranger, "9000");
    house.play(client, "9000");
    house.settle(&[&daemon]);
    let expected = if which.is_ours() { vec![format!("{client}: A")] } else { vec![] };
    assert_eq!(opened(&daemon), expected);
}

fn retransmitted(which: Which) {
    let house = House::new();
    let daemon = house.start(which, &Setup::new(A));
    let [once, thrice] = [house.new_source(Family::V4), house.new_source(Family::V6)];
    house.play(once, "7000 8000 = 9000");
    house.play(thrice, "7000 = = = 8000 = = = 9000 = = =");
    house.settle(&[&daemon]);
    for source in [once, thrice] {
        let opened = daemon.about(source).contains(&"A: OPEN SESAME".to_owned());
        assert_eq!(opened, which.is_ours(), "{:?}", daemon.about(source));
    }
    // It opens once.
    let openings = opened(&daemon).len();
    assert_eq!(openings, if which.is_ours() { 2 } else { 0 });
}

/// Whether a knock opens whose packets are changed so.
fn changed(which: Which, family: Family, change: impl Fn(&mut Packet)) -> bool {
    let house = House::new();
    let daemon = house.start(which, &Setup::new(A));
    let source = house.new_source(family);
    for word in ["7000", "8000", "9000"] {
        let mut packet = house.packet(source, word);
        change(&mut packet);
        house.wire.send(&packet).unwrap();
    }
    house.settle(&[&daemon]);
    daemon.about(source).contains(&"A: OPEN SESAME".to_owned())
}

fn tagged(which: Which) {
    for family in [Family::V4, Family::V6] {
        assert_eq!(changed(which, family, |packet| packet.vlan = Some(0)), which.is_ours());
    }
}

fn vlan(which: Which) {
    for family in [Family::V4, Family::V6] {
        assert_eq!(changed(which, family, |packet| packet.vlan = Some(5)), which.is_ours());
    }
}

fn extensions(which: Which) {
    for kind in [0, 60] {
        let padding = Extension { kind, body: vec![1, 4, 0, 0, 0, 0] };
        let opens = changed(which, Family::V6, |packet| packet.extensions.push(padding.clone()));
        assert_eq!(opens, which.is_ours());
    }
    assert!(changed(which, Family::V4, |packet| packet.ip_options = vec![1; 8]));
}

/// Four are forgiven, as theirs forgives all.
fn strays(which: Which) {
    let house = House::new();
    let daemon = house.start(which, &Setup::new(A));
    let four = house.knock("7000 1 2 3 1 2 8000 4 4 4 9000");
    let five = house.knock("7000 1 2 3 8000 4 5 9000");
    house.settle(&[&daemon]);
    assert!(daemon.about(four).contains(&"A: OPEN SESAME".to_owned()));
    assert_eq!(daemon.about(five).contains(&"A: OPEN SESAME".to_owned()), !which.is_ours());
}
