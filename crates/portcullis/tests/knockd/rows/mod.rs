//! The rows, and how one is played.

pub mod config;
pub mod knocks;
pub mod log;
pub mod once;
pub mod signals;

use libtest_mimic::Trial;
use std::net::IpAddr;

use portcullis_lab::Family;

use crate::both::SIDES;
use crate::both::daemon::{Daemon, Setup};
use crate::both::house::House;
use crate::both::story::Story;
use crate::world;

/// A configuration, and what comes of some scripts.
pub struct Row {
    pub name: &'static str,
    pub config: &'static str,
    pub scripts: &'static [Script],
}

/// Played by a source of its own.
pub struct Script {
    pub family: Family,
    /// See [`House::play`].
    pub words: &'static str,
    /// What the daemon logs about the source, in short: `A 2` for `A: Stage 2`, `A !` for
    /// `A: OPEN SESAME`, any other line as it is, with `;` between.
    pub logged: &'static str,
    /// What the commands write to `ran`, in any order.
    pub ran: &'static [&'static str],
}

pub const fn v4(words: &'static str, logged: &'static str) -> Script {
    Script { family: Family::V4, words, logged, ran: &[] }
}

pub const fn v6(words: &'static str, logged: &'static str) -> Script {
    Script { family: Family::V6, words, logged, ran: &[] }
}

impl Script {
    pub const fn ran(mut self, ran: &'static [&'static str]) -> Self {
        self.ran = ran;
        self
    }
}

pub const TABLES: &[(&str, &[Row])] =
    &[("config", config::ROWS), ("knocks", knocks::ROWS), ("log", log::ROWS), ("once", once::ROWS)];

/// What is written in short.
fn expected(source: IpAddr, logged: &str) -> Vec<String> {
    // A name may begin with a space, and end with one.
    let lines = logged.split(';').enumerate().filter(|(_, line)| !line.is_empty());
    let lines = lines.map(
        |(index, line)| {
            if index == 0 { line } else { line.strip_prefix(' ').unwrap_or(line) }
        },
    );
    let long = |line: &str| match line.rsplit_once(' ') {
        Some((door, "!")) => format!("{source}: {door}: OPEN SESAME"),
        Some((door, stage)) if stage.parse::<u8>().is_ok() && !door.contains(": ") => {
            format!("{source}: {door}: Stage {stage}")
        }
        _ => format!("{source}: {line}"),
    };
    lines.map(long).collect()
}

/// Plays a row to both.
pub fn play(row: &Row) {
    let house = House::new();
    play_at(&house, &Setup::new(row.config), row.scripts);
}

/// Plays scripts to both, on this host; gives them back as they are then.
pub fn play_at(house: &House, setup: &Setup, scripts: &[Script]) -> [Daemon; 2] {
    play_after_each(house, setup, scripts, |_| {})
}

/// The same, with something to wait for after each script.
pub fn play_after_each(
    house: &House,
    setup: &Setup,
    scripts: &[Script],
    wait: impl Fn(&[Daemon; 2]),
) -> [Daemon; 2] {
    let daemons = house.start_both(setup);
    let sources: Vec<IpAddr> =
        scripts.iter().map(|script| house.new_source(script.family)).collect();
    for (script, source) in scripts.iter().zip(&sources) {
        house.play(*source, script.words);
        // Before it has been seen that nobody else knocks, an attempt may be anybody's to break.
        house.settle(&[&daemons[0], &daemons[1]]);
        wait(&daemons);
    }
    for (script, source) in scripts.iter().zip(&sources) {
        let ran = script.ran.iter().map(|line| line.replace("%IP%", &source.to_string()));
        let mut ran: Vec<String> = ran.collect();
        ran.sort();
        for daemon in &daemons {
            let logged = || -> Vec<String> {
                let begin = format!("{source}: ");
                let story = daemon.story();
                story.daemon.into_iter().filter(|line| line.starts_with(&begin)).collect()
            };
            assert_eq!(
                logged(),
                expected(*source, script.logged),
                "{}: `{}`",
                daemon.which,
                script.words
            );
            daemon.wait_until(&format!("with {ran:?} run"), || {
                let mut found: Vec<String> = daemon
                    .ran()
                    .into_iter()
                    .filter(|line| line.ends_with(&format!(" {source}")))
                    .collect();
                found.sort();
                found == ran
            });
        }
    }
    let nothing = |_: &mut Story| {};
    house.same(&daemons, nothing);
    daemons
}

/// Both refuse to start: with exit code 1, and a word about it.
pub fn refuse(config: &str) {
    let _house = House::new();
    for which in SIDES {
        let setup = Setup::new(config).verbatim().arg("-g").arg("DIR/log");
        let refused = Daemon::refused(which, &setup);
        assert_eq!(refused.status.code(), Some(1), "{which}: {refused:?}");
        assert!(!refused.said.is_empty(), "{which} says nothing");
    }
}

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = Vec::new();
    for (section, table) in TABLES {
        for row in *table {
            let name = format!("{section}_{}", row.name.replace(' ', "_"));
            trials.push(world::trial_with(name, &["knockd"], || play(row)));
        }
    }
    for (name, config) in config::REFUSED {
        let name = format!("config_refused_{}", name.replace(' ', "_"));
        trials.push(world::trial_with(name, &["knockd"], || refuse(config)));
    }
    for (name, test) in knocks::TESTS {
        trials.push(world::trial_with(format!("knocks_{name}"), &["knockd"], *test));
    }
    for (name, test) in log::TESTS {
        trials.push(world::trial_with(format!("log_{name}"), &["knockd"], *test));
    }
    for (name, test) in once::TESTS {
        trials.push(world::trial_with(format!("once_{name}"), &["knockd"], *test));
    }
    for (name, test) in signals::TESTS {
        trials.push(world::trial_with(format!("signals_{name}"), &["knockd"], *test));
    }
    trials
}
