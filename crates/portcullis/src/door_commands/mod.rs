//! Start and stop commands: one scheduler, a bounded number at once, and the pending stops on disk.
//!
//! | module | what it holds |
//! |---|---|
//! | [`job`] | what the scheduler is told, and what it says |
//! | [`scheduler`] | which command runs when, without clock, files or processes |
//! | [`records`] | the pending stops on disk |
//! | [`running`] | the commands that are running |
//! | [`orphan`] | commands of a dead daemon |
//! | [`mod@close_all`] | `--close-all`: closes what dead daemons have left open |

pub mod close_all;
pub mod job;
pub mod orphan;
pub mod records;
pub mod running;
pub mod scheduler;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use portcullis_core::time::Instant;

use self::records::{Found, Store};
use self::running::Running;
use self::scheduler::Scheduler;
use crate::exit::Failure;

pub use self::close_all::close_all;
pub use self::job::{AtExit, Command, Ended, Job, JobId, Line, Opening, Options, Refusal, Which};

/// The commands of one daemon. Whoever owns it polls [`as_fd`](AsFd::as_fd), calls `handle_children`
/// when that is ready (or on SIGCHLD) and `handle_timeout` when [`poll_timeout`](Self::poll_timeout)
/// says, and takes the lines after each call. The time is that of CLOCK_BOOTTIME, which records hold
/// too.
///
/// Dropping it ends no command, and leaves every pending stop to the next daemon.
#[derive(Debug)]
pub struct Commands {
    scheduler: Scheduler,
    running: Running,
    store: Option<Store>,
    lines: Vec<Line>,
}

impl Commands {
    /// Nothing runs, and nothing can be recorded yet: doors with a stop command stay closed.
    ///
    /// # Errors
    ///
    /// When the process has too many descriptors.
    pub fn new(options: Options) -> Result<Self, Failure> {
        let running = Running::none().map_err(|error| {
            Failure::could_not(format!("cannot prepare to run commands: {}", error))
        })?;
        let scheduler = Scheduler::new(options);
        Ok(Self { scheduler, running, store: None, lines: Vec::new() })
    }

    /// Keeps records in this folder from now on, and takes over what dead daemons have left in it: it
    /// is closed at once, or when it is due. Those that die later are left to whoever starts next. A
    /// second time it does nothing.
    ///
    /// # Errors
    ///
    /// When the folder is not ours alone, or cannot be made or locked.
    pub fn keep_records(&mut self, dir: &Path, now: Instant) -> Result<(), Failure> {
        if self.store.is_some() {
            return Ok(());
        }
        let (store, found) = Store::open(dir, self.scheduler.next_id(), now)?;
        self.adopt(store, found, now);
        Ok(())
    }

    /// Somebody has knocked right.
    pub fn open(&mut self, job: Job, now: Instant) -> Opening {
        let opening = self.scheduler.open(job, now);
        self.act(now);
        opening
    }

    /// Looks what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.scheduler.handle_timeout(now);
        self.act(now);
    }

    /// Looks which commands have ended.
    pub fn handle_children(&mut self, now: Instant) {
        self.reap(now);
    }

    fn reap(&mut self, now: Instant) -> Vec<(JobId, Ended)> {
        let ended = self.running.reap();
        for (id, ended) in &ended {
            self.scheduler.handle_exit(*id, ended.clone(), now);
        }
        for id in self.running.ended_orphans() {
            self.scheduler.release(id, now);
        }
        // A stop that was held back may be due already.
        self.scheduler.handle_timeout(now);
        self.act(now);
        ended
    }

    /// When `handle_timeout` has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.scheduler.poll_timeout()
    }

    /// What is to be logged, in this order.
    pub fn take_lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }

    /// Opens nothing any more; pending stops are run now, or handed over. Commands that are running
    /// are awaited: see [`is_done`](Self::is_done). A second call may wish it otherwise; who cannot
    /// wait at all drops this, and the next daemon closes what is open.
    pub fn shut_down(&mut self, how: AtExit, now: Instant) {
        self.scheduler.shut_down(how, now);
        self.act(now);
    }

    /// Whether there is nothing left to wait for after `shut_down`.
    pub fn is_done(&self) -> bool {
        self.scheduler.is_done()
    }

    /// How many commands are running.
    pub const fn running(&self) -> usize {
        self.scheduler.running()
    }

    /// How many doors have a stop that is pending or running.
    pub const fn pending(&self) -> usize {
        self.scheduler.pending()
    }

    fn adopt(&mut self, store: Store, found: Found, now: Instant) {
        self.store = Some(store);
        self.lines.extend(found.troubles.into_iter().map(Line::Trouble));
        let number = found.leftovers.len();
        if number > 0 {
            self.lines
                .push(Line::Note(format!("pending stop commands from an earlier run: {number}")));
        }
        for leftover in found.leftovers {
            let id = leftover.record.id;
            self.scheduler.adopt(leftover.record, leftover.due, leftover.orphan.is_some());
            if let Some(orphan) = leftover.orphan {
                self.running.await_orphan(id, orphan);
            }
        }
        self.scheduler.handle_timeout(now);
        self.act(now);
    }

    /// Does what the scheduler wants.
    fn act(&mut self, now: Instant) {
        use self::job::Action;
        while let Some(action) = self.scheduler.next_action() {
            match action {
                Action::Record(record) => {
                    let written = self.write(&record).map_err(|error| error.to_string());
                    self.scheduler.handle_recorded(record.id, written);
                }
                Action::HandOver(record) => {
                    // The record of before stays then: the next daemon closes at once.
                    if let Err(error) = self.write(&record) {
                        self.trouble("hand over a pending stop command", &error);
                    }
                }
                Action::Forget(id) => {
                    if let Some(Err(error)) = self.store.as_mut().map(|store| store.forget(id)) {
                        self.trouble("remove the record of a stop command that was run", &error);
                    }
                }
                Action::Run { id, command, which, recorded } => {
                    let result = self
                        .sign(id, which, recorded)
                        .and_then(|sign| self.running.start(id, &command, sign.as_ref()));
                    if let Err(error) = result {
                        self.scheduler.handle_exit(id, Ended::NotBegun(error.to_string()), now);
                    }
                }
                Action::Log(line) => self.lines.push(line),
            }
        }
    }

    fn write(&mut self, record: &job::PendingStop) -> io::Result<()> {
        let store = self.store.as_mut();
        store.ok_or_else(|| io::Error::other("there is no state directory"))?.write(record)
    }

    /// Where the next command of a record signs. A start that could not sign is not run: the next
    /// daemon would not know that it runs. A stop is run in any case.
    fn sign(&self, id: JobId, which: Which, recorded: bool) -> io::Result<Option<File>> {
        let Some(store) = self.store.as_ref().filter(|_| recorded) else { return Ok(None) };
        match (store.sign(id), which) {
            (Ok(file), _) => Ok(Some(file)),
            (Err(_), Which::Stop) => Ok(None),
            (Err(error), Which::Start) => Err(error),
        }
    }

    fn trouble(&mut self, what: &str, error: &io::Error) {
        self.lines.push(Line::Trouble(format!("cannot {what}: {error}")));
    }
}

impl AsFd for Commands {
    /// Ready to be read when a command has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.running.ends()
    }
}

#[cfg(test)]
mod tests;
