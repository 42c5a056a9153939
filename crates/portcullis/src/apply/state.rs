//! The state on disk: one file, replaced as a whole, so that after a crash it is the old or the new one.
//!
//! ```text
//! /var/lib/portcullis/apply/   0700, only ours: its content is loaded into the kernel
//!   lock                       held while a command changes the rules or the file
//!   state.json                 the confirmed rules, and the rules on trial
//!   confirmed.toml             a copy of the confirmed configuration, for `portcullis run`
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use portcullis_config::MAX_BYTES;
use portcullis_core::time::Instant;
use portcullis_linux::proc;
use serde::{Deserialize, Serialize};

use super::chains::Chains;
use crate::exit::Failure;
use crate::files::{make_folder, must_be_ours, ours, sync, write_new};

const LOCK: &str = "lock";
const FILE: &str = "state.json";
const NEW: &str = "state.json.new";
const COPY: &str = "confirmed.toml";
const NEW_COPY: &str = "confirmed.toml.new";

/// Of the file; another one is not understood.
const VERSION: u32 = 1;

/// Longest file that is read: three configurations, of which JSON doubles every byte at worst but for
/// control characters, which no configuration has many of; and chains, which are far shorter.
const LONGEST: u64 = 8 * MAX_BYTES;

/// What is confirmed, and what waits to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    /// The configuration that is loaded at boot.
    pub confirmed: Option<String>,
    /// If that is for iptables: the chains as they were read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chains: Option<Chains>,
    /// The one that is in force on trial.
    pub pending: Option<Pending>,
}

impl Default for State {
    fn default() -> Self {
        Self { version: VERSION, confirmed: None, chains: None, pending: None }
    }
}

impl State {
    /// With this configuration confirmed, and none on trial; if it is for iptables, with its chains.
    pub fn with_confirmed(text: String, chains: Option<Chains>) -> Self {
        Self { confirmed: Some(text), chains, ..Self::default() }
    }

    /// With this configuration on trial, or none; what is confirmed stays.
    #[must_use]
    pub fn with_pending(&self, pending: Option<Pending>) -> Self {
        Self { pending, ..self.clone() }
    }
}

/// A configuration on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Different from that of every other one of this boot.
    pub id: u64,
    /// Where it was applied.
    pub here: Here,
    /// When it is rolled back, in nanoseconds of CLOCK_BOOTTIME.
    pub deadline: u64,
    /// Since when the kernel has held it; nothing while it is being loaded.
    pub loaded: Option<u64>,
    /// The connection (`SSH_CONNECTION`) that it was applied from; nothing on a console.
    pub session: Option<String>,
    /// The configuration that comes back; nothing when there was no gate.
    pub before: Option<String>,
    /// The configuration itself.
    pub new: String,
    /// If it is for iptables: the chains as they were read back; nothing while they are being loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chains: Option<Chains>,
    /// Whether there may be chains of iptables while it is on trial, before it, in it or both.
    #[serde(default)]
    pub has_chains: bool,
}

/// Which network of which life of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Here {
    boot: String,
    /// The number of the network namespace; 0 when it cannot be read.
    network: u64,
}

impl Here {
    /// Asks the kernel.
    pub fn now() -> Self {
        let network = fs::metadata("/proc/self/ns/net").map_or(0, |namespace| namespace.ino());
        Self { boot: proc::boot(), network }
    }
}

/// How a trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can be confirmed for so long.
    Waiting(Duration),
    /// Its time is over, but nobody has rolled it back: the timer was killed, or is just about to.
    Overdue,
    /// The machine was booted since: the kernel has forgotten it.
    Forgotten,
    /// It is on trial in another network namespace.
    Elsewhere,
}

impl Pending {
    /// How it stands, seen from here and now.
    pub fn standing(&self, here: &Here, now: Instant) -> Standing {
        let left = Instant::from_nanos(self.deadline).since(now);
        if self.here.boot != here.boot {
            Standing::Forgotten
        } else if self.here.network != here.network {
            Standing::Elsewhere
        } else if left.is_zero() {
            Standing::Overdue
        } else {
            Standing::Waiting(left)
        }
    }
}

/// The state, which nobody else can change while this lives.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    _lock: Flock<File>,
    /// What the file says.
    pub state: State,
}

/// What came of an attempt to open a [`Store`].
#[derive(Debug)]
pub enum Opened {
    /// It is ours.
    Store(Box<Store>),
    /// There is no such folder.
    Absent,
    /// Somebody else has it.
    Held,
}

