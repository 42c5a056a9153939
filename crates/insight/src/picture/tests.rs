//! Pictures of random policies and explanations: nothing overlaps, nothing is cut, and all of it is XML.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis_core::policy::{
    Allowed, Door, DoorName, GatePolicy, Hook, Hooks, InterfaceName, Policy, Port, Protocol,
    Recogniser, Stance,
};
use portcullis_testkit::policies::{self, port};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::layout::{Area, Look, Picture, Point, Shape, Text};
use super::{explanation, overview, svg};
use crate::explain::explanation::{Attempt, Event, Explanation, Met, Open};

/// Everything that makes a picture hard to draw: up to 20 doors with long names and up to 32 knocks, many
/// of which share a beginning, up to 64 guarded ports and long addresses. The check would not let all of
/// them pass; the picture must bear them.
fn crowded() -> impl Strategy<Value = Policy> {
    let knocks = vec(policies::knock(), 3..=32);
    let durations = select(vec![500u64, 5_000, 90_500, 299_999, 300_000]);
    let door = (
        "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,47}",
        (knocks, any::<Index>(), 0usize..32),
        vec(1u16.., 0..=64),
        (durations.clone(), durations, 0u8..3),
        select(vec![Recogniser::Both, Recogniser::Kernel, Recogniser::Daemon]),
        prop::option::of("/[ -~\u{202e}字\u{7}]{0,200}"),
    );
    (vec(door, 1..=20), any::<bool>(), vec(any::<std::net::Ipv6Addr>(), 0..40)).prop_map(
        |(doors, closed, addresses)| {
            let stance = if closed { Stance::Closed } else { Stance::Guard };
            let interfaces = vec![InterfaceName::new("<&>@[%15chars]").unwrap()];
            let allow = addresses.iter().filter_map(|a| a.to_string().parse::<Allowed>().ok());
            let gate = GatePolicy {
                stance,
                interfaces,
                allow: allow.collect(),
                ban: closed.then(Default::default),
                ..GatePolicy::default()
            };
            let mut policy = Policy { gate, doors: Vec::new() };
            for (name, (own, from, shared), guards, (step, open, tolerate), recogniser, program) in
                doors
            {
                // The beginning is that of an earlier door.
                let mut sequence = match policy.doors.len() {
                    0 => Vec::new(),
                    some => policy.doors[from.index(some)].sequence.clone(),
                };
                sequence.truncate(shared);
                sequence.extend(own);
                sequence.truncate(32);
                let hook = |text| Hook::new(vec![text]).ok();
                let hooks = program
                    .and_then(hook)
                    .map(|on_open| Hooks { on_close: Some(on_open.clone()), on_open });
                policy.doors.push(Door {
                    name: DoorName::new(&name).unwrap(),
                    guards: guards.into_iter().map(|n| port(Protocol::Tcp, n)).collect(),
                    sequence,
                    step_timeout: Duration::from_millis(step),
                    open_for: Duration::from_millis(open),
                    recogniser,
                    tolerate,
                    hooks,
                });
            }
            policy
        },
    )
}

/// Anything that a text may be made of.
const HOSTILE: &str = "[a-z0-9 <>&\"'\\]\u{0}-\u{9f}\u{202e}\u{feff}\u{ffff}字]{0,300}";

fn any_explanation() -> impl Strategy<Value = Explanation> {
    let time = || (0u64..100_000).prop_map(Duration::from_millis);
    let met = ("[a-z-]{1,40}", 1usize..100, HOSTILE, any::<bool>(), any::<bool>()).prop_map(
        |(chain, number, text, matched, shown)| Met { chain, number, text, matched, shown },
    );
    let who = select(vec![None, Some("kernel"), Some("daemon")]);
    let attempt = (who, "[a-z]{1,48}", 0usize..=32, 1usize..=32, time(), time()).prop_map(
        |(who, door, stage, knocks, left, whole)| Attempt { who, door, stage, knocks, left, whole },
    );
    let open = ("[a-z]{1,48}", time(), time());
    let open = open.prop_map(|(door, left, whole)| Open { door, left, whole });
    let event = (
        (time(), HOSTILE, prop::option::of(time()), any::<bool>()),
        vec(met, 0..30),
        vec(HOSTILE, 0..3),
        (HOSTILE, any::<bool>()),
        (vec(attempt, 0..3), vec(open, 0..3)),
    );
    let event = event.prop_map(|(first, met, means, (fate, passes), (attempts, open))| {
        let (time, sent, spare, lost) = first;
        Event { time, sent, spare, lost, met, means, fate, passes, attempts, open }
    });
    (HOSTILE, HOSTILE, vec(event, 1..8)).prop_map(|(name, from, events)| Explanation {
        name,
        from,
        events,
    })
}

/// The lines from point to point, as areas without width or without height.
fn parts(points: &[Point]) -> Vec<Area> {
    let part = |two: &[Point]| Area {
        x: two[0].x.min(two[1].x),
        y: two[0].y.min(two[1].y),
        width: (two[0].x - two[1].x).abs(),
        height: (two[0].y - two[1].y).abs(),
    };
    points.windows(2).map(part).collect()
}

