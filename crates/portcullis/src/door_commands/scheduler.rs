//! Which command runs when: a state machine without clock, files or processes.
//!
//! Each opening goes this way. A door without a stop command leaves after its start command.
//!
//! ```text
//!           place free             on disk              ended            due
//!  Queued ────────────► Recording ─────────► Starting ───────► Open ────────────► Due
//!    ▲                                                          │ knock: later     │ place free
//!    └──────────────────────────────────────────────────────────┘                  ▼
//!               knock, and the start command had failed          forgotten ◄─── Stopping
//! ```
//!
//! Unless `strict`, there is one opening per door and address. A knock that cannot extend it, because
//! its stop command is running or its door has other commands now, is remembered and begins a new
//! opening when the stop command has ended. So no two commands for one door and address ever run side
//! by side, and none is ever opened twice without being closed between.
//!
//! Start and stop commands have separate places, and a stop begins before any start. However many openings an
//! attacker forges, a stop command waits only for other stop commands.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::time::Instant;

use self::entry::{Entry, Phase};
use super::job::{
    Action, AtExit, Began, Command, Ended, Job, JobId, LONGEST_COMMAND, Line, Opening, Options,
    PendingStop, Refusal, Which,
};

mod entry;

/// The first pause before a stop command is tried again that could not begin. Each further one is
/// twice as long, up to 64 seconds.
const PAUSE: Duration = Duration::from_secs(1);

/// How often that is tried while the daemon is ending. After that the stop stays on disk.
const LAST_TRIES: u32 = 3;

type Key = (Vec<u8>, IpAddr);

/// Decides what runs, and when.
#[derive(Debug)]
pub struct Scheduler {
    options: Options,
    next: u64,
    entries: BTreeMap<JobId, Entry>,
    /// The opening that a knock extends. Empty when `strict`.
    keys: HashMap<Key, JobId>,
    /// Entries with a stop command.
    pending: usize,
    starts: VecDeque<JobId>,
    stops: VecDeque<JobId>,
    starting: usize,
    stopping: usize,
    timers: BTreeSet<(Instant, JobId)>,
    actions: VecDeque<Action>,
    end: Option<AtExit>,
}

impl Scheduler {
    /// One that has nothing to do.
    pub fn new(options: Options) -> Self {
        Self {
            options: Options { at_once: options.at_once.max(1), ..options },
            next: 0,
            entries: BTreeMap::new(),
            keys: HashMap::new(),
            pending: 0,
            starts: VecDeque::new(),
            stops: VecDeque::new(),
            starting: 0,
            stopping: 0,
            timers: BTreeSet::new(),
            actions: VecDeque::new(),
            end: None,
        }
    }

    /// Somebody has knocked right.
    pub fn open(&mut self, job: Job, now: Instant) -> Opening {
        let Some(start) = &job.start else { return Opening::Nothing };
        if self.end.is_some() {
            return Opening::Refused(Refusal::ShuttingDown);
        }
        for command in [Some(start), job.stop.as_ref()].into_iter().flatten() {
            if command.has_nul() {
                return Opening::Refused(Refusal::NulInCommand);
            }
            if command.len() > LONGEST_COMMAND {
                return Opening::Refused(Refusal::CommandTooLong);
            }
        }
        let key = (job.door, job.address);
        let known = self.keys.get(&key).copied();
        let job = Job { door: key.0, ..job };
        match known {
            Some(id) if job.stop.is_some() => self.open_again(id, job, now),
            _ => self.admit(job),
        }
    }

    /// A stop that an earlier daemon left behind runs at `due`; when it is `held`, because a command
    /// of that daemon still runs, not before `release`. Its id must be [`next_id`](Self::next_id) or
    /// above.
    pub fn adopt(&mut self, record: PendingStop, due: Instant, held: bool) {
        let id = record.id;
        self.next = self.next.max(id.0.saturating_add(1));
        let entry = Entry {
            door: record.door,
            address: record.address,
            start: None,
            stop: Some(record.stop),
            open_for: Duration::ZERO,
            phase: if held { Phase::Held { due } } else { Phase::Open { due } },
            began: record.began,
            recorded: true,
            again: None,
            tries: 0,
        };
        self.insert(id, entry);
    }

    /// The first id that is not in use; so are all above.
    pub const fn next_id(&self) -> JobId {
        JobId(self.next)
    }

