//! Forged knocks at a door of one knock, each of which opens it.

use std::collections::BTreeSet;
use std::time::Instant;

use portcullis_lab::wait_until;

use crate::both::daemon::Setup;
use crate::both::house::House;
use crate::both::{PATIENCE, SIDES, Which};

const FORGED: usize = 300;

/// Most processes that ours may be at a time: 16 start commands, 16 stop commands, each a shell with
/// a command of its own, and the daemon.
const MOST: usize = 80;

const DOOR: &str = "[A]\nsequence = 7000\ntcpflags = syn\nstart_command = echo A start %IP% >> ran\nstop_command = echo A stop %IP% >> ran\ncmd_timeout = 3\n";

pub fn crowd() {
    let [theirs, ours] = SIDES.map(|which| {
        let house = House::new();
        let daemon = house.start(which, &Setup::new(DOOR));
        for _ in 0..FORGED {
            house.knock("7000");
        }
        let mut most = 0;
        let mut all = || {
            most = most.max(daemon.processes().len());
            let ran: BTreeSet<String> = daemon.ran().into_iter().collect();
            ran.len() == 2 * FORGED
        };
        assert!(wait_until(Instant::now() + 2 * PATIENCE, &mut all), "{:#?}", daemon.log());
        eprintln!("{which}: {FORGED} openings make {most} processes");
        most
    });
    assert!(theirs > FORGED * 9 / 10, "{theirs}");
    if Which::Ours.is_ours() {
        assert!(ours <= MOST, "{ours}");
    }
}
