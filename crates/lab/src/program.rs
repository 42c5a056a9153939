//! A child process whose lines are watched, and that never outlives us.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use portcullis_linux::sys::namespace::die_with_parent;

/// A running child process, together with those that it starts. Dropped, it is killed.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    /// Starts it, on the host of the calling thread, and dying with that thread. What it prints to
    /// stdout and stderr is kept, line by line.
    ///
    /// # Errors
    ///
    /// It could not be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // A process group of its own, so that its children can be killed with it.
        command.process_group(0);
        let mut child = die_with_parent(command).spawn()?;
        let (sender, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            forward(stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            forward(stderr, sender);
        }
        Ok(Self { child, lines })
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line for which `wanted` says yes, within `wait`; `None` also when the program has
    /// ended. Lines before it are forgotten.
    pub fn wait_for_line(
        &self,
        wait: Duration,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Option<String> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).ok()?;
            if wanted(&line) {
                return Some(line);
            }
        }
    }

    /// The lines that have come and that nobody has waited for.
    pub fn lines(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Whether it is still running.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal to the process itself.
    ///
    /// # Errors
    ///
    /// It has been waited for already.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill(self.pid()?, signal)?)
    }

    /// Kills it and its children with SIGKILL, as `kill -9` and a service manager would, and waits
    /// until it is gone.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Ok(status);
        }
        killpg(self.pid()?, Signal::SIGKILL)?;
        self.child.wait()
    }

    /// Waits until it ends by itself; `None` if it has not within `wait`.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn wait(&mut self, wait: Duration) -> io::Result<Option<ExitStatus>> {
        let mut status = None;
        let mut result = Ok(());
        super::wait_until(Instant::now() + wait, || match self.child.try_wait() {
            Ok(now) => {
                status = now;
                status.is_some()
            }
            Err(error) => {
                result = Err(error);
                true
            }
        });
        result.map(|()| status)
    }

    fn pid(&self) -> io::Result<Pid> {
        let id = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        Ok(Pid::from_raw(id))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // That it is dead already is the only way in which this can fail.
        let _ = self.kill();
    }
}

/// Reads until the other side is closed, also when nobody listens any more: a program whose output
/// is not read would stop in the middle.
fn forward(from: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let _ = to.send(String::from_utf8_lossy(&line).into_owned());
        }
    });
}
