//! A file is replaced by an edited one, so that after a crash it is the old or the new one, whole.
//!
//! The new text is written to a file of another name in the same folder, with the mode and owner of
//! the old one, and is on the disk before that file gets the old one's name: `rename(2)` changes the
//! name at once, so at no moment is there half a file under it. That the name has changed is on the
//! disk when the folder is. What a crash may leave behind is the file of the other name, which the
//! next edit removes.
//!
//! Daemons that share a file take turns: each holds a lock (`flock(2)`) on the file that it replaces.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{open, read, temporary};

/// How often, and how far apart, a lock is asked for that another daemon holds. It holds it for as
/// long as two writes to the disk take.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// What has just been done of a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Created,
    Written,
    Synced,
    Renamed,
}

/// Replaces the text of a file by what is made of it, and returns what is in the file now. When there
/// is nothing to change, the file stays. Links are followed.
pub(super) fn edit(
    path: &Path,
    change: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    let real = path.canonicalize()?;
    let mut old = lock(&real)?;
    let text = read(&mut old)?;
    let Some(new) = change(&text) else { return Ok(text) };
    if let Err(error) = replace(&real, &old, &new, &mut |_| Ok(())) {
        // It is in nobody's way if it stays.
        let _ = fs::remove_file(temporary(&real));
        return Err(error);
    }
    Ok(new)
}

/// Opens a file and locks it; it still has this name when both is done.
fn lock(real: &Path) -> io::Result<Flock<File>> {
    for _ in 0..TRIES {
        match Flock::lock(open(real)?, FlockArg::LockExclusiveNonblock) {
            Ok(file) => {
                let (ours, named) = (file.metadata()?, fs::metadata(real)?);
                if (ours.dev(), ours.ino()) == (named.dev(), named.ino()) {
                    return Ok(file);
                }
            }
            Err((_, Errno::EWOULDBLOCK)) => std::thread::sleep(PAUSE),
            Err((_, error)) => return Err(error.into()),
        }
    }
    Err(io::Error::other("another program holds a lock on it"))
}

/// Puts a new file in place of the old one. `after` is told of each step, and may end it there.
pub(super) fn replace(
    real: &Path,
    old: &File,
    text: &[u8],
    after: &mut dyn FnMut(Step) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = temporary(real);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut new = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
    after(Step::Created)?;
    new.write_all(text)?;
    let (was, is) = (old.metadata()?, new.metadata()?);
    if (was.uid(), was.gid()) != (is.uid(), is.gid()) {
        fchown(&new, Some(was.uid()), Some(was.gid()))?;
    }
    new.set_permissions(was.permissions())?;
    after(Step::Written)?;
    new.sync_all()?;
    after(Step::Synced)?;
    fs::rename(&temporary, real)?;
    after(Step::Renamed)?;
    File::open(real.parent().unwrap_or(Path::new("/")))?.sync_all()
}