    /// The command of an earlier daemon, for which a stop was held back, has ended.
    pub fn release(&mut self, id: JobId, now: Instant) {
        let Some(Entry { phase: Phase::Held { due }, .. }) = self.entries.get(&id) else { return };
        let due = *due;
        if self.end.is_some() {
            self.settle(id, now, due);
        } else {
            self.enter(id, Phase::Open { due });
        }
    }

    /// A record has been written, or could not be.
    pub fn handle_recorded(&mut self, id: JobId, result: Result<(), String>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.phase != Phase::Recording {
            return;
        }
        match result {
            Err(error) => {
                let door = String::from_utf8_lossy(&entry.door).into_owned();
                self.trouble(format!(
                    "{door}: start command not run, because the stop command cannot be recorded: \
                     {error}"
                ));
                self.starting = self.starting.saturating_sub(1);
                self.remove(id);
            }
            Ok(()) if self.end.is_some() => {
                self.starting = self.starting.saturating_sub(1);
                self.forget(id);
            }
            Ok(()) => {
                entry.recorded = true;
                self.run_start(id);
            }
        }
    }

    /// A command has ended.
    pub fn handle_exit(&mut self, id: JobId, ended: Ended, now: Instant) {
        match self.entries.get(&id).map(|entry| entry.phase) {
            Some(Phase::Starting) => {
                self.starting = self.starting.saturating_sub(1);
                self.start_ended(id, ended, now);
            }
            Some(Phase::Stopping) => {
                self.stopping = self.stopping.saturating_sub(1);
                self.stop_ended(id, ended, now);
            }
            _ => {}
        }
    }

