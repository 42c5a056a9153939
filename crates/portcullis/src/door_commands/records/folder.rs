//! The folders that records are in, and who holds them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::exit::Failure;
use crate::files::{make_folder, must_be_ours};
pub(super) use crate::files::{ours, sync, write_new};

pub const FOLDER: &str = "daemon-";
pub const LOCK: &str = "lock";
pub const NEW: &str = "new";
pub const SIGN: &str = "sign";

/// The folder of one daemon, locked by us.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) handle: File,
    _lock: Flock<File>,
    pub(super) records: usize,
}

impl Folder {
    /// Nothing when a living daemon holds it.
    pub(super) fn lock(path: PathBuf) -> io::Result<Option<Self>> {
        let file = ours(OpenOptions::new().write(true).create(true)).open(path.join(LOCK))?;
        let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(errno.into()),
        };
        // Only for people: who holds it now.
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0));
        let handle = File::open(&path)?;
        Ok(Some(Self { path, handle, _lock: lock, records: 0 }))
    }

    /// Removes the folder when nothing is pending in it. Whatever else is there was being written when
    /// its daemon died: nothing has been done on account of it.
    pub(super) fn remove_if_empty(&mut self) {
        if self.records > 0 {
            return;
        }
        for name in names(&self.path).unwrap_or_default() {
            if [NEW, SIGN].iter().any(|kind| name.ends_with(&format!(".{kind}"))) {
                let _ = fs::remove_file(self.path.join(name));
            }
        }
        let _ = fs::remove_file(self.path.join(LOCK));
        // If it does not go, the next daemon tries again.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Makes the folder and those above it.
pub(super) fn make(dir: &Path) -> Result<(), Failure> {
    make_folder(dir).map_err(|error| {
        Failure::could_not(format!("cannot create the directory {}: {error}", dir.display()))
            .hint("name another directory for pending stop commands with `--state-dir`")
    })
}

/// The folder must be ours alone: what is in it is executed by us.
pub(super) fn check(dir: &Path) -> Result<(), Failure> {
    let shown = dir.display();
    let about = fs::metadata(dir)
        .map_err(|error| Failure::could_not(format!("cannot read {shown}: {error}")))?;
    must_be_ours(
        &about,
        shown,
        "executed",
        "name a directory for pending stop commands with `--state-dir`",
    )
}

/// While this is held, nobody makes a folder or looks for the dead.
pub(super) fn lock_all(dir: &Path) -> io::Result<Flock<File>> {
    let file = ours(OpenOptions::new().write(true).create(true)).open(dir.join(LOCK))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// Whether it is the name of such a folder, and not of something that was set aside.
pub(super) fn is_of_a_daemon(name: &str) -> bool {
    let numbers = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    name.strip_prefix(FOLDER).is_some_and(numbers)
}

/// What is in a folder, oldest number first.
pub(super) fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        // Others are not ours.
        names.extend(entry?.file_name().into_string());
    }
    names.sort_by_key(|name| (name.len(), name.clone()));
    Ok(names)
}
