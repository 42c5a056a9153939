//! All tests of the workspace: built by cargo, and run several programs at a time.
//!
//! Most tests wait for something most of the time (a grant that ends, a daemon that starts), so that a
//! machine that runs one program after the other stands idle. Those that need the whole machine say so
//! themselves (`portcullis_lab::world::alone`), and run at the end, one after the other.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::count::Count;
use crate::run::{cargo, say};

/// The longest programs, which begin first, so that none is left over at the end.
const LONGEST: [&str; 4] = ["knockd", "gate", "attack", "iptables"];

/// Programs at a time.
const AT_A_TIME: usize = 2;

/// A program with tests in it.
struct Program {
    name: String,
    path: PathBuf,
    /// Where cargo would run it.
    folder: PathBuf,
}

/// Which trials of a program run (`portcullis_lab::world`); programs that know nothing of this run all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trials {
    /// Several at a time.
    Together,
    /// Those that nothing may run beside.
    Alone,
}

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command.stdin(Stdio::null());
        command
    }

    fn has_trials_alone(&self) -> bool {
        let listed = self.command().arg("--list").output();
        listed.is_ok_and(|it| {
            let listed = String::from_utf8_lossy(&it.stdout).into_owned();
            ["[alone] ", "[one by one] "].iter().any(|kind| listed.contains(kind))
        })
    }
}

/// Builds and runs them all, and those in the documentation.
pub fn run() -> Count {
    say("tests");
    let mut count = Count::default();
    let begun = Instant::now();
    let programs = build();
    count.took("build of the tests", begun.elapsed());
    let Some(programs) = programs else {
        count.fail("the tests cannot be built");
        return count;
    };
    let queue = Mutex::new(programs.iter().collect::<VecDeque<_>>());
    let total = Mutex::new(&mut count);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(program) = queue.lock().ok().and_then(|mut it| it.pop_front()) {
                    let (counted, output) = run_one(program, Trials::Together);
                    // Each program's output as a whole.
                    if let Ok(mut total) = total.lock() {
                        println!("{output}");
                        total.add(counted);
                    }
                }
            });
        }
    });
    for program in programs.iter().filter(|program| program.has_trials_alone()) {
        let (counted, output) = run_one(program, Trials::Alone);
        println!("{output}");
        count.add(counted);
    }
    count.check("examples in the documentation", cargo().args(ARGUMENTS).arg("--doc"));
    count
}

/// The programs as they are shipped, but for the crate that holds the commands and the end-to-end tests: where
/// packets are handled, it only calls the others, and to optimise its forty programs takes minutes.
const ARGUMENTS: [&str; 6] = [
    "test",
    "--workspace",
    "--release",
    "--locked",
    "--config",
    "profile.release.package.portcullis.opt-level=1",
];

/// The programs, the longest first.
fn build() -> Option<Vec<Program>> {
    let mut command = cargo();
    command.args(ARGUMENTS).args(["--no-run", "--message-format", "json-render-diagnostics"]);
    let mut child = command.stdout(Stdio::piped()).spawn().ok()?;
    let lines = BufReader::new(child.stdout.take()?).lines().map_while(Result::ok);
    let mut programs: Vec<Program> = lines.filter_map(|line| program(&line)).collect();
    if !child.wait().is_ok_and(|status| status.success()) || programs.is_empty() {
        return None;
    }
    let place = |program: &Program| LONGEST.iter().position(|name| *name == program.name);
    programs.sort_by_key(|program| place(program).unwrap_or(usize::MAX));
    Some(programs)
}

/// What cargo says of a program with tests (`cargo help test`, "Artifact messages").
fn program(line: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_test = message["profile"]["test"].as_bool() == Some(true);
    let path = message["executable"].as_str().filter(|_| is_test)?;
    let manifest = PathBuf::from(message["manifest_path"].as_str()?);
    Some(Program {
        name: message["target"]["name"].as_str()?.to_owned(),
        path: path.into(),
        folder: manifest.parent()?.to_owned(),
    })
}

/// Runs one; what it counted, and what it said.
fn run_one(program: &Program, trials: Trials) -> (Count, String) {
    let begun = Instant::now();
    let (word, name) = match trials {
        Trials::Together => ("together", program.name.clone()),
        Trials::Alone => ("alone", format!("{}, alone", program.name)),
    };
    let output = program.command().env("PORTCULLIS_TRIALS", word).output();
    let mut count = Count::default();
    let (text, succeeded) = match output {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            (String::from_utf8_lossy(&said).into_owned(), output.status.success())
        }
        Err(error) => (error.to_string(), false),
    };
    for closing in text.lines().filter_map(|line| line.strip_prefix("test result: ")) {
        count.passed += number_before(closing, " passed");
        count.failed += number_before(closing, " failed");
        count.skipped += number_before(closing, " ignored");
    }
    // `portcullis_lab::world::main` names them.
    for line in text.lines().filter_map(|line| line.strip_prefix("slow: ")) {
        if let Some((seconds, trial)) = line.trim_start().split_once(" s  ")
            && let Ok(seconds) = seconds.parse()
        {
            count.trial_took(
                &format!("{}: {trial}", program.name),
                Duration::from_secs_f64(seconds),
            );
        }
    }
    // A crash leaves no closing line.
    if !succeeded && count.failed == 0 {
        count.failed = 1;
    }
    let took = begun.elapsed();
    count.took(&name, took);
    (count, format!("--- {name} ({} s)\n{text}", took.as_secs()))
}

fn number_before(line: &str, word: &str) -> u64 {
    let number = line.split(word).next().and_then(|before| before.rsplit(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