/// A state that is on the disk, but not in force yet.
#[derive(Debug)]
#[must_use = "nothing has changed before it is committed"]
pub struct Staged(State);

impl Store {
    /// Opens it, with an empty state where there is none, and makes the folder if it is missing.
    /// Waits until nobody else has it.
    ///
    /// # Errors
    ///
    /// The folder cannot be had or is not ours alone, or the file in it is damaged.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        make_folder(folder).map_err(|error| failure(folder, "make", &error))?;
        let store = Self::open_existing(folder)?;
        store.ok_or_else(|| failure(folder, "open", &io::Error::from(io::ErrorKind::NotFound)))
    }

    /// The same, but nothing where there is no such folder.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn open_existing(folder: &Path) -> Result<Option<Self>, Failure> {
        match Self::open_with(folder, FlockArg::LockExclusive)? {
            Opened::Store(store) => Ok(Some(*store)),
            Opened::Absent | Opened::Held => Ok(None),
        }
    }

    /// The same, without waiting for whoever has it.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn open_at_once(folder: &Path) -> Result<Opened, Failure> {
        Self::open_with(folder, FlockArg::LockExclusiveNonblock)
    }

    fn open_with(folder: &Path, how: FlockArg) -> Result<Opened, Failure> {
        if !check(folder)? {
            return Ok(Opened::Absent);
        }
        let path = folder.join(LOCK);
        let file = match ours(OpenOptions::new().write(true).create(true)).open(&path) {
            // At boot, before the disk can be written to.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                File::open(&path).or_else(|_| File::open(folder))
            }
            other => other,
        };
        let file = file.map_err(|error| failure(&path, "open", &error))?;
        let lock = match Flock::lock(file, how) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => return Ok(Opened::Held),
            Err((_, errno)) => return Err(failure(&path, "lock", &errno.into())),
        };
        let state = peek(folder)?;
        let store = Self { folder: folder.to_owned(), _lock: lock, state };
        Ok(Opened::Store(Box::new(store)))
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a state beside the one in force. What can go wrong with the disk goes wrong here.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn stage(&self, state: State) -> Result<Staged, Failure> {
        let path = self.folder.join(NEW);
        let text = serde_json::to_vec(&state).map_err(io::Error::from);
        text.and_then(|text| write_new(&path, &text))
            .map_err(|error| failure(&path, "write", &error))?;
        Ok(Staged(state))
    }

    /// Puts it in the place of the one in force.
    ///
    /// # Errors
    ///
    /// The folder cannot be written to.
    pub fn commit(&mut self, Staged(state): Staged) -> Result<(), Failure> {
        let path = self.folder.join(FILE);
        fs::rename(self.folder.join(NEW), &path)
            .and_then(|()| sync(&File::open(&self.folder)?))
            .map_err(|error| failure(&path, "replace", &error))?;
        self.state = state;
        self.copy()
    }

    /// Makes the copy of what is confirmed equal to it. A crash may have come in between: it is made
    /// anew at boot, before the daemon starts.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn copy(&self) -> Result<(), Failure> {
        let path = self.folder.join(COPY);
        let there = fs::read(&path);
        let result = match (&self.state.confirmed, there) {
            (Some(text), Ok(there)) if text.as_bytes() == there => Ok(()),
            (None, Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            (Some(text), _) => {
                let new = self.folder.join(NEW_COPY);
                write_new(&new, text.as_bytes()).and_then(|()| fs::rename(&new, &path))
            }
            (None, _) => fs::remove_file(&path),
        };
        result
            .and_then(|()| sync(&File::open(&self.folder)?))
            .map_err(|error| failure(&path, "replace", &error))
    }

    /// Both at once.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn save(&mut self, state: State) -> Result<(), Failure> {
        let staged = self.stage(state)?;
        self.commit(staged)
    }
}

/// The state as it is at this moment, for who only looks.
///
/// # Errors
///
/// It cannot be read or understood.
pub fn peek(folder: &Path) -> Result<State, Failure> {
    let path = folder.join(FILE);
    let mut text = Vec::new();
    let read = ours(OpenOptions::new().read(true))
        .open(&path)
        .and_then(|file| file.take(LONGEST).read_to_end(&mut text));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(failure(&path, "read", &error)),
    }
    let state: Option<State> = serde_json::from_slice(&text).ok();
    state.filter(|state| state.version == VERSION).ok_or_else(|| {
        let shown = shown(&path);
        Failure::could_not(format!(
            "{shown} is damaged, or another version of this program wrote it"
        ))
        .hint(
            "this file holds the rules for the next boot; move it away, then run `portcullis \
             apply` again",
        )
    })
}

