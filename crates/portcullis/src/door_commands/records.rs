//! Pending stops on disk: they outlive the daemon that wrote them.
//!
//! ```text
//! /var/lib/portcullis/knockd/    0700, only ours: its content is executed; run/ of `portcullis run`
//!   lock                         held while a daemon looks for dead ones
//!   daemon-812-0/                one daemon
//!     lock                       held while that daemon lives; its process id
//!     17.record                  one pending stop; 17.new while it is being written
//!     17.sign                    which process runs a command of it
//!   daemon-811-0-9.record.damaged  what could not be understood, and was not executed
//! ```
//!
//! A record exists from before its start command runs until its stop command has ended. Only an orderly exit
//! with a hand-over writes the time to close. After a crash, a kill or a reboot this time is unknown, and the
//! daemon that finds the record closes at once. So a knock that extends an opening writes nothing.
//!
//! A new daemon takes the locks of the dead ones, and keeps them until it has done what they left
//! behind. Nothing is copied or moved: when it is killed in the middle, the next one finds the same.
//! So a stop command can run twice, but never not at all.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use portcullis_core::time::Instant;

use self::folder::{
    FOLDER, Folder, LOCK, NEW, SIGN, check, is_of_a_daemon, lock_all, make, names, ours, sync,
    write_new,
};
use super::job::{JobId, PendingStop};
use super::orphan::Orphan;
use crate::exit::Failure;

mod folder;
mod format;

const RECORD: &str = "record";

/// Length of a sign, see [`portcullis_linux::sys::spawn::shell`].
const BLANK: [u8; 32] = [b' '; 32];

/// Which life of which machine this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    /// `/proc/sys/kernel/random/boot_id`; empty when it cannot be read.
    pub boot: String,
    /// The number of the namespace of process ids; 0 when it cannot be read.
    pub pids: u64,
}

impl Here {
    /// Asks the kernel.
    pub fn now() -> Self {
        let pids = fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino());
        Self { boot: portcullis_linux::proc::boot(), pids }
    }

    fn same_boot(&self, other: &Self) -> bool {
        !self.boot.is_empty() && self.boot == other.boot
    }

    fn same_pids(&self, other: &Self) -> bool {
        self.same_boot(other) && self.pids != 0 && self.pids == other.pids
    }
}

/// The records of this daemon, and those that it has taken over.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    here: Here,
    /// The first is our own, if we have one.
    folders: Vec<Folder>,
    has_own: bool,
    files: HashMap<JobId, (usize, PathBuf)>,
}

/// What earlier daemons have left behind.
#[derive(Debug, Default)]
pub struct Found {
    /// Stops that are ours to run now.
    pub leftovers: Vec<Leftover>,
    /// Other daemons that are alive, and what they keep open.
    pub alive: Vec<Alive>,
    /// What could not be understood: each one sentence.
    pub troubles: Vec<String>,
}

/// A stop that an earlier daemon left behind.
#[derive(Debug)]
pub struct Leftover {
    /// With an id of ours.
    pub record: PendingStop,
    /// When to run it: at once, or after an orderly end in this boot when it is due.
    pub due: Instant,
    /// A command of it that still runs, and must be awaited.
    pub orphan: Option<Orphan>,
}

/// A daemon that lives.
#[derive(Debug, PartialEq, Eq)]
pub struct Alive {
    /// Its process id.
    pub pid: Option<u32>,
    /// Its pending stops.
    pub open: Vec<PendingStop>,
}

/// Whether a daemon, dead or alive, has left anything in this folder.
pub fn has_any(dir: &Path) -> bool {
    names(dir).is_ok_and(|names| names.iter().any(|name| is_of_a_daemon(name)))
}

impl Store {
    /// Makes the folder if it is missing, takes over what the dead have left in it, and makes a folder
    /// for this daemon, which is kept until the store is dropped. What is taken over is numbered from
    /// `first` on.
    ///
    /// # Errors
    ///
    /// When the folder is not ours alone, or cannot be made or locked.
    pub fn open(dir: &Path, first: JobId, now: Instant) -> Result<(Self, Found), Failure> {
        Self::open_here(dir, Here::now(), first, now)
    }

