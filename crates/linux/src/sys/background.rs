//! A daemon in the background (daemon(7)), whose starter waits until it is ready.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, setsid};

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Side {
    /// The one that was started. The other is ready, or has ended before it was.
    Starter {
        /// Whether it is ready.
        ready: bool,
    },
    /// The one that goes on, in a session of its own and in the folder `/`.
    Daemon(Starting),
}

/// What the starter waits for. Dropped, it learns that nothing came of it.
#[derive(Debug)]
pub struct Starting(File);

/// Goes on in another process. The first one returns when that is ready.
///
/// To be called while this process has one thread: no other would go on.
///
/// # Errors
///
/// There can be no other process.
pub fn begin() -> io::Result<Side> {
    let (read, write): (OwnedFd, OwnedFd) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: there is one thread (see above), so no lock is held that nobody would release.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => {
            drop(write);
            let mut word = [0; 1];
            let ready = File::from(read).read_exact(&mut word).is_ok();
            Ok(Side::Starter { ready })
        }
        ForkResult::Child => {
            drop(read);
            setsid()?;
            chdir("/")?;
            Ok(Side::Daemon(Starting(File::from(write))))
        }
    }
}

impl Starting {
    /// Tells the starter that all is well. From now on the standard streams lead nowhere: whoever
    /// waits for their end need not wait for this process.
    ///
    /// # Errors
    ///
    /// There is no `/dev/null`.
    pub fn is_ready(mut self) -> io::Result<()> {
        let nowhere = File::options().read(true).write(true).open("/dev/null")?;
        dup2_stdin(&nowhere)?;
        dup2_stdout(&nowhere)?;
        dup2_stderr(&nowhere)?;
        // It may have been killed meanwhile, which is no reason to end.
        let _ = self.0.write_all(b"r");
        Ok(())
    }
}
