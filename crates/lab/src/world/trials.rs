//! How a program of end-to-end tests runs its trials.
//!
//! Most trials wait for something most of the time: a grant that ends, a daemon that starts. So several run at once. A few
//! need more of the machine, because they send as fast as they can, or have to keep up with somebody who does. Those are marked
//! with [`alone`] and run after the others, or with [`one_by_one`] and run last.
//!
//! `PORTCULLIS_TRIALS=together` and `PORTCULLIS_TRIALS=alone` run the trials of one kind only: whoever runs several of these
//! programs at a time runs the others first.

use std::cell::Cell;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

use super::have;

const ALONE: &str = "alone";
const ONE_BY_ONE: &str = "one by one";

/// So many of the slowest trials of a program are named at its end.
const SLOWEST: usize = 8;

/// How long each trial took that has ended.
static TOOK: Mutex<Vec<(Duration, String)>> = Mutex::new(Vec::new());

thread_local! {
    /// The module whose trials are being made.
    static MODULE: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// A trial that may fail by panicking.
pub fn trial(name: impl Into<String>, test: impl FnOnce() + Send + 'static) -> Trial {
    let name = name.into();
    let name = MODULE.get().map_or_else(|| name.clone(), |module| format!("{module}::{name}"));
    Trial::test(name.clone(), move || {
        let begun = Instant::now();
        test();
        if let Ok(mut took) = TOOK.lock() {
            took.push((begun.elapsed(), name));
        }
        Ok::<(), Failed>(())
    })
}

/// A trial that needs these programs beside ours. Without one of them it counts as ignored; in CI all must be there.
pub fn trial_with(
    name: impl Into<String>,
    programs: &[&str],
    test: impl FnOnce() + Send + 'static,
) -> Trial {
    // Not `all`: CI shall name each that is missing.
    let missing = programs.iter().filter(|program| !have(program)).count();
    trial(name, test).with_ignored_flag(missing > 0)
}

/// The trials of a module, with its name before theirs.
pub fn module(name: &'static str, trials: impl FnOnce() -> Vec<Trial>) -> Vec<Trial> {
    MODULE.set(Some(name));
    let trials = trials();
    MODULE.set(None);
    trials
}

/// The same trials, one for each processor at a time, beside nothing else.
pub fn alone(trials: Vec<Trial>) -> Vec<Trial> {
    trials.into_iter().map(|trial| trial.with_kind(ALONE)).collect()
}

/// The same trials, each of which needs the whole machine.
pub fn one_by_one(trials: Vec<Trial>) -> Vec<Trial> {
    trials.into_iter().map(|trial| trial.with_kind(ONE_BY_ONE)).collect()
}

/// Runs the trials, each in networks of its own, so many for each processor at once.
pub fn main(at_once: usize, trials: impl FnOnce() -> Vec<Trial>) -> ExitCode {
    // Before any thread starts.
    if let Err(failure) = crate::enter() {
        eprintln!("{failure}");
        return ExitCode::FAILURE;
    }
    run(at_once, trials())
}

/// The same in a network that has been entered already.
pub fn run(at_once: usize, trials: Vec<Trial>) -> ExitCode {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let (one_by_one, others): (Vec<_>, Vec<_>) =
        trials.into_iter().partition(|it| it.kind() == ONE_BY_ONE);
    let (alone, together): (Vec<_>, Vec<_>) = others.into_iter().partition(|it| it.kind() == ALONE);
    let wanted = std::env::var("PORTCULLIS_TRIALS").unwrap_or_default();
    let mut code = ExitCode::SUCCESS;
    for (kind, threads, trials) in [
        ("together", processors.saturating_mul(at_once), together),
        (ALONE, processors, alone),
        (ALONE, 1, one_by_one),
    ] {
        if trials.is_empty() || !wanted.is_empty() && wanted != kind {
            continue;
        }
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(threads);
        if libtest_mimic::run(&arguments, trials).has_failed() {
            code = ExitCode::FAILURE;
        }
    }
    print_slowest();
    code
}

fn print_slowest() {
    let Ok(mut took) = TOOK.lock() else { return };
    took.sort_by(|a, b| b.cmp(a));
    for (time, name) in took.iter().take(SLOWEST) {
        println!("slow: {:>6.1} s  {name}", time.as_secs_f64());
    }
}
