//! What knockd does, row by row: its configuration, its log, what opens a door, one-time sequences.
//! Each row says what is to be seen; Debian's knockd and ours watch the same wire, and both must do
//! just that.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is a test, which clippy cannot tell without `#[test]`"
)]

mod knockd;
use portcullis_lab::world;

#[path = "knockd/rows/mod.rs"]
mod rows;

use std::process::ExitCode;

use libtest_mimic::Trial;

fn main() -> ExitCode {
    knockd::main(4, || {
        let mut trials: Vec<Trial> = Vec::new();
        for (section, table) in rows::TABLES {
            for row in *table {
                let name = format!("{section}_{}", row.name.replace(' ', "_"));
                trials.push(knockd::trial(name, &["knockd"], || rows::play(row)));
            }
        }
        for (name, config) in rows::config::REFUSED {
            let name = format!("config_refused_{}", name.replace(' ', "_"));
            trials.push(knockd::trial(name, &["knockd"], || rows::refuse(config)));
        }
        for (name, test) in rows::knocks::TESTS {
            trials.push(knockd::trial(format!("knocks_{name}"), &["knockd"], *test));
        }
        for (name, test) in rows::log::TESTS {
            trials.push(knockd::trial(format!("log_{name}"), &["knockd"], *test));
        }
        for (name, test) in rows::once::TESTS {
            trials.push(knockd::trial(format!("once_{name}"), &["knockd"], *test));
        }
        for (name, test) in rows::signals::TESTS {
            trials.push(knockd::trial(format!("signals_{name}"), &["knockd"], *test));
        }
        trials
    })
}
