//! One-time sequences (section 1.7 of the reference).

use super::{Row, play_after_each, v4};
use crate::both::daemon::{Daemon, Setup};
use crate::both::house::House;

pub const ROWS: &[Row] = &[];

pub const TESTS: &[(&str, fn())] = &[
    ("sequences_are_used_one_after_the_other", one_after_the_other),
    ("comments_and_empty_lines_are_skipped", comments),
    ("the_first_byte_of_a_line_is_overwritten", first_byte),
    ("a_failed_knock_uses_nothing", failed),
    ("a_door_beside_is_not_touched", beside),
    ("an_open_file_without_a_sequence_is_refused", refused),
];

const DOOR: &str = "[A]\none_time_sequences = DIR/once\nstart_command = echo A %IP% >> ran\n";
const LINES: &str = " 1000,1001\n 2000,2001\n 3000,3001\n 4000,4001\n";

fn used(house: &House, setup: &Setup, scripts: &[super::Script], file: &str) {
    // Our watcher hears of the next sequence from the keeper, after the door has opened: it follows
    // that sequence once the keeper has answered to packets that came later.
    let follow = |daemons: &[Daemon; 2]| {
        for _ in 0..4 {
            house.settle(&[&daemons[0], &daemons[1]]);
        }
    };
    let daemons = play_after_each(house, setup, scripts, follow);
    for daemon in &daemons {
        daemon.wait_until("with that file", || daemon.read("once") == file);
    }
}

fn one_after_the_other() {
    let setup = Setup::new(DOOR).file("once", LINES);
    used(
        &House::new(),
        &setup,
        &[
            v4("1000 1001", "A 1; A 2; A !").ran(&["A %IP%"]),
            v4("1000 1001", ""),
            v4("2000 2001", "A 1; A 2; A !").ran(&["A %IP%"]),
            v4("3000 3001", "A 1; A 2; A !").ran(&["A %IP%"]),
            v4("2000 2001 1000 1001", ""),
        ],
        "#1000,1001\n#2000,2001\n#3000,3001\n 4000,4001\n",
    );
}

fn comments() {
    let lines = "# comment\n\n  # 5,6\n 1000,1001\n#7,8\n\n 2000:udp,2001\n 3000\n";
    let setup = Setup::new(DOOR).file("once", lines);
    used(
        &House::new(),
        &setup,
        &[
            v4("5 6", ""),
            v4("1000 1001", "A 1; A 2; A !").ran(&["A %IP%"]),
            v4("2000/udp 2001", "A 1; A 2; A !").ran(&["A %IP%"]),
        ],
        "# comment\n\n  # 5,6\n#1000,1001\n#7,8\n\n#2000:udp,2001\n 3000\n",
    );
}

fn first_byte() {
    let setup = Setup::new(DOOR).file("once", " 110,210\n\t120,220\n   130,230\n 140,240");
    used(
        &House::new(),
        &setup,
        &[
            v4("110 210", "A 1; A 2; A !").ran(&["A %IP%"]),
            v4("120 220", "A 1; A 2; A !").ran(&["A %IP%"]),
            v4("130 230", "A 1; A 2; A !").ran(&["A %IP%"]),
        ],
        "#110,210\n#120,220\n#  130,230\n 140,240",
    );
}

fn failed() {
    let setup = Setup::new(DOOR).file("once", LINES);
    used(
        &House::new(),
        &setup,
        &[
            v4("1000 1000 1001", "A 1"),
            v4("1001 1000", "A 1"),
            v4("1000 1001", "A 1; A 2; A !").ran(&["A %IP%"]),
        ],
        "#1000,1001\n 2000,2001\n 3000,3001\n 4000,4001\n",
    );
}

fn beside() {
    let config = format!("[B]\nsequence = 2000,1000\n{DOOR}");
    let setup = Setup::new(&config).file("once", LINES);
    used(
        &House::new(),
        &setup,
        &[
            v4("2000 1000", "B 1; B 2; B !"),
            v4("1000 1001", "A 1; A 2; A !").ran(&["A %IP%"]),
            v4("2000 1000", "B 1; A 1; B 2; B !"),
            v4("2000 2001", "B 1; A 1; A 2; A !").ran(&["A %IP%"]),
            v4("2000 1000", "B 1; B 2; B !"),
        ],
        "#1000,1001\n#2000,2001\n 3000,3001\n 4000,4001\n",
    );
}

fn refused() {
    for lines in ["", "# 1000\n\n#2000,3000\n"] {
        let _house = House::new();
        for which in crate::both::SIDES {
            let setup = Setup::new(DOOR).file("once", lines);
            let refused = crate::both::daemon::Daemon::refused(which, &setup);
            assert_eq!(refused.status.code(), Some(1), "{which}: {refused:?}");
        }
    }
}
