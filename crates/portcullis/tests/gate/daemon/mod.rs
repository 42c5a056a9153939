//! The daemon with real packets: who gets in, and what happens when its processes end.

mod hooks;
mod knocking;
mod lives;
mod sending;
mod support;

use portcullis_lab::world;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    let tests = [hooks::TESTS, knocking::TESTS, lives::TESTS, sending::TESTS].concat();
    tests.into_iter().map(|(name, test)| world::trial(name, test)).collect()
}
