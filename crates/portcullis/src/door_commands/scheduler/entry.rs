//! One opening: of one door, for one address.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::time::Instant;

use super::super::job::{Began, Command, Job, JobId, PendingStop};

/// One opening.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) door: Vec<u8>,
    pub(super) address: IpAddr,
    /// Unknown of a stop that was left behind.
    pub(super) start: Option<Command>,
    pub(super) stop: Option<Command>,
    pub(super) open_for: Duration,
    pub(super) phase: Phase,
    pub(super) began: Began,
    pub(super) recorded: bool,
    /// What to open when the stop command has ended.
    pub(super) again: Option<Job>,
    /// How often the stop command could not begin.
    pub(super) tries: u32,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The start command waits for a place. `due`: it has failed before, and then its stop is due.
    Queued { due: Option<Instant> },
    /// It has its place, but the record is not on disk yet.
    Recording,
    /// It runs.
    Starting,
    /// It has ended.
    Open { due: Instant },
    /// A command of an earlier daemon still runs.
    Held { due: Instant },
    /// The stop command waits for a place.
    Due,
    /// It runs.
    Stopping,
}

impl Entry {
    pub(super) fn of(job: Job) -> Self {
        Self {
            door: job.door,
            address: job.address,
            start: job.start,
            stop: job.stop,
            open_for: job.open_for,
            phase: Phase::Queued { due: None },
            began: Began::Unknown,
            recorded: false,
            again: None,
            tries: 0,
        }
    }

    pub(super) fn timer(&self) -> Option<Instant> {
        match self.phase {
            Phase::Queued { due } => due,
            Phase::Open { due } => Some(due),
            _ => None,
        }
    }

    pub(super) fn is_same(&self, job: &Job) -> bool {
        self.stop == job.stop && (self.start.is_none() || self.start == job.start)
    }

    pub(super) fn record(
        &self,
        id: JobId,
        began: Began,
        due: Option<Instant>,
    ) -> Option<PendingStop> {
        let stop = self.stop.clone()?;
        Some(PendingStop { id, door: self.door.clone(), address: self.address, stop, began, due })
    }

    /// The knock that is waiting.
    pub(super) fn job(&self) -> Option<Job> {
        let (door, stop) = (self.door.clone(), self.stop.clone());
        let start = Some(self.start.clone()?);
        Some(Job { door, address: self.address, start, stop, open_for: self.open_for })
    }
}
