//! What a knock means to the drop-in for knockd: a model to compare it with, random doors and scripts.

use std::time::Duration;

use portcullis_core::knockd::{Door, Event, KnockdEngine, Options};
use portcullis_core::time::Instant;

mod bytes;
mod model;
mod script;

pub use bytes::from_bytes;
pub use model::Model;
pub use script::{ELSEWHERE, HOST, Happening, SOURCES, doors, host, packet, script};

/// Lets the engine and its model see the same things, and says where they first differ.
///
/// With `look_first` the time is looked at, and the events are fetched, before each of them.
///
/// # Errors
/// What was expected, and what came instead.
pub fn compare(
    start: Vec<Door>,
    script: &[(Duration, Happening)],
    allow_loopback: bool,
    look_first: bool,
) -> Result<(), String> {
    let options = Options { max_knockers: 64, seed: 5, allow_loopback };
    let mut engine = KnockdEngine::new(start.clone(), options);
    engine.set_local_addresses(&host(3));
    let mut model = Model::new(start, &host(3), allow_loopback);
    let mut now = Instant::from_millis(1_000);
    for (nth, (after, happening)) in script.iter().enumerate() {
        now = now.after(*after);
        let mut expected = Vec::new();
        let mut events = Vec::new();
        if look_first || matches!(happening, Happening::Look) {
            expected.extend(model.look(now));
            engine.handle_timeout(now);
            events.extend(all_events(&mut engine));
        }
        let mut seen = None;
        match happening {
            Happening::Packet(packet) => {
                let (means, told) = model.packet(packet, now);
                expected.extend(told);
                seen = Some((engine.handle_packet(packet, now), means));
            }
            Happening::Doors(doors) => {
                model.replace_doors(doors.clone());
                engine.replace_doors(doors.clone());
            }
            Happening::Host(count) => {
                model.set_local_addresses(&host(*count));
                engine.set_local_addresses(&host(*count));
            }
            Happening::Look => {}
        }
        events.extend(all_events(&mut engine));
        let wrong = |what: &str| Err(format!("{what} after no. {nth}, {happening:?} at {now:?}"));
        if events != expected {
            return wrong(&format!("{events:?} instead of {expected:?}"));
        }
        if let Some((seen, means)) = seen.filter(|(seen, means)| seen != means) {
            return wrong(&format!("{seen:?} instead of {means:?}"));
        }
        if engine.knockers() != model.knockers() {
            return wrong(&format!(
                "{} knockers instead of {}",
                engine.knockers(),
                model.knockers()
            ));
        }
        match (engine.poll_timeout(), model.next_deadline()) {
            (None, None) => {}
            (Some(next), Some(deadline)) if next <= deadline => {}
            (next, deadline) => return wrong(&format!("{next:?} instead of {deadline:?}")),
        }
    }
    Ok(())
}

fn all_events(engine: &mut KnockdEngine) -> Vec<Event> {
    std::iter::from_fn(|| engine.next_event()).collect()
}
