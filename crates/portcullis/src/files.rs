//! Files and folders that are ours alone, and that are whole or not there after a crash; and files in
//! places that others may write to, where what lies there already may be a trap.

use std::fmt::Display;
use std::fs::{self, DirBuilder, File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::readlinkat;
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

/// Puts a file in its place as a whole, in a folder that others may write to: a new file, which gets the
/// name when it is written. So nothing is written through a link, into a file that somebody else can read
/// or has other names for, or into what is no file. `mode` is cut by the umask.
///
/// # Errors
///
/// A link or something else than a file has that name ([`ErrorKind::InvalidInput`]); or the folder cannot
/// be written to. What was there is there then.
pub(crate) fn put(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_symlink() => return Err(invalid("it is a symbolic link")),
        Ok(about) => must_be_regular(&about)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let (new, mut file) = beside(path, mode)?;
    let result = file.write_all(text).and_then(|()| fs::rename(&new, path));
    if result.is_err() {
        let _ = fs::remove_file(&new);
    }
    result
}

/// A new file in the same folder, of another name that nobody can foresee.
fn beside(path: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    const TRIES: u32 = 16;
    let name = path.file_name().ok_or_else(|| invalid("it is a directory"))?;
    for _ in 0..TRIES {
        let mut new = std::ffi::OsString::from(".");
        new.push(name);
        new.push(format!(".{:016x}", getrandom::u64().map_err(io::Error::other)?));
        let new = path.with_file_name(new);
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(mode).open(&new) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            other => return other.map(|file| (new, file)),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Opens a file to read, and never waits for somebody at its other end.
///
/// # Errors
///
/// It is a pipe, a device or a socket ([`ErrorKind::InvalidInput`]), but for the descriptors of this process
/// (`/dev/stdin`, `/dev/fd/63` of a shell's `<(…)`): whoever has opened those has an end to write to. Or it
/// is a directory, is not there, or may not be read.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    if is_descriptor(path) {
        return File::open(path);
    }
    // Before it is opened: some devices do things when they are.
    must_be_regular(&fs::metadata(path)?)?;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    must_be_regular(&file.metadata()?)?;
    Ok(file)
}

/// Opens a file to add to it, and never waits for a reader. It is made if it is not there, with the mode
/// that the umask leaves.
///
/// A link is followed if it is root's or ours, as that of a log which has moved to another disk, and as
/// `/dev/stdout` is; one of another user may lead to any file that only we may write to.
///
/// # Errors
///
/// The link belongs to another user ([`ErrorKind::InvalidInput`]), or what it leads to cannot be opened.
pub(crate) fn open_to_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        match options.custom_flags(flags).open(&path) {
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {}
            other => return other,
        }
        // The link itself, so that its owner and its target are those of one and the same.
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let link = OpenOptions::new().read(true).custom_flags(flags).open(&path)?;
        let owner = link.metadata()?.uid();
        if owner != 0 && owner != geteuid().as_raw() {
            let message = format!(
                "it is a symbolic link that belongs to user {owner}; such links are not followed"
            );
            return Err(invalid(&message));
        }
        if is_descriptor(&path) {
            // A link to what may have no name.
            return options.custom_flags(libc::O_NOCTTY).open(&path);
        }
        let target = readlinkat(&link, c"")?;
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// Links that one path may lead through, as in the kernel (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// Whether the name is one of a descriptor of this process, as `/dev/stdin` is.
fn is_descriptor(path: &Path) -> bool {
    ["/dev/stdin", "/dev/stdout", "/dev/stderr"].iter().any(|name| path == Path::new(name))
        || ["/dev/fd", "/proc/self/fd"]
            .iter()
            .any(|folder| path.parent() == Some(Path::new(folder)))
}

fn must_be_regular(about: &Metadata) -> io::Result<()> {
    if about.is_file() {
        return Ok(());
    }
    if about.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    Err(invalid(&format!("it is a {}, not a regular file", kind(about.file_type()))))
}

fn kind(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "named pipe"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, what.to_owned())
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
        return Err(Failure::could_not(format!("{shown} is not a directory")).hint(purpose));
    }
    let refuse = |what: &str, mend: String| {
        let message = format!("{shown} {what}, but its content is {danger}");
        Err(Failure::could_not(message).hint(format!("check its content first, then run: {mend}")))
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, lchown, symlink};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use tempfile::TempDir;

    use super::*;

    fn folder() -> TempDir {
        TempDir::new().unwrap()
    }

    fn left(folder: &TempDir) -> usize {
        fs::read_dir(folder.path()).unwrap().count()
    }

    #[test]
    fn put_replaces_a_file_and_its_mode() {
        let folder = folder();
        let path = folder.path().join("file");
        for text in ["one", "two"] {
            put(&path, text.as_bytes(), 0o600).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        }
        put(&path, b"three", 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(left(&folder), 1);
    }

    #[test]
    fn put_writes_through_no_link_and_into_no_pipe() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("precious"), "precious").unwrap();
        symlink(at("precious"), at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        fs::hard_link(at("precious"), at("other name")).unwrap();
        mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
        let before = left(&folder);
        for name in ["link", "dangling", "pipe"] {
            let error = put(&at(name), b"x", 0o600).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
        }
        for name in [".", "..", "/", "/dev/null", "/dev/stdout"] {
            assert!(put(&at(name), b"x", 0o600).is_err(), "{name}");
        }
        put(&at("other name"), b"x", 0o600).unwrap();
        assert_eq!(fs::read_to_string(at("precious")).unwrap(), "precious");
        assert!(!at("nothing").exists());
        assert_eq!(left(&folder), before);
    }

    #[test]
    fn open_to_read_takes_files_and_descriptors_alone() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "text").unwrap();
        symlink(at("file"), at("link")).unwrap();
        mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
        symlink(at("pipe"), at("to pipe")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for name in ["file", "link"] {
            assert_eq!(io::read_to_string(open_to_read(&at(name)).unwrap()).unwrap(), "text");
        }
        for (name, kind) in [
            ("pipe", "named pipe"),
            ("to pipe", "named pipe"),
            ("socket", "socket"),
            ("/dev/zero", "device"),
            ("/dev/null", "device"),
        ] {
            let error = open_to_read(&at(name)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), format!("it is a {kind}, not a regular file"));
        }
        assert_eq!(open_to_read(&at("")).unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(open_to_read(&at("none")).unwrap_err().kind(), ErrorKind::NotFound);
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"piped").unwrap();
        drop(writer);
        let name = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        assert_eq!(io::read_to_string(open_to_read(Path::new(&name)).unwrap()).unwrap(), "piped");
    }

    #[test]
    fn open_to_append_follows_no_link_of_others() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("log"), "a").unwrap();
        symlink("log", at("link")).unwrap();
        symlink("link", at("second")).unwrap();
        symlink("circle", at("circle")).unwrap();
        for (name, text) in [("log", "b"), ("link", "c"), ("second", "d")] {
            open_to_append(&at(name)).unwrap().write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(at("log")).unwrap(), "abcd");
        assert!(open_to_append(&at("circle")).is_err());
        let (reader, writer) = io::pipe().unwrap();
        let name = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        open_to_append(Path::new(&name)).unwrap().write_all(b"piped").unwrap();
        drop(writer);
        assert_eq!(io::read_to_string(reader).unwrap(), "piped");
        // A pipe that nobody reads keeps nobody waiting.
        mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
        assert!(open_to_append(&at("pipe")).is_err());
        // Only root can make links of others.
        if chown(at("log"), Some(65_534), None).is_err() {
            return;
        }
        open_to_append(&at("link")).unwrap();
        lchown(at("link"), Some(65_534), None).unwrap();
        for name in ["link", "second"] {
            let error = open_to_append(&at(name)).unwrap_err();
            assert!(error.to_string().contains("to user 65534"), "{error}");
        }
    }
}
