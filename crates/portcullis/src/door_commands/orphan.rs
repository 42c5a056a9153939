//! Commands that still run although their daemon is dead.
//!
//! A daemon can be killed while a start command runs. The stop command must not overtake it: the door
//! would open after it has closed. So each recorded command leaves a sign (its process), and a daemon that finds
//! the record waits for that process first.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use portcullis_linux::proc::{began, stat};
use portcullis_linux::sys::spawn;

/// The shell of such a command.
#[derive(Debug)]
pub struct Orphan {
    fd: OwnedFd,
}

impl Orphan {
    /// Finds the process that has left this sign; nothing when it has ended.
    pub fn find(sign: &[u8]) -> Option<Self> {
        let (pid, at) = spawn::read_sign(sign)?;
        // First the descriptor, then the look at who it is: the number cannot get to another process
        // without our noticing.
        let orphan = Self { fd: spawn::pidfd(pid).ok()? };
        let began = began(&stat(pid)?)?;
        // Who has that number now, and had it already when the sign was written, has written it.
        (began <= at && !orphan.has_ended()).then_some(orphan)
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO) != Ok(0)
    }
}

impl AsFd for Orphan {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs::{self, File};
    use std::io::Read;
    use std::os::unix::fs::FileExt;
    use std::process::Child;

    use super::*;

    /// A command that does not end by itself.
    pub(crate) struct Sleeper(pub(crate) Child);

    impl Sleeper {
        pub(crate) fn new(sign: Option<&File>) -> Self {
            Self(spawn::shell("exec sleep 600".as_ref(), sign).unwrap())
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn sign(pid: u32, at: u64) -> Vec<u8> {
        format!("{pid:>10} {at:>20}\n").into_bytes()
    }

    #[test]
    fn the_one_who_signed_is_found_while_it_runs() {
        let mut file = tempfile::tempfile().unwrap();
        let sleeper = Sleeper::new(Some(&file));
        let mut text = Vec::new();
        file.read_to_end(&mut text).unwrap();
        assert_eq!(spawn::read_sign(&text).map(|(pid, _)| pid), Some(sleeper.0.id()));
        let orphan = Orphan::find(&text).unwrap();
        assert!(!orphan.has_ended());
        drop(sleeper);
        assert!(orphan.has_ended());
        assert!(Orphan::find(&text).is_none());
    }

    #[test]
    fn another_process_of_the_same_number_is_not_taken_for_it() {
        let mut sleeper = Sleeper::new(None);
        let child = &mut sleeper.0;
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let began = began(&stat).unwrap();
        assert!(Orphan::find(&sign(child.id(), began)).is_some());
        assert!(Orphan::find(&sign(child.id(), began - 1)).is_none());
        child.kill().unwrap();
        // Not waited for yet: it has ended all the same.
        let orphan = Orphan { fd: spawn::pidfd(child.id()).unwrap() };
        poll(&mut [PollFd::new(orphan.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        assert!(Orphan::find(&sign(child.id(), u64::MAX)).is_none());
    }

    #[test]
    fn a_torn_sign_is_none() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[b' '; 32], 0).unwrap();
        assert_eq!(spawn::read_sign(&[b' '; 32]), None);
        assert_eq!(spawn::read_sign(b""), None);
        assert_eq!(spawn::read_sign(&sign(1, 2)[..31]), None);
        assert_eq!(spawn::read_sign(&sign(1, 2)), Some((1, 2)));
    }

    #[test]
    fn names_of_processes_confuse_nobody() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 250 20";
        assert_eq!(began(&format!("5 (a) b) c) {fields}")), began(&format!("5 (sh) {fields}")));
        assert!(began(&format!("5 (sh) {fields}")).is_some());
        assert_eq!(began("5 (sh) S 1"), None);
    }
}
