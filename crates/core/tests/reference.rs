//! The engine against the reference model: random policies, random packets, the same meaning.

use portcullis_core::engine::{Action, Engine, Frame, Grant, Options, Verdict};
use portcullis_core::policy::Recogniser;
use portcullis_core::time::Instant;
use portcullis_core::wire::{Captured, Link};
use portcullis_testkit::reference::{Meaning, Reference};
use portcullis_testkit::script::What;
use portcullis_testkit::{frames, policies, script};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_means_what_the_reference_means(
        (policy, script) in policies::policy().prop_flat_map(|policy| {
            let script = script::script(&policy);
            (Just(policy), script)
        })
    ) {
        let options = Options { max_attempts: 64, seed: 5, ..Options::default() };
        let mut engine = Engine::new(&policy, options).expect("a checked policy");
        let mut reference = Reference::new(&policy, Recogniser::Daemon);
        let mut now = Instant::from_millis(1_000);
        for event in &script {
            now = now.after(event.after);
            let expected = match event.what {
                What::New(port) => reference.packet(event.source(), Some(port), now),
                What::Zero => reference.packet(event.source(), None, now),
                _ => Meaning::Nothing,
            };
            let mut verdict = None;
            for (direction, bytes) in frames::frames(event) {
                let frame = Frame { direction, captured: Captured::whole(Link::Raw, &bytes) };
                verdict = Some(engine.handle_packet(frame, now));
            }
            let meaning = match verdict.expect("a frame for each event") {
                Verdict::Wrong { .. } => Meaning::Wrong,
                Verdict::Forgiven(_) => Meaning::Forgiven,
                Verdict::Repeated(_) => Meaning::Repeated,
                Verdict::Stage { stage, .. } => Meaning::Stage(stage.into()),
                Verdict::Opened { door, .. } => Meaning::Opened(door),
                _ => Meaning::Nothing,
            };
            prop_assert_eq!(meaning, expected, "{:?} of {:?}", event, policy);
            let action = match expected {
                Meaning::Opened(door) => {
                    let open_for = policy.door(door).expect("it opened").open_for;
                    Some(Action::Open(Grant { door, address: event.source(), open_for }))
                }
                _ => None,
            };
            prop_assert_eq!(engine.next_action(), action);
            prop_assert_eq!(engine.next_action(), None);
        }
    }
}