fn is_readable(picture: &Picture) {
    let whole = Area { x: 0.0, y: 0.0, width: picture.width, height: picture.height };
    let (mut texts, mut solids, mut lines) = (Vec::<&Text>::new(), Vec::new(), Vec::new());
    for shape in &picture.shapes {
        assert!(whole.holds(&shape.area()), "outside of {whole:?}: {shape:?}");
        match shape {
            Shape::Text(text) => texts.push(text),
            Shape::Box { look: Look::Paper, .. } => {}
            // A bar stands on another one.
            Shape::Box { look: Look::FullKnock | Look::FullGood, .. } => {}
            Shape::Box { .. } | Shape::Dot { .. } => solids.push(shape.area()),
            Shape::Line { points, .. } => lines.extend(parts(points)),
        }
    }
    for (index, text) in texts.iter().enumerate() {
        let area = text.area();
        for other in &texts[index + 1..] {
            assert!(!area.meets(&other.area()), "{text:?} on {other:?}");
        }
        for solid in &solids {
            assert!(solid.holds(&area) || !solid.meets(&area), "{text:?} at the edge of {solid:?}");
        }
        for line in &lines {
            assert!(!area.meets(line), "{text:?} on the line {line:?}");
        }
    }
    for (index, one) in solids.iter().enumerate() {
        for other in &solids[index + 1..] {
            let apart = !one.meets(other) || one.holds(other) || other.holds(one);
            assert!(apart, "{one:?} on {other:?}");
        }
    }
    let strictly = |low: f64, at: f64, length: f64| low + 0.01 < at && at < low + length - 0.01;
    for across in lines.iter().filter(|line| line.height == 0.0) {
        for down in lines.iter().filter(|line| line.width == 0.0) {
            let cross =
                strictly(across.x, down.x, across.width) && strictly(down.y, across.y, down.height);
            assert!(!cross, "{across:?} crosses {down:?}");
        }
    }
}

/// Well formed, and nothing in it does anything.
fn is_plain_svg(picture: &Picture) {
    let text = svg::write(picture);
    let document =
        roxmltree::Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut shown = 0;
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        let name = node.tag_name().name();
        let known = ["svg", "title", "desc", "style", "rect", "circle", "polyline", "path", "text"];
        assert!(known.contains(&name), "{name}");
        let harmless = [
            "class",
            "x",
            "y",
            "width",
            "height",
            "rx",
            "cx",
            "cy",
            "r",
            "points",
            "d",
            "font-size",
            "id",
            "viewBox",
            "role",
            "aria-labelledby",
        ];
        assert!(node.attributes().all(|it| harmless.contains(&it.name())), "{node:?}");
        shown += usize::from(name == "text");
    }
    let texts = picture.shapes.iter().filter(|shape| matches!(shape, Shape::Text(_)));
    assert_eq!(shown, texts.count());
    assert!(
        document.descendants().any(|node| node.has_tag_name("title") || node.has_tag_name("desc"))
    );
}

/// Every stage of every door can be read, and where it leads.
fn is_whole(policy: &Policy, picture: &Picture) {
    let words: BTreeSet<&str> = picture
        .shapes
        .iter()
        .filter_map(|shape| match shape {
            Shape::Text(text) => Some(text.text.as_str()),
            _ => None,
        })
        .flat_map(|text| text.split([' ', ',']))
        .collect();
    let ports = |door: &'_ Door| -> Vec<Port> {
        door.sequence.iter().chain(&door.guards).copied().collect()
    };
    for port in policy.doors.iter().flat_map(ports) {
        assert!(words.contains(port.to_string().as_str()), "{port}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn pictures_of_crowded_policies_are_readable(policy in crowded()) {
        let picture = overview("<crowded & \"long\">.toml", &policy, "nftables");
        is_readable(&picture);
        is_whole(&policy, &picture);
        is_plain_svg(&picture);
    }

    #[test]
    fn pictures_of_usual_policies_are_readable(policy in policies::policy()) {
        let picture = overview("usual.toml", &policy, "iptables");
        is_readable(&picture);
        is_whole(&policy, &picture);
    }

    #[test]
    fn pictures_of_packets_are_readable(told in any_explanation()) {
        let picture = explanation(&told);
        is_readable(&picture);
        is_plain_svg(&picture);
    }
}

#[test]
fn every_part_of_a_shared_beginning_is_drawn_once() {
    let mut policy = policies::many(3);
    let beginning = policy.doors[0].sequence[..2].to_vec();
    for door in &mut policy.doors[1..] {
        door.sequence.splice(..2, beginning.clone());
    }
    let tree = super::tree::Tree::of(&policy);
    assert_eq!((tree.cells.len(), tree.cards.len()), (2 + 3 * 2, 3));
    // Another time, another stage.
    policy.doors[2].step_timeout = Duration::from_secs(1);
    assert_eq!(super::tree::Tree::of(&policy).cells.len(), 2 + 2 * 2 + 4);
}

#[test]
fn legend_tells_steps_to_other_doors_but_no_knock_made_already() {
    let ports = |numbers: &[u16]| numbers.iter().map(|&n| port(Protocol::Tcp, n)).collect();
    let legend = |policy: &Policy| -> Vec<String> {
        let shapes = overview("some.toml", policy, "nftables").shapes.into_iter();
        let texts = shapes.filter_map(|shape| match shape {
            Shape::Text(text) => Some(text.text),
            _ => None,
        });
        texts.filter(|text| text.starts_with("After") || text.contains("only other")).collect()
    };
    let mut policy = policies::many(1);
    policy.doors[0].sequence = ports(&[5001, 5000, 5001, 5002]);
    // After knock 3, a knock at 5000 would be knock 2 again.
    assert_eq!(legend(&policy), [""; 0]);
    policy.doors.push(policies::many(2).doors.remove(1));
    policy.doors[1].sequence = ports(&[5001, 5004, 5003]);
    let step = "After knock 3 of d0, a knock at tcp/5004 is knock 2 of d1.";
    let guards = "A port that only other doors guard is a wrong port, unless the address has a grant for it.";
    assert_eq!(legend(&policy), [guards, step]);
}

#[test]
fn ten_thousand_doors_are_drawn() {
    let picture = overview("many.toml", &policies::many(10_000), "nftables");
    assert!(picture.shapes.len() > 10_000 * 10);
}
