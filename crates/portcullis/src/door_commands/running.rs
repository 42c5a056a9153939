//! The commands that are running. One process each, no thread.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use portcullis_linux::sys::spawn;

use super::job::{Command, Ended, JobId};
use super::orphan::Orphan;

/// Everything that runs: commands of ours, and those of earlier daemons. Dropping it ends none.
#[derive(Debug)]
pub struct Running {
    ends: Epoll,
    commands: Vec<Process>,
    orphans: Vec<(JobId, Orphan)>,
}

#[derive(Debug)]
struct Process {
    id: JobId,
    child: Child,
    /// Only to be told by `ends`; without it SIGCHLD tells.
    end: Option<OwnedFd>,
}

impl Running {
    /// Nothing is running.
    ///
    /// # Errors
    ///
    /// When the process has too many descriptors.
    pub fn none() -> io::Result<Self> {
        let ends = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { ends, commands: Vec::new(), orphans: Vec::new() })
    }

    /// Runs a command; `sign` is the file in which it leaves its sign.
    ///
    /// # Errors
    ///
    /// When it has not begun.
    pub fn start(&mut self, id: JobId, command: &Command, sign: Option<&File>) -> io::Result<()> {
        let child = match command {
            Command::Shell(line) => spawn::shell(line, sign),
            Command::Program(arguments) => spawn::program(arguments, sign),
        }?;
        let end = spawn::pidfd(child.id()).ok();
        if let Some(end) = &end {
            self.watch(end.as_fd());
        }
        self.commands.push(Process { id, child, end });
        Ok(())
    }

    /// Awaits a command of an earlier daemon.
    pub fn await_orphan(&mut self, id: JobId, orphan: Orphan) {
        self.watch(orphan.as_fd());
        self.orphans.push((id, orphan));
    }

    /// Ready to be read when `reap` or `ended_orphans` has something to say.
    pub fn ends(&self) -> BorrowedFd<'_> {
        self.ends.0.as_fd()
    }

    /// Which commands have ended since the last time, and how.
    pub fn reap(&mut self) -> Vec<(JobId, Ended)> {
        let mut ended = Vec::new();
        self.commands.retain_mut(|command| {
            let how = match command.child.try_wait() {
                Ok(None) => return true,
                Ok(Some(status)) => status.code().map_or(Ended::Signal, Ended::Code),
                // Somebody else has waited for it: it has ended, nobody knows how.
                Err(_) => Ended::Signal,
            };
            if let Some(end) = &command.end {
                let _ = self.ends.delete(end);
            }
            ended.push((command.id, how));
            false
        });
        ended
    }

    /// Which commands of earlier daemons have ended since the last time.
    pub fn ended_orphans(&mut self) -> Vec<JobId> {
        let mut ended = Vec::new();
        self.orphans.retain(|(id, orphan)| {
            if !orphan.has_ended() {
                return true;
            }
            let _ = self.ends.delete(orphan);
            ended.push(*id);
            false
        });
        ended
    }

    fn watch(&self, fd: BorrowedFd<'_>) {
        // It would leave the set by itself when it is closed, but not while a process that has just
        // been forked has it too. If there is no room, SIGCHLD tells.
        let _ = self.ends.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, 0));
    }
}
