//! Files and folders that are ours alone, and that are whole or not there after a crash.

use std::fmt::Display;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::unistd::geteuid;

use crate::exit::Failure;

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

/// Makes a folder for us alone, and those above it, if it is not there.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.exists() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Where the folder above is not ours to read, the system writes it out by itself some time.
    if let Some(above) = folder.parent() {
        let _ = File::open(above).and_then(|above| sync(&above));
    }
    Ok(())
}

/// A folder that nobody else may write to. `danger` is what becomes of its content, `purpose` is said
/// where it is no folder.
pub(crate) fn must_be_ours(
    about: &Metadata,
    shown: impl Display,
    danger: &str,
    purpose: &str,
) -> Result<(), Failure> {
    if !about.is_dir() {
        return Err(Failure::could_not(format!("{shown} is not a folder")).hint(purpose));
    }
    let refuse = |what: &str, mend: String| {
        let message = format!("{shown} {what}, and its content is {danger}");
        Err(Failure::could_not(message).hint(format!("{mend}, after a look at what is in it")))
    };
    let user = geteuid();
    if about.uid() != user.as_raw() {
        return refuse("belongs to another user", format!("chown {user} {shown}"));
    }
    if about.permissions().mode() & 0o022 != 0 {
        return refuse("can be changed by others", format!("chmod 700 {shown}"));
    }
    Ok(())
}