/// As [`peek`], and the empty state where there is no such folder.
///
/// # Errors
///
/// The folder is not ours alone, or the file in it is damaged.
pub fn look(folder: &Path) -> Result<State, Failure> {
    if check(folder)? { peek(folder) } else { Ok(State::default()) }
}

/// Whether there is a folder; it must be ours alone.
fn check(folder: &Path) -> Result<bool, Failure> {
    let about = match fs::metadata(folder) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failure(folder, "look at", &error)),
    };
    must_be_ours(
        &about,
        shown(folder),
        "loaded into the kernel",
        "name the state directory with `--state-dir`",
    )
    .map(|()| true)
}

fn failure(path: &Path, doing: &str, error: &io::Error) -> Failure {
    Failure::could_not(format!("cannot {doing} {}: {error}", shown(path)))
        .hint("run this as root, or name another state directory with `--state-dir`")
}

fn shown(path: &Path) -> String {
    format!("`{}`", path.to_string_lossy().escape_debug())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn pending() -> Pending {
        Pending {
            id: 1,
            here: Here { boot: "b".to_owned(), network: 5 },
            deadline: 1_000,
            loaded: None,
            session: None,
            before: None,
            new: "[door.ssh]".to_owned(),
            chains: None,
            has_chains: false,
        }
    }

    #[test]
    fn what_is_saved_is_found() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("a/b");
        assert!(Store::open_existing(&folder).unwrap().is_none());
        let mut store = Store::open(&folder).unwrap();
        assert_eq!(store.state, State::default());
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let text = "\u{7f}\t\"\\ §\n".to_owned();
        let state = State { confirmed: Some(text), pending: Some(pending()), ..State::default() };
        // Until it is committed, it is not in force.
        let staged = store.stage(state.clone()).unwrap();
        assert_eq!(peek(&folder).unwrap(), State::default());
        store.commit(staged).unwrap();
        assert_eq!(peek(&folder).unwrap(), state);
        let file = fs::metadata(folder.join(FILE)).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        drop(store);
        let mut store = Store::open(&folder).unwrap();
        assert_eq!(store.state, state);
        // The copy follows, and is mended.
        let copy = folder.join(COPY);
        let text = state.confirmed.unwrap();
        assert_eq!(fs::read_to_string(&copy).unwrap(), text);
        fs::write(&copy, "old").unwrap();
        store.copy().unwrap();
        assert_eq!(fs::read_to_string(&copy).unwrap(), text);
        store.save(State::default()).unwrap();
        assert!(!copy.exists());
    }

    #[test]
    fn what_others_could_have_written_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let open_to = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode));
        for mode in [0o720, 0o702, 0o777] {
            open_to(mode).unwrap();
            assert!(Store::open(folder.path()).unwrap_err().message.contains("changed by others"));
        }
        open_to(0o755).unwrap();
        Store::open(folder.path()).unwrap();
        std::os::unix::fs::symlink("/dev/null", folder.path().join(FILE)).unwrap();
        assert!(Store::open(folder.path()).unwrap_err().message.contains("cannot read"));
    }

    #[test]
    fn damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let whole = serde_json::to_string(&State { pending: Some(pending()), ..State::default() });
        let whole = whole.unwrap();
        for length in 0..whole.len() {
            fs::write(folder.path().join(FILE), &whole[..length]).unwrap();
            assert!(peek(folder.path()).is_err(), "{length}");
        }
        for other in [whole.replace("\"version\":1", "\"version\":2"), whole.replace("id", "ID")] {
            fs::write(folder.path().join(FILE), other).unwrap();
            assert!(peek(folder.path()).unwrap_err().message.contains("damaged"));
        }
    }

    #[test]
    fn how_a_trial_stands() {
        let pending = pending();
        let at = |nanos| pending.standing(&pending.here, Instant::from_nanos(nanos));
        assert_eq!(at(0), Standing::Waiting(Duration::from_nanos(1_000)));
        assert_eq!(at(999), Standing::Waiting(Duration::from_nanos(1)));
        assert_eq!(at(1_000), Standing::Overdue);
        assert_eq!(at(2_000), Standing::Overdue);
        let other_boot = Here { boot: "c".to_owned(), network: 5 };
        let other_network = Here { network: 6, ..pending.here.clone() };
        let from = |here| pending.standing(here, Instant::ORIGIN);
        assert_eq!(from(&other_boot), Standing::Forgotten);
        assert_eq!(from(&other_network), Standing::Elsewhere);
    }
}
