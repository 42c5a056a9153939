//! The order of the lines while names are being looked up.
//!
//! A line waits for its name, but not long, and the lines after it wait too. A log with "OPEN SESAME" before
//! "Stage 1" would mislead people and programs. Lines that need no name go straight through when nothing waits.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use portcullis_core::time::Instant;

use super::lookup::{Answer, HostName};

/// Lines that wait at most; when there are more, the oldest go out without their names.
pub const CAPACITY: usize = 1024;

/// How long a line waits for a name.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// A line to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When that was, which it is told of.
    pub at: SystemTime,
    /// What stands before the name, if there is one: the address.
    pub before: Vec<u8>,
    /// What stands after it.
    pub after: Vec<u8>,
}

impl Entry {
    /// A line in which no name will be.
    pub fn without_name(at: SystemTime, message: impl Into<Vec<u8>>) -> Self {
        Self { at, before: message.into(), after: Vec::new() }
    }
}

/// A line as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When that was, which it tells of.
    pub at: SystemTime,
    /// The message.
    pub message: Vec<u8>,
}

/// Lines that wait.
#[derive(Debug, Default)]
pub struct Journal {
    /// The first of them has no name yet: otherwise it would be gone.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    entry: Entry,
    /// Whose name it waits for, and until when.
    needs: Option<(IpAddr, Instant)>,
}

impl Journal {
    /// One in which nothing waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line. Gives those that can be written now.
    #[must_use = "these lines are in the journal no longer"]
    pub fn add(&mut self, entry: Entry) -> Vec<Line> {
        self.push(entry, None)
    }

    /// Adds a line that tells of this address; `name` is what [`Lookup`](super::lookup::Lookup) says
    /// of it. Gives those that can be written now.
    #[must_use = "these lines are in the journal no longer"]
    pub fn add_named(
        &mut self,
        mut entry: Entry,
        address: IpAddr,
        name: Answer,
        now: Instant,
    ) -> Vec<Line> {
        match name {
            Answer::Known(name) => {
                entry.insert(name.as_ref());
                self.push(entry, None)
            }
            Answer::Pending => self.push(entry, Some((address, now.after(PATIENCE)))),
        }
    }

    /// The name of this address, or that it has none. Gives the lines that can be written now.
    #[must_use = "these lines are in the journal no longer"]
    pub fn answer(&mut self, address: IpAddr, name: Option<&HostName>) -> Vec<Line> {
        for waiting in &mut self.waiting {
            if waiting.needs.is_some_and(|(needed, _)| needed == address) {
                waiting.needs = None;
                waiting.entry.insert(name);
            }
        }
        self.release(|_| false)
    }

    /// Gives the lines that have waited long enough, and those behind them that wait for nothing.
    #[must_use = "these lines are in the journal no longer"]
    pub fn due(&mut self, now: Instant) -> Vec<Line> {
        self.release(|until| until <= now)
    }

    /// When [`due`](Self::due) has to be asked.
    pub fn deadline(&self) -> Option<Instant> {
        // Whatever comes later waits longer.
        self.waiting.front()?.needs.map(|(_, until)| until)
    }

    /// Gives all lines, whatever they wait for: at the end.
    #[must_use = "these lines are in the journal no longer"]
    pub fn rest(&mut self) -> Vec<Line> {
        self.release(|_| true)
    }

    fn push(&mut self, entry: Entry, needs: Option<(IpAddr, Instant)>) -> Vec<Line> {
        self.waiting.push_back(Waiting { entry, needs });
        if self.waiting.len() > CAPACITY
            && let Some(oldest) = self.waiting.front_mut()
        {
            oldest.needs = None;
        }
        self.release(|_| false)
    }

    /// Takes lines from the front, up to the first that has to wait on.
    fn release(&mut self, waited_enough: impl Fn(Instant) -> bool) -> Vec<Line> {
        let goes = |waiting: &Waiting| waiting.needs.is_none_or(|(_, until)| waited_enough(until));
        let mut lines = Vec::new();
        while self.waiting.front().is_some_and(goes)
            && let Some(Waiting { entry, .. }) = self.waiting.pop_front()
        {
            lines.push(entry.into_line());
        }
        lines
    }
}

impl Entry {
    /// Theirs writes `10.0.0.1 (host.example): door: Stage 1`.
    fn insert(&mut self, name: Option<&HostName>) {
        if let Some(name) = name {
            self.before.extend(format!(" ({name})").into_bytes());
        }
    }

