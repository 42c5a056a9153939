//! What was tried, and what came of it.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::run::{say, succeeds};

/// Rows of each table of the slowest.
const SLOWEST: usize = 12;

/// What was counted.
#[derive(Debug, Default)]
pub struct Count {
    /// Those that hold.
    pub passed: u64,
    /// Those that do not.
    pub failed: u64,
    /// Those that could not be run here.
    pub skipped: u64,
    /// How long each check and each program with tests took.
    took: Vec<(String, Duration)>,
    /// How long the slowest trials of each program took.
    trials: Vec<(String, Duration)>,
    /// What was left out, and counts neither way.
    notes: Vec<String>,
}

impl Count {
    /// Runs a program that must succeed.
    pub fn check(&mut self, what: &str, command: &mut Command) {
        say(what);
        let begun = Instant::now();
        if succeeds(command) {
            self.passed += 1;
        } else {
            self.fail(what);
        }
        self.took(what, begun.elapsed());
    }

    /// Something that must hold does not.
    pub fn fail(&mut self, what: &str) {
        self.failed += 1;
        println!("FAILED: {what}");
    }

    /// Something that must hold cannot be checked here.
    pub fn skip(&mut self, what: &str, reason: &str) {
        say(what);
        println!("skipped: {reason}");
        self.skipped += 1;
        self.notes.push(format!("skipped: {what}: {reason}"));
    }

    /// Something further that can be checked only where a tool is installed that nobody needs.
    pub fn note(&mut self, what: &str) {
        self.notes.push(format!("not checked: {what}"));
    }

    /// How long something took.
    pub fn took(&mut self, what: &str, time: Duration) {
        self.took.push((what.to_owned(), time));
    }

    /// How long a trial took, and its program.
    pub fn trial_took(&mut self, what: &str, time: Duration) {
        self.trials.push((what.to_owned(), time));
    }

    /// What was counted elsewhere.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.took.extend(other.took);
        self.trials.extend(other.trials);
        self.notes.extend(other.notes);
    }

    /// What is printed at the end, after this whole time.
    pub fn report(&self, whole: Duration) -> String {
        let whole = whole.as_secs();
        let title = format!("slowest of all ({} min {} s)", whole / 60, whole % 60);
        let mut text = slowest(&title, &self.took);
        text += &slowest("slowest trials", &self.trials);
        for note in &self.notes {
            text.push_str(note);
            text.push('\n');
        }
        let Self { passed, failed, skipped, .. } = self;
        text + &format!("{passed} passed, {failed} failed, {skipped} skipped\n")
    }
}

/// The longest, as a table. Two programs run at a time, and several trials of each, so that the times do not
/// add up to the whole.
fn slowest(title: &str, took: &[(String, Duration)]) -> String {
    let mut took: Vec<_> = took.iter().collect();
    took.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    let rows = took.into_iter().take(SLOWEST);
    let rows = rows.map(|(what, time)| format!("{:>8.1} s  {what}\n", time.as_secs_f64()));
    format!("{title}:\n{}\n", rows.collect::<String>())
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn the_slowest_come_first_and_there_is_an_end() {
        let took: Vec<_> =
            (0..40u64).map(|n| (format!("step {n}"), Duration::from_secs(n))).collect();
        let table = slowest("slowest of all", &took);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "slowest of all:");
        assert_eq!(lines[1], "    39.0 s  step 39");
        assert_eq!(lines.len(), 1 + SLOWEST + 1);
    }

    #[test]
    fn what_is_left_out_is_named_and_only_skips_are_counted() {
        let mut count = Count::default();
        count.note("tool");
        count.skip("part", "reason");
        assert_eq!((count.passed, count.failed, count.skipped), (0, 0, 1));
        assert_eq!(count.notes, ["not checked: tool", "skipped: part: reason"]);
        let report = count.report(Duration::from_secs(125));
        assert!(report.starts_with("slowest of all (2 min 5 s):\n"), "{report}");
    }
}
