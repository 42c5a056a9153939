//! `--close-all`: closes now what dead daemons have left open, without starting one.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use portcullis_linux::clock;

use super::Commands;
use super::job::{AtExit, Ended, JobId, Line, Options};
use super::records::{Alive, Store};
use crate::exit::{Exit, Failure, Outcome};

/// How often to look at what no descriptor tells of, in milliseconds.
const LOOK: u16 = 1000;

/// Runs the pending stop commands of all daemons that are dead, so many at once, and waits for them.
/// Says on standard output what became of each door, and which are kept open by living daemons.
///
/// [`Exit::CouldNot`] when a stop command returned another status than 0, or a door stays open.
///
/// # Errors
///
/// When the folder is not ours alone, or cannot be read.
pub fn close_all(dir: &Path) -> Outcome {
    close_all_to(dir, &mut io::stdout().lock(), &mut io::stderr().lock())
}

/// The same, said elsewhere. If nobody listens, the doors are closed all the same.
pub(super) fn close_all_to(dir: &Path, out: &mut impl Write, err: &mut impl Write) -> Outcome {
    let begin = clock();
    let mut commands = Commands::new(Options::default())?;
    let found = Store::of_the_dead(dir, commands.scheduler.next_id(), begin)?;
    let (store, found) = found.unzip();
    let mut found = found.unwrap_or_default();
    let alive = std::mem::take(&mut found.alive);
    let names: HashMap<JobId, String> = found
        .leftovers
        .iter()
        .map(|left| (left.record.id, name(&left.record.door, left.record.address)))
        .collect();

    let mut all = true;
    if let Some(store) = store {
        commands.adopt(store, found, begin);
    }
    commands.shut_down(AtExit::RunStops, begin);
    loop {
        for line in commands.take_lines() {
            let text = match line {
                Line::Trouble(text) => text,
                Line::NotBegun { door, address, which, error } => {
                    format!("{}: cannot run the {which}: {error}", name(&door, address))
                }
                _ => continue,
            };
            all = false;
            let _ = writeln!(err, "warning: {text}");
        }
        if commands.is_done() {
            break;
        }
        wait(&commands)?;
        let now = clock();
        for (id, ended) in commands.reap(now) {
            let Some(name) = names.get(&id) else { continue };
            all &= ended == Ended::Code(0);
            let _ = match ended {
                Ended::Code(0) => writeln!(out, "{name}: closed"),
                Ended::Code(code) => {
                    writeln!(out, "{name}: the stop command exited with status {code}")
                }
                Ended::Signal | Ended::NotBegun(_) => {
                    writeln!(out, "{name}: the stop command was killed")
                }
            };
        }
        commands.handle_timeout(now);
    }

    if names.is_empty() && alive.iter().all(|daemon| daemon.open.is_empty()) && all {
        let _ = writeln!(out, "no doors were left open");
    }
    for daemon in &alive {
        all &= daemon.open.is_empty();
        tell(daemon, out, err);
    }
    Ok(if all { Exit::Done } else { Exit::CouldNot })
}

fn tell(daemon: &Alive, out: &mut impl Write, err: &mut impl Write) {
    let who = daemon.pid.map_or_else(|| "a daemon".to_owned(), |pid| format!("process {pid}"));
    for record in &daemon.open {
        let name = name(&record.door, record.address);
        let _ = writeln!(out, "{name}: open, and {who} will close it");
    }
    if let (Some(pid), false) = (daemon.pid, daemon.open.is_empty()) {
        let _ = writeln!(err, "  hint: stop that daemon, which closes its doors: kill {pid}");
    }
}

/// Until a command has ended, or something is due.
fn wait(commands: &Commands) -> Result<(), Failure> {
    let most = commands.poll_timeout().map_or(LOOK, |due| {
        let left = due.since(clock()).as_millis().saturating_add(1);
        u16::try_from(left).map_or(LOOK, |left| left.min(LOOK))
    });
    let mut fds = [PollFd::new(commands.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(most)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(Failure::could_not(format!("cannot wait: {}", errno.desc()))),
    }
}

fn name(door: &[u8], address: IpAddr) -> String {
    format!("{} for {address}", String::from_utf8_lossy(door))
}