    fn into_line(mut self) -> Line {
        self.before.append(&mut self.after);
        Line { at: self.at, message: self.before }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const START: Instant = Instant::from_millis(1_000);

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    fn name() -> Option<HostName> {
        Some(HostName::new("host.example").unwrap())
    }

    /// Adds a line about this address.
    fn add(journal: &mut Journal, last: u8, answer: Answer, now: Instant) -> Vec<String> {
        let before = address(last).to_string().into();
        let entry = Entry { at: SystemTime::UNIX_EPOCH, before, after: b": a: Stage 1".to_vec() };
        texts(journal.add_named(entry, address(last), answer, now))
    }

    fn plain(journal: &mut Journal, text: &str) -> Vec<String> {
        texts(journal.add(Entry::without_name(SystemTime::UNIX_EPOCH, text)))
    }

    fn texts(lines: Vec<Line>) -> Vec<String> {
        lines.into_iter().map(|line| String::from_utf8(line.message).unwrap()).collect()
    }

    #[test]
    fn what_is_known_goes_straight_through() {
        let mut journal = Journal::new();
        assert_eq!(plain(&mut journal, "shutting down"), ["shutting down"]);
        let line = add(&mut journal, 1, Answer::Known(name()), START);
        assert_eq!(line, ["192.0.2.1 (host.example): a: Stage 1"]);
        let line = add(&mut journal, 1, Answer::Known(None), START);
        assert_eq!(line, ["192.0.2.1: a: Stage 1"]);
        assert_eq!(journal.deadline(), None);
    }

    #[test]
    fn nothing_overtakes_a_line_that_waits() {
        let mut journal = Journal::new();
        assert!(add(&mut journal, 1, Answer::Pending, START).is_empty());
        assert!(add(&mut journal, 2, Answer::Pending, START).is_empty());
        assert!(plain(&mut journal, "a: running command: true").is_empty());
        assert!(add(&mut journal, 1, Answer::Pending, START).is_empty());
        // The second one is known, but the first is not.
        assert!(journal.answer(address(2), None).is_empty());
        assert_eq!(
            texts(journal.answer(address(1), name().as_ref())),
            [
                "192.0.2.1 (host.example): a: Stage 1",
                "192.0.2.2: a: Stage 1",
                "a: running command: true",
                "192.0.2.1 (host.example): a: Stage 1",
            ]
        );
        // Nobody waits for this one.
        assert!(journal.answer(address(1), name().as_ref()).is_empty());
    }

    #[test]
    fn patience_ends() {
        let mut journal = Journal::new();
        let later = START.after(Duration::from_millis(500));
        assert!(add(&mut journal, 1, Answer::Pending, START).is_empty());
        assert!(add(&mut journal, 2, Answer::Pending, later).is_empty());
        assert!(plain(&mut journal, "last").is_empty());
        assert_eq!(journal.deadline(), Some(START.after(PATIENCE)));
        assert!(journal.due(Instant::from_nanos(START.after(PATIENCE).as_nanos() - 1)).is_empty());
        assert_eq!(texts(journal.due(START.after(PATIENCE))), ["192.0.2.1: a: Stage 1"]);
        assert_eq!(journal.deadline(), Some(later.after(PATIENCE)));
        let lines = texts(journal.due(later.after(PATIENCE)));
        assert_eq!(lines, ["192.0.2.2: a: Stage 1", "last"]);
        assert_eq!(journal.deadline(), None);
    }

    #[test]
    fn what_waits_is_bounded_and_stays_in_order() {
        let mut journal = Journal::new();
        let mut lines = Vec::new();
        for n in 0..3 * CAPACITY {
            let at = SystemTime::UNIX_EPOCH;
            let entry = Entry::without_name(at, format!("{n}"));
            // Every third needs no name.
            lines.extend(if n % 3 == 0 {
                journal.add(entry)
            } else {
                journal.add_named(entry, address(1), Answer::Pending, START)
            });
            assert!(journal.waiting.len() <= CAPACITY);
        }
        lines.extend(journal.rest());
        assert_eq!(journal.deadline(), None);
        let expected: Vec<String> = (0..3 * CAPACITY).map(|n| n.to_string()).collect();
        assert_eq!(texts(lines), expected);
    }
}
