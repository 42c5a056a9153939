//! Files that are ours alone, and that are whole or not there after a crash.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A file for us alone, and never one that a link leads to.
pub(crate) fn ours(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW)
}

/// Writes a file, and waits until it is on the disk.
pub(crate) fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = ours(OpenOptions::new().write(true).create(true)).truncate(true).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Waits until the names in a folder are on the disk. Some file systems cannot do it for folders.
pub(crate) fn sync(folder: &File) -> io::Result<()> {
    match folder.sync_all() {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other,
    }
}