    /// The same, in another life of the machine.
    pub(super) fn open_here(
        dir: &Path,
        here: Here,
        first: JobId,
        now: Instant,
    ) -> Result<(Self, Found), Failure> {
        make(dir)?;
        check(dir)?;
        let cannot = |error| {
            Failure::could_not(format!(
                "cannot write to the state directory {}: {error}",
                dir.display()
            ))
        };
        let all = lock_all(dir).map_err(cannot)?;
        let mut store = Self::without_own(dir, here);
        store.make_own().map_err(cannot)?;
        let found = store.take_over(first, now).map_err(cannot)?;
        drop(all);
        Ok((store, found))
    }

    /// Takes over what the dead have left, for somebody who opens nothing; nothing when there is no
    /// such folder.
    ///
    /// # Errors
    ///
    /// When the folder is not ours alone, or cannot be locked.
    pub fn of_the_dead(
        dir: &Path,
        first: JobId,
        now: Instant,
    ) -> Result<Option<(Self, Found)>, Failure> {
        if fs::symlink_metadata(dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        check(dir)?;
        let cannot = |error| {
            Failure::could_not(format!(
                "cannot read the state directory {}: {error}",
                dir.display()
            ))
        };
        let all = lock_all(dir).map_err(cannot)?;
        let mut store = Self::without_own(dir, Here::now());
        let found = store.take_over(first, now).map_err(cannot)?;
        drop(all);
        Ok(Some((store, found)))
    }

    /// Writes a record, or replaces it. When this returns, it survives a loss of power.
    ///
    /// # Errors
    ///
    /// When it cannot be written; then there is none, or the one before.
    pub fn write(&mut self, record: &PendingStop) -> io::Result<()> {
        let text = format::write(record, &self.here);
        if text.len() > format::LONGEST {
            return Err(io::Error::other("the command is too long"));
        }
        let known = self.files.get(&record.id).cloned();
        let fresh = known.is_none();
        let (at, path) = match known {
            Some(known) => known,
            None => (0, self.own()?.path.join(format!("{}.{RECORD}", record.id.0))),
        };
        let folder = self.folders.get_mut(at).ok_or(io::ErrorKind::NotFound)?;
        let new = path.with_extension(NEW);
        let result = write_new(&new, &text)
            .and_then(|()| fs::rename(&new, &path))
            .and_then(|()| sync(&folder.handle));
        if result.is_err() {
            let _ = fs::remove_file(&new);
            if fresh {
                let _ = fs::remove_file(&path);
            }
        } else if fresh {
            folder.records = folder.records.saturating_add(1);
            self.files.insert(record.id, (at, path));
        }
        result
    }

    /// The file in which the next command of a record signs, emptied.
    ///
    /// # Errors
    ///
    /// When there is no such record, or the file cannot be written.
    pub fn sign(&self, id: JobId) -> io::Result<File> {
        let (_, path) = self.files.get(&id).ok_or(io::ErrorKind::NotFound)?;
        let path = path.with_extension(SIGN);
        let file = ours(OpenOptions::new().write(true).create(true)).open(path)?;
        // A full disk is noticed now, and not when the command has begun.
        file.write_all_at(&BLANK, 0)?;
        Ok(file)
    }

    /// Removes a record. This is not made durable: who loses power a moment later closes the door once
    /// more after that.
    ///
    /// # Errors
    ///
    /// When the file stays: its stop command is run once more by the next daemon.
    pub fn forget(&mut self, id: JobId) -> io::Result<()> {
        let Some((at, path)) = self.files.remove(&id) else { return Ok(()) };
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let _ = fs::remove_file(path.with_extension(SIGN));
        if let Some(folder) = self.folders.get_mut(at) {
            folder.records = folder.records.saturating_sub(1);
            if at > 0 || !self.has_own {
                folder.remove_if_empty();
            }
        }
        Ok(())
    }

    fn without_own(dir: &Path, here: Here) -> Self {
        Self {
            dir: dir.to_owned(),
            here,
            folders: Vec::new(),
            has_own: false,
            files: HashMap::new(),
        }
    }

    fn own(&self) -> io::Result<&Folder> {
        let own = self.folders.first().filter(|_| self.has_own);
        own.ok_or_else(|| io::Error::other("there is no state directory"))
    }

    fn make_own(&mut self) -> io::Result<()> {
        let pid = std::process::id();
        for attempt in 0..1000u32 {
            // Of the same process id there can be a dead one, of a container or an earlier boot.
            let path = self.dir.join(format!("{FOLDER}{pid}-{attempt}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    let folder = Folder::lock(path)?.ok_or(io::ErrorKind::ResourceBusy)?;
                    sync(&folder.handle)?;
                    sync(&File::open(&self.dir)?)?;
                    self.folders.push(folder);
                    self.has_own = true;
                    return Ok(());
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Locks all folders that nobody holds, and reads all records. The lock of all is held.
    fn take_over(&mut self, first: JobId, now: Instant) -> io::Result<Found> {
        let mut found = Found::default();
        let own = self.own().ok().map(|own| own.path.clone());
        for name in names(&self.dir)? {
            let path = self.dir.join(&name);
            let is_folder = fs::symlink_metadata(&path).is_ok_and(|file| file.is_dir());
            if !is_folder || !is_of_a_daemon(&name) || own.as_ref() == Some(&path) {
                continue;
            }
            match Folder::lock(path.clone()) {
                Ok(Some(folder)) => self.inherit(folder, first, now, &mut found)?,
                Ok(None) => found.alive.push(alive(&path)),
                Err(error) => found.troubles.push(cannot_read(&path, &error)),
            }
        }
        Ok(found)
    }

    fn inherit(
        &mut self,
        mut folder: Folder,
        first: JobId,
        now: Instant,
        found: &mut Found,
    ) -> io::Result<()> {
        let at = self.folders.len();
        for name in names(&folder.path)? {
            let path = folder.path.join(&name);
            if path.extension().is_none_or(|kind| kind != RECORD) {
                continue;
            }
            let number = u64::try_from(self.files.len()).unwrap_or(u64::MAX);
            let id = JobId(first.0.saturating_add(number));
            match read(&path, id) {
                Ok(Some((record, there))) => {
                    let orphan = if there.same_pids(&self.here) {
                        fs::read(path.with_extension(SIGN))
                            .ok()
                            .and_then(|sign| Orphan::find(&sign))
                    } else {
                        None
                    };
                    let due = record.due.filter(|_| there.same_boot(&self.here)).unwrap_or(now);
                    found.leftovers.push(Leftover { record, due, orphan });
                    self.files.insert(id, (at, path));
                    folder.records = folder.records.saturating_add(1);
                }
                Ok(None) => found.troubles.push(self.set_aside(&folder, &name)),
                Err(error) => {
                    found.troubles.push(cannot_read(&path, &error));
                    // It stays, and so does its folder, for the next daemon.
                    folder.records = folder.records.saturating_add(1);
                }
            }
        }
        folder.remove_if_empty();
        self.folders.push(folder);
        Ok(())
    }

    /// A file that is not a whole record is kept for a person, and never executed.
    fn set_aside(&self, folder: &Folder, name: &str) -> String {
        let from = folder.path.join(name);
        let place = folder.path.file_name().unwrap_or_default().to_string_lossy();
        let to = self.dir.join(format!("{place}-{name}.damaged"));
        let kept = match fs::rename(&from, &to) {
            Ok(()) => to,
            Err(_) => from,
        };
        format!(
            "the record of a pending stop command is damaged; check by hand whether its door is \
             still open: {}",
            kept.display()
        )
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        for folder in &mut self.folders {
            folder.remove_if_empty();
        }
    }
}

/// The record in a file; nothing when it is not a whole one of ours.
fn read(path: &Path, id: JobId) -> io::Result<Option<(PendingStop, Here)>> {
    let file = match ours(OpenOptions::new().read(true)).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Ok(None),
        other => other?,
    };
    let about = file.metadata()?;
    if !about.is_file() || about.uid() != geteuid().as_raw() {
        return Ok(None);
    }
    let mut text = Vec::new();
    let most = u64::try_from(format::LONGEST).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1)).read_to_end(&mut text)?;
    Ok(format::read(&text, id))
}

fn alive(path: &Path) -> Alive {
    let pid = fs::read_to_string(path.join(LOCK)).ok().and_then(|text| text.trim().parse().ok());
    let mut open = Vec::new();
    for name in names(path).unwrap_or_default() {
        let record = name.ends_with(&format!(".{RECORD}"));
        let record = record.then(|| read(&path.join(&name), JobId(0)).ok().flatten());
        open.extend(record.flatten().map(|(record, _)| record));
    }
    Alive { pid, open }
}

fn cannot_read(path: &Path, error: &io::Error) -> String {
    format!("cannot read a pending stop command in {}: {error}", path.display())
}

#[cfg(test)]
mod tests;
