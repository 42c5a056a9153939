//! Debian's knockd and ours on one host, watching the same wire: they log and run the same.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::Trial;
use portcullis_lab::world;

use crate::both::daemon::Setup;
use crate::both::house::House;
use crate::both::random::{Case, Random, case};

/// Random configurations, each with a dozen scripts.
const CASES: usize = 500;

/// In so many parts, which run at the same time.
const PARTS: usize = 10;

/// Doors opened in all of them: scripts that open nothing would show nothing.
static OPENED: AtomicUsize = AtomicUsize::new(0);

pub fn trials() -> Vec<Trial> {
    let parts = (0..PARTS).map(|part| {
        let name = format!("random_configurations_and_scripts_{part}");
        world::trial_with(name, &["knockd"], move || random(part))
    });
    parts.collect()
}

fn random(part: usize) {
    let only: Option<usize> = std::env::var("CASE").ok().and_then(|case| case.parse().ok());
    let house = House::new();
    let mut opened = 0;
    for number in (part..CASES).step_by(PARTS).filter(|number| only.is_none_or(|o| o == *number)) {
        opened += one(&house, number as u64);
    }
    OPENED.fetch_add(opened, Ordering::Relaxed);
    assert!(only.is_some() || opened > CASES / PARTS, "only {opened} doors opened");
}

/// How many doors were opened in this case.
fn one(house: &House, number: u64) -> usize {
    let case = case(number);
    let mut setup = Setup::new(&case.config);
    if let Some(once) = &case.once {
        setup = setup.file("once", once);
    }
    let daemons = house.start_both(&setup);
    let sources: Vec<IpAddr> =
        case.scripts.iter().map(|(family, _)| house.new_source(*family)).collect();
    let play = || {
        for (source, word) in order(number, &case, &sources) {
            house.play(source, word);
            if case.once.is_some() {
                // The next sequence is in force when the daemon has got round to it.
                house.settle(&[&daemons[0], &daemons[1]]);
            }
        }
    };
    play();
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        house.same(&daemons, |story| {
            // To open again what is open is one of the listed differences.
            let keys: Vec<_> = story.children.keys().cloned().collect();
            for key in keys {
                if case.stopping.contains(&key.0) && story.openings(&key) > 1 {
                    story.forget_commands(&key);
                }
            }
        });
    }));
    if let Err(panic) = done {
        eprintln!("case {number}:");
        for (source, (_, script)) in sources.iter().zip(&case.scripts) {
            eprintln!("{source}: {script}");
        }
        std::panic::resume_unwind(panic);
    }
    let story = daemons[0].story();
    story.daemon.iter().filter(|line| line.ends_with("OPEN SESAME")).count()
}

/// Who sends what when.
fn order<'a>(number: u64, case: &'a Case, sources: &[IpAddr]) -> Vec<(IpAddr, &'a str)> {
    let mut random = Random::new(number ^ 0x6f72_6465_7200);
    let mut left: Vec<(IpAddr, VecDeque<&str>)> = sources
        .iter()
        .zip(&case.scripts)
        .map(|(source, (_, script))| (*source, script.split_whitespace().collect()))
        .collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let next = if case.one_by_one { 0 } else { random.below(left.len()) };
        let (source, words) = &mut left[next];
        match words.pop_front() {
            Some(word) => order.push((*source, word)),
            None => drop(left.remove(next)),
        }
    }
    order
}
