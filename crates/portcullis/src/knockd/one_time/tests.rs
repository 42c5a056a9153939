use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use tempfile::TempDir;

use super::replace::{Step, replace};
use super::*;

/// A file of sequences in a folder of its own.
struct Sequences {
    folder: TempDir,
    path: PathBuf,
}

impl Sequences {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("sequences");
        fs::write(&path, text).unwrap();
        Self { folder, path }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    /// What else is in the folder.
    fn litter(&self) -> usize {
        fs::read_dir(self.folder.path()).unwrap().count() - 1
    }
}

fn ports(text: &str) -> Vec<Port> {
    parse_sequence(text.as_bytes()).unwrap()
}

fn used(next: Option<&str>) -> Used {
    Used { was_there: true, next: next.map(ports) }
}

#[test]
fn one_line_after_the_other_to_the_last() {
    let file = Sequences::new("# three of them\n\n 1,2,3\n4,5:udp,6\n\t7");
    let mut one_time = load(&file.path).unwrap();
    assert_eq!(one_time.current(), Some(&ports("1,2,3")[..]));
    assert_eq!(one_time.use_up(&ports("1,2,3")).unwrap(), used(Some("4,5:udp,6")));
    assert_eq!(file.text(), "# three of them\n\n#1,2,3\n4,5:udp,6\n\t7");
    assert_eq!(one_time.use_up(&ports("4,5:udp,6")).unwrap(), used(Some("7")));
    assert_eq!(file.text(), "# three of them\n\n#1,2,3\n#4,5:udp,6\n\t7");
    assert_eq!(one_time.use_up(&ports("7")).unwrap(), used(None));
    assert_eq!(file.text(), "# three of them\n\n#1,2,3\n#4,5:udp,6\n#7");
    assert_eq!(one_time.current(), None);
    assert_eq!(load(&file.path).unwrap().current(), None);
    assert!(one_time.warnings().findings().is_empty());
    assert_eq!(file.litter(), 0);
}

#[test]
fn line_ends_and_bytes_of_others_stay_as_they_are() {
    let file = Sequences::new(b"\xef\xbb\xbf1,2\r\n \xfcber\r\n 3,4 \r\n# \xe4\r\n");
    let mut one_time = load(&file.path).unwrap();
    assert_eq!(one_time.use_up(&ports("1,2")).unwrap(), used(Some("3,4")));
    assert_eq!(one_time.use_up(&ports("3,4")).unwrap(), used(None));
    let text = fs::read(&file.path).unwrap();
    assert_eq!(text, b"\xef\xbb\xbf#1,2\r\n \xfcber\r\n#3,4 \r\n# \xe4\r\n");
}

#[test]
fn wrong_lines_are_skipped_with_their_place_and_never_marked() {
    let file = Sequences::new(" 1,zwei,70000\n 4,5,6\n 7,,8\n");
    let mut one_time = load(&file.path).unwrap();
    assert_eq!(one_time.current(), Some(&ports("4,5,6")[..]));
    let shown = one_time.warnings().render(false);
    let place = |line, column| format!("{}:{line}:{column}\n", file.path.display());
    assert!(shown.contains(&place(1, 4)) && shown.contains(&place(3, 4)), "{shown}");
    assert!(shown.contains("warning[bad-port]: line skipped: the port is not"), "{shown}");
    assert_eq!((one_time.warnings().warnings(), one_time.warnings().errors()), (2, 0));
    // knockd marks the first line here, and takes 4,5,6 again.
    assert_eq!(one_time.use_up(&ports("4,5,6")).unwrap(), used(None));
    assert_eq!(file.text(), " 1,zwei,70000\n#4,5,6\n 7,,8\n");
}

#[test]
fn a_sequence_that_is_used_is_used_wherever_it_stands() {
    let file = Sequences::new("1,2,3\n 4,5,6\n 01 , 2:TCP,3\n1,2,3\n1,2,3,4\n");
    let mut one_time = load(&file.path).unwrap();
    assert_eq!(one_time.use_up(&ports("1,2,3")).unwrap(), used(Some("4,5,6")));
    assert_eq!(file.text(), "#1,2,3\n 4,5,6\n#01 , 2:TCP,3\n#1,2,3\n1,2,3,4\n");
}

#[test]
fn two_doors_share_a_file() {
    let file = Sequences::new("1,2,3\n4,5,6\n");
    let mut here = load(&file.path).unwrap();
    let mut there = load(&file.path).unwrap();
    assert_eq!(here.use_up(&ports("1,2,3")).unwrap(), used(Some("4,5,6")));
    // Who heard it cannot use it at the other door, even if that was told of nothing.
    let again = there.use_up(&ports("1,2,3")).unwrap();
    assert_eq!(again, Used { was_there: false, next: Some(ports("4,5,6")) });
    assert_eq!(there.current(), Some(&ports("4,5,6")[..]));
    assert_eq!(file.text(), "#1,2,3\n4,5,6\n");
    here.use_up(&ports("4,5,6")).unwrap();
    assert_eq!(there.refresh().unwrap(), None);
}