    /// Looks what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(due, id)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            if let Phase::Queued { .. } = entry.phase {
                // It may have opened half: it is closed now, however long the queue is.
                entry.again = entry.job();
                self.starts.retain(|other| *other != id);
            }
            self.enter(id, Phase::Due);
        }
    }

    /// When `handle_timeout` has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// What to do next. To be asked until there is nothing, after each other call.
    pub fn next_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            if self.stopping < self.options.at_once
                && let Some(id) = self.stops.pop_front()
            {
                self.run_stop(id);
            } else if self.starting < self.options.at_once
                && let Some(id) = self.starts.pop_front()
            {
                self.begin_start(id);
            } else {
                return None;
            }
        }
    }

    /// The daemon is ending: nothing is opened any more. Commands that run are awaited; waiting starts
    /// are dropped; pending stops are run, or handed over. May be called again with another wish.
    pub fn shut_down(&mut self, how: AtExit, now: Instant) {
        self.end = Some(how);
        self.starts.clear();
        self.stops.clear();
        let ids: Vec<JobId> = self.entries.keys().copied().collect();
        for id in ids {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.again = None;
            match entry.phase {
                Phase::Queued { due: None } => self.remove(id),
                Phase::Queued { due: Some(due) } | Phase::Open { due } => self.settle(id, now, due),
                Phase::Due => self.settle(id, now, now),
                Phase::Held { due } if how == AtExit::HandOver => self.settle(id, now, due),
                Phase::Held { .. } | Phase::Recording | Phase::Starting | Phase::Stopping => {}
            }
        }
    }

    /// Whether `shut_down` is complete: nothing runs, and nothing is to be done.
    pub fn is_done(&self) -> bool {
        self.end.is_some() && self.entries.is_empty() && self.actions.is_empty()
    }

    /// How many commands are running.
    pub const fn running(&self) -> usize {
        self.starting.saturating_add(self.stopping)
    }

    /// How many stops are pending or running.
    pub const fn pending(&self) -> usize {
        self.pending
    }

    /// A knock at a door that has an opening for this address.
    fn open_again(&mut self, id: JobId, job: Job, now: Instant) -> Opening {
        let due = now.after(job.open_for);
        let has_room = self.has_room();
        let Some(entry) = self.entries.get_mut(&id) else { return self.admit(job) };
        let same = entry.is_same(&job) && entry.again.is_none();
        match entry.phase {
            Phase::Queued { due: None } => {
                // Nothing has been done yet.
                (entry.start, entry.stop, entry.open_for) = (job.start, job.stop, job.open_for);
                Opening::Waiting
            }
            Phase::Queued { due: Some(_) } if same => {
                entry.open_for = job.open_for;
                Opening::Waiting
            }
            Phase::Recording | Phase::Starting if same => {
                entry.open_for = job.open_for;
                Opening::Extended { until: None }
            }
            Phase::Open { due: old } | Phase::Held { due: old }
                if same && entry.began == Began::Succeeded =>
            {
                self.extend(id, job, old.max(due))
            }
            Phase::Due if same && entry.began == Began::Succeeded => {
                self.stops.retain(|other| *other != id);
                self.extend(id, job, due)
            }
            Phase::Open { due: old } if same && entry.began == Began::Failed => {
                if !has_room {
                    return Opening::Refused(Refusal::TooManyWaiting);
                }
                (entry.start, entry.open_for) = (job.start, job.open_for);
                self.enter(id, Phase::Queued { due: Some(old) });
                self.queued()
            }
            phase => {
                entry.again = Some(job);
                match phase {
                    Phase::Held { .. } => self.enter(id, Phase::Held { due: now }),
                    Phase::Open { .. } => self.enter(id, Phase::Due),
                    Phase::Queued { .. } => {
                        self.starts.retain(|other| *other != id);
                        self.enter(id, Phase::Due);
                    }
                    _ => {}
                }
                Opening::Waiting
            }
        }
    }

    fn extend(&mut self, id: JobId, job: Job, due: Instant) -> Opening {
        let Some(entry) = self.entries.get_mut(&id) else { return self.admit(job) };
        (entry.start, entry.open_for, entry.tries) = (job.start, job.open_for, 0);
        let held = matches!(entry.phase, Phase::Held { .. });
        let Job { door, address, open_for, .. } = job;
        self.actions.push_back(Action::Log(Line::Extended { door, address, open_for }));
        self.enter(id, if held { Phase::Held { due } } else { Phase::Open { due } });
        Opening::Extended { until: Some(due) }
    }

    /// A new opening, if there is room.
    fn admit(&mut self, job: Job) -> Opening {
        if !self.has_room() {
            return Opening::Refused(Refusal::TooManyWaiting);
        }
        if job.stop.is_some() && self.pending >= self.options.records {
            return Opening::Refused(Refusal::TooManyOpen);
        }
        self.queue(job);
        self.queued()
    }

    fn queue(&mut self, job: Job) {
        let id = JobId(self.next);
        self.next = self.next.saturating_add(1);
        self.insert(id, Entry::of(job));
    }

    /// Whether one more may wait.
    fn has_room(&self) -> bool {
        let free = self.options.at_once.saturating_sub(self.starting);
        self.starts.len() < free.saturating_add(self.options.waiting)
    }

    /// What is to be said of the one that has just been queued.
    fn queued(&self) -> Opening {
        if self.starting.saturating_add(self.starts.len()) <= self.options.at_once {
            Opening::Started
        } else {
            Opening::Waiting
        }
    }

    fn insert(&mut self, id: JobId, entry: Entry) {
        if entry.stop.is_some() {
            self.pending = self.pending.saturating_add(1);
            if !self.options.strict {
                self.keys.entry((entry.door.clone(), entry.address)).or_insert(id);
            }
        }
        let phase = entry.phase;
        self.entries.insert(id, entry);
        self.enter(id, phase);
    }

    fn remove(&mut self, id: JobId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        if let Some(due) = entry.timer() {
            self.timers.remove(&(due, id));
        }
        if entry.stop.is_some() {
            self.pending = self.pending.saturating_sub(1);
            let key = (entry.door, entry.address);
            if self.keys.get(&key) == Some(&id) {
                self.keys.remove(&key);
            }
        }
    }

    fn forget(&mut self, id: JobId) {
        self.actions.push_back(Action::Forget(id));
        self.remove(id);
    }

    /// The one place where a phase changes: timers and queues follow it. Whoever leaves a queue is
    /// taken out of it before.
    fn enter(&mut self, id: JobId, phase: Phase) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(due) = entry.timer() {
            self.timers.remove(&(due, id));
        }
        entry.phase = phase;
        if let Some(due) = entry.timer() {
            self.timers.insert((due, id));
        }
        match phase {
            Phase::Queued { .. } => self.starts.push_back(id),
            Phase::Due => self.stops.push_back(id),
            _ => {}
        }
    }

    /// A start command gets its place; it runs when its stop is on disk.
    fn begin_start(&mut self, id: JobId) {
        let Some(entry) = self.entries.get(&id) else { return };
        self.starting = self.starting.saturating_add(1);
        match entry.record(id, Began::Unknown, None) {
            Some(record) if !entry.recorded => {
                self.enter(id, Phase::Recording);
                self.actions.push_back(Action::Record(record));
            }
            _ => self.run_start(id),
        }
    }

    fn run_start(&mut self, id: JobId) {
        self.enter(id, Phase::Starting);
        let Some(start) = self.entries.get(&id).and_then(|entry| entry.start.clone()) else {
            return;
        };
        self.run(id, start, Which::Start);
    }

    fn run_stop(&mut self, id: JobId) {
        self.enter(id, Phase::Stopping);
        let Some(entry) = self.entries.get(&id) else { return };
        let Some(stop) = entry.stop.clone() else { return };
        self.stopping = self.stopping.saturating_add(1);
        let (door, address) = (entry.door.clone(), entry.address);
        if entry.tries == 0 {
            self.actions.push_back(Action::Log(Line::Timeout { door, address }));
        }
        self.run(id, stop, Which::Stop);
    }

    fn run(&mut self, id: JobId, command: Command, which: Which) {
        let Some(entry) = self.entries.get(&id) else { return };
        let (door, address, recorded) = (entry.door.clone(), entry.address, entry.recorded);
        let line = Line::Running { door, address, which, command: command.clone() };
        self.actions.push_back(Action::Log(line));
        self.actions.push_back(Action::Run { id, command, which, recorded });
    }

    fn start_ended(&mut self, id: JobId, ended: Ended, now: Instant) {
        let never = matches!(ended, Ended::NotBegun(_));
        let opened = ended == Ended::Code(0);
        self.report(id, Which::Start, ended);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.stop.is_none() {
            return self.remove(id);
        }
        if never && entry.began == Began::Unknown {
            // Nothing has been done that could be undone.
            let again = entry.again.take();
            self.forget(id);
            return again.into_iter().for_each(|job| self.queue(job));
        }
        entry.began = if opened { Began::Succeeded } else { Began::Failed };
        let due = now.after(entry.open_for);
        if self.end.is_some() {
            self.settle(id, now, due);
        } else if entry.again.is_some() {
            self.enter(id, Phase::Due);
        } else {
            self.enter(id, Phase::Open { due });
        }
    }

    fn stop_ended(&mut self, id: JobId, ended: Ended, now: Instant) {
        let never = matches!(ended, Ended::NotBegun(_));
        self.report(id, Which::Stop, ended);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if !never {
            let again = entry.again.take();
            self.forget(id);
            // It was admitted when it came, and the number of openings is the same as then.
            return again.into_iter().for_each(|job| self.queue(job));
        }
        // A door is not left open because the system has no process to spare for a moment.
        let pause = PAUSE.saturating_mul(1 << entry.tries.min(6));
        entry.tries = entry.tries.saturating_add(1);
        match self.end {
            Some(AtExit::HandOver) => self.settle(id, now, now),
            Some(AtExit::RunStops) if entry.tries >= LAST_TRIES => {
                let door = String::from_utf8_lossy(&entry.door).into_owned();
                let address = entry.address;
                self.remove(id);
                self.trouble(format!(
                    "{door}: still open for {address}; the next start of the daemon runs the stop \
                     command"
                ));
            }
            _ => self.enter(id, Phase::Open { due: now.after(pause) }),
        }
    }

    /// An opening whose command has ended is closed, or handed over, because the daemon is ending.
    fn settle(&mut self, id: JobId, now: Instant, due: Instant) {
        if self.end == Some(AtExit::RunStops) {
            return self.enter(id, Phase::Due);
        }
        let Some(entry) = self.entries.get(&id) else { return };
        if let Some(record) = entry.record(id, entry.began, Some(due.max(now))) {
            self.actions.push_back(Action::HandOver(record));
        }
        self.remove(id);
    }

    fn report(&mut self, id: JobId, which: Which, ended: Ended) {
        let Some(entry) = self.entries.get(&id) else { return };
        let (door, address) = (entry.door.clone(), entry.address);
        let code = match ended {
            Ended::Code(0) => return,
            Ended::Code(code) => code,
            Ended::Signal => 0,
            Ended::NotBegun(error) => {
                let line = Line::NotBegun { door, address, which, error };
                return self.actions.push_back(Action::Log(line));
            }
        };
        self.actions.push_back(Action::Log(Line::Status { door, address, which, code }));
    }

    fn trouble(&mut self, text: String) {
        self.actions.push_back(Action::Log(Line::Trouble(text)));
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