#[test]
fn daemons_at_one_file_lose_no_mark() {
    let text: String = (1..=8).map(|port| format!(" {port}\n")).collect();
    let file = Sequences::new(text);
    std::thread::scope(|scope| {
        for port in 1..=8 {
            let mut one_time = load(&file.path).unwrap();
            scope.spawn(move || {
                assert!(one_time.use_up(&ports(&port.to_string())).unwrap().was_there);
            });
        }
    });
    assert_eq!(file.text(), (1..=8).map(|port| format!("#{port}\n")).collect::<String>());
}

#[test]
fn what_was_edited_meanwhile_is_seen() {
    let file = Sequences::new("1,2,3\n4,5,6\n");
    let mut one_time = load(&file.path).unwrap();
    fs::write(&file.path, "9,8,7\n1,2,3\n").unwrap();
    assert_eq!(one_time.use_up(&ports("1,2,3")).unwrap(), used(Some("9,8,7")));
    assert_eq!(file.text(), "9,8,7\n#1,2,3\n");
}

#[test]
fn mode_and_owner_stay_and_so_does_a_link() {
    let file = Sequences::new(" 1\n 2\n");
    fs::set_permissions(&file.path, fs::Permissions::from_mode(0o640)).unwrap();
    let links = TempDir::new().unwrap();
    let link = links.path().join("link");
    symlink(&file.path, &link).unwrap();
    let before = fs::metadata(&file.path).unwrap();
    load(&link).unwrap().use_up(&ports("1")).unwrap();
    let after = fs::metadata(&file.path).unwrap();
    let kept = |file: &fs::Metadata| (file.mode(), file.uid(), file.gid());
    assert_eq!(kept(&before), kept(&after));
    assert_ne!(before.ino(), after.ino());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(file.text(), "#1\n 2\n");
    assert_eq!(fs::read_dir(links.path()).unwrap().count(), 1);
}

/// Whenever the machine stops, there is the old file or the new one, and the next try succeeds.
#[test]
fn after_a_crash_it_is_the_old_file_or_the_new_one() {
    let (old, new) = (" 1,2\n 3,4\n", "#1,2\n 3,4\n");
    for (last, expected) in
        [(Step::Created, old), (Step::Written, old), (Step::Synced, old), (Step::Renamed, new)]
    {
        let file = Sequences::new(old);
        let handle = File::open(&file.path).unwrap();
        let mut steps = Vec::new();
        let mut crash = |step| {
            steps.push(step);
            if step == last { Err(io::Error::other("crash")) } else { Ok(()) }
        };
        replace(&file.path, &handle, new.as_bytes(), &mut crash).unwrap_err();
        assert_eq!(steps.last(), Some(&last));
        assert_eq!(file.text(), expected, "{last:?}");
        assert_eq!(file.litter(), usize::from(last != Step::Renamed));
        let mut one_time = load(&file.path).unwrap();
        let again = one_time.use_up(&ports("1,2")).unwrap();
        // It opened at most once: before the crash nothing did, as `use_up` had not returned.
        assert_eq!(again.was_there, last != Step::Renamed);
        assert_eq!(again.next, Some(ports("3,4")));
        assert_eq!(file.text(), new);
        if last != Step::Renamed {
            assert_eq!(file.litter(), 0);
        }
    }
}

#[test]
fn what_cannot_be_marked_opens_nothing() {
    let file = Sequences::new(" 1,2\n");
    let mut one_time = load(&file.path).unwrap();
    // The new file has no room where there is a folder of its name.
    let in_the_way = temporary(&file.path);
    fs::create_dir(&in_the_way).unwrap();
    let message = one_time.use_up(&ports("1,2")).unwrap_err().message;
    let expected = format!("cannot mark the used sequence in `{}`: ", file.path.display());
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(one_time.current(), None);
    assert_eq!(file.text(), " 1,2\n");
    fs::remove_file(&file.path).unwrap();
    let message = one_time.use_up(&ports("1,2")).unwrap_err().message;
    assert!(message.ends_with("there is no such file"), "{message}");
}

#[test]
fn what_is_no_file_of_sequences() {
    let folder = TempDir::new().unwrap();
    let message = |path: &Path| load(path).unwrap_err().message;
    let missing = folder.path().join("missing\u{1b}[31m");
    let expected = format!("cannot read `{}/missing\\u{{1b}}[31m`: ", folder.path().display());
    assert_eq!(message(&missing), format!("{expected}there is no such file"));
    assert!(message(folder.path()).ends_with("it is not a regular file"));
    let large = folder.path().join("large");
    fs::write(&large, vec![b'\n'; MAX_BYTES as usize + 1]).unwrap();
    assert!(message(&large).ends_with("it is larger than 1 MiB"));
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(message(&pipe).ends_with("it is not a regular file"));
}

#[test]
fn any_text_is_marked_without_harm() {
    for text in ["", "\n", "#", " ", "1", "\r\n1\r", "1\0,2\n1", " # 1\n 1", "\u{b}1\n\u{c}1"] {
        let unmarked = |text: &[u8]| lines(text).filter(|line| line.sequence.is_ok()).count();
        let marked = mark(text.as_bytes(), &ports("1"));
        assert_eq!(marked.is_some(), unmarked(text.as_bytes()) > 0, "{text:?}");
        if let Some(marked) = marked {
            assert_eq!(unmarked(&marked), 0, "{text:?}");
            assert_eq!(mark(&marked, &ports("1")), None, "{text:?}");
        }
    }
}
